"""Connections to the database: how often something is tried, and when the database counts as down.

While it is down, every call but one fails at once. Otherwise each worker would wait for its silence in turn, and a
stopped database would stop everything else that these workers do.

What is read may be read again on another connection. What is written is never just sent again: after a connection broke
nobody knows whether the commit was done. But each write keeps audit entries with ids of its own in the same
transaction, so the second try first looks whether they are there. Uses may be noted twice; counts, which have nothing
like that, are then added twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import sqlalchemy as sa

from ... import _sync
from ..._ground.health import Health
from ...exceptions import StoreUnavailable
from ..rows import Row
from .places import READ_SILENCE, Place, origin_of

T = TypeVar("T")

# How often a transaction is begun anew because of others.
TRIES = 4


class Links:
    """The connections of one process; or of one event loop.

    Args:
        place: the database.
        health: whether it is up.
        forget: called when a connection is made: what was read before may come from another database.
        awaited: for asyncio; then everything here is called inside a greenlet.
        silence: for how many seconds the server may be silent while something is read.
    """

    def __init__(
        self,
        place: Place,
        health: Health,
        forget: Callable[[], None],
        *,
        awaited: bool = False,
        silence: float = READ_SILENCE,
    ) -> None:
        self._place, self._health = place, health
        self.readers, self.writers = place.readers(silence, awaited=awaited), place.writers(awaited=awaited)
        self._errors: tuple[type[Exception], ...] = (sa.exc.SQLAlchemyError, *place.driver.errors)
        self._probing = False
        sa.event.listen(self.readers, "connect", lambda *_unused: forget())
        for engine in (self.readers, self.writers):
            # Whoever has waited for a connection would otherwise wait once more, for a server that is silent.
            sa.event.listen(engine, "do_connect", self._may_connect, insert=True)
        _sync.on_fork(self)

    def reset(self) -> None:
        """Leave the parent's connections to it, in a forked child."""
        for engine in (self.readers, self.writers):
            engine.dispose(close=False)

    def close(self) -> None:
        """Close all connections. They are made again when they are needed."""
        for engine in (self.readers, self.writers):
            engine.dispose()

    def row(self, statement: str, values: dict[str, str]) -> Row | None:
        """The first row that a statement gives: what `read` does, for the statement of every request.

        It goes to the driver: SQLAlchemy's own result takes as long as PostgreSQL's answer.
        """

        def once(seen: int) -> Row | None:
            fairy = self.readers.raw_connection()
            try:
                self._go_on(seen)
                cursor = fairy.cursor()
                cursor.execute(statement, values)
                found: Row | None = cursor.fetchone()
            except BaseException:
                fairy.invalidate()
                raise
            fairy.close()
            return found

        def twice(seen: int) -> Row | None:
            try:
                return once(seen)
            except self._errors as error:
                if not self._is_broken(error):
                    raise
            # SQLAlchemy's own way takes all connections for lost when one is.
            return self._read(lambda connection: connection.exec_driver_sql(statement, values).first(), seen)

        return self._while_up(twice)

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """What the work gives, with a connection on which each statement stands alone."""
        return self._while_up(lambda seen: self._read(work, seen))

    def write(self, work: Callable[[sa.Connection], T], written: Callable[[sa.Connection], T | None]) -> T:
        """What the work gives, done in one transaction.

        Args:
            work: what is to be done.
            written: what the work would have given, if it was done before and only nobody has heard of it; else None.
        """

        def once(seen: int, again: bool) -> T:
            with self.writers.begin() as connection:
                self._go_on(seen)
                if self._place.driver.settle is not None:
                    connection.exec_driver_sql(self._place.driver.settle)
                done = written(connection) if again else None
                return work(connection) if done is None else done

        def several(seen: int) -> T:
            broken = 0
            for _ in range(TRIES):
                try:
                    return once(seen, broken > 0)
                except self._errors as error:
                    lost = self._is_broken(error)
                    broken += lost
                    if broken > 1 or not (lost or self._place.driver.is_conflict(origin_of(error))):
                        raise
            return once(seen, broken > 0)

        return self._while_up(several)

    def _read(self, work: Callable[[sa.Connection], T], seen: int) -> T:
        def once() -> T:
            with self.readers.connect() as connection:
                self._go_on(seen)
                return work(connection)

        try:
            return once()
        except self._errors as error:
            if not self._is_broken(error):
                raise
        return once()

    def _while_up(self, call: Callable[[int], T]) -> T:
        """The result of a call that is given the number of the database's state."""
        health = self._health
        seen = health.changes
        is_down = seen % 2 == 1
        if is_down and not health.may_probe():
            raise StoreUnavailable(self._place.name, "does not answer")
        self._probing |= is_down
        try:
            found = call(seen)
        except self._errors as error:
            failed = self._place.unavailable(error)
            if getattr(error, "connection_invalidated", False) or self._place.driver.is_gone(origin_of(error)):
                health.failed(seen, failed)
        else:
            if is_down:
                health.answered(seen)
            return found
        finally:
            if is_down:
                self._probing = False
                health.probed()
        raise failed

    def _go_on(self, seen: int) -> None:
        """Fail if the database went down while this call waited for a connection."""
        if self._health.changes != seen and self._health.changes % 2:
            raise StoreUnavailable(self._place.name, "does not answer")

    def _may_connect(self, *_unused: object) -> None:
        """Let only the call that asks whether the database is back make a connection while it is down."""
        if self._health.changes % 2 and not self._probing:
            raise StoreUnavailable(self._place.name, "does not answer")

    def _is_broken(self, error: Exception) -> bool:
        """Whether another connection may work: this one was lost, and not because the server is silent."""
        driver, origin = self._place.driver, origin_of(error)
        lost = driver.is_gone(origin) if origin is error else getattr(error, "connection_invalidated", False)
        return bool(lost) and not driver.is_silence(origin)
