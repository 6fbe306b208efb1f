"""The client: what feeds the readers of what servers answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import httpx2

from keystile import PageStyle
from keystile.client import UnusableAnswer
from keystile.client.auth import KeyAuth
from keystile.client.bodies import BoundedBody
from keystile.client.raising import error_from
from keystile.client.waits import told
from keystile.client.walks import Walk

_REQUEST = KeyAuth("acme_live_0123456789abcdef")(httpx2.Request("GET", "https://api.example.com/v1/things"))
_MOST = 65_536


def wait(sent: str) -> None:
    """A header of a refusal, with too much in each field."""
    for name in ("retry-after", "date", "x-ratelimit-reset"):
        told({"x-ratelimit-remaining": "0", name: sent}, 0.0)
    told({"x-ratelimit-remaining": sent}, 0.0)


def error(before: bytes, after: bytes) -> Callable[[bytes], object]:
    """An error whose body is of the longest."""

    def read(sent: bytes) -> None:
        body = before + sent[: _MOST - len(before) - len(after)] + after
        response = httpx2.Response(422, headers={"content-type": "application/json"}, request=_REQUEST)
        error_from(response, body)

    return read


def body(sent: bytes) -> None:
    """A body that is folded or not, in small chunks."""
    for encoding in ("", "gzip"):
        read = BoundedBody(encoding, _MOST)
        for begin in range(0, len(sent), 1024):
            if not read.feed(sent[begin : begin + 1024]):
                break


def page(sent: bytes) -> None:
    """A page that is none, and one whose cursor is too much."""
    response = httpx2.Response(200, request=_REQUEST)
    cursor = {"data": [], "pagination": {"has_more": True, "next_cursor": sent.decode("latin-1")}}
    for document in (sent, json.dumps(cursor).encode()):
        walk = Walk("/v1/things", PageStyle(), limit=None, cursor=None, most_pages=9, most_bytes=_MOST)
        with suppress(UnusableAnswer):
            walk.read(response, document)
            walk.target()


_CALLERS = "its user is the program that calls an API"
_READS = "see BoundedBody.feed"
NO_STRANGERS = {
    "client.paging": "see Walk.read",
    "client.transports": _CALLERS,
    "client.shapes": _CALLERS,
}
NOT_FED = {
    "client.auth.Carried.put": "takes a request of the caller's own, or what the library made of a redirect",
    "client.auth.Carried.leave": "notes in such a request that it is to go without the key",
    "client.auth.carried_by": "one look-up in a request of the caller's own",
    "client.bodies.aread": _READS,
    "client.bodies.read": _READS,
}
