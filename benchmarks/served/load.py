"""What sends requests to a server: one process, raw sockets that are kept alive, and as many requests under way as there
are connections. It reads orders, one JSON object a line, and answers each with one.

It has to be faster than every server that it loads. That it was is seen in each result: `busy` is the share of the time
for which it had work to do, and the server's own share is measured beside it.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

END = b"\r\n\r\n{}"
"""All apps answer with this body, so an answer that ends with it is whole."""


def connected(port: int, request: bytes) -> socket.socket:
    """A connection on which a request is under way."""
    found = socket.create_connection(("127.0.0.1", port), 10)
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    found.send(request)
    found.setblocking(False)
    return found


def run(port: int, request: bytes, connections: int, seconds: float, *, keep: bool) -> dict[str, Any]:
    """Load a server for this long; then let what is under way end, uncounted."""
    poll, status = select.epoll(), b"HTTP/1.1 200 "
    open_ones = {each.fileno(): each for each in (connected(port, request) for _ in range(connections))}
    for each in open_ones:
        poll.register(each, select.EPOLLIN)
    parts: dict[int, bytes] = {}
    done, spent, begun = 0, time.process_time(), time.perf_counter()
    end = begun + seconds
    while (now := time.perf_counter()) < end:
        for number, _ in poll.poll(end - now):
            got = open_ones[number].recv(65_536)
            data = parts.pop(number, b"") + got
            if not data.endswith(END):
                if not got:
                    raise ConnectionError(f"the server hung up after {data!r}")
                parts[number] = data
                continue
            if not data.startswith(status):
                raise ConnectionError(f"an answer was {data!r}")
            done += 1
            if keep:
                open_ones[number].send(request)
            else:
                open_ones.pop(number).close()
                fresh = connected(port, request)
                open_ones[fresh.fileno()] = fresh
                poll.register(fresh, select.EPOLLIN)
    took = time.perf_counter() - begun
    used = time.process_time() - spent
    for each in open_ones.values():
        each.setblocking(True)
        each.settimeout(10)
        while not parts.get(each.fileno(), b"").endswith(END):
            got = each.recv(65_536)
            if not got:
                break
            parts[each.fileno()] = parts.get(each.fileno(), b"") + got
        each.close()
    poll.close()
    return {"requests": done, "seconds": took, "busy": used / took}


def main() -> None:
    for line in sys.stdin:
        order = json.loads(line)
        found = run(
            order["port"], order["request"].encode(), order["connections"], order["seconds"], keep=order["keep"]
        )
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
