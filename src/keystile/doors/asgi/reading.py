"""Reading ASGI requests: the scope of a server in, plain values out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from importlib import import_module
from operator import itemgetter
from typing import Any

from ...answers.responses import given_request_id
from ...gate import Gate
from ...model import Asked, Request, Site
from ...rules.requests.canonical import OVERRIDES, ambiguous, below
from ...rules.requests.credentials import spellings
from ...rules.requests.preflights import read_preflight
from ...rules.requests.querykeys import UNREAD, is_long, take
from ..apps import kinds_of
from .names import Names
from .wire import CODING, OFFERED, TELLING, Scope, offers_of, read_wire

_new = tuple.__new__
_value = itemgetter(1)
_OVERRIDING = frozenset(spelling for name in OVERRIDES for spelling in spellings(name))
_STARLETTE = frozenset(("starlette.applications.Starlette", "starlette.routing.Router"))


class Reader:
    """Reads what the gate and its answers need to know of a request.

    Args:
        gate: its settings hold.
        app: the app behind the gate; it may itself take a prefix off a path.
    """

    def __init__(self, gate: Gate, app: Any) -> None:
        policy = gate.policy
        self._transport, self._credentials = gate.transport, gate.accepted.wanted
        self.own_root_path, self._strict_router = _reader_of(app)
        """Gives the prefix that the app takes off a path by itself; None if it takes off none."""
        self._fixed_root_path = policy.root_path
        self._asks_for_root = self.own_root_path is not None or self._fixed_root_path is not None
        self._wanted = self._credentials | TELLING | _OVERRIDING
        self._wanted_lengths = frozenset(map(len, self._wanted))
        self._echo, self._holds_key = policy.echo_request_id, gate.mask.holds
        self._parameters, self._offers = gate.accepted.parameters, gate.accepted.subprotocols
        self._browsers = gate.accepted.basic
        self.looks_at_options = policy.preflight == "pass" or bool(policy.cors_origins)
        self._looks = gate.transport.header is not None
        further = self._parameters or self._offers or self._browsers or policy.https == "redirect"
        self.read: Callable[..., Request] = self._read_further if further else self._read_head
        """Gives what the gate looks at: of a scope, and perhaps the only lines of its headers that matter."""
        telling = self._wanted | ({b"x-request-id"} if self._echo else set())
        self.names = Names(telling, gate.accepted.headers, gate.transport)
        self.glances = not further and self._fixed_root_path is None
        """Whether for most requests a glance at their headers is enough."""

    def _read_further(self, scope: Scope, lines: Iterable[tuple[bytes, bytes]] | None = None) -> Request:
        """The head, and what else may hold a key or say who sent it."""
        request = self._read_head(scope, lines)
        presented, query = [*request.credentials], scope.get("query_string") or b""
        long_query = is_long(query)
        for parameter in self._parameters:
            presented += [(b"?" + parameter, value) for value in take(query, parameter)[1]]
        if long_query and self._parameters:
            presented.append(UNREAD)
        websocket = scope["type"] == "websocket"
        if websocket and self._offers:
            presented += _folded(scope, OFFERED) or [(OFFERED, line) for line in offers_of(scope)]
        site = _site_of(scope, websocket=websocket) if self._browsers else None
        return request._replace(credentials=presented, long_query=long_query, site=site)

    def _read_head(self, scope: Scope, lines: Iterable[tuple[bytes, bytes]] | None = None) -> Request:
        lengths, wanted, looks = self._wanted_lengths, self._wanted, self._looks
        presented, wire, unreadable = [], None, False
        for name, value in scope["headers"] if lines is None else lines:
            # Most names already differ in length. Servers should send names in lower case, but not all do.
            if len(name) in lengths and (lowered := name.lower()) in wanted:
                if lowered in TELLING:
                    looks = True
                elif lowered in _OVERRIDING:
                    unreadable = True
                else:
                    presented.append((lowered, value))
        client = scope.get("client")
        if looks or (client and client[1].__class__ is int and not 0 < client[1] < 65536):
            transport = self._transport
            wire, unsure = read_wire(scope, transport.header, transport.twin, self._credentials)
            if unsure:
                # A credential may be a trailer. No key is read from this name, so the request is refused.
                presented.append((CODING, b""))
        path = scope["path"]
        root_path = self._root_path(scope) if self._asks_for_root else scope.get("root_path")
        if root_path or self._fixed_root_path is not None:
            unreadable = unreadable or self._is_ambiguous(scope, path, root_path or "")
            path = below(path, root_path or "")
        http = scope["type"] == "http"
        method = scope["method"] if http else "GET"
        return _new(
            Request,
            (
                method,
                path,
                scope.get("raw_path") or b"",
                presented,
                client[0] if client else None,
                given_request_id(_header(scope, b"x-request-id"), self._holds_key) if self._echo else None,
                scope.get("scheme", "http") if http else _scheme_of_websocket(scope),
                self._preflight(scope) if self.looks_at_options else None,
                wire,
                False,
                unreadable,
                None,
            ),
        )

    def _preflight(self, scope: Scope) -> Asked | None:
        return read_preflight(scope["method"], partial(_lines, scope)) if scope["type"] == "http" else None

    def _root_path(self, scope: Scope) -> str:
        """The prefix that the app takes off."""
        if self._fixed_root_path is not None:
            return self._fixed_root_path
        own = "" if self.own_root_path is None else self.own_root_path()
        return own or scope.get("root_path") or ""

    def _is_ambiguous(self, scope: Scope, path: str, taken: str) -> bool:
        """Whether routers differ in what is left of the path. An app that uses the server's root path, or its own, does
        so whatever prefix a setting takes off here."""
        own = "" if self.own_root_path is None else self.own_root_path()
        prefixes = {taken, own, scope.get("root_path") or ""} - {""}
        return any(ambiguous(path, prefix, strict_router=self._strict_router) for prefix in prefixes)

    def path(self, scope: Scope) -> str:
        """The path as rules are relative to it."""
        return below(scope["path"], self._root_path(scope))

    def target(self, scope: Scope) -> tuple[str, bytes]:
        """The path as the client wrote it, decoded, and the query behind it."""
        path, stem = scope["path"], self._root_path(scope).rstrip("/")
        whole = path if path == stem or path.startswith(f"{stem}/") else stem + path
        return whole, scope.get("query_string") or b""


def origin_of(scope: Scope) -> str:
    """The request's ``Origin``; empty if there is none, or more than one."""
    return _header(scope, b"origin") or ""


def accepted_by(scope: Scope) -> str:
    """The request's ``Accept``; empty if there is none."""
    lines = [value for name, value in scope["headers"] if len(name) == 6 and name.lower() == b"accept"]
    return b",".join(lines).decode("latin-1") if lines else ""


def asks_for_form(scope: Scope) -> str:
    """The same if it may ask for a problem document, else empty: the gate's own answers are that or plain JSON."""
    # Nearly no client does, and then one look at all values is enough.
    return accepted_by(scope) if b"problem" in b" ".join(map(_value, scope["headers"])).lower() else ""


def _header(scope: Scope, wanted: bytes) -> str | None:
    """The value of a header that is there exactly once."""
    values = [value for name, value in scope["headers"] if name.lower() == wanted]
    return values[0].decode("latin-1") if len(values) == 1 else None


def _scheme_of_websocket(scope: Scope) -> str:
    """``"ws"`` or ``"wss"``, also where a server says what its connection began as: what a key may do hangs on it."""
    return "wss" if scope.get("scheme", "ws") in {"wss", "https"} else "ws"


def _lines(scope: Scope, name: str) -> list[str]:
    """The values of the lines with this lower-case name, also with ``_`` for ``-``: an app may read the two as one."""
    return [value.decode("latin-1") for _, value in _folded(scope, name.encode())]


def _folded(scope: Scope, wanted: bytes) -> list[tuple[bytes, bytes]]:
    """The lines with this name, also with ``_`` for ``-``; names in lower case."""
    lines = [(name.lower(), value) for name, value in scope["headers"] if len(name) == len(wanted)]
    return [line for line in lines if line[0].replace(b"_", b"-") == wanted]


def _site_of(scope: Scope, *, websocket: bool) -> Site:
    names = ("sec-fetch-site", "sec-fetch-mode", "origin", "host")
    return Site(websocket, *[_lines(scope, name) for name in names])


def _reader_of(app: Any) -> tuple[Callable[[], str] | None, bool]:
    """The prefix that the app behind the gate takes off a path by itself, if it does; and whether its router looks
    for the prefix only at the start of a path (`rules.requests.canonical.ambiguous`).

    Rules are relative to the path that the app routes, so the gate has to take off the same prefix. Only what is known
    to be a prefix of URLs is used: FastAPI's `root_path` and Django's FORCE_SCRIPT_NAME. In Flask and Quart an
    attribute of that name is the folder of the app's files. Middleware in between is passed through by its usual
    attribute.
    """
    for _ in range(100):
        app = getattr(app, "__self__", app)  # of a method
        kinds = kinds_of(app)
        if "fastapi.applications.FastAPI" in kinds:
            return partial(_root_path_of, app), True
        if not kinds.isdisjoint(_STARLETTE):
            return None, True
        if any(kind.startswith("django.") for kind in kinds):
            return _script_name, True
        app = getattr(app, "app", None)
        if app is None:
            break
    return None, False


def own_root_path(app: Any) -> str:
    """The prefix that an app takes off a path by itself; empty if it takes off none."""
    own, _ = _reader_of(app)
    return "" if own is None else own()


def _root_path_of(app: Any) -> str:
    return app.root_path or ""


def _script_name() -> str:
    if not hasattr(import_module("django.core.handlers.asgi"), "get_script_prefix"):
        return ""  # before 5.0 Django only writes that prefix into URLs, and routes by the server's
    return str(import_module("django.conf").settings.FORCE_SCRIPT_NAME or "")
