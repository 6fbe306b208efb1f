"""Reading a body with a bound on its size, as it is and as it unfolds, and on the time that it takes.

The libraries unfold a whole chunk at once, and 64 kB of gzip may hold 64 MB. So it is unfolded here, no further than to
the bound.
"""

from __future__ import annotations

import time
import zlib
from typing import Any

# Both, told apart by their first octets.
_GZIP_OR_ZLIB = 47
READ_WITHIN = 30.0
"""Seconds for a whole body; the libraries' timeouts are for one read."""


class BoundedBody:
    """Octets that come in chunks.

    Args:
        encoding: the ``Content-Encoding``; what is neither gzip nor deflate is not read.
        most: octets at most.
    """

    def __init__(self, encoding: str, most: int) -> None:
        self._most, self._read, self._until = most, bytearray(), time.monotonic() + READ_WITHIN
        plain = encoding in ("", "identity")
        self._unfold = None if plain else zlib.decompressobj(_GZIP_OR_ZLIB)
        self._good = plain or encoding in ("gzip", "x-gzip", "deflate")

    @property
    def is_good(self) -> bool:
        """Whether there is a use in reading on."""
        return self._good

    @property
    def octets(self) -> bytes | None:
        """All of them, or None if they were too many, came too slowly or cannot be read."""
        return bytes(self._read) if self._good else None

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk. Gives whether there is a use in reading on."""
        try:
            room = self._most + 1 - len(self._read)
            self._read += chunk[:room] if self._unfold is None else self._unfold.decompress(chunk, room)
        except zlib.error:
            self._good = False
        self._good = self._good and len(self._read) <= self._most and time.monotonic() <= self._until
        return self._good


def read(response: Any, most: int) -> bytes | None:
    """The body of an answer, or None if it is longer than this, too slow, or cannot be read."""
    if response.is_stream_consumed or response.is_closed:
        return _known(response, most)
    body = _empty(response, most)
    if body.is_good:
        chunks = response.iter_raw()
        for chunk in chunks:
            if not body.feed(chunk):
                break
        chunks.close()
    return body.octets


async def aread(response: Any, most: int) -> bytes | None:
    """The same of an async client."""
    if response.is_stream_consumed or response.is_closed:
        return _known(response, most)
    body = _empty(response, most)
    if body.is_good:
        chunks = response.aiter_raw()
        async for chunk in chunks:
            if not body.feed(chunk):
                break
        await chunks.aclose()
    return body.octets


def _empty(response: Any, most: int) -> BoundedBody:
    return BoundedBody(response.headers.get("content-encoding", "").strip().lower(), most)


def _known(response: Any, most: int) -> bytes | None:
    try:
        content = response.content
    except RuntimeError:  # somebody read it piece by piece
        return None
    return content if len(content) <= most else None
