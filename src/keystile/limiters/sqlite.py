"""Windows in one SQLite file: exact over every process on the machine, with no server to run.

Each hit is one short transaction on one row, which holds everything that its subject has used
(`rules.limits.packed`). The clock is the machine's. A row that cannot be read starts afresh; this concerns its subject
alone. The file may be the one that holds the keys. A file of its own is better: losing the last moments of windows
matters little, so no hit waits for the disk then, and writing keys does not hold up hits.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from .._ground.sqlite import SQLiteFile, path_of
from ..model import Charge, Usage, Window
from ..rules.limits.batches import is_possible
from ..rules.limits.charges import Costs, check_costs
from ..rules.limits.packed import LATEST, UNREADABLE, ends, forget, slot_of
from ..rules.limits.windows import Decide, decider, look, refund
from . import ignore

# How many rows each new subject checks, to delete idle ones. More than one, or the file would only grow.
SWEPT = 3

# With a row id: in a table without one, rows over a kilobyte spill into more pages, and a busy caller's row is longer.
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

    A hit takes about 20 microseconds and never waits. If another process is writing, it raises StoreBusy, and the
    caller tries again off the event loop.

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
        self.on_unreadable: Callable[[str], object] = ignore
        """Called with a subject whose row could not be read, so that it started afresh."""
        # Idle rows were searched for up to this row.
        self._swept = 0

    @classmethod
    def from_url(cls, url: str) -> SQLiteLimiter:
        """The limiter in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        return cls(path_of(url, "limiter"))

    def __repr__(self) -> str:
        return f"SQLiteLimiter({self._file.path!r})"

    def hit(self, subject: str, charges: Sequence[Charge]) -> tuple[Usage, ...]:
        """Count each cost in its window, all or none."""
        if not charges:
            return ()
        (decide, costs), name = decider(tuple(charges)), _name_of(subject)
        with self._file.write() as connection:
            # The clock is read under the lock, so that a later write has a later time.
            now = self._clock() // 1000
            row, packed = connection.execute(_FIND, (name,)).fetchone() or _UNKNOWN
            if packed is None:
                after, usages = decide(None, costs, now)
                until = 0 if after is None else ends(after)
            else:
                after, usages, until = self._decide(subject, decide, packed, costs, now)
            if after is None:
                return usages
            if row is not None:
                connection.execute(_KEEP, (after, until, row))
            else:
                connection.execute(_ADD, (name, after, until))
                self._sweep(connection, now)
        return usages

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where the subject stands; counts nothing."""
        _, packed = self._file.row(_FIND, (_name_of(subject),)) or _UNKNOWN
        now = self._clock() // 1000
        try:
            return look(packed, tuple(windows), now)
        except UNREADABLE:
            self.on_unreadable(subject)
            return look(None, tuple(windows), now)

    def refund(self, subject: str, charges: Sequence[Charge], at: int) -> None:
        """Take back units that a hit counted at this moment."""
        check_costs(cost for _, cost in charges)
        with self._file.write() as connection:
            row, packed = connection.execute(_FIND, (_name_of(subject),)).fetchone() or _UNKNOWN
            if packed is None:
                return
            with suppress(*UNREADABLE):  # the next hit has it start afresh
                left = refund(packed, charges, at, self._clock() // 1000)
                connection.execute(_KEEP, (left, ends(left), row))

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what the subject has used in these windows."""
        with self._file.write() as connection:
            row, packed = connection.execute(_FIND, (_name_of(subject),)).fetchone() or _UNKNOWN
            left = None
            with suppress(*UNREADABLE):
                left = forget(packed, {slot_of(window) for window in windows})
                if left is not None:
                    connection.execute(_KEEP, (left, ends(left), row))
                    return
            connection.execute(_DROP, (row,))

    def close(self) -> None:
        """Close this process's connections."""
        self._file.close()

    def _decide(
        self, subject: str, decide: Decide, packed: Any, costs: Costs, now: int
    ) -> tuple[bytes | None, tuple[Usage, ...], int]:
        """What `decide` says, and when the stored state ends. A state that cannot be read counts as a new subject's."""
        try:
            after, usages = decide(packed, costs, now)
            until = 0 if after is None else ends(after)
            if until <= LATEST and is_possible(usages, costs, counted=after is not None):
                return after, usages, until
        except UNREADABLE:
            pass
        self.on_unreadable(subject)
        after, usages = decide(None, costs, now)
        return after, usages, 0 if after is None else ends(after)

    def _sweep(self, connection: sqlite3.Connection, now: int) -> None:
        """Check the next few rows, and delete those in which nothing counts any more."""
        rows = connection.execute(_NEXT, (self._swept, SWEPT)).fetchall()
        for row, expires_at in rows:
            if expires_at <= now:
                connection.execute(_DROP, (row,))
        self._swept = rows[-1][0] if len(rows) == SWEPT else 0


def _name_of(subject: str) -> str | bytes:
    """What stands for a subject in the file. To SQLite a lone surrogate is no text; octets equal no text."""
    try:
        subject.encode()
    except UnicodeEncodeError:
        return subject.encode("utf-8", "surrogatepass")
    return subject
