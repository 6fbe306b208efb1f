"""The types of PEP 3333."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol

Environ = dict[str, Any]
Headers = list[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
Write = Callable[[bytes], object]
# These are named as in CGI (RFC 3875 sections 4.1.2 and 4.1.3).
_UNPREFIXED = ("CONTENT_TYPE", "CONTENT_LENGTH")


class StartResponse(Protocol):
    """PEP 3333's ``start_response``."""

    def __call__(self, status: str, headers: Headers, exc_info: ExcInfo | None = None, /) -> Write: ...


class Body:
    """A generator's octets, with a ``close`` that reaches the app's iterable even if nothing was iterated."""

    def __init__(self, octets: Iterator[bytes], iterable: Iterable[bytes]) -> None:
        self._octets, self._iterable = octets, iterable

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._octets)

    def close(self) -> None:
        """See PEP 3333."""
        close(self._iterable)


def variable_of(header: str) -> str:
    """The name under which an environ has this header."""
    name = header.upper().replace("-", "_")
    return name if name in _UNPREFIXED else f"HTTP_{name}"


def close(iterable: Iterable[bytes]) -> None:
    """Call the ``close`` of an app's iterable, if it has one (PEP 3333)."""
    closing = getattr(iterable, "close", None)
    if closing is not None:
        closing()
