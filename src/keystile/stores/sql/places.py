"""Which database a URL names, and the engines for it.

    postgresql://user:password@host/name        mysql://…        mariadb://…

Two engines for a process, as transactions cost what a verdict must not: for reading alone there is no BEGIN, no COMMIT
and no ROLLBACK, so that a record is one round trip away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import sqlalchemy as sa

from ..._ground.sqlite import path_of
from ..._ground.urls import place_of
from ...exceptions import ConfigurationError, StoreBusy, StoreUnavailable

# For how many seconds the server may be silent: while a request waits, and while something is written, which may have
# to wait for others for as long as the server allows (2 s).
READ_SILENCE, WRITE_SILENCE = 0.4, 3.0
# For how many seconds a request waits for a connection that others use: longer than for the server, or a silence would
# be taken for too few connections.
POOL_PATIENCE = 0.5
READERS, WRITERS, MOST_READERS = 4, 2, 100
# A connection is not used for longer, in seconds: what lies between may forget it.
_OLDEST = 1800
_OURS = ("prepare", "pool")


class Driver(Protocol):
    """What differs between databases. Errors are the driver's own.

    Attributes:
        errors: what it raises.
        settle: a statement that begins each transaction, or None.
    """

    errors: tuple[type[Exception], ...]
    settle: str | None

    def engine(self, silence: float, **options: Any) -> sa.Engine:
        """An engine whose connections wait no longer than this for a sign of the server, in seconds."""

    @property
    def engine_awaited(self) -> Callable[..., sa.Engine] | None:
        """What `engine` is, for asyncio; None if the driver only blocks."""

    def is_silence(self, error: BaseException) -> bool:
        """Whether the server gave no sign of life in time."""

    def is_gone(self, error: BaseException) -> bool:
        """Whether the server is not there for anybody."""

    def is_conflict(self, error: BaseException) -> bool:
        """Whether nothing was done because of what others did at the same time."""

    def is_busy(self, error: BaseException) -> bool:
        """Whether another try within milliseconds may succeed."""

    def code(self, error: BaseException) -> str:
        """What may be told of an error."""


class Place:
    """The database of a URL.

    Args:
        url: ``postgresql://…``, ``mysql://…`` or ``mariadb://…``. ``?pool=8`` is how many connections a process reads
            with; ``?prepare=off`` has PostgreSQL prepare no statements, for poolers that lose them. Everything else is
            the driver's. For the outbox of webhooks also ``sqlite:///file.db``.
        key: the setting that names it, for errors.

    Raises:
        ConfigurationError: the URL cannot be read, or its driver is not installed.
    """

    def __init__(self, url: str, key: str = "store") -> None:
        self.name, self._key = url if url.startswith("sqlite:") else place_of(url), key
        try:
            given = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError):
            raise self.wrong("is not a URL of a database") from None
        self._readers = self._pool(given.query.get("pool", str(READERS)))
        prepare = given.query.get("prepare", "on")
        if prepare not in {"on", "off"}:
            raise self.wrong("prepare: expected on or off")
        self.driver = self._driver(given.difference_update_query(_OURS), prepare == "on")

    def wrong(self, reason: str) -> ConfigurationError:
        """What is wrong with this database."""
        return ConfigurationError(reason, key=self._key, source=self.name)

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """The same without the driver's words, which may hold values."""
        kind = StoreBusy if self.driver.is_busy(origin_of(error)) else StoreUnavailable
        return kind(self.name, self.said(error))

    def said(self, error: Exception) -> str:
        """What may be told of an error."""
        return "no connection is free" if isinstance(error, sa.exc.TimeoutError) else self.driver.code(origin_of(error))

    def readers(self, silence: float, *, awaited: bool = False) -> sa.Engine:
        """The engine for reading, whose server may be silent for so many seconds."""
        return self._engine(awaited, silence, self._readers, isolation_level="AUTOCOMMIT", pool_reset_on_return=None)

    def writers(self, *, awaited: bool = False) -> sa.Engine:
        """The engine for transactions. A count must see what others have committed while it waited for its lock."""
        return self._engine(awaited, WRITE_SILENCE, WRITERS, isolation_level="READ COMMITTED")

    @contextmanager
    def patient(self) -> Iterator[sa.Engine]:
        """An engine for changes of the tables, which may take long."""
        engine = self._checked(False, 3600.0, poolclass=sa.NullPool)
        try:
            yield engine
        finally:
            engine.dispose()

    def _engine(self, awaited: bool, silence: float, size: int, **options: Any) -> sa.Engine:
        return self._checked(
            awaited,
            silence,
            pool_size=size,
            max_overflow=0,
            pool_timeout=POOL_PATIENCE,
            pool_recycle=_OLDEST,
            pool_use_lifo=True,
            skip_autocommit_rollback=True,
            **options,
        )

    def _checked(self, awaited: bool, silence: float, **options: Any) -> sa.Engine:
        make = (self.driver.engine_awaited if awaited else None) or self.driver.engine
        try:
            return make(silence, hide_parameters=True, **options)
        except (sa.exc.ArgumentError, TypeError, ValueError) as error:
            reason = type(error).__name__
        raise self.wrong(f"its options cannot be used: {reason}")

    def _pool(self, text: Any) -> int:
        if not isinstance(text, str) or not text.isascii() or not text.isdecimal():
            raise self.wrong("pool: expected a whole number")
        if not 1 <= int(text[:9]) <= MOST_READERS:
            raise self.wrong(f"pool: expected 1 to {MOST_READERS}")
        return int(text)

    def _driver(self, url: sa.URL, prepares: bool) -> Driver:
        kind = url.drivername
        if kind == "sqlite":
            from .sqlite import SQLite

            return SQLite(path_of(url.render_as_string(), self._key))
        try:
            if kind == "postgresql":
                from .postgresql import PostgreSQL

                return PostgreSQL(url, prepares)
            from .mysql import MySQL

            return MySQL(url)
        except ImportError:
            extra = "sql" if kind == "postgresql" else "mysql"
        raise self.wrong(f"needs a driver: pip install 'keystile[{extra}]'")


def origin_of(error: Exception) -> BaseException:
    """The driver's own error, if there is one behind this one."""
    return getattr(error, "orig", None) or error
