"""One SQLite file, used by many threads and processes at once.

The threads of a process take connections in turn (`_sync.Shelf`), in WAL mode, so that readers never wait for a
writer. SQLite's busy handler is off, because it can starve a process for seconds: a busy file raises StoreBusy at once,
and the caller tries again off the event loop. Opening a connection takes longer than using one, so that is also done
off the event loop.

Every use checks that the file and its log are still those that were opened (`connection`). If not, it opens the file
that is there now. There are two exceptions. If the log of the old file still lies beside the new file, SQLite would
apply it there. If only the log has changed, other processes may write to another log. In both cases the file counts as
down. A missing file is never created at run time: an empty store would look like one in which every key was revoked. A
file that cannot be written counts as down: nobody could revoke a key in it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from .. import _sync
from ..exceptions import ConfigurationError, StoreBusy, StoreUnavailable
from .connection import Connection, connect, sync_folder

_logger = logging.getLogger("keystile")
_stat = os.stat

CREATE_PATIENCE = 10.0
# The last code can come from a race for the first connection in WAL mode.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

IN_PLACE = (
    ("keystile/_ground/sqlite.py", frozenset({"_taken", "row", "rows", "write"})),
    ("keystile/limiters/sqlite.py", frozenset({"hit", "peek", "refund", "reset"})),
    ("keystile/webhooks/receiving/sqlite.py", frozenset({"begin", "end"})),
)
"""The files and functions that read in place, even on an event loop. For tools that look for blocking calls:
``blockbuster.functions["os.stat"].can_block_in(file, functions)``. Files are opened and closed off the event loop."""

Schema = tuple[str, int, tuple[str, ...]]


def path_of(url: str, key: str = "store") -> str:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; `key` is the setting for errors."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path or "?" in path or "\0" in path or path == ":memory:":
        # Not the URL itself: with a wrong scheme it may hold a password.
        raise ConfigurationError("expected 'sqlite:///file.db' or 'sqlite:////absolute/file.db'", key=key)
    return path


def _nothing() -> None:
    pass


class SQLiteFile:
    """A file with its connections.

    Args:
        path: of the file; created here if it is missing, never later.
        schema: the component's name, its version, and the statements that make its tables.
        key: the setting that named the file, for errors.
        durable: whether the file must survive a loss of power. If not, and nothing else is in the file, no commit waits
            for the disk.
        steps: by version, the statements that migrate its tables to the next version.
        forget: called when a connection is opened, because what was read before may come from another file.

    Raises:
        ConfigurationError: the file cannot be created, opened or written, is not a database, or was written by another
            version of the schema.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schema: Schema,
        *,
        key: str = "store",
        durable: bool = True,
        steps: Mapping[int, tuple[str, ...]] | None = None,
        forget: Callable[[], None] = _nothing,
    ) -> None:
        self.path = os.fspath(path)
        self._key, self._steps = key, steps or {}
        self.url = f"sqlite:///{self.path}"
        self._absolute = str(Path(self.path).absolute())
        opening = partial(connect, self.url, self._absolute, durable, forget)
        self._shelf = _sync.Shelf(opening, Connection.close, _sync.may_block)
        self._create(schema)

    def row(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """The first row of one statement, or None."""
        held = self._taken()
        try:
            return held.inner.execute(sql, parameters).fetchone()
        except Exception as error:  # noqa: BLE001 - only SQLite is called here
            raise self._failed(error, held) from None
        finally:
            self._shelf.give(held)

    def rows(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement."""
        held = self._taken()
        try:
            return held.inner.execute(sql, parameters).fetchall()
        except Exception as error:  # noqa: BLE001 - likewise
            raise self._failed(error, held) from None
        finally:
            self._shelf.give(held)

    @contextmanager
    def write(self, *, synced: bool = False) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start; rolled back if the block raises.

        Args:
            synced: the data is on the disk when the block ends, and survives a loss of power.
        """
        held = self._taken()
        connection = held.inner
        self._shelf.enter()
        try:
            try:
                level = "FULL" if synced else held.base
                if held.level != level:
                    connection.execute(f"PRAGMA synchronous={level}")
                    held.level = level
                connection.execute("BEGIN IMMEDIATE")
            except Exception as error:  # noqa: BLE001 - likewise
                raise self._failed(error, held) from None
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error, held) from None
        finally:
            self._shelf.leave()
            self._shelf.give(held)

    def close(self) -> None:
        """Close the connections; those in use as soon as they are given back."""
        self._shelf.renew()

    def _taken(self) -> Connection:
        held = None
        try:
            held = self._shelf.take()
            if _stat(held.folder).st_mtime_ns == held.settled and monotonic() < held.due:
                return held
            if held.is_current():
                return held
        except Exception as error:  # noqa: BLE001 - likewise
            if held is not None:
                self._shelf.give(held)
            raise self._failed(error) from None
        self._shelf.renew()
        self._shelf.give(held)
        return self._taken()

    def _failed(self, error: Exception, held: Connection | None = None) -> StoreUnavailable:
        """The exception to raise for an error. A connection that had one is not used again, unless the file was only
        busy."""
        if isinstance(error, StoreUnavailable):
            return error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return StoreBusy(self.url, str(error))
        if held is not None:
            held.epoch = -1
        if isinstance(error, sqlite3.Error):
            return StoreUnavailable(self.url, str(error))
        # Only strerror: the rest is the path, which the URL names anyway.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return StoreUnavailable(self.url, ": ".join(filter(None, [type(error).__name__, reason])))

    def _create(self, schema: Schema) -> None:
        try:
            made = self._make_file()
            # All workers of a server come here at the same moment.
            _sync.patiently(CREATE_PATIENCE, self._prepare, schema)
            if not made:
                self._tell_mode()
        except BaseException as error:
            self.close()
            if not isinstance(error, (OSError, StoreUnavailable)):
                raise
            reason = error.reason if isinstance(error, StoreUnavailable) else str(error)
            raise ConfigurationError(f"cannot be used: {reason}", key=self._key, source=self.url) from None

    def _make_file(self) -> bool:
        """Create the file; whether there was none before."""
        try:
            # Mode 0600: nobody else may read the hashes in it.
            os.close(os.open(self._absolute, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            # It is not opened here: closing it again would release the locks that other connections of this process
            # hold on it (sqlite.org/howtocorrupt.html, section 2.2).
            return False
        sync_folder(self._absolute)
        return True

    def _tell_mode(self) -> None:
        """Log a warning if other users may read or write a file that was there before."""
        mode = stat.S_IMODE(_stat(self._absolute).st_mode)
        if mode & 0o066:
            said = "%s: other users may read or write it (mode %03o), and its -wal and -shm: chmod 600 them"
            _logger.warning(said, self.url, mode)

    def _prepare(self, schema: Schema) -> None:
        """Create the tables, or check that this version knows them; leave a connection open."""
        self.row("PRAGMA journal_mode=WAL", ())
        with self.write(synced=True) as connection:
            self._settle_schema(connection, schema)
        self._shelf.renew()  # opened before there was a log to remember, or before the contents of the file were known
        self.row("SELECT 1", ())

    def _settle_schema(self, connection: sqlite3.Connection, schema: Schema) -> None:
        component, version, statements = schema
        connection.execute("CREATE TABLE IF NOT EXISTS keystile_schema (component TEXT PRIMARY KEY, version INTEGER)")
        found = connection.execute("SELECT version FROM keystile_schema WHERE component = ?", (component,)).fetchone()
        if found is not None and found[0] != version and found[0] not in self._steps:
            raise ConfigurationError(
                f"holds {component} in schema version {found[0]}, but this keystile reads and writes version {version}",
                key=self._key,
                source=self.url,
            )
        needed = [statements] if found is None else [self._steps[each] for each in range(found[0], version)]
        for statement in sum(needed, ()):
            connection.execute(statement)
        if needed:
            connection.execute("INSERT OR REPLACE INTO keystile_schema VALUES (?, ?)", (component, version))
