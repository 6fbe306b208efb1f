"""Windows in one SQLite file: exact over every process on the machine, with nothing to run beside it.

Each hit is one short transaction over one row, which holds everything its subject has used (`rules.packed`). The clock
is the machine's. The file may be the one that holds the keys; one of its own is better: what a loss of power may do to
windows matters little, so that no hit waits for the disk then, and writing keys does not hold up hits.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence

from .._sqlite import SQLiteFile, path_of
from ..model import Usage, Window
from ..rules.packed import ends, forget, take_back
from ..rules.windows import ledger

# How many rows a new subject has looked at, so that idle ones leave: more than one, or the file would only grow.
SWEPT = 3

# With a row number: rows of a table without one spill into further pages at a kilobyte, and a busy caller's are longer.
_SCHEMA = (
    "windows",
    1,
    (
        """CREATE TABLE keystile_windows (
            id INTEGER PRIMARY KEY, subject TEXT NOT NULL UNIQUE, state BLOB NOT NULL, expires_at INTEGER NOT NULL
        )""",
    ),
)
_FIND = "SELECT id, state FROM keystile_windows WHERE subject = ?"
_ADD = "INSERT INTO keystile_windows (subject, state, expires_at) VALUES (?, ?, ?)"
_KEEP = "UPDATE keystile_windows SET state = ?, expires_at = ? WHERE id = ?"
_DROP = "DELETE FROM keystile_windows WHERE id = ?"
_UNKNOWN = (None, None)
_NEXT = "SELECT id, expires_at FROM keystile_windows WHERE id > ? ORDER BY id LIMIT ?"


class SQLiteLimiter:
    """A `RateLimiter` in a file that every process on the machine may use at once.

    A hit takes about 20 microseconds and never waits: if another process is writing, it raises StoreBusy, and whoever
    called tries again off the event loop.

    Args:
        path: of the file; created if it is missing.
        clock: Unix time in nanoseconds.

    Raises:
        ConfigurationError: the file cannot be used, or was written by another version of the schema.
    """

    blocking = False

    def __init__(self, path: str | os.PathLike[str], *, clock: Callable[[], int] = time.time_ns) -> None:
        self._file = SQLiteFile(path, _SCHEMA, key="limiter", durable=False)
        self._clock = clock
        # Up to which row idle ones were looked for.
        self._swept = 0

    @classmethod
    def from_url(cls, url: str) -> SQLiteLimiter:
        """The limiter in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        return cls(path_of(url, "limiter"))

    def __repr__(self) -> str:
        return f"SQLiteLimiter({self._file.path!r})"

    def hit(self, subject: str, windows: Sequence[Window], cost: int = 1) -> tuple[Usage, ...]:
        """Count the cost in all windows, or in none."""
        if not windows:
            return ()
        decide = ledger(tuple(windows)).decide
        with self._file.write() as connection:
            # Read under the lock: whoever writes later, writes with a later clock.
            now = self._clock() // 1000
            row, packed = connection.execute(_FIND, (subject,)).fetchone() or _UNKNOWN
            after, usages = decide(packed, cost, now)
            if after is None:
                return usages
            if row is not None:
                connection.execute(_KEEP, (after, ends(after), row))
            else:
                connection.execute(_ADD, (subject, after, ends(after)))
                self._sweep(connection, now)
        return usages

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where the subject stands; counts nothing."""
        _, packed = self._file.row(_FIND, (subject,)) or _UNKNOWN
        return ledger(tuple(windows)).look(packed, self._clock() // 1000)

    def refund(self, subject: str, windows: Sequence[Window], cost: int = 1) -> None:
        """Take back what an admitted hit of this cost counted."""
        with self._file.write() as connection:
            row, packed = connection.execute(_FIND, (subject,)).fetchone() or _UNKNOWN
            if packed is not None:
                left = take_back(packed, {(window.scope, window.seconds) for window in windows}, cost)
                connection.execute(_KEEP, (left, ends(left), row))

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what the subject has used in these windows."""
        with self._file.write() as connection:
            row, packed = connection.execute(_FIND, (subject,)).fetchone() or _UNKNOWN
            left = forget(packed, {(window.scope, window.seconds) for window in windows})
            if left is None:
                connection.execute(_DROP, (row,))
            else:
                connection.execute(_KEEP, (left, ends(left), row))

    def close(self) -> None:
        """Close this process's connections."""
        self._file.close()

    def _sweep(self, connection: sqlite3.Connection, now: int) -> None:
        """Look at the next few rows, and drop those of which nothing counts any more."""
        rows = connection.execute(_NEXT, (self._swept, SWEPT)).fetchall()
        for row, expires_at in rows:
            if expires_at <= now:
                connection.execute(_DROP, (row,))
        self._swept = rows[-1][0] if len(rows) == SWEPT else 0
