"""How a request reached the gate: under which id, from whom, through which proxies, and whether in the clear."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from .._sync import Seldom, on_fork
from ..events import Event, Events
from ..keys.format import BASE62
from ..model import Principal, Request, Sight, Wire
from ..policy import Policy
from ..rules.network.addresses import is_wide
from ..rules.requests.masks import Mask
from ..rules.requests.urls import MOST_PATH

if TYPE_CHECKING:
    from ..rules.network.clients import ClientResolver

MOST_SIGHTS = 4096
Target = tuple[str, str, bytes]
"""Method, path, and the path as it came over the wire."""
_BASE62_OF_OCTET = bytes((BASE62 * 5)[:256], "ascii")
SECURE = ("https", "wss")
"""The schemes of what came over TLS."""
_REWRITTEN = (
    "the server has already replaced the peer by an address from a header, which anybody may have sent: the client is "
    "unknown, and no allowlist admits it; make the server leave the peer alone (uvicorn: --no-proxy-headers), and set "
    "trusted_proxies"
)
_TRAILING = (
    "this server puts trailers among the headers, so a header after Transfer-Encoding may be one: the gate trusts none "
    "of these; use another parser (uvicorn: --http h11), or let a proxy buffer request bodies"
)


class RequestIds:
    """``req_`` and 24 random base62 characters (about 142 bits; a name, not a secret).

    They are drawn in batches: asking the system for random octets each time would cost a tenth of the whole check.
    """

    BATCH = 128

    def __init__(self) -> None:
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Drop the ids that are left: a forked child must not use the ids of its parent."""
        self.ready: list[str] = []
        """Ids that are drawn already."""

    def draw(self) -> str:
        """The next id."""
        try:
            return self.ready.pop()
        except IndexError:
            letters = os.urandom(24 * self.BATCH).translate(_BASE62_OF_OCTET).decode()
            self.ready = ["req_" + letters[start : start + 24] for start in range(0, len(letters), 24)]
            return self.ready.pop()


class Visit(NamedTuple):
    """One request at the gate.

    Attributes:
        request: what the door read.
        request_id: its id.
        client: the address of who is calling, or None if that is unknown.
        counted: the address to count: the client's, or that of the socket's other end while the client is unknown.
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
    key_id, organization = (None, None) if key is None else (key.id, key.organization_id)
    return Event(
        code, level, status, key_id, visit.client, request.method, request.path, visit.request_id, "", organization
    )


def leads_on(request: Request, mask: Mask, *, keyless: bool) -> bool:
    """Whether a redirect may repeat this request. Part of it would be another request, and no URL may hold a key.

    Args:
        request: what the door read.
        mask: finds keys within a text.
        keyless: it presents no key. Then a value where keys are read from the query is the app's own, and would be
            missing behind the redirect, which repeats nothing that stands there.
    """
    if keyless and any(value and name.startswith(b"?") for name, value in request.credentials):
        return False
    return not request.long_query and len(request.path) <= MOST_PATH and not mask.holds(request.path)


class Transport:
    """Finds out what is behind the proxies.

    Args:
        policy: which proxies are trusted.
        events: where two faults are reported: a policy that trusts more than proxies, and a server that hides or mixes
            what the gate has to see.
    """

    def __init__(self, policy: Policy, events: Events) -> None:
        self._resolver: ClientResolver | None = None
        if policy.trusted_proxies or policy.trusted_hops is not None:
            from ..rules.network.clients import ClientResolver

            self._resolver = ClientResolver(tuple(policy.trusted_proxies), policy.trusted_hops, policy.client_header)
        self._events, self._seldom = events, Seldom()
        self.sights: dict[Sight, tuple[str | None, bool]] = {}
        """The client, and whether over https, of what was seen before and gave nothing to report."""
        self._warn_of_wide(tuple(policy.trusted_proxies))
        self.header = self._resolver.header if self._resolver else None
        """The name of the header with the client that doors hand over, in lower case, or None."""
        self.twin = self._resolver.twin if self._resolver else b""
        """The same with underscores."""

    def _warn_of_wide(self, trusted: Sequence[str]) -> None:
        wide = [entry for entry in trusted if is_wide(entry)]
        if wide:
            reason = (
                f"trusted_proxies holds {', '.join(wide[:3])}: anyone who connects from there decides which client "
                "address is counted and checked against allowlists; name only your proxies"
            )
            self._events.tell(Event("wide_trusted_proxies", logging.WARNING, reason=reason))

    def tell_of_clear(self, visit: Visit) -> None:
        """Report that a credential came over http."""
        level = logging.WARNING if self._seldom.due("credential_over_http") else logging.INFO
        self._events.tell(event_of("credential_over_http", level, visit))

    def see(self, request: Request, request_id: str) -> Visit:
        """Who is calling, and whether over https."""
        peer, wire = request.peer, request.wire
        secure = request.scheme in SECURE
        if wire is None:
            return Visit(request, request_id, peer, peer, secure)
        if wire.trailing:
            self._warn("trailers_merged", peer, _TRAILING)
        if self._resolver is None:
            from ..rules.network.clients import REWRITTEN
            from ..rules.network.peers import is_rewritten

            secure = secure and not wire.insecure
            if not is_rewritten(peer, wire.port, wire.listed, trusted=False):
                return self._noted(wire, Visit(request, request_id, peer, peer, secure))
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
            secure = False  # the server may have taken the scheme from this header, and no trusted proxy said it
        secure = secure if found.https is None else found.https
        visit = Visit(request, request_id, found.address, found.counted, secure)
        return visit if found.rewritten else self._noted(wire, visit)

    def _noted(self, wire: Wire, visit: Visit) -> Visit:
        sight = wire.sight(visit.request.peer, visit.request.scheme)
        if sight is not None:
            if len(self.sights) >= MOST_SIGHTS:
                self.sights.clear()
            self.sights[sight] = visit.client, visit.secure
        return visit

    def _warn(self, code: str, peer: str | None, reason: str) -> None:
        if self._seldom.due(code):
            self._events.tell(Event(code, logging.WARNING, client=peer, reason=reason))
