"""The WSGI door: requests of a PEP 3333 server to the gate, and its answers back.

app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)     # Flask
application = GateMiddleware(application, gate=gate)       # Django, anything else
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Protocol

from ._sync import inline, run_now
from .context import enter, leave
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Admitted, Refused, Request
from .rules.ratelimits import FieldWriter
from .rules.responses import HeaderWriter, RefusalWriter

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class StartResponse(Protocol):
    """PEP 3333's ``start_response``."""

    def __call__(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /
    ) -> Callable[[bytes], object]: ...


App = Callable[[Environ, StartResponse], Iterable[bytes]]

_new = tuple.__new__
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class GateMiddleware:
    """Lets a request through to the app, or answers it.

    A handler finds the `Admitted` in ``environ["keystile"]`` and, while the app is being called, from
    `keystile.current()`. The app's own iterable goes to the server as it is, so that ``wsgi.file_wrapper``, streams
    and ``close()`` work as without the gate; code that runs while it is iterated reads ``environ``.

    Args:
        app: any WSGI application.
        gate: what decides; its store must not be async.

    Raises:
        ConfigurationError: `gate` is not a Gate, its store is async, or the app is an ASGI app.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        if not callable(app):
            raise ConfigurationError(f"{type(app).__name__} is no WSGI app", key="app")
        if gate.needs_await:
            key = "store" if gate.keys.needs_await else "limiter"
            raise ConfigurationError(f"the {key} is async: WSGI needs one with plain methods", key=key)
        if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(getattr(app, "__call__", None)):  # noqa: B004
            raise ConfigurationError("it is an ASGI app: use keystile.asgi", key="app")
        self.app = app
        self._gate = gate
        self._wanted = [(f"HTTP_{name.decode().upper().replace('-', '_')}", name) for name in gate.accepted.headers]
        self._headers: HeaderWriter[str] = HeaderWriter(str, gate.accepted.vary)
        self._limits: FieldWriter[str] = FieldWriter(str, ietf=gate.policy.ietf_headers)
        self._refusals: RefusalWriter[str] = RefusalWriter(str, gate.accepted.vary, gate.policy.realm)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        outcome = run_now(self._gate.check(self._read(environ), inline))
        if isinstance(outcome, Refused):
            return self._refuse(outcome, environ, start_response)
        environ["keystile"] = outcome
        token = enter(outcome)
        try:
            return self.app(environ, self._writing(start_response, outcome))
        finally:
            leave(token)

    def _read(self, environ: Environ) -> Request:
        presented = [(name, _octets(environ[variable])) for variable, name in self._wanted if variable in environ]
        path = environ.get("PATH_INFO", "")
        return _new(
            Request,
            (
                environ["REQUEST_METHOD"],
                path if path.isascii() else _octets(path).decode("utf-8", "replace"),
                _raw_path(environ),
                presented,
                environ.get("REMOTE_ADDR"),
            ),
        )

    def _writing(self, start_response: StartResponse, admitted: Admitted) -> StartResponse:
        write, request_id, protected = self._headers.write, admitted.request_id, admitted.principal is not None
        limits = self._limits.write(admitted.usages, self._gate.clock()) if admitted.usages else ()

        def start_written(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], object]:
            written = write(headers, request_id, protected=protected, limits=limits)
            return start_response(status, written, exc_info) if exc_info else start_response(status, written)

        return start_written

    def _refuse(self, refused: Refused, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        now = self._gate.clock()
        reply = self._refusals.write(refused, now, self._limits.write(refused.usages, now))
        start_response(_STATUS_LINES[reply.status], reply.headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]


def _octets(text: str) -> bytes:
    """What came over the wire (PEP 3333: text is latin-1). A server that breaks this gives octets no key has."""
    return text.encode("latin-1", "replace")


def _raw_path(environ: Environ) -> bytes:
    """The undecoded path where the server passes it on: gunicorn's RAW_URI, REQUEST_URI of uWSGI and werkzeug."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return target.partition("?")[0].encode("latin-1", "replace") if "%" in target else b""
