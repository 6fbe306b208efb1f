"""One SQLite file, used by many threads and processes at once.

Each thread of each process has a connection of its own, in WAL mode, so that readers never wait for a writer. SQLite's
busy handler is off, because it can starve a process for seconds: a busy file raises StoreBusy at once, and the caller
tries again off the event loop.

An open connection goes on reading a file that was deleted or replaced, so every use compares the path with what was
opened, and opens anew what is there now. A missing file is never created at run time: an empty store would look like
one in which every key was revoked. A file that cannot be written counts as down: nobody could revoke a key in it.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from . import _sync
from .exceptions import ConfigurationError, StoreBusy, StoreUnavailable

CREATE_PATIENCE = 10.0
# The last one is what a race for the first connection in WAL mode can give.
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL)

Identity = tuple[int, int, int]
Schema = tuple[str, int, tuple[str, ...]]


def path_of(url: str) -> str:
    """The file that ``sqlite:///relative.db`` or ``sqlite:////absolute.db`` names."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path or "?" in path or "\0" in path or path == ":memory:":
        raise ConfigurationError(f"{url!r} is not 'sqlite:///file.db' or 'sqlite:////absolute/file.db'", key="store")
    return path


class SQLiteFile:
    """A file with its connections.

    Args:
        path: of the file; created by `create`, never later.
        schema: the component's name, its version, and the statements that make its tables.

    Raises:
        ConfigurationError: the file cannot be created, opened or written, is no database, or was written by another
            version of the schema.
    """

    def __init__(self, path: str | os.PathLike[str], schema: Schema) -> None:
        self.path = os.fspath(path)
        self.url = f"sqlite:///{self.path}"
        self._absolute = str(Path(self.path).absolute())
        self._connections = _sync.Local(self._open, _close)
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
        """Close every connection of this process. A later use opens a new one."""
        _sync.let_go(self._connections)

    def _connection(self) -> sqlite3.Connection:
        connection, opened = self._connections.get()
        if opened != _identity(self._absolute):
            self._connections.drop()
            connection, _ = self._connections.get()
        return connection

    def _open(self) -> tuple[sqlite3.Connection, Identity]:
        """A connection to the file that is there, and which file that was."""
        opened = _identity(self._absolute)
        if not os.access(self._absolute, os.W_OK):
            raise PermissionError(f"{self.path} cannot be written")
        return _connect(self._absolute), opened

    def _unavailable(self, error: Exception) -> StoreUnavailable:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _BUSY:
            return StoreBusy(self.url, str(error))
        self._connections.drop()
        return StoreUnavailable(self.url, str(error) if isinstance(error, sqlite3.Error) else type(error).__name__)

    def _create(self, schema: Schema) -> None:
        try:
            # The hashes in it are nobody else's business.
            os.close(os.open(self._absolute, os.O_RDWR | os.O_CREAT, 0o600))
            # Every worker of a server comes here at the same moment.
            _sync.patiently(CREATE_PATIENCE, self._prepare, schema)
        except (OSError, StoreUnavailable) as error:
            reason = error.reason if isinstance(error, StoreUnavailable) else str(error)
            raise ConfigurationError(f"cannot use it: {reason}", key="store", source=self.url) from None

    def _prepare(self, schema: Schema) -> None:
        """Make the tables, or make sure that they are the ones this version knows."""
        self.row("PRAGMA journal_mode=WAL", ())
        with self.write() as connection:
            self._settle_schema(connection, schema)

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
                key="store",
                source=self.url,
            )


def _identity(path: str) -> Identity:
    found = os.stat(path)  # noqa: PTH116 - on every request; Path.stat costs twice as much
    return found.st_dev, found.st_ino, found.st_mode


def _connect(path: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    # NORMAL is durable against a crash of the process, and in WAL mode cannot corrupt the file on power loss.
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _close(held: tuple[sqlite3.Connection, Identity]) -> None:
    held[0].close()
