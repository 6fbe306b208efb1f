"""All that keystile knows of threads, and of sync against async. Nothing else imports threading, asyncio or anyio.

The gate is one coroutine. The ASGI door awaits it with `pooled`, the WSGI door runs it by a single `send(None)` with
`inline`: what must block goes through that `Offload`, so the coroutine never learns which door it serves. Everything
here works under asyncio, trio and plain threads, also when one gate serves all three at once.

Nothing survives a fork half-done: what a child inherits in the middle of another thread's work is started afresh. What
waits is made when it is first used: gevent may replace the ways of waiting after the import.
"""

from .background import later, settled
from .flights import SingleFlight
from .local import Lock, on_fork
from .loops import PerLoop, give_way, in_time
from .offload import Offload, Pool, inline, pooled, worker_count
from .places import Crowd, Place, Places
from .running import adapt, at_once, is_async, may_block, patiently, run_now
from .shelf import Item, Shelf

__all__ = [
    "Crowd",
    "Item",
    "Lock",
    "Offload",
    "PerLoop",
    "Place",
    "Places",
    "Pool",
    "Shelf",
    "SingleFlight",
    "adapt",
    "at_once",
    "give_way",
    "in_time",
    "inline",
    "is_async",
    "later",
    "may_block",
    "on_fork",
    "patiently",
    "pooled",
    "run_now",
    "settled",
    "worker_count",
]
