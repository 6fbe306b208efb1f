"""Reading WSGI requests: the environ of a server in, plain values out."""

from __future__ import annotations

from functools import partial

from ...answers.responses import given_request_id
from ...gate import Gate
from ...model import Request, Wire
from ...rules.network.peers import port_of
from ...rules.requests.canonical import OVERRIDES, ambiguous, below, repeats
from ...rules.requests.preflights import read_preflight
from ...rules.requests.querykeys import UNREAD, is_long, take
from .protocol import Environ

_new = tuple.__new__
_OVERRIDE, _METHOD, _METHOD_OVERRIDE = (f"HTTP_{name.upper().replace('-', '_')}" for name in OVERRIDES)


class Reader:
    """Reads what the gate needs to know of a request.

    Args:
        gate: its settings hold.
    """

    def __init__(self, gate: Gate) -> None:
        policy = gate.policy
        self._wanted = [(_variable(name), name.encode()) for name in gate.accepted.vary]
        self._root_path = policy.root_path
        self._echo, self._holds_key = policy.echo_request_id, gate.mask.holds
        self._query = (policy.query_parameter or "").encode()
        self._looks_into_query = bool(self._query) or policy.https == "redirect"
        self._wire = _variable(gate.transport.header.decode()) if gate.transport.header else ""
        self._looks_at_options = policy.preflight == "pass" or bool(policy.cors_origins)

    def read(self, environ: Environ) -> Request:
        """What the gate looks at. A key in the query is taken out of the environ: no app and no log sees it."""
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
            # An app that joins the two would see a whole path with the prefix in it twice.
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
                read_preflight(method, partial(_lines, environ)) if self._looks_at_options else None,
                self._read_wire(environ) if self._wire else None,
                long_query,
                unreadable,
            ),
        )

    def _take(self, environ: Environ) -> list[bytes]:
        """The keys in the query. They are removed from it here and in the raw target, which is what servers log."""
        before = environ["QUERY_STRING"]
        rest, values = take(_octets(before), self._query)
        after = rest.decode("latin-1")
        if values:
            environ["QUERY_STRING"] = after
            for name in ("RAW_URI", "REQUEST_URI"):
                if name in environ:
                    environ[name] = self._without_key(environ[name])
        return values

    def _without_key(self, target: str) -> str:
        """A raw target whose query holds a key, without that key. Its fragment, if any, is dropped too."""
        path, _, query = target.partition("#")[0].partition("?")
        rest, values = take(_octets(query), self._query)
        # If the key is not found here, the target spells its query in another way, so the whole query goes.
        return f"{path}?{rest.decode('latin-1')}" if values and rest else path

    def _read_wire(self, environ: Environ) -> Wire:
        return Wire(
            port=port_of(str(environ.get("REMOTE_PORT") or "")),
            forwarded=[_octets(environ[self._wire])] if self._wire in environ else (),
            proto=[_octets(environ["HTTP_X_FORWARDED_PROTO"])] if "HTTP_X_FORWARDED_PROTO" in environ else (),
            listed=[_octets(environ["HTTP_X_FORWARDED_FOR"])] if "HTTP_X_FORWARDED_FOR" in environ else (),
        )


def target_of(environ: Environ) -> tuple[str, bytes]:
    """The path as the client wrote it, decoded, and the query behind it."""
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return _decoded(path), _octets(environ.get("QUERY_STRING") or "")


def _variable(name: str) -> str:
    """The name of a header in the environ."""
    return f"HTTP_{name.upper().replace('-', '_')}"


def _lines(environ: Environ, name: str) -> tuple[str, ...]:
    variable = _variable(name)
    return (environ[variable],) if variable in environ else ()


def _octets(text: str) -> bytes:
    """What came over the wire (PEP 3333: text is latin-1). A server that breaks this gives octets that no key has."""
    return text.encode("latin-1", "replace")


def _decoded(path: str) -> str:
    return _octets(path).decode("utf-8", "replace")


def _raw_path(environ: Environ) -> bytes:
    """The undecoded path where the server passes it on: gunicorn's RAW_URI, REQUEST_URI of uWSGI and werkzeug."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return target.partition("?")[0].encode("latin-1", "replace") if "%" in target else b""
