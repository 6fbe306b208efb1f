"""Walks through the pages of a list, as `keystile.PageStyle` describes them.

Only the cursor is taken from an answer, and put into the URL that the caller gave. No link of a server is followed, so
none can lead elsewhere.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from ..policy.pages import DEFAULT_PAGE_STYLE, PageStyle
from .bodies import aread, read
from .raising import araise_for, raise_for
from .shapes import AsyncClient, SyncClient
from .walks import MOST_BYTES, MOST_PAGES, ReadPage, Walk

# What `bodies` can unfold with a bound.
_HEADERS: Mapping[str, str] = {"accept": "application/json", "accept-encoding": "gzip"}


def pages(
    client: SyncClient,
    url: str,
    *,
    style: PageStyle = DEFAULT_PAGE_STYLE,
    limit: int | None = None,
    cursor: str | None = None,
    most_pages: int = MOST_PAGES,
    most_bytes: int = MOST_BYTES,
) -> Iterator[ReadPage]:
    """The pages of a list, one request each, made when the page is wanted.

    Args:
        client: of httpx2 or httpx.
        url: of the list; its other query parameters stay as they are.
        style: the names of members and parameters.
        limit: items in a page, or None for the server's default.
        cursor: where to begin, from an earlier `ReadPage.next_cursor`, or None for the beginning.
        most_pages: more are an error, for a list that never ends is one.
        most_bytes: of one page.

    Raises:
        ApiError: an answer is an error.
        UnusableAnswer: it is not a page of this style, is longer than `most_bytes`, comes from another origin, has a
            cursor for the second time, or is one more than `most_pages`.
        ConfigurationError: a number is not a whole number of at least 1.
    """
    walk = Walk(url, style, limit=limit, cursor=cursor, most_pages=most_pages, most_bytes=most_bytes)
    while (target := walk.target()) is not None:
        with client.stream("GET", target, headers=_HEADERS) as response:
            raise_for(response)
            page = walk.read(response, read(response, most_bytes))
        yield page


def items(
    client: SyncClient,
    url: str,
    *,
    style: PageStyle = DEFAULT_PAGE_STYLE,
    limit: int | None = None,
    cursor: str | None = None,
    most_pages: int = MOST_PAGES,
    most_bytes: int = MOST_BYTES,
) -> Iterator[Any]:
    """The items of a list, one after the other; arguments and errors are those of `pages`."""
    for page in pages(
        client, url, style=style, limit=limit, cursor=cursor, most_pages=most_pages, most_bytes=most_bytes
    ):
        yield from page.items


async def apages(
    client: AsyncClient,
    url: str,
    *,
    style: PageStyle = DEFAULT_PAGE_STYLE,
    limit: int | None = None,
    cursor: str | None = None,
    most_pages: int = MOST_PAGES,
    most_bytes: int = MOST_BYTES,
) -> AsyncIterator[ReadPage]:
    """`pages` with an async client."""
    walk = Walk(url, style, limit=limit, cursor=cursor, most_pages=most_pages, most_bytes=most_bytes)
    while (target := walk.target()) is not None:
        async with client.stream("GET", target, headers=_HEADERS) as response:
            await araise_for(response)
            page = walk.read(response, await aread(response, most_bytes))
        yield page


async def aitems(
    client: AsyncClient,
    url: str,
    *,
    style: PageStyle = DEFAULT_PAGE_STYLE,
    limit: int | None = None,
    cursor: str | None = None,
    most_pages: int = MOST_PAGES,
    most_bytes: int = MOST_BYTES,
) -> AsyncIterator[Any]:
    """`items` with an async client."""
    async for page in apages(
        client, url, style=style, limit=limit, cursor=cursor, most_pages=most_pages, most_bytes=most_bytes
    ):
        for each in page.items:
            yield each
