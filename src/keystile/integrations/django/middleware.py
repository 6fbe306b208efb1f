"""The gate among a Django site's middleware.

It is no second gate: the door of the request, WSGI or ASGI, runs what is behind the middleware as its app, and Django
gets what the door sends. So everything that the door does to a request or an answer happens here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property, partial
from typing import Any

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from ... import asgi, wsgi
from ..._sync import Pulled
from ...doors.asgi.reading import Reader as AsgiReader
from ...doors.asgi.wire import Receive, Scope, Send
from ...doors.wsgi.protocol import Environ, StartResponse
from ...doors.wsgi.reading import Reader as WsgiReader
from ...model import Request
from .configured import get_gate, get_only
from .handing import HELD, Held, HeldByASGI, HeldByWSGI, hold
from .responses import answered, answered_in_turn, fields_of, octets_of


class KeystileMiddleware(MiddlewareMixin):  # type: ignore[misc]
    """Lets a request through to what stands behind it in ``MIDDLEWARE``, or answers it.

    A view finds the `keystile.Current` in ``request.keystile`` and through `keystile.current()`.

    Raises:
        ConfigurationError: the setting ``KEYSTILE`` cannot be used.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        self.async_mode = iscoroutinefunction(get_response)  # Django before 5 keeps it to itself
        self._gate, self._only = get_gate(), get_only()
        # A door is built at start, so that what is wrong shows then. Under ASGI a chain may be sync all the same.
        _ = self._asgi if self.async_mode or self._gate.needs_await else self._wsgi

    def __call__(self, request: HttpRequest) -> Any:
        if self.async_mode:
            return self.__acall__(request)
        held = hold(request)
        if self._is_outside(held):
            return self.get_response(request)
        if isinstance(held, HeldByASGI):
            return async_to_sync(self._through_asgi)(held)
        return self._through_wsgi(held)

    async def __acall__(self, request: HttpRequest) -> Any:
        held = hold(request)
        if self._is_outside(held):
            return await self.get_response(request)
        if isinstance(held, HeldByASGI):
            return await self._through_asgi(held)
        return await sync_to_async(self._through_wsgi)(held)

    def _is_outside(self, held: Held) -> bool:
        if self._only is None:
            return False
        read = self._read_asgi(held.given) if isinstance(held, HeldByASGI) else self._read_wsgi(held.given)
        # Django routes by a reading of its own, which middleware further out may have changed.
        paths = {read.path, held.request.path_info}
        return not (
            read.unreadable or any(self._only.demand(read.method, each, read.raw_path).scopes for each in paths)
        )

    @cached_property
    def _read_asgi(self) -> Callable[[Scope], Request]:
        return AsgiReader(self._gate, self._run_awaited).read

    @cached_property
    def _read_wsgi(self) -> Callable[[Environ], Request]:
        return WsgiReader(self._gate).read

    @cached_property
    def _asgi(self) -> asgi.GateMiddleware:
        return asgi.GateMiddleware(self._run_awaited, gate=self._gate)

    @cached_property
    def _wsgi(self) -> wsgi.GateMiddleware:
        return wsgi.GateMiddleware(self._run, gate=self._gate)

    def _through_wsgi(self, held: HeldByWSGI) -> HttpResponseBase:
        held.given[HELD] = held
        try:
            return answered(held, self._wsgi(held.given, held.start))
        finally:
            held.renew()

    async def _through_asgi(self, held: HeldByASGI) -> HttpResponseBase:
        held.given[HELD] = held
        try:
            return await answered_in_turn(held, Pulled(partial(self._asgi, held.given, held.receive)))
        finally:
            held.given.pop(HELD, None)
            held.renew()

    def _run(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """The app of the WSGI door."""
        held: HeldByWSGI = environ.pop(HELD)
        respond = async_to_sync(self.get_response) if self.async_mode else self.get_response
        response = held.response = respond(held.admit())
        start_response(f"{response.status_code} {response.reason_phrase}", fields_of(response))
        held.octets = octets_of(response)
        return held.octets

    async def _run_awaited(self, scope: Scope, _: Receive, send: Send) -> None:
        """The app of the ASGI door."""
        held: HeldByASGI = scope.pop(HELD)
        respond = self.get_response if self.async_mode else sync_to_async(self.get_response)
        response = held.response = await respond(held.admit())
        headers = [(name.encode("ascii"), value.encode("latin-1")) for name, value in fields_of(response)]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        if response.streaming:
            async for chunk in response:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        held.ended = True
        await send({"type": "http.response.body", "body": b"" if response.streaming else response.content})
