"""Ports for servers that cannot choose one themselves."""

from __future__ import annotations

import os
import socket

# Below the range that systems choose from for port 0 and for outgoing connections, so that nobody is handed a port
# between this look and the server's start. Each worker of a parallel run has a part of its own, and each run begins
# elsewhere in it.
_FIRST, _PART, _PARTS = 20_000, 1_500, 8
_worker = int("0" + os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")) % _PARTS
_next = os.getpid() * 7


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that is not given out again soon."""
    global _next  # noqa: PLW0603 - what was given out is known to the process as a whole
    for _ in range(_PART):
        _next += 1
        port = _FIRST + _worker * _PART + _next % _PART
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no port is free")
