"""A door's answer as a Django response.

What stands behind the middleware has often answered with a response of its own, which others hold by now: a test's
client, whatever closes files. Then that response is changed, not replaced.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from django.http import HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase, ResponseHeaders

from ..._sync import Pulled
from ...doors.asgi.wire import Message
from ...doors.wsgi.protocol import Headers, close
from .handing import HeldByASGI, HeldByWSGI


def fields_of(response: HttpResponseBase) -> Headers:
    """The header fields that Django would send."""
    cookies = [("Set-Cookie", cookie.output(header="").strip()) for cookie in response.cookies.values()]
    return [*response.items(), *cookies]


def octets_of(response: HttpResponseBase) -> Iterable[bytes]:
    """The body that Django would send; to close the response stays Django's affair."""
    if not response.streaming:
        return [response.content]
    if response.is_async:  # it can be read once, and only as a whole
        response.streaming_content = list(response)
    octets: Iterable[bytes] = response.streaming_content
    return octets


def answered(held: HeldByWSGI, body: Iterable[bytes]) -> HttpResponseBase:
    """What the WSGI door gave, as a response."""
    status, fields = held.head
    code, _, reason = status.partition(" ")
    response = held.response
    if response is None:
        response = _own(HttpResponse() if isinstance(body, list) else StreamingHttpResponse())
    if response.streaming:
        if body is not held.octets:
            response.streaming_content = body
    else:
        try:
            _replace(response, body)
        finally:
            close(body)
    _put(response, int(code), reason, fields)
    return response


async def answered_in_turn(held: HeldByASGI, pulled: Pulled[Message]) -> HttpResponseBase:
    """What the ASGI door sends, as a response."""
    start, message = await pulled.next(), await pulled.next()
    if start is None or message is None:
        raise AssertionError("the door ended without an answer")
    response = held.response
    if response is None:
        response = _own(StreamingHttpResponse() if message.get("more_body", False) else HttpResponse())
        held.ended = True
    if response.streaming:
        response.streaming_content = _rest(held, message, pulled)
    else:
        chunks = [message.get("body", b"")]
        while (message := await pulled.next()) is not None:
            chunks.append(message.get("body", b""))
        _replace(response, chunks)
    fields = [(name.decode("ascii"), value.decode("latin-1")) for name, value in start["headers"]]
    _put(response, start["status"], None, fields)
    return response


async def _rest(held: HeldByASGI, message: Message | None, pulled: Pulled[Message]) -> AsyncIterator[bytes]:
    try:
        while message is not None:
            yield message.get("body", b"")
            # The door drops what follows its own last message. What follows may have no end.
            message = await pulled.next() if message.get("more_body", False) or held.ended else None
    finally:
        await pulled.end()


def _own(response: HttpResponseBase) -> HttpResponseBase:
    """The door's own answer. The gate has told of it, and what Django logs of a request may hold its key."""
    response._has_been_logged = True  # noqa: SLF001 - so does Django say it
    return response


def _replace(response: Any, chunks: Iterable[bytes]) -> None:
    content = b"".join(chunks)
    if content != response.content:
        response.content = content


def _put(response: HttpResponseBase, status: int, reason: str | None, fields: Headers) -> None:
    if status != response.status_code:
        response.status_code, response.reason_phrase = status, reason
    merged: dict[str, str] = {}
    for name, value in fields:
        known = next((each for each in merged if each.lower() == name.lower()), name)
        merged[known] = f"{merged[known]}, {value}" if known in merged else value
    # Those of the response are as they were, or the door's own answer has none.
    if merged.pop("Set-Cookie", None) is None:
        response.cookies.clear()
    response.headers = ResponseHeaders(merged)
