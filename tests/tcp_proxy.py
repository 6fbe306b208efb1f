"""A TCP proxy that a test stops in the middle: what a server answers is held back, or the connections are cut."""

from __future__ import annotations

import contextlib
import socket
import threading


class Proxy:
    """Stands before a server on the loopback; a context manager.

    Args:
        port: of the server.

    Attributes:
        accepted: how many connections were made.
        asked: released each time that octets went to the server.
        answered: released each time that octets of the server went to the client.
    """

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.accepted = 0
        self.asked, self.answered = threading.Semaphore(0), threading.Semaphore(0)
        self._passing = threading.Event()
        self._passing.set()
        self._lost = 0
        self._open: list[socket.socket] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        """For `RedisLimiter.from_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    def lose(self, number: int) -> None:
        """Break the connection in place of passing on the answer with this number, counted from now: 1 is the next."""
        self._lost = number

    def hold(self) -> None:
        """Pass no more answers on, until `release`."""
        self._passing.clear()
        # New ones: what was on its way before is released on the others.
        self.asked, self.answered = threading.Semaphore(0), threading.Semaphore(0)

    def release(self) -> None:
        """Pass on what was held back, and what comes."""
        self._passing.set()

    def cut(self) -> None:
        """Break every connection; new ones are made as before."""
        for each in self._open:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_unused: object) -> None:
        # Else the thread would accept what is meant for the next socket with this number.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listening.close()
        self.release()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.accepted += 1
                try:
                    server = socket.create_connection(("127.0.0.1", self._server_port))
                except OSError:
                    client.close()
                    continue
                self._open += [client, server]
                for way in ((client, server, "asked"), (server, client, "answered")):
                    threading.Thread(target=self._pass_on, args=way, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while octets := source.recv(65536):
                done: threading.Semaphore = getattr(self, way)
                if way == "answered":
                    self._passing.wait()
                    self._lost -= 1
                    if self._lost == 0:
                        break
                target.sendall(octets)
                done.release()
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
