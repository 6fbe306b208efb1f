"""All that keystile knows of threads, and of sync against async. Nothing else imports threading, asyncio or anyio.

The gate is one coroutine. The ASGI door awaits it with `pooled`, the WSGI door runs it by a single `send(None)` with
`inline`: what must block goes through that `Offload`, so the coroutine never learns which door it serves. Everything
here works under asyncio, trio and plain threads, also when one gate serves all three at once.

Nothing survives a fork half-done: what a child inherits in the middle of another thread's work is started afresh.
"""

from .background import later, let_go, settled
from .flights import SingleFlight
from .local import Local, Lock, on_fork
from .loops import PerLoop, in_time
from .offload import Offload, Pool, inline, pooled, worker_count
from .running import adapt, at_once, is_async, patiently, run_now

__all__ = [
    "Local",
    "Lock",
    "Offload",
    "PerLoop",
    "Pool",
    "SingleFlight",
    "adapt",
    "at_once",
    "in_time",
    "inline",
    "is_async",
    "later",
    "let_go",
    "on_fork",
    "patiently",
    "pooled",
    "run_now",
    "settled",
    "worker_count",
]
