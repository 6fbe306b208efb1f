"""What an ASGI server hands over besides the request itself, and how far it can be trusted.

uvicorn replaces the peer by what ``X-Forwarded-For`` says, if the request comes from its own machine or from an address
that it is told to trust. And with httptools it appends the trailers of a chunked body (RFC 9112 section 7.1.2) to the
headers, in one list, before the app is called. There, only what stands before the first ``Transfer-Encoding`` is
certain to be a header: without that line there are no trailers.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ...model import Wire
from ...policy.places import SUBPROTOCOL
from ...rules.network.peers import port_of

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

LISTED, PROTO, CODING = b"x-forwarded-for", b"x-forwarded-proto", b"transfer-encoding"
TELLING = frozenset((LISTED, CODING))
"""The headers that tell a door that `read_wire` has something to read."""

OFFERED = SUBPROTOCOL.header
_MERGING = "uvicorn.protocols.http.httptools_impl"


def offers_of(scope: Scope) -> list[bytes]:
    """Each line of ``Sec-WebSocket-Protocol``. uvicorn with wsproto takes them out of the headers: then it is what the
    server made of them."""
    lines = [value for name, value in scope["headers"] if name.lower() == OFFERED]
    words = ", ".join(scope.get("subprotocols") or ())
    return lines or ([words.encode("latin-1", "replace")] if words else [])


def merges_trailers() -> bool:
    """Whether a server that does not keep trailers apart from headers runs in this process."""
    return _MERGING in sys.modules


def head_ends(scope: Scope) -> int:
    """How many of the header lines are certain not to be trailers."""
    headers = scope["headers"]
    if merges_trailers():
        for at, (name, _) in enumerate(headers):
            if len(name) == len(CODING) and name.lower() == CODING:
                return at
    return len(headers)


def read_wire(scope: Scope, header: bytes | None, twin: bytes, credentials: frozenset[bytes]) -> tuple[Wire, bool]:
    """What the connection and the proxies say, and whether a credential may be a trailer.

    Args:
        scope: the server's.
        header: the header in which proxies name the client, in lower case, or None if no proxy is trusted.
        twin: the same name with underscores, which no proxy sends.
        credentials: the names of headers that may carry a key.
    """
    end, client = head_ends(scope), scope.get("client")
    found: dict[bytes, list[bytes]] = {}
    late: set[bytes] = set()
    for at, (name, value) in enumerate(scope["headers"]):
        lowered = name.lower()
        found.setdefault(lowered, []).append(value)
        if at > end:
            late.add(lowered)
    unsure = not late.isdisjoint(credentials)
    doubtful = header in late
    wire = Wire(
        port=port_of_peer(client[1]) if client else None,
        forwarded=found.get(header or b"", ()),
        proto=found.get(PROTO, ()),
        listed=found.get(LISTED, ()),
        doubtful=doubtful or (twin != header and twin in found),
        insecure=PROTO in late,
        trailing=unsure or doubtful or PROTO in late,
    )
    return wire, unsure


def port_of_peer(given: int | str | None) -> int | None:
    """A port as a number. granian gives it as text."""
    return port_of(given) if isinstance(given, str) else given
