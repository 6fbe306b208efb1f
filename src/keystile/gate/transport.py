"""How a request came to us: from whom, past which proxies, and whether in the clear."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from ..events import Event, Events
from ..model import Principal, Request
from ..policy import Policy
from ..rules.requests.addresses import is_wide
from ..rules.requests.masks import Mask
from ..rules.requests.urls import MOST_PATH

if TYPE_CHECKING:
    from ..rules.requests.clients import ClientResolver

# How often somebody is warned of what strangers can bring about, in seconds.
WARN_EVERY = 60.0
_SECURE = ("https", "wss")
_REWRITTEN = (
    "the server has already replaced the peer by what a header said, which anybody may have sent: the client is "
    "unknown, and no allowlist holds it; let the server leave the peer alone (uvicorn: --no-proxy-headers), and set "
    "trusted_proxies"
)
_TRAILING = (
    "this server puts trailers among the headers, so that a header behind Transfer-Encoding may be one: what decides "
    "is not taken from there; use another parser (uvicorn: --http h11), or let a proxy buffer request bodies"
)


class Visit(NamedTuple):
    """One request at the gate.

    Attributes:
        request: what the door read.
        request_id: its name.
        client: the address of who is calling, or None if that is unknown.
        counted: whom to count: the client, or the socket's other end while the client is unknown.
        secure: it came over https.
    """

    request: Request
    request_id: str
    client: str | None
    counted: str | None
    secure: bool


def event_of(code: str, level: int, visit: Visit, status: int | None = None, key: Principal | None = None) -> Event:
    """An event about a request."""
    request = visit.request
    key_id = None if key is None else key.id
    return Event(code, level, status, key_id, visit.client, request.method, request.path, visit.request_id)


def leads_on(request: Request, mask: Mask) -> bool:
    """Whether a URL may repeat this request: a part of it would be another request, and a key belongs in none."""
    return not request.long_query and len(request.path) <= MOST_PATH and not mask.holds(request.path)


class Transport:
    """Sees through proxies.

    Args:
        policy: which of them are trusted.
        events: where it is told that the policy trusts more than proxies, and that the server leaves less to be seen
            than it should.
        clock: Unix seconds.
    """

    def __init__(self, policy: Policy, events: Events, clock: Callable[[], float]) -> None:
        self._resolver: ClientResolver | None = None
        if policy.trusted_proxies or policy.trusted_hops is not None:
            from ..rules.requests.clients import ClientResolver

            self._resolver = ClientResolver(tuple(policy.trusted_proxies), policy.trusted_hops, policy.client_header)
        self._events, self._clock = events, clock
        self._due: dict[str, float] = {}
        self._warn_of_wide(tuple(policy.trusted_proxies))
        self.header = self._resolver.header if self._resolver else None
        """The name of the header that doors hand over, in lower case, or None."""
        self.twin = self._resolver.twin if self._resolver else b""
        """The same with underscores."""

    def _warn_of_wide(self, trusted: Sequence[str]) -> None:
        wide = [entry for entry in trusted if is_wide(entry)]
        if wide:
            reason = (
                f"trusted_proxies holds {', '.join(wide[:3])}: whoever connects from there says which client address "
                "is counted and checked against allowlists; name your proxies alone"
            )
            self._events.tell(Event("wide_trusted_proxies", logging.WARNING, reason=reason))

    def _is_due(self, code: str, now: float) -> bool:
        """Whether this is to be a warning: anybody can bring it about, so that one in a minute is enough."""
        due = now >= self._due.get(code, 0.0)
        if due:
            self._due[code] = now + WARN_EVERY
        return due

    def tell_of_clear(self, visit: Visit, now: float) -> None:
        """Tell that a credential came over http."""
        level = logging.WARNING if self._is_due("credential_over_http", now) else logging.INFO
        self._events.tell(event_of("credential_over_http", level, visit))

    def see(self, request: Request, request_id: str) -> Visit:
        """Who is calling, and whether over https."""
        peer, wire = request.peer, request.wire
        secure = request.scheme in _SECURE
        if wire is None:
            return Visit(request, request_id, peer, peer, secure)
        if wire.trailing:
            self._warn("trailers_merged", peer, _TRAILING)
        if self._resolver is None:
            from ..rules.requests.clients import REWRITTEN
            from ..rules.requests.peers import is_rewritten

            secure = secure and not wire.insecure
            if not is_rewritten(peer, wire.port, wire.listed, trusted=False):
                return Visit(request, request_id, peer, peer, secure)
            found = REWRITTEN
        else:
            found = self._resolver.resolve(
                peer,
                wire.port,
                wire.forwarded,
                wire.proto,
                listed=wire.listed,
                doubtful=wire.doubtful,
                insecure=wire.insecure,
            )
        if found.rewritten:
            self._warn("peer_rewritten", peer, _REWRITTEN)
        if self._resolver is not None and wire.proto:
            secure = False  # the server may have the scheme from there, and the proxies have not said it
        return Visit(request, request_id, found.address, found.counted, secure if found.https is None else found.https)

    def _warn(self, code: str, peer: str | None, reason: str) -> None:
        if self._is_due(code, self._clock()):
            self._events.tell(Event(code, logging.WARNING, client=peer, reason=reason))
