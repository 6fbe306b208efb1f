"""How the WSGI door keeps the app's answer from a caller whose key expires or is revoked while the app works."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from ...model import Refused
from ..cutting import cut
from .protocol import Body, ExcInfo, Headers, StartResponse, Write, close

Check = Callable[[], Refused | None]
Refuse = Callable[[Refused], Iterable[bytes]]


class HeldAnswer:
    """Holds the head of an answer until the first octets of its body, then has its caller judged again; and once more
    at each further chunk of a stream, which ends in the middle if the caller may not have the rest.

    Args:
        start: the server's ``start_response``.
        check: judges; None if the caller may still have the answer.
        refuse: gives the answer in the app's place.
    """

    def __init__(self, start: StartResponse, check: Check, refuse: Refuse) -> None:
        self._server_start, self._check, self._refuse = start, check, refuse
        self._head: tuple[str, Headers, ExcInfo | None] | None = None
        self._server_write: Write | None = None
        self._released = False
        self._refusal: Iterable[bytes] | None = None
        self._cut: Refused | None = None

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """For the app, in place of the server's `start_response`."""
        if self._head is not None and exc_info is None:
            raise AssertionError("start_response was called before, and without exc_info")
        self._head = (status, headers, exc_info)
        if self._released:
            self._start()
        return self._write

    def body(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """What the server iterates: the app's octets, or the refusal in their place."""
        try:
            octets = iter(iterable)
            first = next((chunk for chunk in octets if chunk), b"")
            written = self._released
            if written:
                self._judge(first)
            elif self._head is not None:
                self._release()
        except BaseException:  # a time limit of gevent's, too
            close(iterable)
            raise
        if self._refusal is not None:
            close(iterable)
            return self._refusal
        if isinstance(iterable, (list, tuple)) and not written:
            return iterable  # servers read its length
        return Body(chain([first], self._judged(octets)), iterable)

    def _release(self) -> None:
        self._released = True
        refused = self._check()
        if refused is not None:
            self._refusal = self._refuse(refused)
        else:
            self._start()

    def _judged(self, octets: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in octets:
            self._judge(chunk)
            yield chunk

    def _judge(self, chunk: bytes) -> None:
        """Raise if the caller may not have this, or did not get what came before it."""
        if chunk and self._cut is None:
            self._cut = self._check()
        if self._cut is not None:
            raise cut(self._cut)

    def _start(self) -> None:
        if self._head is None or self._refusal is not None:
            return
        status, headers, exc_info = self._head
        start = self._server_start
        self._server_write = start(status, headers, exc_info) if exc_info else start(status, headers)

    def _write(self, data: bytes) -> None:
        if data and not self._released:
            self._release()
        elif self._refusal is None:
            self._judge(data)
        if data and self._refusal is None and self._server_write is not None:
            self._server_write(data)
