"""How a request came to us: from whom, past which proxies, and whether in the clear."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .events import Event, Events
from .model import Principal, Request
from .policy import Policy
from .rules.addresses import is_wide
from .rules.masks import Mask
from .rules.urls import MOST_PATH

if TYPE_CHECKING:
    from .rules.clients import ClientResolver

# How often somebody is warned of what strangers can bring about, in seconds.
WARN_EVERY = 60.0
_SECURE = ("https", "wss")


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
        events: where it is told that the policy trusts more than proxies; and, once, that the server has seen through
            them already.
    """

    def __init__(self, policy: Policy, events: Events) -> None:
        self._resolver: ClientResolver | None = None
        if policy.trusted_proxies or policy.trusted_hops is not None:
            from .rules.clients import ClientResolver

            self._resolver = ClientResolver(tuple(policy.trusted_proxies), policy.trusted_hops, policy.client_header)
        self._events = events
        self._warn_of_wide(tuple(policy.trusted_proxies))
        self._warned, self._warn_due = False, 0.0
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

    def tell_of_clear(self, visit: Visit, now: float) -> None:
        """Tell that a credential came over http. Anybody can send one, so that only one in a minute is a warning."""
        level = logging.INFO
        if now >= self._warn_due:
            self._warn_due, level = now + WARN_EVERY, logging.WARNING
        self._events.tell(event_of("credential_over_http", level, visit))

    def see(self, request: Request, request_id: str) -> Visit:
        """Who is calling, and whether over https."""
        peer, wire = request.peer, request.wire
        secure = request.scheme in _SECURE
        if self._resolver is None or wire is None:
            return Visit(request, request_id, peer, peer, secure)
        client, counted, https, rewritten = self._resolver.resolve(
            peer, wire.port, wire.forwarded, wire.proto, twin=wire.twin
        )
        if rewritten and not self._warned:
            self._warned = True
            reason = (
                "it seems that the server has already replaced the peer by what a header said, so that trusted_proxies "
                "cannot be checked: run it without that (uvicorn: --no-proxy-headers)"
            )
            self._events.tell(Event("peer_rewritten", logging.WARNING, client=peer, reason=reason))
        return Visit(request, request_id, client, counted, secure if https is None else https)
