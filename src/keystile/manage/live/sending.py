"""How both doors send a stream, and how each learns that its client has left."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from ..._sync import in_time, inline, pooled, run_now, until
from ...doors.asgi.wire import Receive, Send
from .stream import Stream

HEADERS = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),  # nginx would keep events until a buffer is full
)


async def send_all(stream: Stream, receive: Receive, send: Send) -> None:
    """Send a stream over ASGI, after the head, until it ends or its client leaves or accepts nothing for a while."""
    try:
        await until(partial(_gone, receive), partial(_send, stream, send))
    except (OSError, TimeoutError):
        return  # a server may say so that the client has left
    finally:
        stream.close()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _send(stream: Stream, send: Send) -> None:
    while (octets := await stream.next(pooled)) is not None:
        message = {"type": "http.response.body", "body": octets, "more_body": True}
        await in_time(stream.pace.patience, send(message))
    await in_time(stream.pace.patience, send({"type": "http.response.body", "body": b""}))


class Sent:
    """A stream as the iterable of a WSGI app. That the client has left shows when the next octets are written, at the
    next heartbeat at the latest; then the server closes it."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        octets = run_now(self._stream.next(inline))
        if octets is None:
            raise StopIteration
        return octets

    def close(self) -> None:
        """End it."""
        self._stream.close()
