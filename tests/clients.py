"""Both libraries, sync and async, in one way: every test of `keystile.client` is written against `Caller` alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anyio
import httpx
import httpx2

from keystile.client import aitems, apages, araise_for, gate_transport, items, pages, raise_for

PLACES = ["Authorization: Bearer", "Authorization: Api-Key", "Authorization: Basic", "X-API-Key", "Api-Key", "?api_key"]
PEPPERS = [b"the pepper of those who call"]
LIBRARIES: dict[str, Any] = {"httpx2": httpx2, "httpx": httpx}


class Caller(NamedTuple):
    """A library, and how it is used.

    Attributes:
        library: ``"httpx2"`` or ``"httpx"``.
        mode: ``"sync"``, or the event loop of an async client.
    """

    library: str
    mode: str

    @property
    def http(self) -> Any:
        """The module."""
        return LIBRARIES[self.library]

    def transport(self) -> Any:
        """A transport to real servers."""
        # Nothing here is served over TLS, and to read all certificates takes longer than a test.
        make = self.http.HTTPTransport if self.mode == "sync" else self.http.AsyncHTTPTransport
        return make(verify=False)

    def scripted(self, answer: Callable[[Any], Any]) -> Any:
        """A transport whose servers answer what this function gives."""
        return self.http.MockTransport(answer)

    def send(self, method: str, url: str, *, inner: Any = None, client: Any = None, **request: Any) -> Any:
        """Send one request with a client that has all of `keystile.client`; `client` changes how it is made."""
        return self._run(inner, client or {}, "request", method, url, **request)

    def resend(self, request: Any, *, client: Any = None) -> Any:
        """Send a request that is there already, as who follows redirects by hand does."""
        return self._run(None, client or {}, "send", request)

    def list(self, url: str, *, inner: Any = None, client: Any = None, by_page: bool = False, **walk: Any) -> list[Any]:
        """The items of a list, or its pages."""
        return self._run(inner, client or {}, "pages" if by_page else "items", url, **walk)

    def _run(self, inner: Any, given: Any, what: str, *args: Any, **named: Any) -> Any:
        options = {"transport": gate_transport(inner or self.transport())} | given
        if self.mode == "sync":
            with self.http.Client(**{"event_hooks": {"response": [raise_for]}} | options) as client:
                if what in ("request", "send"):
                    return getattr(client, what)(*args, **named)
                return list({"items": items, "pages": pages}[what](client, *args, **named))
        return anyio.run(self._arun, options, what, args, named, backend=self.mode)

    async def _arun(self, options: Any, what: str, args: Any, named: Any) -> Any:
        async with self.http.AsyncClient(**{"event_hooks": {"response": [araise_for]}} | options) as client:
            if what in ("request", "send"):
                return await getattr(client, what)(*args, **named)
            walk = {"items": aitems, "pages": apages}[what](client, *args, **named)
            return [each async for each in walk]


CALLERS = [Caller(library, mode) for library in LIBRARIES for mode in ("sync", "asyncio", "trio")]
