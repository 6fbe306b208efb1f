"""Databases with the tables of the SQL store, empty at the start of each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from anyio.from_thread import start_blocking_portal

from keystile.stores.sql import SQLStore, metadata, migrate
from keystile.stores.sql.places import Place
from tests.mariadb_server import mariadb_url
from tests.postgres_server import PostgresServer, postgres_url
from tests.stored import Store

__all__ = ["mariadb_url", "postgres_url"]

SQL_STORES = [
    "postgresql",
    "postgresql under asyncio",
    pytest.param("mariadb", marks=pytest.mark.services("mariadbd")),
]
_databases = count()
_migrated: dict[str, str] = {}


def quiet(*_told: object) -> None:
    """What is told of a migration and interests nobody."""


def new_database(server: str) -> str:
    """The URL of a database of PostgreSQL that nobody else uses, without tables."""
    name = f"keystile_{next(_databases)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name}")
    return f"{server.rpartition('/')[0]}/{name}"


def emptied(server: str) -> str:
    """The URL of a database with empty tables: always the same one for a server."""
    if server not in _migrated:
        url = new_database(server) if server.startswith("postgresql") else server
        migrate(url, quiet)
        _migrated[server] = url
    url = _migrated[server]
    with Place(url).patient() as engine, engine.begin() as connection:
        for table in metadata.sorted_tables:
            if table.name != "keystile_schema":
                connection.execute(sa.delete(table))
    return url


@contextmanager
def sql_store(kind: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    """A store of this kind, as the contract suites call it."""
    server = request.getfixturevalue("mariadb_url" if kind == "mariadb" else "postgres_url")
    inner = SQLStore(emptied(server))
    try:
        if "asyncio" not in kind:
            yield Store(inner, "asyncio")
            return
        with start_blocking_portal("asyncio") as portal:
            twin: Any = inner.for_asyncio()
            yield Store(twin, "asyncio", portal.call)
            portal.call(twin.close)
    finally:
        inner.close()


@contextmanager
def a_server() -> Iterator[tuple[PostgresServer, str]]:
    """A server of PostgreSQL that a test may stop, and a database with the tables."""
    with PostgresServer() as server:
        migrate(server.url, quiet)
        yield server, server.url
