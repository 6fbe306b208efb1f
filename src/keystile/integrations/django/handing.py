"""A Django request handed to a door: what the door is given of it, and how the request learns what the door did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from io import BytesIO
from math import inf
from typing import Any

from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.wsgi import LimitedStream, WSGIRequest
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from ..._sync import sleep
from ...doors.asgi.wire import Message, Scope
from ...doors.wsgi.protocol import Environ, ExcInfo, Headers

HELD = "keystile.held"
"""Where a door's app finds the request, in what the door gives it."""
# What a request keeps once it was asked for: middleware further out may have asked before keys were taken out.
_KEPT = ("GET", "COOKIES", "headers")
_PIECE = 65_536


class HeldByWSGI:
    """A request on its way through the WSGI door, and the response to it.

    Args:
        request: Django's.

    Attributes:
        given: what the door is given of the request.
        head: what the door has given `start`.
        response: what stands behind the middleware has answered so; None while it has not.
        octets: what the door has of that response.
    """

    head: tuple[str, Headers]
    response: HttpResponseBase | None = None
    octets: Iterable[bytes] | None = None

    def __init__(self, request: WSGIRequest) -> None:
        self.request, environ = request, request.environ
        # Django has decoded these two, and in an environ text is latin-1 (PEP 3333).
        sent = {name: environ[name].encode().decode("latin-1") for name in ("PATH_INFO", "SCRIPT_NAME")}
        self.given: Environ = environ | sent
        self._seen = self.given.copy()

    def start(self, status: str, headers: Headers, _: ExcInfo | None = None, /) -> Callable[[bytes], object]:
        """For the door, in place of a server's ``start_response``."""
        self.head = (status, headers)
        return _write

    def admit(self) -> HttpRequest:
        """The request for what stands behind the middleware."""
        self.renew()
        self.request.keystile = self.given["keystile.admitted"]
        return self.request

    def renew(self) -> None:
        """Have the request see what the door has changed."""
        now = self.given.copy()
        now.pop(HELD, None)  # it is there where the door has answered itself
        read = now["wsgi.input"] is not self._seen["wsgi.input"]
        _change(self.request, self._seen, now)
        self._seen = now
        if read:  # there is what was read, to be read again, and bodies come from this attribute alone
            length = int(now.get("CONTENT_LENGTH") or 0)
            self.request._stream = LimitedStream(now["wsgi.input"], length)  # noqa: SLF001


class HeldByASGI:
    """The same over ASGI.

    Attributes:
        request, given, response: likewise.
        ended: the whole response has been given to the door.
    """

    response: HttpResponseBase | None = None
    ended = False
    _begun = _exhausted = False

    def __init__(self, request: ASGIRequest) -> None:
        self.request = request
        self.given: Scope = request.scope
        self._seen = self._told()

    async def receive(self) -> Message:
        """For the door, in place of a server's: Django has the whole body already."""
        if self._exhausted:
            await sleep(inf)
        if not self._begun:
            self._begun = True
            self._stream.seek(0)
        piece = self._stream.read(_PIECE)
        self._exhausted = not piece
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    def admit(self) -> HttpRequest:
        """The request for what stands behind the middleware."""
        self.renew()
        if self._begun:
            self._stream.seek(0)
        self.request.keystile = self.given["keystile"]
        return self.request

    def renew(self) -> None:
        """Have the request see what the door has changed."""
        now = self._told()
        if now != self._seen:
            before, after = (ASGIRequest({**self.given, **told}, BytesIO()).META for told in (self._seen, now))
            _change(self.request, before, after)
            self._seen = now

    @property
    def _stream(self) -> Any:
        return self.request._stream  # noqa: SLF001 - its `read` would have the body count as read

    def _told(self) -> Mapping[str, Any]:
        return {name: self.given[name] for name in ("headers", "query_string") if name in self.given}


Held = HeldByWSGI | HeldByASGI


def hold(request: HttpRequest) -> Held:
    """The request, ready for its door."""
    return HeldByASGI(request) if isinstance(request, ASGIRequest) else HeldByWSGI(request)


def _change(request: HttpRequest, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    for name in before.keys() | after.keys():
        if name not in after:
            request.META.pop(name, None)
        elif before.get(name) != after[name]:
            request.META[name] = after[name]
    for name in _KEPT:
        vars(request).pop(name, None)


def _write(_: bytes) -> object:
    raise AssertionError("neither Django nor the door writes in this way")
