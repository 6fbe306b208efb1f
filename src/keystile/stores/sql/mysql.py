"""MySQL and MariaDB by pymysql: how long it waits, and what its errors mean."""

from __future__ import annotations

import math
from typing import Any

import pymysql
import sqlalchemy as sa

EXTRA = "mysql"
# By number: too many connections, shutdown, read-only. From 2000 on they are the client's own: no answer.
_GONE = frozenset((1040, 1053, 1290, 1836))
# Deadlock, which takes the whole transaction back; and a wait for a lock that took too long.
_CONFLICTS = frozenset((1205, 1213))


class MySQL:
    """One database.

    Args:
        url: where it is.
    """

    errors: tuple[type[Exception], ...] = (pymysql.MySQLError,)
    settle: str | None = None
    engine_awaited = None  # pymysql only blocks

    def __init__(self, url: sa.URL) -> None:
        self._url = url.set(drivername=f"{url.drivername.partition('+')[0]}+pymysql").update_query_dict(
            {"charset": "utf8mb4"}
        )

    def engine(self, silence: float, **options: Any) -> sa.Engine:
        """An engine whose connections wait no longer than this for a sign of the server, in seconds."""
        waits = {
            "connect_timeout": max(1, math.ceil(silence)),
            "read_timeout": silence,
            "write_timeout": silence,
            "init_command": "SET SESSION innodb_lock_wait_timeout = 2",
        }
        return sa.create_engine(self._url, connect_args=waits, **options)

    def is_silence(self, error: BaseException) -> bool:
        """Whether the server gave no sign of life in time."""
        return isinstance(error.__cause__ or error.__context__, TimeoutError)

    def is_gone(self, error: BaseException) -> bool:
        """Whether the server is not there for anybody."""
        number = _number(error)
        return isinstance(error, pymysql.OperationalError | pymysql.InterfaceError) and (
            number in _GONE or not 1000 <= number < 2000
        )

    def is_conflict(self, error: BaseException) -> bool:
        """Whether nothing was done because of what others did at the same time."""
        return _number(error) in _CONFLICTS

    def is_busy(self, _error: BaseException) -> bool:
        """Whether another try within milliseconds may succeed: it lets whoever comes wait."""
        return False

    def code(self, error: BaseException) -> str:
        """What may be told of an error. Its message may hold values."""
        return f"{type(error).__name__} {_number(error) or ''}".rstrip()


def _number(error: BaseException) -> int:
    first = error.args[0] if error.args else None
    return first if isinstance(first, int) else 0
