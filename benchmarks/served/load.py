"""What sends requests to a server: one process, raw sockets that are kept alive, and as many requests under way as
there are connections. It reads orders, one JSON object a line, and answers each with one.

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

STATUS = b"HTTP/1.1 200 "
END = b"\r\n\r\n{}"
"""All apps answer with this status and this body: what ends with it is whole."""


class Load:
    """Requests to one server; a context manager. `done` counts the answers, of which each has to be 200."""

    def __init__(self, port: int, request: bytes, connections: int, *, keep: bool) -> None:
        self._port, self._request, self._keep = port, request, keep
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._parts: dict[int, bytes] = {}
        self.done = 0
        for _ in range(connections):
            self._connect()

    def _connect(self) -> None:
        """One connection more, on which a request is under way."""
        found = socket.create_connection(("127.0.0.1", self._port), 10)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.send(self._request)
        found.setblocking(False)
        self._open[found.fileno()] = found
        self._poll.register(found, select.EPOLLIN)

    def run(self, seconds: float) -> float:
        """Ask again whenever an answer is whole, for this long and until there was one; returns how long it was."""
        begun = time.perf_counter()
        end = begun + seconds
        while (now := time.perf_counter()) < end or not self.done:
            for number, _ in self._poll.poll(max(end - now, 0.01)):
                if self._answered(number):
                    self.done += 1
                    self._again(number)
        return time.perf_counter() - begun

    def _answered(self, number: int) -> bool:
        """Whether what has come on a connection is a whole answer."""
        got = self._open[number].recv(65_536)
        data = self._parts.pop(number, b"") + got
        if not got or not data.startswith(STATUS[: len(data)]):
            raise ConnectionError(f"an answer was {data!r}")
        if not data.endswith(END):
            self._parts[number] = data
            return False
        return True

    def _again(self, number: int) -> None:
        if self._keep:
            self._open[number].send(self._request)
        else:
            self._open.pop(number).close()
            self._connect()

    def finish(self) -> None:
        """Let what is under way end: the next one's turn begins with a server that has nothing to do. Whoever was
        answered hangs up at once: a server may wait for that before it answers another."""
        while self._open:
            ready = self._poll.poll(30)
            if not ready:
                raise TimeoutError(f"{len(self._open)} requests were not answered")
            for number, _ in ready:
                if self._answered(number):
                    self._open.pop(number).close()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_unused: object) -> None:
        for each in self._open.values():
            each.close()
        self._poll.close()


def ran(order: dict[str, Any]) -> dict[str, Any]:
    """What came of an order."""
    with Load(order["port"], order["request"].encode(), order["connections"], keep=order["keep"]) as load:
        spent = time.process_time()
        took = load.run(order["seconds"])
        found = {"requests": load.done, "seconds": took, "busy": (time.process_time() - spent) / took}
        load.finish()
        return found


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(ran(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
