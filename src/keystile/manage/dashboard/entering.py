"""Who may enter: the host's word. Nobody is let in by default, and an API key is no login."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from ..._sync import Offload, Pool, is_async
from ...exceptions import ConfigurationError
from ..authority import Authority
from ..requests import ManagementRequest

MOST_LOCATION = 2000
SLOTS, QUEUE = 8, 64


@dataclass(frozen=True, slots=True)
class Redirect:
    """Says that somebody must sign in first, and where.

    Args:
        location: a path or a URL of the host's.

    Raises:
        ConfigurationError: it cannot stand in a header.
    """

    location: str

    def __post_init__(self) -> None:
        text = self.location
        plain = isinstance(text, str) and text.isascii() and text.isprintable() and " " not in text
        if not plain or not 1 <= len(text) <= MOST_LOCATION:
            raise ConfigurationError("expected a URL or a path, in ASCII and encoded", key="location")


Entered = Authority | Redirect | None
Authorize = Callable[[Any], Entered | Awaitable[Entered]]
"""Given the framework's own request; says who that is. Plain, or async for ASGI."""
Enter = Callable[[ManagementRequest, Offload], Awaitable[Entered]]


def entering(authorize: Any) -> Enter:
    """The host's function, called in one way.

    A plain function may block, so under ASGI it runs in a thread.

    Raises:
        ConfigurationError: it is no function. Without one, everybody could enter.
    """
    if not callable(authorize):
        reason = "is required: a function that is given a request and says who that is (Authority, Redirect or None)"
        raise ConfigurationError(reason, key="authorize")
    awaits, pool = _awaits(authorize), Pool(SLOTS, QUEUE)

    async def enter(request: ManagementRequest, offload: Offload) -> Entered:
        if awaits:
            found = await authorize(request.native)
        else:
            found = await offload.run(pool, authorize, request.native)
        return checked(found)

    return enter


def check_plain(authorize: Any) -> None:
    """ConfigurationError if WSGI cannot call it."""
    if _awaits(authorize):
        raise ConfigurationError("is async: WSGI needs a plain function", key="authorize")


def _awaits(function: Any) -> bool:
    return is_async(function) or is_async(type(function).__call__)


def checked(found: Any) -> Entered:
    """What the host's function gave; ConfigurationError if it is nothing that it may give."""
    if found is None or isinstance(found, (Authority, Redirect)):
        return found
    kind = type(found).__name__
    raise ConfigurationError(f"gave {kind}: expected an Authority, a Redirect or None", key="authorize")
