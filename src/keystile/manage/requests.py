"""What the management API and the pages for people take and give: plain values, the same on both doors.

The rule: whatever a door reads, it reads in one way. Lines of a header that is repeated are joined, as WSGI servers do;
names with underscores, which WSGI cannot tell from those with dashes, are left out.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._sync import Offload
from ..model import Admitted, Reason
from ..rules.requests.querykeys import decoded, is_long
from .live.stream import Stream

Pairs = tuple[tuple[str, str], ...]
# How a body came says nothing of it, once it is here.
_OF_THE_WAY = frozenset(("content-length", "transfer-encoding"))


@dataclass(frozen=True, slots=True)
class ManagementRequest:
    """A request to the management API, or to a page.

    Attributes:
        method: as it was sent.
        path: decoded, below the mount; it begins with ``/``.
        raw_query: what stands behind the question mark, as it was sent.
        headers: (lower-case name, value), sorted; each name once, and none of those that say how long the body is.
        body: all of it.
        scheme: ``"http"`` or ``"https"``, as the client sees it: after what trusted proxies say.
        host: the value of ``Host``; empty if there is none.
        mount: the path that the app is mounted at, without a slash at its end; empty at the root.
        bare_mount: whether it asks for the mount itself, without a slash at its end, so that relative links would
            lead beside it.
        client: the address of who is calling, after what trusted proxies say; None if it is unknown.
        request_id: the value of ``X-Request-ID`` in the answer.
        native: the framework's own request, for a host's `authorize`.
        admitted: what the gate in front decided, or None if there is none.
    """

    method: str
    path: str
    raw_query: bytes = field(repr=False)
    headers: Pairs = field(repr=False)
    body: bytes = field(repr=False)
    scheme: str
    host: str
    mount: str
    bare_mount: bool
    client: str | None
    request_id: str
    native: Any = field(repr=False)
    admitted: Admitted | None = field(repr=False)

    def header(self, name: str) -> str | None:
        """The value of the header with this lower-case name; repeated lines joined by commas."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def query(self) -> Pairs:
        """The parameters, decoded, as often and in the order in which they were sent; of a query that is too long
        none."""
        return () if is_long(self.raw_query) else parameters(self.raw_query)

    @property
    def whole_path(self) -> str:
        """The path as the client wrote it, decoded."""
        return self.mount + self.path


@dataclass(frozen=True, slots=True)
class ManagementAnswer:
    """What the client gets. The doors add ``Content-Length`` and ``X-Request-ID``.

    Attributes:
        status: the HTTP status.
        headers: (lower-case name, value).
        body: all of it; or a stream that has no end yet; or None, for the head of such a stream alone.
    """

    status: int
    headers: Pairs = ()
    body: bytes | Stream | None = field(default=b"", repr=False)


Handle = Callable[[ManagementRequest, Offload], Awaitable[ManagementAnswer]]
"""Answers a request. On WSGI it may not suspend but through the offload."""
Refuse = Callable[[ManagementRequest, Reason], ManagementAnswer]
"""Writes what a door answers itself: a body that is too long, a handler that failed."""


def parameters(query: bytes) -> Pairs:
    """The parameters of a query that is not too long (`is_long`), decoded as UTF-8; what is no UTF-8 becomes U+FFFD."""
    split = (each.partition(b"=") for each in query.split(b"&") if each)
    return tuple((_text(name), _text(value)) for name, _, value in split)


def _text(octets: bytes) -> str:
    return decoded(octets).decode("utf-8", "replace")


def folded(lines: Iterable[tuple[str, str]]) -> Pairs:
    """Header lines as both doors give them: names in lower case and once, values without blanks around them."""
    found: dict[str, str] = {}
    for name, value in lines:
        if "_" not in name:
            lowered, stripped = name.lower(), value.strip(" \t")
            found[lowered] = f"{found[lowered]},{stripped}" if lowered in found else stripped
    return tuple(
        sorted((name, value) for name, value in found.items() if name not in _OF_THE_WAY and _is_there(name, value))
    )


def _is_there(name: str, value: str) -> bool:
    """Servers of WSGI may name a type of the body though the client named none."""
    return bool(value) or name != "content-type"


def rooted(path: str) -> str:
    """The path, with a slash at its beginning."""
    return path if path.startswith("/") else f"/{path}"


def with_length(answer: ManagementAnswer, request: ManagementRequest) -> list[tuple[str, str]]:
    """The fields of an answer's head, with those that the door adds."""
    added: Mapping[str, str] = {"x-request-id": request.request_id}
    if isinstance(answer.body, bytes) and answer.status not in (204, 304):
        added = {**added, "content-length": str(len(answer.body))}
    return [*answer.headers, *added.items()]
