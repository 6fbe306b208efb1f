"""How a database gets the tables, and how those of an older version become the tables of today.

The whole schema has one number, in `keystile_schema`. A new database gets the tables as they are today; each older
version has the statements that lead to the next one. PostgreSQL does all of it in one transaction. MySQL commits after
every statement, so there each one may be run again after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from . import tables
from .places import Place

# The name of the lock that one migration at a time has: for PostgreSQL any number that nobody else would choose.
_LOCK = 0x6B65_7973_7469_6C65
_PATIENCE = 60
# 62 random bits. `random()` alone has 52.
_DRAW = {
    "postgresql": "((random() * 2147483647)::bigint << 31) | (random() * 2147483647)::bigint",
    # Unique on its server, whatever the clock does. RAND() is seeded with little more than the time.
    "mysql": "UUID_SHORT() & 0x7fffffffffffffff",
}


def version_in(connection: sa.Connection) -> int | None:
    """Which version of the tables this database has; None for none."""
    if not sa.inspect(connection).has_table(tables.schema.name):
        return None
    wanted = sa.select(tables.schema.c.version).where(tables.schema.c.component == tables.COMPONENT)
    found: int | None = connection.execute(wanted).scalar()
    return found


def check(place: Place, connection: sa.Connection) -> None:
    """ConfigurationError unless the database has the tables of today."""
    found = version_in(connection)
    if found is None:
        raise place.wrong("has no tables of keystile yet; run `keystile migrate`")
    if found < tables.VERSION:
        reason = f"has version {found} of the tables, and this keystile needs {tables.VERSION}; run `keystile migrate`"
        raise place.wrong(reason)
    if found > tables.VERSION:
        raise place.wrong(_newer(found))


def pending(place: Place, connection: sa.Connection) -> list[str]:
    """The statements that this database needs; none if it is up to date.

    Raises:
        ConfigurationError: its tables are of a newer version.
    """
    found = version_in(connection)
    if found == tables.VERSION:
        return []
    if found is not None and found > tables.VERSION:
        raise place.wrong(_newer(found))
    dialect, statements = connection.dialect, list[str]()
    if found is None:
        statements += _created(dialect)
    else:
        for version in range(found, tables.VERSION):
            statements += STEPS[version](dialect)
    return [*statements, *_noted(dialect)]


def migrate(url: str, tell: Callable[[int, int, str], object], *, dry: bool = False) -> int:
    """Bring a database up to date. Two at once are safe: the second waits, and finds nothing to do.

    Args:
        url: of the database.
        tell: called before each statement with its number, how many there are, and its text.
        dry: only tell, and change nothing.

    Returns:
        How many statements there were.

    Raises:
        ConfigurationError: the database cannot be reached, or cannot be changed, or is newer than this keystile.
    """
    place = Place(url)
    with place.patient() as engine:
        try:
            with engine.begin() as connection:
                if not dry:
                    _lock(place, connection)
                statements = pending(place, connection)
                for number, statement in enumerate(statements, 1):
                    tell(number, len(statements), statement)
                    if not dry:
                        connection.exec_driver_sql(statement)
                return len(statements)
        except sa.exc.SQLAlchemyError as error:
            reason = place.said(error)
    raise place.wrong(f"cannot be migrated: {reason}")


def _newer(found: int) -> str:
    return f"has version {found} of the tables, which a newer keystile made; this one knows {tables.VERSION}: update it"


def _lock(place: Place, connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # Nobody who only reads may wait for long behind a change that itself waits for a lock.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    elif connection.exec_driver_sql(f"SELECT GET_LOCK('keystile_migrate', {_PATIENCE})").scalar() != 1:
        raise place.wrong("is being migrated by somebody else, who has not ended within a minute")


def _created(dialect: sa.Dialect) -> Iterator[str]:
    # PostgreSQL takes a whole failed migration back, and then a table that is there already is somebody else's.
    again = dialect.name != "postgresql"
    for table in tables.metadata.sorted_tables:
        yield str(CreateTable(table, if_not_exists=again).compile(dialect=dialect)).strip()
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield str(CreateIndex(index, if_not_exists=again).compile(dialect=dialect)).strip()
    yield from _triggers(dialect)


def _by_end(dialect: sa.Dialect) -> list[str]:
    """The indexes that version 2 added."""
    there = {str(index.name): index for table in tables.owned for index in table.indexes}
    again = dialect.name != "postgresql"
    made = (CreateIndex(there[name], if_not_exists=again) for name in tables.BY_END)
    return [str(each.compile(dialect=dialect)).strip() for each in made]


STEPS: dict[int, Callable[[sa.Dialect], Sequence[str]]] = {1: _by_end}
"""By version, the statements that lead to the next one."""


def _triggers(dialect: sa.Dialect) -> Iterator[str]:
    """What draws the revisions. A later use of a key is no change, the first one is."""
    if dialect.name == "postgresql":
        draw = f"BEGIN NEW.revision := {_DRAW['postgresql']}; RETURN NEW; END"
        yield f"CREATE FUNCTION keystile_revise() RETURNS trigger LANGUAGE plpgsql AS $$ {draw} $$"
    for table in tables.owned:
        same = [_same(dialect, name) for name in tables.counted(table)]
        if "last_used_at" in table.c:
            same.append("((NEW.last_used_at IS NULL) = (OLD.last_used_at IS NULL))")
        changed = f"NOT ({' AND '.join(same)})"
        if dialect.name == "postgresql":
            revise = "EXECUTE FUNCTION keystile_revise()"
            yield f"CREATE TRIGGER keystile_inserted BEFORE INSERT ON {table.name} FOR EACH ROW {revise}"
            # A row that is put back as it was, with its revision, is another row to whoever remembers that number.
            changed += " OR NEW.revision <> OLD.revision"
            begin = f"CREATE TRIGGER keystile_revised BEFORE UPDATE ON {table.name} FOR EACH ROW"
            yield f"{begin} WHEN ({changed}) {revise}"
        else:
            draw = f"SET NEW.revision = {_DRAW['mysql']}"
            begin = "CREATE TRIGGER IF NOT EXISTS"
            yield f"{begin} {table.name}_inserted BEFORE INSERT ON {table.name} FOR EACH ROW {draw}"
            when = f"IF {changed} OR NEW.revision <> OLD.revision THEN {draw}; END IF"
            yield f"{begin} {table.name}_revised BEFORE UPDATE ON {table.name} FOR EACH ROW {when}"


def _same(dialect: sa.Dialect, name: str) -> str:
    if dialect.name == "postgresql":
        return f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}"
    # A collation may call texts equal that are not, such as those that differ in their case.
    return f"(CAST(NEW.{name} AS BINARY) <=> CAST(OLD.{name} AS BINARY))"


def _noted(dialect: sa.Dialect) -> Iterator[str]:
    """What writes the version down."""
    values = {"component": tables.COMPONENT, "version": tables.VERSION, "applied_at": time.time_ns() // 1000}
    for statement in (
        sa.delete(tables.schema).where(tables.schema.c.component == tables.COMPONENT),
        sa.insert(tables.schema).values(values),
    ):
        yield str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
