"""PostgreSQL by psycopg 3: how long it waits, and what its errors mean.

A server that is stopped, or behind a cable that is cut, answers nothing, and no setting of libpq bounds the wait for an
answer: the kernel of a stopped server goes on confirming what it is sent. So all waits are bounded here. A bound holds
for silence: each part of an answer begins it anew, and time in which an event loop did not run uses up one part of it.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
import sqlalchemy as sa
from psycopg import waiting
from psycopg.errors import ConnectionTimeout
from sqlalchemy.ext.asyncio import create_async_engine

T = TypeVar("T")

EXTRA = "sql"
# A silence is waited for in this many parts; psycopg's own are of 0.1 seconds while it connects.
PARTS, CONNECTING = 5, 0.1
# The beginnings of SQLSTATEs: the server goes away, or lets nobody in, or only reads. Others concern one statement.
_GONE = ("08", "57P01", "57P02", "57P03", "53300", "25006")
# Serialization and deadlock: nothing was done, and another try may succeed.
_CONFLICTS = frozenset(("40001", "40P01"))
# What a URL may say of a connection stays; these are ours where it says nothing. A replica must not give verdicts: it
# has heard of a revocation later than others.
_OPTIONS = {
    "target_session_attrs": "read-write",
    "application_name": "keystile",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
# For what is held in a transaction. Not an option of the connection: a pooler would refuse it, or hand it to others.
_TIMES = {"statement_timeout": 2000, "idle_in_transaction_session_timeout": 5000}
SETTLE = "SELECT " + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _TIMES.items())


class PostgreSQL:
    """One database.

    Args:
        url: where it is.
        prepares: whether statements are prepared on the server.
    """

    errors: tuple[type[Exception], ...] = (psycopg.Error,)
    settle: str | None = SETTLE

    def __init__(self, url: sa.URL, prepares: bool) -> None:
        given = {name: value for name, value in _OPTIONS.items() if name not in url.query}
        self._url = url.set(drivername="postgresql+psycopg").update_query_dict(given)
        # After five uses, which is psycopg's own default.
        self._connect = {"prepare_threshold": 5 if prepares else None}

    def engine(self, silence: float, **options: Any) -> sa.Engine:
        """An engine whose connections wait no longer than this for a sign of the server, in seconds."""
        connect = _blocking(silence).connect
        engine = sa.create_engine(self._url, use_native_hstore=False, connect_args=self._connect, **options)
        sa.event.listen(engine, "do_connect", lambda _dialect, _record, args, named: connect(*args, **named))
        return engine

    def engine_awaited(self, silence: float, **options: Any) -> sa.Engine:
        """The same for asyncio, to be used inside `sqlalchemy.util.greenlet_spawn`."""
        arguments = {**self._connect, "async_creator_fn": _awaited(silence).connect}
        return create_async_engine(self._url, use_native_hstore=False, connect_args=arguments, **options).sync_engine

    def is_silence(self, error: BaseException) -> bool:
        """Whether the server gave no sign of life in time."""
        return isinstance(error, ConnectionTimeout)

    def is_gone(self, error: BaseException) -> bool:
        """Whether the server is not there for anybody."""
        if not isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)):
            return False
        return error.sqlstate is None or error.sqlstate.startswith(_GONE)

    def is_conflict(self, error: BaseException) -> bool:
        """Whether nothing was done because of what others did at the same time."""
        return isinstance(error, psycopg.Error) and error.sqlstate in _CONFLICTS

    def is_busy(self, _error: BaseException) -> bool:
        """Whether another try within milliseconds may succeed: it lets whoever comes wait."""
        return False

    def code(self, error: BaseException) -> str:
        """What may be told of an error. Its message may hold values."""
        state = error.sqlstate if isinstance(error, psycopg.Error) else None
        return f"{type(error).__name__} {state or ''}".rstrip()


def _blocking(silence: float) -> type[psycopg.Connection[Any]]:
    class Connection(psycopg.Connection[Any]):
        def __del__(self, *_unused: Any) -> None:
            """As below."""

        @classmethod
        def _connect_gen(cls, *args: Any, **named: Any) -> Any:
            return _bounded(super()._connect_gen(*args, **named), silence / CONNECTING)

        def wait(self, gen: Any, *_unused: Any, **_unused_too: Any) -> Any:
            try:
                return waiting.wait(_bounded(gen, PARTS), self.pgconn.socket, silence / PARTS)
            except BaseException as error:
                _let_go(self, error)
                raise

    return Connection


def _awaited(silence: float) -> type[psycopg.AsyncConnection[Any]]:
    class AsyncConnection(psycopg.AsyncConnection[Any]):
        def __del__(self, *_unused: Any) -> None:
            """Nothing to warn of: one that ends with its event loop, or is in use when the store is closed, closes
            itself when nobody has it any more."""

        @classmethod
        def _connect_gen(cls, *args: Any, **named: Any) -> Any:
            return _bounded(super()._connect_gen(*args, **named), silence / CONNECTING)

        async def wait(self, gen: Any, *_unused: Any, **_unused_too: Any) -> Any:
            try:
                return await waiting.wait_async(_bounded(gen, PARTS), self.pgconn.socket, silence / PARTS)
            except BaseException as error:
                _let_go(self, error)
                raise

    return AsyncConnection


def _let_go(connection: Any, error: BaseException) -> None:
    """Close a connection whose answer nobody waits for any more: the next one on it would get that answer. psycopg
    itself would ask the server to cancel the statement, and wait for that."""
    if isinstance(error, ConnectionTimeout) or not isinstance(error, Exception):
        connection.pgconn.finish()


def _bounded(waits: Generator[Any, Any, T], turns: float) -> Generator[Any, Any, T]:
    """A generator of psycopg's, that ends with an error when nothing has come for so many turns."""
    sent, silent = None, 0
    while True:
        try:
            wanted = waits.send(sent)
        except StopIteration as done:
            found: T = done.value
            return found
        sent = yield wanted
        silent = 0 if sent else silent + 1
        if silent >= turns:
            waits.close()
            raise ConnectionTimeout("no answer")
