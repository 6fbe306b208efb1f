"""When the key that was presented ends: the field ``API-Key-Expires``, an HTTP-date (RFC 9110 section 5.6.7).

It is on every answer of the app to a key that has an end, and to the older secret of a rotated key with the end of its
grace, so that whoever has not switched yet can find out. ``Deprecation`` (RFC 9745) and ``Sunset`` (RFC 8594) would
not do: both speak of the resource, and tools that watch for them would report that the URL goes away. GitHub tells the
end of its tokens in a field of its own in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import AnyStr, Generic

NAME = "api-key-expires"


@lru_cache(maxsize=1024)
def http_date(moment: datetime) -> str:
    """A moment as an HTTP-date; parts of a second are cut, so that it is never told too late."""
    return format_datetime(moment.astimezone(UTC), usegmt=True)


class ExpiryWriter(Generic[AnyStr]):
    """Writes the field in the text type of one door.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
    """

    def __init__(self, encode: Callable[[str], AnyStr]) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._name: AnyStr = encode(NAME)

    def write(self, moment: datetime) -> tuple[AnyStr, AnyStr]:
        """The field for this moment."""
        return self._name, self._encode(http_date(moment))
