"""A walk through pages without input and output: which URL is next, and what an answer says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import quote, unquote_plus

from .._ground.checks import check_count
from ..policy.pages import PageStyle
from .errors import UnusableAnswer
from .shapes import Response, origin_of

MOST_PAGES, MOST_BYTES, MOST_CURSOR = 10_000, 16 * 1_048_576, 4096


class ReadPage(NamedTuple):
    """One page of a list.

    Attributes:
        items: what is on it.
        next_cursor: where the next one begins, or None if this is the last.
        document: the whole answer.
    """

    items: list[Any]
    next_cursor: str | None
    document: Mapping[str, Any]


class Walk:
    """One walk; the arguments are those of `paging.pages`."""

    def __init__(
        self, url: str, style: PageStyle, *, limit: int | None, cursor: str | None, most_pages: int, most_bytes: int
    ) -> None:
        self._url, self._style, self._limit = url, style, limit
        if limit is not None:
            check_count(limit, "limit")
        self._left = check_count(most_pages, "most_pages")
        check_count(most_bytes, "most_bytes")
        self._cursor, self._ended, self._seen = cursor, False, set[bytes]()
        if cursor is not None:
            self._see(cursor)

    def target(self) -> str | None:
        """The URL of the next page, or None after the last.

        Raises:
            UnusableAnswer: it would be one more than `most_pages`.
        """
        if self._ended:
            return None
        if self._left == 0:
            raise _unusable(200, "there are more pages than were to be read")
        path, _, query = self._url.partition("#")[0].partition("?")
        own = {self._style.parameter: self._cursor, "limit": None if self._limit is None else str(self._limit)}
        given = {name: value for name, value in own.items() if value is not None}
        kept = [piece for piece in query.split("&") if piece and unquote_plus(piece.partition("=")[0]) not in given]
        kept += [f"{name}={quote(value, safe='')}" for name, value in given.items()]
        return f"{path}?{'&'.join(kept)}" if kept else path

    def read(self, response: Response, body: bytes | None) -> ReadPage:
        """The page that is in this answer.

        Args:
            response: its status, and where it came from.
            body: the whole body, or None if it is too long or cannot be read.

        Raises:
            UnusableAnswer: as in `paging.pages`.
        """
        status = response.status_code
        if len({origin_of(each.request.url) for each in (*response.history, response)}) > 1:
            raise _unusable(status, "a redirect led to another origin")
        if status != 200:
            raise _unusable(status, f"expected 200, got {status}")
        if body is None:
            raise _unusable(status, "the page is too long, too slow or cannot be read")
        document = _parsed(body)
        cursor = self._next(document)
        self._cursor, self._ended, self._left = cursor, cursor is None, self._left - 1
        return ReadPage(document["data"], cursor, document)

    def _next(self, document: dict[str, Any]) -> str | None:
        style = self._style
        members = document if style.member is None else document.get(style.member)
        if not isinstance(members, dict) or not isinstance(members.get(style.has_more), bool):
            raise _unusable(200, f"it does not say with {style.has_more!r} whether there is more")
        if not members[style.has_more]:
            return None
        cursor = members.get(style.next_cursor)
        if not isinstance(cursor, str) or not 1 <= len(cursor) <= MOST_CURSOR or not cursor.isascii():
            raise _unusable(200, f"its {style.next_cursor!r} is no cursor of 1 to {MOST_CURSOR} ASCII characters")
        if not self._see(cursor):
            raise _unusable(200, "a cursor came for the second time, so the list would never end")
        return cursor

    def _see(self, cursor: str) -> bool:
        """Whether it comes for the first time. A digest is kept, for a walk may see many."""
        digest = hashlib.blake2b(cursor.encode(), digest_size=16).digest()
        is_new = digest not in self._seen
        self._seen.add(digest)
        return is_new


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise _unusable(200, "it is not JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("data"), list):
        raise _unusable(200, "it has no list under 'data'")
    return document


def _unusable(status: int, reason: str) -> UnusableAnswer:
    return UnusableAnswer(status, "unusable_answer", f"The answer cannot be used: {reason}.")
