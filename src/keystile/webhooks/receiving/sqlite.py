"""The ids of messages in one SQLite file, for every process on the machine."""

from __future__ import annotations

import os

from ..._ground.sqlite import SQLiteFile, path_of
from .ids import DONE, NEW, UNDER_WAY, State

# How many ended notes each new one deletes. More than one, or the file would only grow.
SWEPT = 3

_SCHEMA = (
    "webhook_ids",
    1,
    (
        """CREATE TABLE keystile_webhook_ids (
            id TEXT PRIMARY KEY NOT NULL, token TEXT, until REAL NOT NULL
        ) WITHOUT ROWID""",
        "CREATE INDEX keystile_webhook_ids_by_end ON keystile_webhook_ids (until)",
    ),
)
_FIND = "SELECT token, until FROM keystile_webhook_ids WHERE id = ?"
_PUT = "INSERT OR REPLACE INTO keystile_webhook_ids (id, token, until) VALUES (?, ?, ?)"
_DONE = "UPDATE keystile_webhook_ids SET token = NULL, until = ? WHERE id = ? AND token = ?"
_DROP = "DELETE FROM keystile_webhook_ids WHERE id = ? AND token = ?"
_SWEEP = """DELETE FROM keystile_webhook_ids WHERE id IN
    (SELECT id FROM keystile_webhook_ids WHERE until <= ? ORDER BY until LIMIT ?)"""


class SQLiteIds:
    """An `IdStore` in a file that every process on the machine may use at once.

    It never waits: if another process is writing, it raises StoreBusy, and the caller tries again off the event loop.
    No commit waits for the disk. After a loss of power the last messages may run the app once more.

    Args:
        path: of the file; created if it is missing.

    Raises:
        ConfigurationError: the file cannot be used, or was written by another version of the schema.
    """

    blocking = False

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._file = SQLiteFile(path, _SCHEMA, key="ids", durable=False)

    @classmethod
    def from_url(cls, url: str) -> SQLiteIds:
        """The store in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        return cls(path_of(url, "ids"))

    def __repr__(self) -> str:
        return f"SQLiteIds({self._file.path!r})"

    def begin(self, id: str, token: str, now: float, until: float) -> State:
        """See `IdStore`."""
        with self._file.write() as connection:
            found = connection.execute(_FIND, (id,)).fetchone()
            if found is not None and found[1] > now:
                return UNDER_WAY if found[0] else DONE
            connection.execute(_PUT, (id, token, until))
            connection.execute(_SWEEP, (now, SWEPT))
        return NEW

    def end(self, id: str, token: str, until: float | None) -> None:
        """See `IdStore`."""
        with self._file.write() as connection:
            if until is None:
                connection.execute(_DROP, (id, token))
            else:
                connection.execute(_DONE, (until, id, token))

    def close(self) -> None:
        """Close this process's connections."""
        self._file.close()
