"""A Django site in this process, behind the gate in each of the ways that there are."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.conf import settings
from django.core.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.test import override_settings
from django.urls import clear_url_caches

from keystile import Gate, asgi, wsgi
from tests.doors import Answer, asgi_scope, wsgi_environ

if not settings.configured:
    settings.configure()
settings.INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
settings.DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
settings.LOGGING_CONFIG, settings.SECRET_KEY, settings.ALLOWED_HOSTS = None, "x", ["*"]
settings.USE_TZ = True
django.setup()

MIDDLEWARE = "keystile.integrations.django.KeystileMiddleware"
# "sync chain": under ASGI, with middleware that makes Django run ours in a thread.
KINDS = ("wsgi", "asgi", "asgi, sync chain")


def sync_only(get_response: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Middleware that knows nothing of async."""

    def passing(request: Any) -> Any:
        return get_response(request)

    return passing


sync_only.async_capable = False  # type: ignore[attr-defined]


class Handler(ASGIHandler):
    """Django's, and the body of a request is closed where Django leaves it open: when an exception gets out."""

    async def read_body(self, receive: Any) -> Any:
        self.body = await super().read_body(receive)
        return self.body


class Site:
    """A site with these views, and the gate among its middleware, or before it.

    Args:
        kind: one of `KINDS`.
        gate: guards it.
        urls: the views: ``urlpatterns``.
        outermost: the gate's door stands before the whole site; otherwise the middleware does the work.
        only: as in ``KEYSTILE``.
        around, inside: further middleware, before and behind the gate's.
        more: further settings.
    """

    def __init__(
        self,
        kind: str,
        gate: Gate,
        urls: list[Any],
        *,
        outermost: bool = False,
        only: list[str] | None = None,
        around: tuple[str, ...] = (),
        inside: tuple[str, ...] = (),
        **more: Any,
    ) -> None:
        self.kind, self.gate = kind, gate
        chain = ("tests.django_site.sync_only",) if kind == "asgi, sync chain" else ()
        ours = () if outermost else (MIDDLEWARE,)
        urlconf = type("Urls", (), {"urlpatterns": urls, "__hash__": object.__hash__})()
        told = {"gate": gate} | ({} if only is None else {"only": only})
        self._settings = {
            "ROOT_URLCONF": urlconf,
            "MIDDLEWARE": [*around, *ours, *chain, *inside],
            "KEYSTILE": told,
            **more,
        }
        self.server_adds: dict[str, Any] = {}
        with self.configured():
            if kind == "wsgi":
                self.wsgi: Any = WSGIHandler()
                if outermost:
                    self.wsgi = wsgi.GateMiddleware(self.wsgi, gate=gate)
            else:
                self.asgi: Any = Handler()
                self._handler = self.asgi
                if outermost:
                    self.asgi = asgi.GateMiddleware(self.asgi, gate=gate)

    @contextmanager
    def configured(self) -> Iterator[None]:
        with override_settings(**self._settings):
            clear_url_caches()
            yield

    def get(
        self,
        path: str = "/v1/things",
        key: str | None = None,
        *,
        method: str = "GET",
        headers: list[tuple[str, str]] | None = None,
        body: bytes = b"",
        peer: str | None = "127.0.0.1",
        scheme: str = "http",
        chunked: bool = False,
    ) -> Answer:
        sent = [*(headers or ())]
        sent += [] if key is None else [("authorization", f"Bearer {key}")]
        if body and not chunked:
            sent.append(("content-length", str(len(body))))
        if chunked:
            sent.append(("transfer-encoding", "chunked"))
        with self.configured():
            if self.kind == "wsgi":
                environ = wsgi_environ(method, path, sent, peer) | {"wsgi.url_scheme": scheme} | self.server_adds
                return self._over_wsgi(environ | {"wsgi.input": io.BytesIO(body)})
            return asyncio.run(self._over_asgi(asgi_scope(method, path, sent, peer) | {"scheme": scheme}, body))

    def _over_wsgi(self, environ: dict[str, Any]) -> Answer:
        heads: list[Any] = []
        iterable = self.wsgi(environ, lambda *head: heads.append(head))
        try:
            body = b"".join(iterable)
        finally:
            getattr(iterable, "close", lambda: None)()
        [(status, fields)] = heads
        return Answer(int(status[:3]), [(name.lower(), value) for name, value in fields], body)

    async def _over_asgi(self, scope: dict[str, Any], body: bytes) -> Answer:
        messages: list[Any] = []
        waiting = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not waiting:
                await asyncio.sleep(3600)
            return waiting.pop()

        async def send(message: Any) -> None:
            messages.append(message)

        try:
            await self.asgi(scope, receive, send)
        finally:
            getattr(self._handler, "body", io.BytesIO()).close()
        start, *rest = messages
        fields = [(name.decode().lower(), value.decode("latin-1")) for name, value in start["headers"]]
        return Answer(start["status"], fields, b"".join(message.get("body", b"") for message in rest))
