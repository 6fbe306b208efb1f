"""Reading WSGI requests: the environ of a server in, plain values out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ...answers.responses import given_request_id
from ...gate import Gate
from ...model import Request, Site, Wire
from ...rules.network.peers import port_of
from ...rules.requests.canonical import OVERRIDES, ambiguous, below, repeats
from ...rules.requests.preflights import read_preflight
from ...rules.requests.querykeys import UNREAD, is_long, take
from .protocol import Environ, variable_of

_new = tuple.__new__
_OVERRIDE, _METHOD, _METHOD_OVERRIDE = map(variable_of, OVERRIDES)


class Reader:
    """Reads what the gate needs to know of a request.

    Args:
        gate: its settings hold.
    """

    def __init__(self, gate: Gate) -> None:
        policy = gate.policy
        self._wanted = [(variable_of(name), name.encode()) for name in gate.accepted.named]
        self._root_path = policy.root_path
        self._echo, self._holds_key = policy.echo_request_id, gate.mask.holds
        self._parameters, self._browsers = gate.accepted.parameters, gate.accepted.basic
        self._wire = variable_of(gate.transport.header.decode()) if gate.transport.header else ""
        self.looks_at_options = policy.preflight == "pass" or bool(policy.cors_origins)
        further = self._parameters or self._browsers or policy.https == "redirect"
        self.read: Callable[[Environ], Request] = self._read_further if further else self._read_head
        """Gives what the gate looks at."""
        self.credentials = frozenset(variable for variable, _ in self._wanted)
        """The variables that may hold a key."""
        self.telling = frozenset((_OVERRIDE, _METHOD, _METHOD_OVERRIDE, *(["HTTP_X_REQUEST_ID"] if self._echo else ())))
        """What else means something to the gate, if it is there."""
        self.wire: Callable[[Environ], Wire] | None = self._read_wire if self._wire else None
        """Gives what proxies say; None where none is trusted."""
        self.glances = not further and not self._root_path
        """Whether for most requests it is enough to know that nothing of that is there."""

    def _read_further(self, environ: Environ) -> Request:
        """The head, and what else may hold a key or say who sent it."""
        request = self._read_head(environ)
        presented, query = [*request.credentials], _octets(environ.get("QUERY_STRING") or "")
        long_query = is_long(query)
        for parameter in self._parameters:
            presented += [(b"?" + parameter, value) for value in take(query, parameter)[1]]
        if long_query and self._parameters:
            presented.append(UNREAD)
        site = _site_of(environ) if self._browsers else None
        return request._replace(credentials=presented, long_query=long_query, site=site)

    def _read_head(self, environ: Environ) -> Request:
        presented = [(name, _octets(environ[variable])) for variable, name in self._wanted if variable in environ]
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
                read_preflight(method, partial(_lines, environ)) if self.looks_at_options else None,
                self._read_wire(environ) if self._wire else None,
                False,
                unreadable,
                None,
            ),
        )

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


def _lines(environ: Environ, name: str) -> tuple[str, ...]:
    variable = variable_of(name)
    return (environ[variable],) if variable in environ else ()


def _site_of(environ: Environ) -> Site:
    names = ("sec-fetch-site", "sec-fetch-mode", "origin", "host")
    return Site(False, *[_lines(environ, name) for name in names])


def _octets(text: str) -> bytes:
    """What came over the wire (PEP 3333: text is latin-1). A server that breaks this gives octets that no key has."""
    return text.encode("latin-1", "replace")


def _decoded(path: str) -> str:
    return _octets(path).decode("utf-8", "replace")


def _raw_path(environ: Environ) -> bytes:
    """The undecoded path where the server passes it on: gunicorn's RAW_URI, REQUEST_URI of uWSGI and werkzeug."""
    target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
    return target.partition("?")[0].encode("latin-1", "replace") if "%" in target else b""
