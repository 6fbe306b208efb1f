"""Pages of a list: what a client asks for, and the page that it gets.

A cursor is a place between items, not a count of them. So a client that walks through all pages sees each item that is
there throughout exactly once, whatever is added and deleted meanwhile.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from .._ground.checks import check_all, check_count
from ..exceptions import InvalidRequest
from ..policy.pages import DEFAULT_PAGE_STYLE, PageStyle
from ..rules.requests.querykeys import MOST_PARAMETERS, MOST_QUERY, decoded, is_long
from .cursors import Cursor, Filters, refuse_cursor

T = TypeVar("T")
# For the class methods alone: pyright does not know T where `Page` is written without brackets.
Row = TypeVar("Row")
Fetch = Callable[[tuple[Any, ...] | None, int], Iterable[Row]]


def _as_keys(given: Any) -> tuple[Any, ...]:
    keys = given if isinstance(given, tuple) else (given,)
    if not keys:
        raise ValueError("an item has at least one sort key")
    return keys


def _pieces(query: bytes) -> list[bytes]:
    """Each parameter as it was sent; in bytes, so that other text than UTF-8 is kept."""
    return [piece for piece in query.split(b"&") if piece]


def _pair(piece: bytes) -> tuple[bytes, bytes]:
    """The name and the value of a parameter."""
    name, _, value = piece.partition(b"=")
    return decoded(name), decoded(value)


def _only(sent: Filters, parameter: str) -> bytes | None:
    wanted = parameter.encode()
    found = [value for name, value in sent if name == wanted]
    if len(found) > 1:
        raise InvalidRequest("expected this parameter once", parameter=parameter)
    return found[0] if found else None


def _limit(sent: bytes | None, default: int, maximum: int) -> int:
    if sent is None:
        return min(default, maximum)
    # int() alone would accept signs, spaces and underscores, and refuse thousands of digits with a ValueError.
    digits = sent.lstrip(b"0") if sent.isdigit() else b""
    if not digits:
        raise InvalidRequest("expected a whole number of at least 1", parameter="limit")
    return maximum if len(digits) > len(str(maximum)) else min(int(digits), maximum)


@dataclass(frozen=True, slots=True)
class PageParams:
    """How many items a client wants, and after which one; from `read` or ``current().page_params()``.

    Args:
        limit: how many items at most.
        after: the sort keys of the last item that the client has seen, or None for the first page.
        route, filters, owner: what the next cursor is bound to, see `Cursor`.
        parameter: the name of the query parameter for the cursor.
        secrets: what the cursor is signed with.
    """

    limit: int
    after: tuple[Any, ...] | None = None
    route: str = ""
    filters: Filters = field(default=(), repr=False)  # it may hold anything that clients send, secrets too
    owner: str = ""
    parameter: str = DEFAULT_PAGE_STYLE.parameter
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    @classmethod
    def read(
        cls,
        query: bytes | str,
        *,
        secrets: Sequence[bytes],
        route: str = "",
        owner: str = "",
        style: PageStyle = DEFAULT_PAGE_STYLE,
        default: int | None = None,
        maximum: int | None = None,
    ) -> PageParams:
        """What a query string says about the page.

        Args:
            query: as it was sent, without the question mark.
            secrets: for cursors, see `Cursor.sign`; all verify. Without any, only a list that fits in one page works.
            route, owner: of the request; cursors of other routes and owners are refused.
            style: the names of the parameters, and the limits.
            default: items in a page when the client names no limit; if None, the style's.
            maximum: most items in a page; a higher limit is clamped to it. If None, the style's.

        Raises:
            InvalidRequest: the limit is not a whole number of at least 1 in ASCII digits, the cursor was made for
                something else, one of the two parameters is there twice, or the query is longer than 8192 bytes or
                1000 parameters.
            ConfigurationError: there is a cursor but no usable secret, or `default` or `maximum` is below 1.
        """
        default = style.default_limit if default is None else default
        maximum = style.max_limit if maximum is None else maximum
        check_count(default, "default")
        check_count(maximum, "maximum")
        raw = query if isinstance(query, bytes) else query.encode("utf-8", "surrogatepass")
        name = style.parameter
        if is_long(raw):
            reason = f"expected a query of at most {MOST_QUERY} bytes and {MOST_PARAMETERS} parameters"
            raise InvalidRequest(reason, parameter=name)
        sent = tuple(map(_pair, _pieces(raw)))
        limit = _limit(_only(sent, "limit"), default, maximum)
        text = (_only(sent, name) or b"").decode("latin-1")
        own = (b"limit", name.encode())
        filters = tuple([pair for pair in sent if pair[0] not in own])
        given = check_all(secrets, bytes, "cursor_secrets")
        after = None
        if text:
            after = Cursor.verify(text, given, route=route, filters=filters, owner=owner, parameter=name).after
        return cls(limit, after, route, filters, owner, name, given)

    def place(self, count: int) -> tuple[Any, ...] | None:
        """The keys to continue after in a list with this many sort keys, or None for the first page.

        Raises:
            InvalidRequest: the cursor has another number of keys, because the list was sorted differently then.
        """
        if self.after is not None and len(self.after) != count:
            refuse_cursor(self.parameter)
        return self.after

    def cursor(self, keys: Any) -> str:
        """The cursor that continues after an item with these sort keys. Raises what `Cursor.sign` raises."""
        return Cursor(_as_keys(keys), self.route, self.filters, self.owner).sign(self.secrets)


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page of a list.

    Args:
        items: the items on it.
        limit: how many items it could hold.
        has_more: whether there is another page.
        next_cursor: the cursor of the next page, or None.
    """

    # Written by hand: with `slots=True`, `Page[int](...)` is a TypeError before Python 3.12.
    __slots__ = ("has_more", "items", "limit", "next_cursor")
    items: list[T]
    limit: int
    has_more: bool
    next_cursor: str | None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.items, self.limit, self.has_more, self.next_cursor)

    @classmethod
    def from_rows(cls, rows: Iterable[Row], params: PageParams, key: Callable[[Row], Any]) -> Page[Row]:
        """A page of rows that are sorted and start after the cursor.

        Args:
            rows: one row more than the limit, or all that there are if they are fewer.
            params: what the client asked for.
            key: gives a row's sort key, or a tuple of sort keys of which the last is unique; see `Cursor` for types.

        Raises:
            ValueError: two rows have the same keys, so that the next page would lose one; or as in `Cursor.sign`,
                which may also raise TypeError and ConfigurationError.
        """
        found = list(rows)
        items = found[: params.limit]
        if len(found) == len(items):
            return Page(items, params.limit, False, None)
        last = key(items[-1])
        if last == key(found[len(items)]):
            raise ValueError("two items have the same sort keys: end the keys with one that is unique")
        return Page(items, params.limit, True, params.cursor(last))

    @classmethod
    def from_query(cls, fetch: Fetch[Row], params: PageParams, key: Callable[[Row], Any]) -> Page[Row]:
        """A page of the rows that `fetch` returns in order. `fetch` takes the sort keys to continue after (None: from
        the start) and the number of rows wanted, which is one more than the limit. The rest is as in `from_rows`."""
        return cls.from_rows(fetch(params.after, params.limit + 1), params, key)

    @classmethod
    def from_sequence(
        cls, items: Iterable[Row], params: PageParams, key: Callable[[Row], Any], *, reverse: bool = False
    ) -> Page[Row]:
        """A page of a whole list of items, given in any order. The item of the cursor may be gone.

        `params` and `key` are as in `from_rows`; `reverse` starts with the highest keys. Raises InvalidRequest if the
        cursor has another number of keys than the items, and what `from_rows` raises.
        """
        first = itemgetter(0)
        keyed = sorted(((_as_keys(key(item)), item) for item in items), key=first)
        after = params.place(len(keyed[0][0])) if keyed else None
        count = params.limit + 1
        if reverse:
            end = len(keyed) if after is None else bisect_left(keyed, after, key=first)
            rows = keyed[max(end - count, 0) : end][::-1]
        else:
            start = 0 if after is None else bisect_right(keyed, after, key=first)
            rows = keyed[start : start + count]
        return cls.from_rows([item for _, item in rows], params, key)

    def as_dict(self, style: PageStyle = DEFAULT_PAGE_STYLE) -> dict[str, Any]:
        """The whole answer, for hosts without an envelope: the items as ``data``, and the members beside it."""
        return {"data": self.items, **members(self, style)}


def members(page: Page[Any], style: PageStyle) -> dict[str, Any]:
    """The members beside ``data`` in the answer with this page, see `PageStyle`."""
    found: dict[str, Any] = {} if style.limit is None else {style.limit: page.limit}
    found[style.has_more] = page.has_more
    if style.member is not None or page.next_cursor is not None:
        found[style.next_cursor] = page.next_cursor
    return found if style.member is None else {style.member: found}


def next_query(query: bytes, style: PageStyle, limit: int, cursor: str) -> bytes:
    """The query of the next page, for ``Link`` (RFC 8288): this page's query as it was sent, with the limit and the
    next cursor at the end in place of those sent."""
    own = (b"limit", style.parameter.encode())
    kept = [piece for piece in _pieces(query) if decoded(piece.partition(b"=")[0]) not in own]
    return b"&".join([*kept, f"limit={limit}&{style.parameter}={quote(cursor, safe='')}".encode()])
