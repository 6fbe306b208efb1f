"""Fills key stores with many keys at once, as their own operations would leave them, each with the entry that tells of
it: operations that wait for the disk, one by one, would take hours."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from keystile._sync import is_async
from keystile.model import Actor, ApiKey, AuditEntry, SecretHash, Target
from keystile.stores.rows import AUDIT_COLUMNS, KEY_COLUMNS, entry_row, key_row

T0 = datetime(2026, 1, 15, tzinfo=UTC)
HASH = SecretHash("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$" + "a" * 43, "aaaa")
BATCH = 5000
Pairs = Iterator[tuple[ApiKey, AuditEntry]]


def key_id(number: int) -> str:
    """The id of the key with this number."""
    return f"{number:012d}"


def made(first: int, end: int) -> Pairs:
    """Keys, each with the entry about its creation."""
    for number in range(first, end):
        at, name = T0 + timedelta(seconds=number), f"key {number}"
        key = ApiKey(id=key_id(number), name=name, created_at=at, hashes=(HASH,), scopes=("read", "write"))
        yield key, told_of(key, number)


def told_of(key: ApiKey, number: int) -> AuditEntry:
    """The entry about a key's creation."""
    name = f"aud_{number:022d}0000"
    return AuditEntry(
        id=name,
        at=key.created_at,
        event="key.create",
        actor=Actor(),
        organization_id=None,
        targets=(Target("key", key.id, key.name),),
        correlation_id=name,
    )


async def fill(url: str, store: Any, first: int, end: int) -> None:
    """Write the keys from one number on and before another."""
    await keep(url, store, made(first, end))


async def keep(url: str, store: Any, pairs: Pairs) -> None:
    """Write these keys."""
    scheme = url.partition(":")[0]
    bulk = {"sqlite": _sqlite, "redis": _redis}.get(scheme, _sql if url.startswith(("postgresql", "m")) else None)
    if bulk is not None and scheme != "memory":
        bulk(url, iter(lambda: list(islice(pairs, BATCH)), []))
        return
    for key, entry in pairs:
        found = store.add(key, [entry])
        if is_async(store.add):
            await found


Batches = Iterator[Sequence[tuple[ApiKey, AuditEntry]]]


def _sqlite(url: str, batches: Batches) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        for batch in batches:
            with connection:
                for table, columns, rows in _tables(batch):
                    marks = ", ".join("?" * len(columns))
                    connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)
        connection.execute("ANALYZE")


def _sql(url: str, batches: Batches) -> None:
    import sqlalchemy as sa

    from keystile.stores.sql import metadata
    from keystile.stores.sql.places import Place

    with Place(url).patient() as engine:
        for batch in batches:
            named = [(key.id, entry.id) for key, entry in batch]
            targets = ("keystile_audit_targets", ("target_id", "entry_id"), named)
            with engine.begin() as connection:
                for table, columns, rows in (*_tables(batch), targets):
                    values = [dict(zip(columns, row, strict=True)) for row in rows]
                    connection.execute(sa.insert(metadata.tables[table]), values)
        if engine.dialect.name == "postgresql":
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                connection.exec_driver_sql("VACUUM ANALYZE")


def _tables(batch: Sequence[tuple[ApiKey, AuditEntry]]) -> Sequence[tuple[str, Sequence[str], Sequence[Any]]]:
    return (
        ("keystile_keys", KEY_COLUMNS, [tuple(key_row(key)) for key, _ in batch]),
        ("keystile_audit", AUDIT_COLUMNS, [entry_row(entry) for _, entry in batch]),
    )


def _redis(url: str, batches: Batches) -> None:
    import redis

    with closing(redis.Redis.from_url(url)) as client:
        for batch in batches:
            with client.pipeline(transaction=False) as pipe:
                for key, entry in batch:
                    _note(pipe.execute_command, key, entry)
                pipe.execute()


def _note(send: Callable[..., Any], key: ApiKey, entry: AuditEntry) -> None:
    """The commands that leave one key in a single server."""
    from keystile.stores.redis.bodies import draw, entry_text, key_text
    from keystile.stores.redis.names import EVERYBODY, Entry, Slot, age_of, octets_of

    noted, slot = Entry(key, draw()), Slot("key", key.id)
    send("SET", slot.name("record"), key_text(key, noted.token))
    send("HSET", slot.name("audit"), entry.id, entry_text(entry))
    for owner in noted.slots:
        send("ZADD", owner.name("live"), noted.expires, noted.octets)
        if owner.id is not None:
            send("ZADD", owner.name("list"), 0, noted.listed)
    send("ZADD", EVERYBODY.name("list"), 0, noted.listed)
    send("HSET", EVERYBODY.name("told-at"), entry.id, age_of(entry.at))
    member = age_of(entry.at) + octets_of(f"{entry.id}\0{slot.kind}:{slot.id}")
    for index in (EVERYBODY, Slot("target", key.id)):
        send("ZADD", index.name("told"), 0, member)
