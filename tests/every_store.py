"""Stores of every kind, empty: what the contract suites run over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.selection import some
from tests.sql_stores import SQL_STORES, mariadb_url, postgres_url, sql_store
from tests.stored import LOOPS, STORES, Store, in_a_loop

__all__ = ["EVERY_STORE", "mariadb_url", "opened", "postgres_url"]

EVERY_STORE = some(
    [*STORES, *SQL_STORES, *LOOPS],
    "memory",
    "sqlite",
    "redis cluster under asyncio",
    "postgresql under asyncio",
)


@contextmanager
def opened(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    """The store that a fixture's parameter names."""
    kind = request.param
    if kind in LOOPS:
        with in_a_loop(STORES[LOOPS[kind]](folder)) as found:
            yield found
    elif kind in STORES:
        with closing(Store(STORES[kind](folder), "trio" if "trio" in kind else "asyncio")) as found:
            yield found
    else:
        with sql_store(kind, request) as found:
            yield found
