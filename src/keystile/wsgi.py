"""The WSGI door: requests of a PEP 3333 server to the gate, and its answers back.

app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)     # Flask
application = GateMiddleware(application, gate=gate)       # Django, anything else
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial

from ._sync import inline, run_now
from ._wsgi_shape import Answering, Environ, ExcInfo, Headers, StartResponse, enveloped_environ, read_json
from .context import enter, leave
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Admitted, Refused, Request
from .rules.envelopes import STATUS_LINES
from .rules.responses import given_request_id
from .shape import Shape
from .writers import Writers

App = Callable[[Environ, StartResponse], Iterable[bytes]]

_new = tuple.__new__


class GateMiddleware:
    """Lets a request through to the app, or answers it.

    A handler finds the `Admitted` in ``environ["keystile"]`` and, while the app is being called, from
    `keystile.current()`. The app's own iterable goes to the server as it is, so that ``wsgi.file_wrapper``, streams
    and ``close()`` work as without the gate, but where an envelope is put around it; code that runs while it is
    iterated reads ``environ``.

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
        self._echo = gate.policy.echo_request_id
        self._writers: Writers[str] = Writers(gate, str)
        self._write, self._clock = self._writers.headers.write, gate.clock

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        outcome = run_now(self._gate.check(self._read(environ), inline))
        if isinstance(outcome, Refused):
            return self._refuse(outcome, environ, start_response)
        environ["keystile"] = outcome
        if outcome.shape is not None:
            return self._shaped(outcome, outcome.shape, environ, start_response)
        token = enter(outcome)
        try:
            return self.app(environ, self._writing(start_response, outcome))
        finally:
            leave(token)

    def _run(self, admitted: Admitted, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        token = enter(admitted)
        try:
            return self.app(environ, start_response)
        finally:
            leave(token)

    def _shaped(
        self, admitted: Admitted, shape: Shape, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if shape.json:
            reason = read_json(environ, self._gate.policy.max_json_body)
            if reason is not None:
                return self._refuse(Refused(reason, admitted.request_id, admitted.usages), environ, start_response)
        if not shape.envelope:
            return self._run(admitted, environ, self._writing(start_response, admitted))
        shape.target = partial(_target, environ)
        answering = Answering(start_response, environ, admitted, shape, self._writers)
        try:
            return answering.body(self._run(admitted, enveloped_environ(environ), answering.start))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told that we failed
            return answering.failed(error)

    def _read(self, environ: Environ) -> Request:
        presented = [(name, _octets(environ[variable])) for variable, name in self._wanted if variable in environ]
        path = environ.get("PATH_INFO", "")
        return _new(
            Request,
            (
                environ["REQUEST_METHOD"],
                path if path.isascii() else _decoded(path),
                _raw_path(environ),
                presented,
                environ.get("REMOTE_ADDR"),
                given_request_id(environ.get("HTTP_X_REQUEST_ID")) if self._echo else None,
            ),
        )

    def _writing(self, start_response: StartResponse, admitted: Admitted) -> StartResponse:
        write, request_id, protected = self._write, admitted.request_id, admitted.principal is not None
        limits = self._writers.limits.write(admitted.usages, self._clock()) if admitted.usages else ()

        def start_written(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], object]:
            written = write(headers, request_id, protected=protected, limits=limits)
            return start_response(status, written, exc_info) if exc_info else start_response(status, written)

        return start_written

    def _refuse(self, refused: Refused, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        reply = self._writers.refusal(refused, environ.get("HTTP_ACCEPT") or "")
        start_response(STATUS_LINES[reply.status], reply.headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else reply.body]


def _target(environ: Environ) -> tuple[str, bytes]:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return _decoded(path), _octets(environ.get("QUERY_STRING") or "")


def _octets(text: str) -> bytes:
    """What came over the wire (PEP 3333: text is latin-1). A server that breaks this gives octets no key has."""
    return text.encode("latin-1", "replace")


def _decoded(path: str) -> str:
    return _octets(path).decode("utf-8", "replace")


def _raw_path(environ: Environ) -> bytes:
    """The undecoded path where the server passes it on: gunicorn's RAW_URI, REQUEST_URI of uWSGI and werkzeug."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return target.partition("?")[0].encode("latin-1", "replace") if "%" in target else b""
