"""One SQLite file, used by many threads and processes at once.

Each thread of each process has a connection of its own, in WAL mode, so that readers never wait for a writer. SQLite's
busy handler is off, because it can starve a process for seconds: a busy file raises StoreBusy at once, and the caller
tries again off the event loop.

An open connection goes on reading a file that was deleted or replaced, so every use compares the path with what was
opened, and opens anew what is there now; but not while the log of the file before lies beside it, which SQLite would
apply to the new one. A missing file is never created at run time: an empty store would look like
one in which every key was revoked. A file that cannot be written counts as down: nobody could revoke a key in it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from . import _sync
from .exceptions import ConfigurationError, StoreBusy, StoreUnavailable

CREATE_PATIENCE = 10.0
# The last one is what a race for the first connection in WAL mode can give.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

Schema = tuple[str, int, tuple[str, ...]]


def path_of(url: str, key: str = "store") -> str:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names; `key` is the setting for errors."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path or "?" in path or "\0" in path or path == ":memory:":
        # Not the URL itself: whoever mistook the scheme may have written a password.
        raise ConfigurationError("expected 'sqlite:///file.db' or 'sqlite:////absolute/file.db'", key=key)
    return path


class _Opened(NamedTuple):
    """A connection, and which file it was opened on: (device, inode, mode), and (device, inode) of its log."""

    connection: sqlite3.Connection
    opened: tuple[int, int, int]
    log: tuple[int, int] | None


class SQLiteFile:
    """A file with its connections.

    Args:
        path: of the file; created here if it is missing, never later.
        schema: the component's name, its version, and the statements that make its tables.
        key: the setting that named the file, for errors.
        durable: whether the file must survive a loss of power. If not, and nothing else is in it, no commit waits for
            the disk.

    Raises:
        ConfigurationError: the file cannot be created, opened or written, is no database, or was written by another
            version of the schema.
    """

    def __init__(
        self, path: str | os.PathLike[str], schema: Schema, *, key: str = "store", durable: bool = True
    ) -> None:
        self.path = os.fspath(path)
        self._key = key
        self.url = f"sqlite:///{self.path}"
        self._absolute = str(Path(self.path).absolute())
        self._connections = _sync.Local(partial(_open, self._absolute, durable), _close)
        self._create(schema)

    def row(self, sql: str, parameters: tuple[Any, ...]) -> Any:
        """The first row of one statement, or None."""
        try:
            return self._connection().execute(sql, parameters).fetchone()
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from None

    def rows(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """All rows of one statement."""
        try:
            return self._connection().execute(sql, parameters).fetchall()
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction that holds the write lock from its start; rolled back if the block raises."""
        try:
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from None

    def close(self) -> None:
        """Close this thread's connection, and have other threads close theirs when they next come by or end."""
        _sync.let_go(self._connections)

    def _connection(self) -> sqlite3.Connection:
        held = self._connections.get()
        found = os.stat(self._absolute)  # noqa: PTH116 - on every request; Path.stat costs twice as much
        if held.opened != (found.st_dev, found.st_ino, found.st_mode):
            if held.opened[:2] != (found.st_dev, found.st_ino) and held.log and held.log == _log(self._absolute):
                raise StoreUnavailable(
                    self.url, "another file has taken its place beside the old one's log: remove its -wal and -shm"
                )
            self._connections.drop()
            held = self._connections.get()
        return held.connection

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return StoreBusy(self.url, str(error))
        if isinstance(error, sqlite3.Error):
            self._connections.drop()
            return StoreUnavailable(self.url, str(error))
        return StoreUnavailable(self.url, type(error).__name__)

    def _create(self, schema: Schema) -> None:
        try:
            # The hashes in it are nobody else's business.
            os.close(os.open(self._absolute, os.O_RDWR | os.O_CREAT, 0o600))
            # Every worker of a server comes here at the same moment.
            _sync.patiently(CREATE_PATIENCE, self._prepare, schema)
        except BaseException as error:
            self.close()
            if not isinstance(error, (OSError, StoreUnavailable)):
                raise
            reason = error.reason if isinstance(error, StoreUnavailable) else str(error)
            raise ConfigurationError(f"cannot use it: {reason}", key=self._key, source=self.url) from None

    def _prepare(self, schema: Schema) -> None:
        """Make the tables, or make sure that they are the ones this version knows."""
        self.row("PRAGMA journal_mode=WAL", ())
        with self.write() as connection:
            self._settle_schema(connection, schema)
        self._connections.drop()  # opened before there was a log to remember

    def _settle_schema(self, connection: sqlite3.Connection, schema: Schema) -> None:
        component, version, statements = schema
        connection.execute("CREATE TABLE IF NOT EXISTS keystile_schema (component TEXT PRIMARY KEY, version INTEGER)")
        found = connection.execute("SELECT version FROM keystile_schema WHERE component = ?", (component,)).fetchone()
        if found is None:
            for statement in statements:
                connection.execute(statement)
            connection.execute("INSERT INTO keystile_schema VALUES (?, ?)", (component, version))
        elif found[0] != version:
            raise ConfigurationError(
                f"holds {component} in schema version {found[0]}, this keystile reads and writes version {version}",
                key=self._key,
                source=self.url,
            )


def _open(path: str, durable: bool) -> _Opened:
    found = Path(path).stat()
    if not os.access(path, os.W_OK):
        raise PermissionError(f"{path} cannot be written")
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        # NORMAL is durable against a crash of the process, and in WAL mode cannot corrupt the file on power loss.
        connection.execute("PRAGMA synchronous=NORMAL")
        # Reading it also has the log made, if the file is in WAL mode.
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema")}
        if not durable and "keystile_schema" in tables:
            [components] = connection.execute("SELECT count(*) FROM keystile_schema").fetchone()
            if components == 1:
                connection.execute("PRAGMA synchronous=OFF")
    except BaseException:
        connection.close()
        raise
    return _Opened(connection, (found.st_dev, found.st_ino, found.st_mode), _log(path))


def _log(path: str) -> tuple[int, int] | None:
    try:
        found = Path(f"{path}-wal").stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _close(held: _Opened) -> None:
    held.connection.close()
