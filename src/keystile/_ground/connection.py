"""One connection to a SQLite file, and whether that is still the file that its path names.

An open connection goes on reading a file that was deleted or replaced, and a log (``-wal``, ``-shm``) that nobody else
sees any more. So it remembers the device and inode numbers of what it was opened on. It checks them when something in
the folder was removed, replaced or added, which the folder's modification time shows, and once a second in any case.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from .. import _sync
from ..exceptions import StoreBusy, StoreUnavailable

# A file and its log are checked at least this often, whatever their folder says, in seconds.
LOOK_EVERY = 1.0
# For this long, in nanoseconds, another change of a folder may get the same time as the one before: file systems take
# the time from a clock that ticks every few milliseconds.
_TICK = 100_000_000
_BESIDE = "another file has replaced it, but the log of the old one is still there: remove its -wal and -shm"
_LOST = "its log (-wal, -shm) was removed or replaced while it was in use: restart the processes that use it"

_Id = tuple[int, int]


class _Log:
    """The log of a file that this process has open: (device, inode) of its ``-wal`` and of its ``-shm``.

    SQLite removes it with the last connection that uses it. So a log without users says nothing about the next one.
    """

    __slots__ = ("__weakref__", "shm", "users", "wal")

    def __init__(self, wal: _Id | None, shm: _Id | None) -> None:
        self.wal, self.shm = wal, shm
        self.users: weakref.WeakSet[Connection] = weakref.WeakSet()

    def is_at(self, other: _Log) -> bool:
        """Whether both are the same files."""
        return (self.wal, self.shm) == (other.wal, other.shm)


# By (device, inode) of the file. Within a process all connections to a file use the first one's -shm, even if another
# file is at its path when they are opened.
_logs: weakref.WeakValueDictionary[_Id, _Log] = weakref.WeakValueDictionary()
# By path. One thread at a time opens or closes connections to a file: the last close removes the log, and a thread that
# opens at that moment must not take this for somebody else's doing.
_turns: dict[str, _sync.Lock] = {}


def _turn(path: str) -> _sync.Lock:
    """The lock of the file at this path. The collector may end a store, which closes its connections, in a thread that
    has the lock already, so it is reentrant."""
    return _turns.get(path) or _turns.setdefault(path, _sync.Lock(reentrant=True))


class Connection(_sync.Item):
    """A connection, and what it was opened on.

    Attributes:
        url: of the file, for errors.
        inner: SQLite's own.
        base, level: how much a commit waits for the disk, usually and now: SQLite's ``synchronous``.
        folder: where the file is, without symbolic links.
        settled: the folder's modification time at the last check; -1 if it cannot show a change.
        due: when the next check is due, whatever the folder says, on the monotonic clock.
    """

    __slots__ = (
        *("__weakref__", "_file", "_joined", "_log", "_named", "_path"),
        *("base", "due", "folder", "inner", "level", "settled", "url"),
    )

    def __init__(self, url: str, path: str, inner: sqlite3.Connection, base: str) -> None:
        self.url, self.inner, self.base, self.level = url, inner, base, base
        self._named, self._path = path, os.path.realpath(path)
        self.folder = os.path.dirname(self._path)  # noqa: PTH120 - what `os.stat` wants
        self._file, self._log = _ids(self._path)
        self.settled, self.due = -1, 0.0
        # In a new file another thread may make a log that this connection does not use.
        self._joined = self._log.wal is not None and inner.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        if self._joined:
            self._join()

    def _join(self) -> None:
        known = _logs.get(self._file[:2])
        if known is None or not known.users:
            _logs[self._file[:2]] = known = self._log
        known.users.add(self)
        self._log = known

    def is_current(self) -> bool:
        """Whether it is open on the file and the log that are there now. If not, a new connection must be opened.

        Raises:
            StoreUnavailable: it is not, and no new connection can be opened either.
            OSError: there is no file.
        """
        now, changed = time.time_ns(), os.stat(self.folder).st_mtime_ns  # noqa: PTH116 - likewise
        linked = self._named != self._path
        file, log = _ids(os.path.realpath(self._named) if linked else self._path)
        moved = file[:2] != self._file[:2]
        same_log = log.is_at(self._log)
        if moved and ((log.wal and log.wal == self._log.wal) or (log.shm and log.shm == self._log.shm)):
            raise StoreUnavailable(self.url, _BESIDE)
        if not moved and not same_log and self._joined:
            raise StoreUnavailable(self.url, _LOST)
        # Another change may still get the same time; and a link may lead to another folder next time.
        tells = now - changed > _TICK and not linked
        self.settled, self.due = changed if tells else -1, time.monotonic() + LOOK_EVERY
        return file == self._file and same_log

    def close(self) -> None:
        """Close it; or leave it open for ever if its log is no longer the file's. On closing, SQLite would write that
        log into a file that may have been restored since."""
        with _turn(self._path):
            with suppress(OSError):
                file, log = _ids(self._path)
                if file[:2] == self._file[:2] and not log.is_at(self._log) and self._joined:
                    _keep_for_ever(self)
                    return
            # First this: from the moment that it is closed, another file may have the number of this one.
            self._log.users.discard(self)
            self._log, self._joined = _Log(None, None), False
            self.inner.close()


def connect(url: str, path: str, durable: bool, forget: Callable[[], None]) -> Connection:
    """Open a file that exists.

    Args:
        url: of the file, for errors.
        path: of the file.
        durable: as for `SQLiteFile`.
        forget: called first, because what was read before may come from another file.
    """
    if not _sync.may_block():
        raise StoreBusy(url, "can only be opened off the event loop")
    forget()
    with _turn(os.path.realpath(path)):
        if _is_lost(path):
            raise StoreUnavailable(url, _LOST)
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it cannot be written")
        return _opened(url, path, durable)


def _opened(url: str, path: str, durable: bool) -> Connection:
    inner = sqlite3.connect(
        f"file:{quote(path)}?mode=rw", uri=True, timeout=0, isolation_level=None, check_same_thread=False
    )
    try:
        base = _settle(inner, durable)
        # SQLite's own functions know only the letters of A to Z in any case.
        inner.create_function("casefold", 1, _casefold, deterministic=True)
        return Connection(url, path, inner, base)
    except BaseException:
        inner.close()
        raise


def _casefold(text: object) -> str | None:
    return text.casefold() if isinstance(text, str) else None


def _is_lost(path: str) -> bool:
    """Whether others of this process use another log than the one that is there now."""
    file, log = _ids(os.path.realpath(path))
    known = _logs.get(file[:2])
    return known is not None and bool(known.users) and not known.is_at(log)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make sure that the name of a new file survives a loss of power."""
    if os.name == "nt":  # Windows cannot open a folder, and keeps names without this
        return
    folder = os.open(Path(path).absolute().parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _settle(inner: sqlite3.Connection, durable: bool) -> str:
    """Set how long commits wait for the disk: no longer than they must."""
    # NORMAL is durable against a crash of the process, and in WAL mode cannot corrupt the file on power loss.
    inner.execute("PRAGMA synchronous=NORMAL")
    tables = {row[0] for row in inner.execute("SELECT name FROM sqlite_schema")}
    if "keystile_schema" in tables:
        # A copy made by VACUUM INTO is in another mode. And reading creates the log, which is checked next.
        inner.execute("PRAGMA journal_mode=WAL")
        inner.execute("SELECT count(*) FROM keystile_schema").fetchone()
    if not durable and "keystile_schema" in tables:
        [components] = inner.execute("SELECT count(*) FROM keystile_schema").fetchone()
        if components == 1:
            inner.execute("PRAGMA synchronous=OFF")
            return "OFF"
    return "NORMAL"


def _ids(path: str) -> tuple[tuple[int, int, int], _Log]:
    """(device, inode, mode) of a file, and its log."""
    found = Path(path).stat()
    return (found.st_dev, found.st_ino, found.st_mode), _Log(_id(f"{path}-wal"), _id(f"{path}-shm"))


def _id(path: str) -> _Id | None:
    try:
        found = Path(path).stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


_kept: list[Connection] = []


def _keep_for_ever(connection: Connection) -> None:
    _kept.append(connection)
    with suppress(ImportError):  # some systems have no ctypes
        import ctypes

        # Also keep it when the interpreter ends, which would close it too.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection.inner))
