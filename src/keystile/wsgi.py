"""The WSGI door: requests of a PEP 3333 server to the gate, and its answers back.

app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)     # Flask
application = GateMiddleware(application, gate=gate)       # Django, anything else
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from ._sync import inline, run_now
from .answers.current import enter, leave
from .answers.envelopes import STATUS_LINES
from .answers.responses import given_request_id
from .answers.shape import Shape
from .answers.writers import Writers
from .doors.apps import check_app
from .doors.wsgi.answering import Answering, Environ, ExcInfo, Headers, StartResponse, read_json
from .doors.wsgi.host import wants_exceptions
from .doors.wsgi.recheck import HeldAnswer
from .exceptions import ConfigurationError
from .gate import Gate
from .model import Admitted, Refused, Request, Wire
from .rules.requests.canonical import OVERRIDES, ambiguous, below, repeats
from .rules.requests.preflights import is_preflight
from .rules.requests.querykeys import UNREAD, is_long, take

App = Callable[[Environ, StartResponse], Iterable[bytes]]

_new = tuple.__new__
_OVERRIDE, _METHOD, _METHOD_OVERRIDE = (f"HTTP_{name.upper().replace('-', '_')}" for name in OVERRIDES)


class GateMiddleware:
    """Lets a request through to the app, or answers it.

    A handler finds the `Admitted` in ``environ["keystile.admitted"]`` and, while the app is being called, from
    `keystile.current()`. The app's own iterable goes to the server as it is, so that ``wsgi.file_wrapper``, streams
    and ``close()`` work as without the gate, but where an envelope is put around it; code that runs while it is
    iterated reads ``environ``.

    Args:
        app: any WSGI application.
        gate: what decides; its store must not be async.

    Raises:
        ConfigurationError: `gate` is not a Gate, its store is async, or the app is none that WSGI can call.
    """

    def __init__(self, app: App, gate: Gate) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        check_app(app, "wsgi")
        if gate.needs_await:
            key = "store" if gate.keys.needs_await else "limiter"
            raise ConfigurationError(f"the {key} is async: WSGI needs one with plain methods", key=key)
        self.app = app
        self._gate = gate
        self._wanted = [(_variable(name), name.encode()) for name in gate.accepted.vary]
        self._root_path = gate.policy.root_path
        self._echo = gate.policy.echo_request_id
        self._writers: Writers[str] = Writers(gate, str)
        self._write, self._clock = self._writers.headers.write, gate.clock
        self._query = (gate.policy.query_parameter or "").encode()
        self._looks_into_query = bool(self._query) or gate.policy.https == "redirect"
        self._holds_key = gate.mask.holds
        self._wire = _variable(gate.transport.header.decode()) if gate.transport.header else ""
        self._passes = gate.policy.preflight == "pass"
        self._rechecks = gate.policy.recheck_in_flight
        run_now(gate.limits.open(inline))

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request = self._read(environ)
        outcome = run_now(self._gate.check(request, inline))
        if isinstance(outcome, Refused):
            return self._refuse(outcome, environ, start_response)
        environ["keystile.admitted"] = outcome
        if self._rechecks and outcome.principal is not None:
            return self._rechecked(outcome, request, environ, start_response)
        return self._answered(outcome, request, environ, start_response)

    def _answered(
        self, outcome: Admitted, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if outcome.shape is not None:
            return self._shaped(outcome, outcome.shape, request, environ, start_response)
        token = enter(outcome)
        try:
            return self.app(environ, self._writing(start_response, outcome))
        finally:
            leave(token)

    def _rechecked(
        self, admitted: Admitted, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        held = HeldAnswer(
            start_response,
            lambda: run_now(self._gate.recheck(admitted, request, inline)),
            lambda refused: self._refuse(refused, environ, start_response),
        )
        return held.body(self._answered(admitted, request, environ, held.start))

    def _raises(self) -> bool:
        asked = self._gate.policy.propagate_exceptions
        return wants_exceptions(self.app) if asked is None else asked

    def _run(self, admitted: Admitted, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        token = enter(admitted)
        try:
            return self.app(environ, start_response)
        finally:
            leave(token)

    def _shaped(
        self, admitted: Admitted, shape: Shape, request: Request, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if shape.json:
            reason = read_json(environ, self._gate.policy.max_json_body)
            if reason is not None:
                return self._refuse(self._gate.refuse(reason, admitted, request), environ, start_response)
        if not shape.envelope:
            return self._run(admitted, environ, self._writing(start_response, admitted))
        shape.target = _target(environ)
        answering = Answering(start_response, environ, admitted, shape, self._writers, self._raises)
        encodings = environ.pop("HTTP_ACCEPT_ENCODING", None)  # nothing is to invite to an encoding
        try:
            return answering.body(self._run(admitted, environ, answering.start))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is told that we failed
            return answering.failed(error)
        finally:
            if encodings is not None:
                environ["HTTP_ACCEPT_ENCODING"] = encodings

    def _read(self, environ: Environ) -> Request:
        presented = [(name, _octets(environ[variable])) for variable, name in self._wanted if variable in environ]
        long_query = False
        if self._looks_into_query and (query := environ.get("QUERY_STRING")):
            long_query = is_long(_octets(query))
            if self._query:
                presented += [(b"?" + self._query, value) for value in self._take(environ)]
                if long_query:
                    presented.append(UNREAD)
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        unreadable = _OVERRIDE in environ or _METHOD in environ or _METHOD_OVERRIDE in environ
        if self._root_path:
            unreadable = unreadable or ambiguous(path, self._root_path)
            path = below(path, self._root_path)
        if environ.get("SCRIPT_NAME"):
            # The whole path, as an app sees it that puts the two together, holds it twice.
            unreadable = unreadable or repeats(path, environ["SCRIPT_NAME"])
        return _new(
            Request,
            (
                method,
                path if path.isascii() else _decoded(path),
                _raw_path(environ),
                presented,
                environ.get("REMOTE_ADDR"),
                given_request_id(environ.get("HTTP_X_REQUEST_ID"), self._holds_key) if self._echo else None,
                environ.get("wsgi.url_scheme", "http"),
                self._passes and is_preflight(method, partial(_lines, environ)),
                self._read_wire(environ) if self._wire else None,
                long_query,
                unreadable,
            ),
        )

    def _take(self, environ: Environ) -> list[bytes]:
        """The keys of the query, which loses them: here, and in the raw target, which is what servers log."""
        before = environ["QUERY_STRING"]
        rest, values = take(_octets(before), self._query)
        after = rest.decode("latin-1")
        if values:
            environ["QUERY_STRING"] = after
            for name in ("RAW_URI", "REQUEST_URI"):
                target, mark, query = environ.get(name, "").partition("?")
                if mark and query == before:
                    environ[name] = f"{target}?{after}" if after else target
        return values

    def _read_wire(self, environ: Environ) -> Wire:
        port = str(environ.get("REMOTE_PORT") or "")
        return Wire(
            port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None,
            forwarded=[_octets(environ[self._wire])] if self._wire in environ else (),
            proto=[_octets(environ["HTTP_X_FORWARDED_PROTO"])] if "HTTP_X_FORWARDED_PROTO" in environ else (),
            listed=[_octets(environ["HTTP_X_FORWARDED_FOR"])] if "HTTP_X_FORWARDED_FOR" in environ else (),
        )

    def _writing(self, start_response: StartResponse, admitted: Admitted) -> StartResponse:
        write, request_id, protected = self._write, admitted.request_id, admitted.principal is not None
        limits = self._writers.limits.write(admitted.usages, self._clock()) if admitted.usages else ()
        strict = admitted.strict

        def start_written(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Callable[[bytes], object]:
            written = write(headers, request_id, protected=protected, limits=limits)
            if strict:
                written.append(self._writers.strict)
            return start_response(status, written, exc_info) if exc_info else start_response(status, written)

        return start_written

    def _refuse(self, refused: Refused, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        reply = self._writers.refusal(refused, environ.get("HTTP_ACCEPT") or "", partial(_target, environ))
        start_response(STATUS_LINES[reply.status], reply.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def _variable(name: str) -> str:
    """The environ's name of a header."""
    return f"HTTP_{name.upper().replace('-', '_')}"


def _lines(environ: Environ, name: str) -> tuple[str, ...]:
    variable = _variable(name)
    return (environ[variable],) if variable in environ else ()


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
