"""SQLite by its own module, for what a host writes through SQLAlchemy in its own transactions: the outbox of webhooks.

Keys are in `stores.sqlite`, which reads faster. The rules are those of `_ground.sqlite`: a missing file is never made
here, SQLite's own busy handler is off, and whoever finds the file busy tries again after a short pause.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa

# The last code can come from a race for the first connection in WAL mode.
_BUSY = frozenset((sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL))


class SQLite:
    """One file.

    Args:
        path: of the file.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)
    settle: str | None = None
    engine_awaited = None  # it only blocks, and mostly for microseconds

    def __init__(self, path: str) -> None:
        self._path = str(Path(path).absolute())

    def engine(self, silence: float, **options: Any) -> sa.Engine:  # noqa: ARG002 - what a server needs
        """An engine; no server can be silent here. A transaction holds the lock for writing from its start: one that
        reads first would fail where others have written since."""
        reads = options.get("isolation_level") == "AUTOCOMMIT"
        # Its module begins no transaction by itself, which SQLAlchemy would take for a reason not to end one.
        options |= {"isolation_level": "AUTOCOMMIT" if reads else None, "skip_autocommit_rollback": reads}
        engine = sa.create_engine("sqlite://", creator=self._connect, **{"poolclass": sa.QueuePool, **options})
        if not reads:
            sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
        return engine

    def is_silence(self, _error: BaseException) -> bool:
        """Whether the server gave no sign of life in time: there is none."""
        return False

    def is_gone(self, _error: BaseException) -> bool:
        """Whether it is not there for anybody."""
        return False

    def is_conflict(self, _error: BaseException) -> bool:
        """Whether nothing was done because of what others did at the same time: they wait for each other."""
        return False

    def is_busy(self, error: BaseException) -> bool:
        """Whether another try within milliseconds may succeed."""
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY

    def code(self, error: BaseException) -> str:
        """What may be told of an error. Its message may hold values."""
        return f"{type(error).__name__} {getattr(error, 'sqlite_errorname', '')}".rstrip()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(self._path)}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
        )
