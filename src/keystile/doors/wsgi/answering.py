"""One answer of the app, put into the envelope on its way to a WSGI server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

from ...answers.envelopes import BODYLESS, STATUS_LINES, Collected, Splice, begins_json
from ...answers.responses import Reply
from ...answers.shape import Shape
from ...answers.writers import Writers
from ...exceptions import InvalidRequest
from ...model import Admitted
from .protocol import Body, Environ, ExcInfo, Headers, StartResponse, Write, close

logger = logging.getLogger("keystile")


class Answering:
    """One answer of the app, on its way into the envelope.

    The server's ``start_response`` is called once, when the head is certain: for a success with the first octets of its
    body, for an error after its body was read. PEP 3333 lets an app start as late as that. A server that gets a second
    head may send both.

    Args:
        start: the server's ``start_response``.
        environ: the server's.
        admitted: the request that it answers.
        shape: what it has to look like.
        writers: what writes heads and bodies.
        raises: whether the host wants the app's exceptions for itself.
    """

    # On the class, not on each instance: few answers change all of them.
    _head: tuple[str, Headers, ExcInfo | None] | None = None
    _collected: Collected | None = None
    _splice: Splice | None = None
    _server_write: Write | None = None
    _started = _bodyless = False

    def __init__(  # noqa: PLR0917 - what an answer is made of
        self,
        start: StartResponse,
        environ: Environ,
        admitted: Admitted,
        shape: Shape,
        writers: Writers[str],
        raises: Callable[[], bool],
    ) -> None:
        self._server_start, self._environ, self._raises = start, environ, raises
        self._head_only, self._accept = environ["REQUEST_METHOD"] == "HEAD", environ.get("HTTP_ACCEPT") or ""
        self._admitted, self._shape, self._writers = admitted, shape, writers

    def start(self, status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
        """For the app, in place of the server's `start_response`."""
        headers = list(headers)  # an app may go on using its own list
        if (self._head or self._started) and exc_info is None:
            raise AssertionError("start_response was called before, and without exc_info")
        if self._started and exc_info:
            return self._server_start(status, headers, exc_info)  # it raises: the head is out
        code = int(status[:3])
        self._shape.begun = True
        self._head = (status, headers, exc_info)
        self._collected = Collected() if self._writers.replaces(code, headers, self._accept) else None
        self._bodyless = self._head_only or code in BODYLESS
        return self._write

    def body(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        """What the server iterates: the app's own iterable, if nothing has to be done to it."""
        if isinstance(iterable, (list, tuple)) and (self._head or self._started):
            return self._of_list(iterable)
        try:
            return self._of_stream(iterable)
        except BaseException:  # a time limit of gevent's, too
            close(iterable)
            raise

    def _of_list(self, chunks: Sequence[bytes]) -> Iterable[bytes]:
        if self._collected is not None:
            return self._let_go(chunks, self._replaced(chunks))
        self._begin(next(filter(None, chunks), b""), whole=len(chunks) == 1)
        if self._bodyless:
            return self._let_go(chunks, [])
        if self._splice is None:
            return chunks
        if len(chunks) == 1:
            return self._let_go(chunks, self._splice.pieces(chunks[0], last=True))
        return Body(self._spliced(self._splice, chunks), chunks)

    def _of_stream(self, iterable: Iterable[bytes]) -> Iterable[bytes]:
        if self._goes_as_it_is(iterable):
            self._begin()
            return self._let_go(iterable, []) if self._bodyless else iterable
        # Wait for the first octets here: only with them may an app give its head, and until then it may still fail.
        # Not every server can wait for the head until it iterates (granian cannot).
        octets = iter(iterable)
        first = b""
        while not (first or self._collected):
            try:
                first = next(octets)
            except StopIteration:
                break
        whole = chain([first], octets)
        if self._collected is not None:
            return self._let_go(iterable, self._replaced(whole))
        if not (self._head or self._started):
            return Body(octets, iterable)  # no head at all: what happens then is up to the server
        self._begin(first)
        if self._bodyless:
            return self._let_go(iterable, [])
        return Body(whole if self._splice is None else self._spliced(self._splice, whole), iterable)

    def _goes_as_it_is(self, iterable: Iterable[bytes]) -> bool:
        """Whether its octets need not be read here: none go out, or the server sends them in its own way."""
        if self._head is None or self._collected is not None:
            return False
        wrapper = self._environ.get("wsgi.file_wrapper")
        is_file = isinstance(wrapper, type) and isinstance(iterable, wrapper)
        return self._bodyless or (is_file and not self._writers.splices(int(self._head[0][:3]), self._head[1]))

    def _let_go(self, iterable: Iterable[bytes], answer: list[bytes]) -> list[bytes]:
        try:
            close(iterable)
        except Exception:  # the answer is complete without it
            logger.exception("the app's close() failed, request %s", self._admitted.request_id)
        return answer

    def failed(self, error: Exception) -> list[bytes]:
        """The answer to an exception of the app. Raises it again if the head has gone out or the host wants it."""
        if self._started:
            raise error
        fault = error if isinstance(error, InvalidRequest) else None
        if fault is None:
            if self._raises():
                raise error
            logger.error("the app failed, request %s", self._admitted.request_id, exc_info=error)
        reply = self._writers.failed(fault, self._shape, self._admitted, self._accept)
        return self._reply(reply, STATUS_LINES[reply.status])

    def _begin(self, first: bytes = b"", *, whole: bool = False) -> None:
        """Give the server the head of a success, now that the first octets of its body are known."""
        if self._head is None:
            return
        status, headers, exc_info = self._head
        fields, tail = self._writers.success(int(status[:3]), headers, self._shape, self._admitted)
        if tail is not None and first and not begins_json(first, whole=whole):
            fields, tail = self._writers.no_json(headers, self._shape, self._admitted), None
        self._splice = None if tail is None else Splice(tail)
        self._head, self._started = None, True
        start = self._server_start  # not every server's takes a third argument that is None
        self._server_write = start(status, fields, exc_info) if exc_info else start(status, fields)

    def _write(self, data: bytes) -> None:
        """PEP 3333's imperative ``write``, for apps from before iterables."""
        if self._collected is not None:
            return self._collected.add(data)
        if self._bodyless or not data:
            return None
        self._begin(data)
        for piece in self._splice.pieces(data, last=False) if self._splice else [data]:
            if self._server_write is not None:
                self._server_write(piece)
        return None

    def _spliced(self, splice: Splice, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield from splice.pieces(chunk, last=False)
        yield from splice.pieces(b"", last=True)

    def _replaced(self, chunks: Iterable[bytes]) -> list[bytes]:
        """The app's error, rewritten as an error document."""
        for chunk in chunks:
            if self._collected is None or self._collected.too_long:
                break
            self._collected.add(chunk)
        if self._head is None or self._collected is None:
            raise AssertionError("an error became a success while its body was read")
        status, headers, _ = self._head
        code, body = int(status[:3]), self._collected.body
        lengthless = self._head_only and not body
        shape, admitted = self._shape, self._admitted
        reply = self._writers.error(code, headers, body, shape, admitted, self._accept, lengthless=lengthless)
        return self._reply(reply, status if reply.status == code else STATUS_LINES[reply.status])

    def _reply(self, reply: Reply[str], status: str) -> list[bytes]:
        """Send an answer of the gate's in place of the app's."""
        self._head, self._collected, self._started = None, None, True
        self._server_start(status, reply.headers)
        # Not an empty chunk: a server may take its length for the length of the answer.
        return [] if self._head_only else [reply.body]
