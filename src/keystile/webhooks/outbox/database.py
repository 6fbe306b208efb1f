"""Connections: the outbox's own, for callers that block and for those that await, and the host's.

What is said of servers that are silent, of connections that break and of writes that nobody has heard of is in
`stores.sql.links`; it holds for the outbox's own. In the host's transaction the host decides all of that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session, scoped_session
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.util import greenlet_spawn

from ..._ground.health import Health
from ..._ground.sqlite import SQLiteFile, path_of
from ..._ground.urls import place_of
from ..._sync import Offload, PerLoop, Pool, adapt, inline
from ...exceptions import ConfigurationError
from ...stores.sql import migrations
from ...stores.sql.links import Links
from ...stores.sql.places import WRITE_SILENCE, Place
from .tables import OUTBOX

T = TypeVar("T")
Work = Callable[[sa.Connection], T]
Tell = Callable[[int, int, str], object]

KINDS = ("postgresql", "sqlite")
# While it is down it is asked once in so many seconds.
_PROBE_EVERY = 1.0
# For how many seconds the server may be silent, also while something is read: no request of the gate's waits for that,
# and a page of a large table takes its time.
_SILENCE = WRITE_SILENCE
# For how long a file that others write to is tried again, in seconds.
_PATIENCE = 5.0
_SLOTS, _QUEUE = 4, 256
_KEY = "outbox"


def _nothing(*_unused: object) -> None:
    pass


class Database:
    """The database of an outbox. A SQLite file gets its tables here, one that is missing is made.

    Args:
        url: ``postgresql://…`` or ``sqlite:///…``.

    Raises:
        ConfigurationError: the URL names no such database, or the file cannot be used.
    """

    def __init__(self, url: str) -> None:
        scheme = url.partition(":")[0] if isinstance(url, str) else ""
        if scheme not in KINDS:
            shown = repr(place_of(url)) if isinstance(url, str) else type(url).__name__
            raise ConfigurationError(f"expected postgresql://… or sqlite:///…, got {shown}", key=_KEY)
        self.place, self._is_file, self._is_checked = Place(url, _KEY), scheme == "sqlite", False
        if self._is_file:
            SQLiteFile(path_of(url, _KEY), (OUTBOX.component, OUTBOX.version, _statements()), key=_KEY).close()
        health = Health(_nothing, _PROBE_EVERY)
        make = partial(Links, self.place, health, _nothing, silence=_SILENCE)
        self._links, self._awaited = make(), PerLoop(partial(make, awaited=True))
        twins = self.place.driver.engine_awaited is not None
        pool = Pool(_SLOTS, _QUEUE)
        self._read, self._write = (
            adapt(
                getattr(self._links, name),
                pool,
                blocking=True,
                patience=_PATIENCE,
                awaited=partial(self._under_asyncio, name) if twins else None,
            )
            for name in ("read", "write")
        )

    def migrate(self, tell: Tell | None, *, dry: bool) -> int:
        """Bring the tables up to date; how many statements that took."""
        return 0 if self._is_file else migrations.migrate(self.place, OUTBOX, tell or _nothing, dry=dry)

    async def read(self, offload: Offload, work: Work[T]) -> T:
        """What the work gives, each of whose statements stands alone."""
        found: T = await self._read(offload, partial(self._check_first, work))
        return found

    async def write(self, offload: Offload, work: Work[T], written: Callable[[sa.Connection], T | None]) -> T:
        """What the work gives, done in one transaction.

        Args:
            offload: how blocking work is run.
            work: what is to be done.
            written: what the work would have given, if it was done before and only nobody has heard of it; else None.
        """
        found: T = await self._write(offload, partial(self._check_first, work), written)
        return found

    def close(self) -> None:
        """Close the connections of callers that block. They are made again when they are needed."""
        self._links.close()

    async def aclose(self) -> None:
        """Close these, and those of the running event loop."""
        self.close()
        links = self._awaited.pop()
        if links is not None:
            await greenlet_spawn(links.close)

    async def _under_asyncio(self, name: str, *args: Any) -> Any:
        return await greenlet_spawn(getattr(self._awaited.get(), name), *args)

    def _check_first(self, work: Work[T], connection: sa.Connection) -> T:
        if not self._is_checked:
            migrations.check(self.place, connection, OUTBOX)
            self._is_checked = True
        return work(connection)


async def in_session(offload: Offload, session: Any, work: Callable[[sa.Connection], str]) -> str:
    """What the work gives, in the transaction of the host's session or connection.

    Raises:
        ConfigurationError: it is none, it is on another kind of database, or it cannot be used here.
    """

    def inside(given: Any) -> str:
        connection = given if isinstance(given, sa.Connection) else given.connection()
        if connection.dialect.name not in KINDS:
            raise ConfigurationError(f"expected one on {' or '.join(KINDS)}", key="session")
        return work(connection)

    if isinstance(session, (AsyncSession, AsyncConnection)):
        if offload is inline:
            raise ConfigurationError("is async: await aadd() instead", key="session")
        return await session.run_sync(inside)
    if not isinstance(session, (Session, scoped_session, sa.Connection)):
        raise ConfigurationError("expected a Session or a Connection of SQLAlchemy", key="session")
    if offload is not inline:
        raise ConfigurationError("blocks: call add() instead, or give an AsyncSession", key="session")
    return inside(session)


def _statements() -> tuple[str, ...]:
    dialect = sa.make_url("sqlite://").get_dialect()()
    made: list[CreateTable | CreateIndex] = []
    for table in OUTBOX.tables:
        made += [
            CreateTable(table),
            *(CreateIndex(each) for each in sorted(table.indexes, key=lambda each: str(each.name))),
        ]
    return tuple(str(each.compile(dialect=dialect)) for each in made)
