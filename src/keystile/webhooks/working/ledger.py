"""What workers leave to each other: deliveries that they did not begin, and how far they have read something."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ..._sync import Offload
from ...keys.changes.fields import check_text
from ...keys.changes.twins import awaited, blocking
from ..outbox import Claimed, Outbox
from ..outbox.stamps import micros, seconds
from ..outbox.tables import deliveries, marks


class Ledger:
    """Operations on an outbox's database that are for workers alone.

    Args:
        outbox: whose.
    """

    needs_await = False

    def __init__(self, outbox: Outbox) -> None:
        self._database = outbox.database

    async def _give_back(self, offload: Offload, given: Sequence[Claimed], *, now: float) -> int:
        """Let others claim these at once, as if they had not been claimed; gives how many they were. One whose lease
        has ended and that another has claimed stays with him."""
        work = partial(_give_back, given=given, now=now)
        return await self._database.write(offload, work, lambda _connection: None)

    async def _mark(self, offload: Offload, name: str) -> float | None:
        """How far this was read, in Unix seconds; None if it never was."""
        wanted = sa.select(marks.c.at).where(marks.c.name == check_text(name, "name"))
        found = await self._database.read(offload, lambda connection: connection.execute(wanted).scalar())
        return None if found is None else seconds(found)

    async def _set_mark(self, offload: Offload, name: str, at: float) -> None:
        """Note how far this was read. It never goes back: of two readers, the one that is ahead counts."""
        work = partial(_set_mark, name=check_text(name, "name"), at=micros(at))
        await self._database.write(offload, work, lambda _connection: None)

    give_back, agive_back = blocking(_give_back), awaited(_give_back)
    mark, amark = blocking(_mark), awaited(_mark)
    set_mark, aset_mark = blocking(_set_mark), awaited(_set_mark)


def _give_back(connection: sa.Connection, given: Sequence[Claimed], now: float) -> int:
    done = 0
    for each in sorted(given, key=lambda claimed: claimed.delivery_id):  # locks in one order form no circle
        own = (
            deliveries.c.id == each.delivery_id,
            deliveries.c.lease_by == each.lease_by,
            deliveries.c.attempt == each.attempt,
            deliveries.c.state == "due",
        )
        values = {"attempt": deliveries.c.attempt - 1, "lease_by": None, "due_at": micros(now)}
        done += connection.execute(sa.update(deliveries).where(*own).values(values)).rowcount
    return done


def _set_mark(connection: sa.Connection, name: str, at: int) -> bool:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
    new = insert(marks).values(name=name, at=at)
    ahead = new.on_conflict_do_update(index_elements=["name"], set_={"at": at}, where=marks.c.at < at)
    connection.execute(ahead)
    return True
