"""How the ASGI door sends a stream, and learns that its client has left."""

from __future__ import annotations

from functools import partial

from ..._sync import in_time, pooled, until
from ...doors.asgi.wire import Message, Receive, Send
from .stream import Stream

EVENT_STREAM = "text/event-stream"
HEADERS = (
    ("content-type", EVENT_STREAM),
    ("cache-control", "no-store"),
    ("x-accel-buffering", "no"),  # nginx would keep events until a buffer is full
)


async def send_all(stream: Stream, head: Message, receive: Receive, send: Send) -> None:
    """Send a stream and its head, until it ends, or its client leaves or accepts nothing for a while."""
    try:
        await send(head)
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
