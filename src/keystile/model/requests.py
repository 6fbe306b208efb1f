"""What a request brings, what it is asked for, and how its check ends.

What is made for each request is a named tuple: as frozen as a dataclass, and three times as fast to build.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._ground.frozen import FrozenDict
from .keys import Principal


class Wire(NamedTuple):
    """What a request's connection and the proxies in front of the gate say. Read only if there is something to read.

    Attributes:
        port: the port of the socket's other end, or None.
        forwarded: each line of the header that names the client, unchanged.
        proto: each line of ``X-Forwarded-Proto``.
        listed: each line of ``X-Forwarded-For``; a server may already have replaced the peer by its value.
        doubtful: the header that names the client also came with underscores, which a proxy does not send, or it may
            be a trailer.
        insecure: ``X-Forwarded-Proto`` may be a trailer.
        trailing: a header that the gate decides by may be a trailer: one of these two, or one with a credential.
    """

    port: int | None = None
    forwarded: Sequence[bytes] = ()
    proto: Sequence[bytes] = ()
    listed: Sequence[bytes] = ()
    doubtful: bool = False
    insecure: bool = False
    trailing: bool = False


class Request(NamedTuple):
    """What a door read from a request: all that the gate looks at, and nothing of the body.

    Attributes:
        method: the HTTP method as sent; ``"GET"`` for a websocket handshake.
        path: decoded, relative to the app (without ``root_path`` / ``SCRIPT_NAME``).
        raw_path: the path as it came over the wire, still percent-encoded; empty if the server hides it.
        credentials: every header line that may carry a key: (lower-case name as received, value).
        peer: the address of the socket's other end as the server gave it, or None.
        request_id: the client's own id for the request, if the policy keeps it.
        scheme: as the server says: ``"http"``, ``"https"``, ``"ws"``, ``"wss"``.
        preflight: it is a CORS preflight (Fetch standard): OPTIONS, with Origin and Access-Control-Request-Method.
        wire: what proxies say, if the policy trusts any, or if the peer may come from what one of them said.
        long_query: the gate would have to look into the query, but the query is too long for that.
        unreadable: the app may read it as another request than the gate does, because it names another method in a
            header, or because routers differ in what they take off its path. Then it has to meet every rule.
    """

    method: str
    path: str
    raw_path: bytes
    credentials: Sequence[tuple[bytes, bytes]]
    peer: str | None
    request_id: str | None = None
    scheme: str = "http"
    preflight: bool = False
    wire: Wire | None = None
    long_query: bool = False
    unreadable: bool = False

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.path!r}, peer={self.peer!r})"


class Window(NamedTuple):
    """A limit over a span of time.

    Attributes:
        limit: units that may be admitted in any span of `seconds`; 0 admits nothing.
        seconds: the length of the span.
        scope: empty for the caller's own windows, otherwise the match of the rule that adds this window.
    """

    limit: int
    seconds: int
    scope: str = ""


class Usage(NamedTuple):
    """Where a caller stands in a window after a decision.

    Attributes:
        window: the window.
        remaining: units that would be admitted now.
        reset_at: Unix seconds, the moment when `remaining` next grows; now, if nothing is used.
        retry_after: seconds until this window would admit this cost, rounded up to the microsecond; 0.0 if it fits now;
            None if it never will.
        at: the moment of the decision in microseconds, on the clock of the limiter that made it. Only that limiter can
            read it: a refund refers to it.
    """

    window: Window
    remaining: int
    reset_at: float
    retry_after: float | None
    at: int = 0


class Demand(NamedTuple):
    """What a path asks of a caller, and of the answer.

    Attributes:
        public: no key is needed.
        scopes: the scopes that a key needs, all of them.
        windows: windows in addition to the caller's own.
        cost: the units that a request counts.
        envelope: the answer gets the envelope.
        json: the request's body, if there is one, must be JSON.
    """

    public: bool
    scopes: frozenset[str]
    windows: tuple[Window, ...] = ()
    cost: int = 1
    envelope: bool = False
    json: bool = False


class Admitted(NamedTuple):
    """The gate let the request through.

    Attributes:
        principal: the caller, or None on a public path.
        request_id: ``req_`` and 24 base62 characters, or the client's own id for the request if the policy keeps that;
            the value of ``X-Request-ID`` in the answer.
        usages: where the caller stands in each window that holds here, with this request counted.
        demand: what the path asked for.
        strict: the answer says that this host must be reached over https (``Strict-Transport-Security``).
    """

    principal: Principal | None
    request_id: str
    usages: tuple[Usage, ...] = ()
    demand: Demand = Demand(public=True, scopes=frozenset())
    strict: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Reason:
    """Why the gate answered itself. It holds nothing that is particular to one request.

    Attributes:
        status: the HTTP status.
        code: stable, for machines.
        message: for people.
        details: JSON values; empty if there is nothing to add.
        challenge: the parameters of ``WWW-Authenticate`` after the realm, or None for no such header.
        retry_after: whole seconds for ``Retry-After``, or None.
    """

    status: int
    code: str
    message: str
    details: Mapping[str, Any] = FrozenDict()
    challenge: str | None = None
    retry_after: int | None = None


class Refused(NamedTuple):
    """The gate answered itself; the app does not run.

    Attributes:
        reason: why.
        request_id: as in Admitted.
        usages: where the caller stands in each window, if the windows were asked.
        strict: as in Admitted.
    """

    reason: Reason
    request_id: str
    usages: tuple[Usage, ...] = ()
    strict: bool = False
