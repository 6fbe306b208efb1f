"""Everything about threads, and about sync and async. Nothing else here imports threading, asyncio or anyio.

Knows nothing of keystile but its exceptions; everybody may use it. Callers import from this package, never from its
modules, so a module can be changed here alone. What must stay true: everything works under asyncio, trio, plain threads
and gevent, even when one gate serves all of them at once, and after a fork.

The gate is one coroutine. The ASGI door awaits it with `pooled`; the WSGI door runs it with a single `send(None)` and
`inline`. Blocking work goes through that `Offload`, so the coroutine does not know which door it serves.

Nothing half-done survives a fork: what a child inherits in the middle of another thread's work starts afresh. Locks and
queues are made on first use, because gevent may replace them after the import.
"""

from .background import later, settled
from .beside import can_wait, loop_beside, waited
from .crew import Crew, sleep, start_apart
from .deferred import Deferred, on_exit
from .flights import Lookups, SingleFlight
from .local import Lock, on_fork
from .loops import PerLoop, give_way, in_time, until
from .offload import Offload, Pool, inline, pooled, rest, worker_count
from .places import Crowd, Place, Places, quarter_of_threads
from .running import Pulled, adapt, at_once, is_async, may_block, patiently, run_now
from .seldom import Seldom
from .shelf import Item, Shelf

__all__ = [
    "Crew",
    "Crowd",
    "Deferred",
    "Item",
    "Lock",
    "Lookups",
    "Offload",
    "PerLoop",
    "Place",
    "Places",
    "Pool",
    "Pulled",
    "Seldom",
    "Shelf",
    "SingleFlight",
    "adapt",
    "at_once",
    "can_wait",
    "give_way",
    "in_time",
    "inline",
    "is_async",
    "later",
    "loop_beside",
    "may_block",
    "on_exit",
    "on_fork",
    "patiently",
    "pooled",
    "quarter_of_threads",
    "rest",
    "run_now",
    "settled",
    "sleep",
    "start_apart",
    "until",
    "waited",
    "worker_count",
]
