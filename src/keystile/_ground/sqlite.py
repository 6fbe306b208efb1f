"""One SQLite file, used by many threads and processes at once.

The threads of a process take connections in turn (`_sync.Shelf`), in WAL mode, so that readers never wait for a
writer. SQLite's busy handler is off, because it can starve a process for seconds: a busy file raises StoreBusy at once,
and the caller tries again off the event loop. To open a connection takes longer than to use one, and is put off in this
way too.

Every use makes sure that the file and its log are what was opened (`_connection`), and opens anew what is there now;
but not while the log of the file before lies beside it, which SQLite would apply to the new one, nor where the log
alone has changed, because others may write to another one. A missing file is never created at run time: an empty store
would look like one in which every key was revoked. A file that cannot be written counts as down: nobody could revoke a
key in it.
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
# The last one is what a race for the first connection in WAL mode can give.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

IN_PLACE = (
    ("keystile/_ground/sqlite.py", frozenset({"_taken", "row", "rows", "write"})),
    ("keystile/limiters/sqlite.py", frozenset({"hit", "peek", "refund", "reset"})),
)
"""Which functions of which files do small things in place, on an event loop too, for tools that look for what blocks
one: ``blockbuster.functions["os.stat"].can_block_in(file, functions)``. Files are opened and closed elsewhere."""

Schema = tuple[str, int, tuple[str, ...]]


def path_of(url: str, key: str = "store") -> str:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; `key` is the setting for errors."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path or "?" in path or "\0" in path or path == ":memory:":
        # Not the URL itself: whoever mistook the scheme may have written a password.
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
        durable: whether the file must survive a loss of power. If not, and nothing else is in it, no commit waits for
            the disk.
        steps: statements that make the tables of the version after out of those of a version.
        forget: called when a connection is opened: what was read before may be of another file.

    Raises:
        ConfigurationError: the file cannot be created, opened or written, is no database, or was written by another
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
        except Exception as error:  # noqa: BLE001 - nothing but SQLite is asked here
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
            synced: what was written is on the disk when the block ends, and survives a loss of power.
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
        """Close the connections; those that are in use, as soon as they are not."""
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
        """What to raise for an error; a connection that had one is not used again, unless the file was only busy."""
        if isinstance(error, StoreUnavailable):
            return error
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return StoreBusy(self.url, str(error))
        if held is not None:
            held.epoch = -1
        if isinstance(error, sqlite3.Error):
            return StoreUnavailable(self.url, str(error))
        # Of the path alone, which the URL names anyway.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return StoreUnavailable(self.url, ": ".join(filter(None, [type(error).__name__, reason])))

    def _create(self, schema: Schema) -> None:
        try:
            made = self._make_file()
            # Every worker of a server comes here at the same moment.
            _sync.patiently(CREATE_PATIENCE, self._prepare, schema)
            if not made:
                self._tell_mode()
        except BaseException as error:
            self.close()
            if not isinstance(error, (OSError, StoreUnavailable)):
                raise
            reason = error.reason if isinstance(error, StoreUnavailable) else str(error)
            raise ConfigurationError(f"cannot use it: {reason}", key=self._key, source=self.url) from None

    def _make_file(self) -> bool:
        """Make the file, and say whether there was none."""
        try:
            # The hashes in it are nobody else's business.
            os.close(os.open(self._absolute, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            # It is not opened here: to close it again would give up the locks that other connections of this process
            # hold on it (sqlite.org/howtocorrupt.html, section 2.2).
            return False
        sync_folder(self._absolute)
        return True

    def _tell_mode(self) -> None:
        """Say so if others may use a file that was there before."""
        mode = stat.S_IMODE(_stat(self._absolute).st_mode)
        if mode & 0o066:
            said = "%s: other users may read or write it (mode %03o), and its -wal and -shm: chmod 600 them"
            _logger.warning(said, self.url, mode)

    def _prepare(self, schema: Schema) -> None:
        """Make the tables, or make sure that they are the ones this version knows; leave a connection open."""
        self.row("PRAGMA journal_mode=WAL", ())
        with self.write(synced=True) as connection:
            self._settle_schema(connection, schema)
        self._shelf.renew()  # opened before there was a log to remember, or before it was known what is in the file
        self.row("SELECT 1", ())

    def _settle_schema(self, connection: sqlite3.Connection, schema: Schema) -> None:
        component, version, statements = schema
        connection.execute("CREATE TABLE IF NOT EXISTS keystile_schema (component TEXT PRIMARY KEY, version INTEGER)")
        found = connection.execute("SELECT version FROM keystile_schema WHERE component = ?", (component,)).fetchone()
        if found is not None and found[0] != version and found[0] not in self._steps:
            raise ConfigurationError(
                f"holds {component} in schema version {found[0]}, this keystile reads and writes version {version}",
                key=self._key,
                source=self.url,
            )
        needed = [statements] if found is None else [self._steps[each] for each in range(found[0], version)]
        for statement in sum(needed, ()):
            connection.execute(statement)
        if needed:
            connection.execute("INSERT OR REPLACE INTO keystile_schema VALUES (?, ?)", (component, version))
