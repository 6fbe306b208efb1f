"""What a request brings, what it is asked for, and how its check ends.

What is made for each request is a named tuple: as frozen as a dataclass, and three times as fast to build.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .._ground.frozen import FrozenDict
from ..policy.places import Place
from ..policy.rules import Public
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

    def sight(self, peer: str | None, scheme: str) -> Sight | None:
        """What says who is calling, if each header came once at most and none is in doubt; None if it is long."""
        lines = self.forwarded, self.proto, self.listed
        if self.doubtful or self.insecure or self.trailing or max(map(len, lines)) > 1:
            return None
        told = [each[0] if each else None for each in lines]
        if sum(map(len, filter(None, told))) > LONGEST_SIGHT:
            return None
        return peer, self.port, scheme, told[0], told[1], told[2]


Sight = tuple[str | None, int | None, str, bytes | None, bytes | None, bytes | None]
"""The peer, its port and the scheme as the server says; and the lines, or None, of the header that names the client, of
``X-Forwarded-Proto`` and of ``X-Forwarded-For``."""
LONGEST_SIGHT = 512


class Asked(NamedTuple):
    """What a CORS preflight asks for (Fetch standard, 4.8).

    Attributes:
        origin: of the page that will send a request.
        method: of that request.
        headers: the names of its headers, as they were sent: separated by commas, or empty.
    """

    origin: str
    method: str
    headers: str


class Site(NamedTuple):
    """What a browser says of the page that makes a request. Read only where a browser may add a key on its own.

    Attributes:
        websocket: it is the handshake of a websocket.
        fetch_site, fetch_mode: each line of ``Sec-Fetch-Site`` and ``Sec-Fetch-Mode`` (Fetch Metadata).
        origins, hosts: each line of ``Origin`` and ``Host``.
    """

    websocket: bool = False
    fetch_site: Sequence[str] = ()
    fetch_mode: Sequence[str] = ()
    origins: Sequence[str] = ()
    hosts: Sequence[str] = ()


class Request(NamedTuple):
    """What a door read from a request: all that the gate looks at, and nothing of the body.

    Attributes:
        method: the HTTP method as sent; ``"GET"`` for a websocket handshake.
        path: decoded, relative to the app (without ``root_path`` / ``SCRIPT_NAME``).
        raw_path: the path as it came over the wire, still percent-encoded; empty if the server hides it.
        credentials: every header line that may carry a key: (lower-case name as received, value); and every parameter
            of the query that may, as ``(?name, decoded value)``.
        peer: the address of the socket's other end as the server gave it, or None.
        request_id: the client's own id for the request, if the policy keeps it.
        scheme: as the server says: ``"http"``, ``"https"``, ``"ws"``, ``"wss"``.
        preflight: what it asks for as a CORS preflight; None if it is none, or if the policy does not care.
        wire: what proxies say, if the policy trusts any, or if the peer may come from what one of them said.
        long_query: the gate would have to look into the query, but the query is too long for that.
        unreadable: the app may read it as another request than the gate does, because it names another method in a
            header, or because routers differ in what they take off its path. Then it has to meet every rule.
        site: what a browser says of its page, if it may add a key on its own.
    """

    method: str
    path: str
    raw_path: bytes
    credentials: Sequence[tuple[bytes, bytes]]
    peer: str | None
    request_id: str | None = None
    scheme: str = "http"
    preflight: Asked | None = None
    wire: Wire | None = None
    long_query: bool = False
    unreadable: bool = False
    site: Site | None = None

    def __repr__(self) -> str:
        return f"Request({self.method!r}, {self.path!r}, peer={self.peer!r})"


class Window(NamedTuple):
    """A limit over a span of time.

    Attributes:
        limit: units that may be admitted in any span of `seconds`; 0 admits nothing.
        seconds: the length of the span.
        scope: empty for the caller's own windows, otherwise the match of the rule that adds this window.
        unit: what is counted; empty for requests.
        watching: it is counted like any other, but it never refuses, and it may hold more than `limit`.
    """

    limit: int
    seconds: int
    scope: str = ""
    unit: str = ""
    watching: bool = False


Charge = tuple[Window, int]
"""A window and the units to count in it. 0 counts nothing and only asks that one unit be free."""
Charges = tuple[Charge, ...]
"""What one request costs, in all windows that hold for it."""


class Usage(NamedTuple):
    """Where a caller stands in a window after a decision.

    Attributes:
        window: the window.
        remaining: units that would be admitted now.
        reset_at: Unix seconds, the moment when `remaining` next grows; now, if nothing is used.
        retry_after: seconds until this window would admit this cost, rounded up to the microsecond; 0.0 if it fits now;
            None if it never will. A window that only watches says so too, though it counts the cost at once.
        at: the moment of the decision in microseconds, on the clock of the limiter that made it. Only that limiter can
            read it: a refund refers to it.
    """

    window: Window
    remaining: int
    reset_at: float
    retry_after: float | None
    at: int = 0


class Reservation(NamedTuple):
    """Units that a request takes before the app runs.

    Attributes:
        unit: the name of the unit.
        amount: how many; 0 asks only that one is free.
        watching: only rules in dry run ask for it, so that it refuses nothing.
    """

    unit: str
    amount: int
    watching: bool = False


class Demand(NamedTuple):
    """What a path asks of a caller, and of the answer.

    Attributes:
        public: no key is needed; "optional": but a key is read if there is one.
        scopes: the scopes that a key needs, all of them.
        windows: windows in addition to the caller's own.
        cost: the units that a request counts.
        envelope: the answer gets the envelope.
        json: the request's body, if there is one, must be JSON.
        reserve: the units to take, each unit one time; sorted by name.
        watched: scopes that only rules in dry run ask for: without them the request is not refused, but that is told.
        admits: whether the lists of addresses admit a client, by its address or None for an unknown one; None where
            there are no lists.
        would_admit: likewise for the lists of rules in dry run: who is not on them is not refused, but that is told.
        accept: the places that a key may stand in.
    """

    public: Public
    scopes: frozenset[str]
    windows: tuple[Window, ...] = ()
    cost: int = 1
    envelope: bool = False
    json: bool = False
    reserve: tuple[Reservation, ...] = ()
    watched: frozenset[str] = frozenset()
    admits: Callable[[str | None], bool] | None = None
    would_admit: Callable[[str | None], bool] | None = None
    accept: frozenset[Place] = frozenset()


class Admitted(NamedTuple):
    """The gate let the request through.

    Attributes:
        principal: the caller, or None on a public path, without a key on an optional one, or in dry run of the gate for
            who has no key that is good and alive.
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
        granted: for a preflight that the gate answered, the methods and the names of headers that it allows.
        schemes: the schemes of ``WWW-Authenticate``, in lower case, where the reason has a challenge.
    """

    reason: Reason
    request_id: str
    usages: tuple[Usage, ...] = ()
    strict: bool = False
    granted: tuple[tuple[str, ...], tuple[str, ...]] | None = None
    schemes: tuple[str, ...] = ("bearer",)
