"""What the WSGI door does where a path asks for more than headers: the envelope, and JSON bodies."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Protocol

from .exceptions import InvalidRequest
from .model import Admitted, Reason
from .rules import outcomes
from .rules.envelopes import BODYLESS, STATUS_LINES, Collected, Splice
from .rules.jsonbodies import announced_length, refuse_body, refuse_head
from .rules.responses import Reply
from .shape import Shape
from .writers import Writers

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write = Callable[[bytes], object]


class StartResponse(Protocol):
    """PEP 3333's ``start_response``."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...


logger = logging.getLogger("keystile")


class Answering:
    """One answer of the app, on its way into the envelope.

    The server's ``start_response`` is called as soon as the head is certain. That of an error is when its body was
    read; PEP 3333 lets an app start as late as with its first octets.

    Args:
        start: the server's ``start_response``.
        environ: the server's.
        admitted: whose answer it is.
        shape: what it is to look like.
        writers: what writes heads and bodies.
    """

    # Of the class, not of each request: few answers change all of them.
    _splice: Splice | None = None
    _held: tuple[str, Headers, ExcInfo | None] | None = None
    _started = _bodyless = _sent = False

    def __init__(
        self, start: StartResponse, environ: Environ, admitted: Admitted, shape: Shape, writers: Writers[str]
    ) -> None:
        self._server_start, self._environ = start, environ
        self._admitted, self._shape, self._writers = admitted, shape, writers

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """For the app, in the place of the server's."""
        headers = list(headers)  # an app may go on using its own
        if (self._held or self._started) and exc_info is None:
            raise AssertionError("start_response was called before, and without exc_info")
        if self._sent and exc_info:
            return self._server_start(status, headers, exc_info)  # it raises: the head is out
        code = int(status[:3])
        self._shape.begun = True
        if code >= 400 and self._writers.replaces(code, headers):
            self._held, self._collected = (status, headers, exc_info), Collected()
            return self._collected.add
        fields, tail = self._writers.success(code, headers, self._shape, self._admitted)
        self._held, self._splice = None, None if tail is None else Splice(tail)
        self._bodyless = self._environ["REQUEST_METHOD"] == "HEAD" or code in BODYLESS
        write = self._begin(status, fields, exc_info)
        self._started = True
        return partial(self._write, write)

    def body(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """What the server iterates: the app's own iterable, if nothing is to be done to it."""
        if not (self._started or self._held):
            return self._begun(iterable)
        if self._held:
            return self._at_once(self._stream(iterable), iterable)
        if self._bodyless:
            return self._at_once([b""], iterable)
        if self._splice is None and self._goes_as_it_is(iterable):
            return iterable
        if self._splice and isinstance(iterable, (list, tuple)) and len(iterable) == 1:
            return self._splice.pieces(iterable[0], last=True)
        return Body(self._stream(iterable), iterable)

    def _begun(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """The same for an app that gives its head as late as PEP 3333 lets it, with the first octets. The server need
        not be able to wait so long (granian's is not), and what becomes of the body depends on the head."""
        octets = iter(iterable)
        first = b""
        try:
            while not (self._started or self._held or first):
                first = next(octets)
        except StopIteration:
            return Body(octets, iterable)  # no head at all: the server says what it makes of that
        except Exception:
            close(iterable)
            raise
        whole = Body(chain([first], octets), iterable)
        return self.body(whole) if self._started or self._held else whole

    def _goes_as_it_is(self, iterable: Iterable[bytes]) -> bool:
        """Whether it cannot fail half-way, or is one that the server sends by a way of its own."""
        wrapper = self._environ.get("wsgi.file_wrapper")
        return isinstance(iterable, (list, tuple)) or (isinstance(wrapper, type) and isinstance(iterable, wrapper))

    def _at_once(self, octets: Iterable[bytes], iterable: Iterable[bytes]) -> list[bytes]:
        try:
            found = list(octets)
        except Exception:
            close(iterable)
            raise
        try:
            close(iterable)
        except Exception:  # the answer is whole, and stays so
            logger.exception("the app's close() failed, request %s", self._admitted.request_id)
        return found

    def failed(self, error: Exception) -> list[bytes]:
        """The app raised; the answer to that, or the same exception if its head is out already."""
        if self._sent:
            raise error
        fault = error if isinstance(error, InvalidRequest) else None
        if fault is None:
            logger.error("the app failed, request %s", self._admitted.request_id, exc_info=error)
        reply = self._writers.failed(fault, self._shape, self._admitted, self._environ.get("HTTP_ACCEPT") or "")
        return self._reply(reply, STATUS_LINES[reply.status], sys.exc_info())

    def _begin(self, status: str, headers: Headers, exc_info: ExcInfo | None) -> Write:
        # Not every server takes a third argument that says nothing.
        return self._server_start(status, headers, exc_info) if exc_info else self._server_start(status, headers)

    def _write(self, server_write: Write, data: bytes) -> None:
        """PEP 3333's imperative ``write``, for apps from before iterables."""
        if self._bodyless:
            return
        self._sent = self._sent or bool(data)
        for piece in self._splice.pieces(data, last=False) if self._splice else [data]:
            server_write(piece)

    def _stream(self, iterable: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for chunk in iterable:
                if self._held:
                    self._collected.add(chunk)
                    if self._collected.too_long:
                        break
                    continue
                for piece in self._splice.pieces(chunk, last=False) if self._splice else [chunk]:
                    self._sent = self._sent or bool(piece)
                    yield piece
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told that we failed
            yield from self.failed(error)
            return
        if self._held:
            yield from self._replace(*self._held)
        elif self._splice:
            yield from self._splice.pieces(b"", last=True)

    def _replace(self, status: str, headers: Headers, exc_info: ExcInfo | None) -> list[bytes]:
        code, body = int(status[:3]), self._collected.body
        lengthless = self._environ["REQUEST_METHOD"] == "HEAD" and not body
        accept = self._environ.get("HTTP_ACCEPT") or ""
        reply = self._writers.error(code, headers, body, self._shape, self._admitted, accept, lengthless=lengthless)
        return self._reply(reply, status if reply.status == code else STATUS_LINES[reply.status], exc_info)

    def _reply(self, reply: Reply[str], status: str, exc_info: ExcInfo | None) -> list[bytes]:
        """An answer of ours, in the place of the app's."""
        self._held = None
        # The server has a head already, none of which went out: only with exc_info may it be replaced.
        self._begin(status, reply.headers, exc_info if self._started else None)
        self._sent = True
        return [b"" if self._environ["REQUEST_METHOD"] == "HEAD" else reply.body]


class Body:
    """A generator's octets, with a ``close`` that reaches the app's iterable also where nothing was iterated."""

    def __init__(self, octets: Iterator[bytes], iterable: Iterable[bytes]) -> None:
        self._octets, self._iterable = octets, iterable

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._octets)

    def close(self) -> None:
        """See PEP 3333."""
        close(self._iterable)


def close(iterable: Iterable[bytes]) -> None:
    """Let go of an app's iterable, where it wants that (PEP 3333)."""
    closing = getattr(iterable, "close", None)
    if closing is not None:
        closing()


def read_json(environ: Environ, most: int) -> Reason | None:
    """Read the request's body, see whether it is JSON, and leave the same bytes in the environ.

    Args:
        environ: the server's.
        most: how many bytes may come.

    Returns:
        Why it is refused, or None.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    announced = announced_length([length]) if length else None
    unannounced = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "") >= "HTTP/2"
    if not unannounced and (announced == 0 or not length):
        return None
    if length and announced is None:
        return outcomes.MALFORMED
    if unannounced:
        announced = None
    encoding = environ.get("HTTP_CONTENT_ENCODING")
    reason = refuse_head(environ.get("CONTENT_TYPE") or None, encoding, announced, most)
    if reason is not None:
        return reason
    body = _read(environ["wsgi.input"], most + 1 if announced is None else announced)
    if body is None or (announced is not None and len(body) < announced):
        return outcomes.MALFORMED
    if len(body) > most:
        return outcomes.too_large(most)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    environ["wsgi.input_terminated"] = True
    return refuse_body(body) if body else None


def _read(stream: Any, most: int) -> bytes | None:
    body = bytearray()
    try:
        while len(body) < most and (chunk := stream.read(most - len(body))):
            body += chunk
    except Exception:  # noqa: BLE001 - each server has an exception of its own for chunks that are none
        return None
    return bytes(body)
