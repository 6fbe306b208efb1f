"""The yardstick: a gate that is one function, in memory, without settings.

The aims in µs are those of a machine on which such a function adds 2.9 µs to a raw app. It proves a key, reads its
record, looks at its end and its addresses, counts in two windows and writes the same head. What it cannot do is what a
gate is for: rules, refusals that say why, stores, windows that forget in time, requests in which anything is unusual.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Awaitable
from threading import Lock
from typing import Any, NamedTuple

from keystile.gate.transport import RequestIds

NAME = "one function"
REFERENCE = 2.9
"""What it added to a raw app where the aims were set, in µs."""
MINUTE, DAY, SIXTIETH = 60_000_000, 86_400_000_000, 60


class Record(NamedTuple):
    """What is kept of a key."""

    id: str
    ends: float
    addresses: frozenset[str]


def prototype(  # noqa: C901 - one function is the point
    app: Any, key: str, most: tuple[int, int] = (10_000_000, 500_000_000)
) -> Any:
    """The app behind it, as ASGI."""
    keyed, ids, lock = hashlib.blake2b(key=os.urandom(32), digest_size=16), RequestIds(), Lock()
    digest_of = keyed.copy()
    digest_of.update(key.encode())
    proofs = {digest_of.digest(): "id"}
    records = {"id": Record("id", float("inf"), frozenset(["127.0.0.1"]))}
    # Of each window: the first moment and the last of its newest batch, its units, and those of older batches.
    used: dict[str, tuple[int, ...]] = {"id": (0, 0, 0, 0, 0, 0, 0, 0)}
    most1, most2 = most
    refused = {"type": "http.response.start", "status": 401, "headers": [(b"content-length", b"0")]}
    end = {"type": "http.response.body", "body": b""}
    usual = [(b"cache-control", b"private"), (b"vary", b"authorization, x-api-key")]

    async def guarded(scope: Any, receive: Any, send: Any) -> Any:  # noqa: C901
        token = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                scheme, _, token = value.partition(b" ")
        if token is None or scheme not in {b"Bearer", b"bearer"} or len(token) > 1024:
            await send(refused)
            return await send(end)
        digest = keyed.copy()
        digest.update(token)
        found = proofs.get(digest.digest())
        record = None if found is None else records.get(found)
        if record is None or time.time() >= record.ends or scope["client"][0] not in record.addresses:
            await send(refused)
            return await send(end)
        now = time.time_ns() // 1000
        lock.acquire()
        try:
            first1, last1, count1, rest1, first2, last2, count2, rest2 = used[record.id]
            if now >= last1 + MINUTE:
                count1 = rest1 = 0
            if now >= last2 + DAY:
                count2 = rest2 = 0
            left1, left2 = most1 - count1 - rest1 - 1, most2 - count2 - rest2 - 1
            full = left1 < 0 or left2 < 0
            if not full:
                if now - first1 >= MINUTE // SIXTIETH:
                    first1, rest1, count1 = now, rest1 + count1, 0
                if now - first2 >= DAY // SIXTIETH:
                    first2, rest2, count2 = now, rest2 + count2, 0
                used[record.id] = first1, now, count1 + 1, rest1, first2, now, count2 + 1, rest2
        finally:
            lock.release()
        if full:
            await send(refused)
            return await send(end)
        left, limit, resets = (left1, most1, now + MINUTE) if left1 <= left2 else (left2, most2, now + DAY)
        own = [
            (b"x-request-id", ids.draw().encode()),
            *usual,
            (b"x-ratelimit-limit", b"%d" % limit),
            (b"x-ratelimit-remaining", b"%d" % left),
            (b"x-ratelimit-reset", b"%d" % -(-resets // 1_000_000)),
        ]

        def send_written(message: Any) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *own]}
            sent: Awaitable[None] = send(message)
            return sent

        return await app(scope, receive, send_written)

    return guarded
