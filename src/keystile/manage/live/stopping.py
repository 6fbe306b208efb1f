"""Whether the server of this process is about to stop.

A server that stops in good order waits for the answers that are under way, and uvicorn waits for ever. No interface
tells an app about it: under ASGI the end of the lifespan comes after that wait. But the server's own handler of SIGTERM
belongs to an object that says whether it was told to stop. So this looks, and changes nothing.
"""

from __future__ import annotations

import signal


def server_stops() -> bool:
    """Whether uvicorn or a worker of gunicorn has been told to stop; False under a server that does not show it."""
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(server, "should_exit", False) is True or getattr(server, "alive", True) is False
