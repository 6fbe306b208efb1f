"""What is needed of httpx2 and of httpx. Both have these shapes, and neither is imported here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol
from urllib.parse import urlsplit

from .._ground.urls import OWN_PORTS


class Response(Protocol):
    """An answer, read or not."""

    @property
    def status_code(self) -> int:
        """The HTTP status."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its header, in which case does not matter."""

    @property
    def request(self) -> Any:
        """What it answers; RuntimeError if nothing is known of it."""

    @property
    def history(self) -> Any:
        """The redirects that were followed."""

    @property
    def is_stream_consumed(self) -> bool:
        """Whether its body was read."""

    @property
    def is_closed(self) -> bool:
        """Whether there is nothing left to read."""

    @property
    def content(self) -> bytes:
        """Its body, once it was read."""

    def iter_raw(self) -> Iterator[bytes]:
        """Its body as it comes."""

    def aiter_raw(self) -> AsyncIterator[bytes]:
        """The same of an async client."""


class SyncClient(Protocol):
    """``httpx2.Client`` or ``httpx.Client``."""

    def stream(
        self, method: str, url: str, /, *, headers: Mapping[str, str] | None = None
    ) -> AbstractContextManager[Response]:
        """Send a request, and have an answer whose body is not yet read."""


class AsyncClient(Protocol):
    """``httpx2.AsyncClient`` or ``httpx.AsyncClient``."""

    def stream(
        self, method: str, url: str, /, *, headers: Mapping[str, str] | None = None
    ) -> AbstractAsyncContextManager[Response]:
        """Send a request, and have an answer whose body is not yet read."""


Origin = tuple[str, str, int]
"""Scheme, host and port (RFC 6454 section 4), in lower case."""


def origin_of(url: Any) -> Origin:
    """The origin of a URL of either library."""
    return url.scheme, url.raw_host.decode("ascii").lower(), url.port or OWN_PORTS.get(url.scheme, 0)


def written_origin(text: str) -> Origin:
    """The origin that this text names."""
    parts = urlsplit(text.lower())
    return parts.scheme, parts.hostname or "", parts.port or OWN_PORTS.get(parts.scheme, 0)
