"""How a database gets the tables, and how those of an older version become the tables of today.

Each component (the keys, the outbox of webhooks) has its own tables and one number for them, in `keystile_schema`,
which all components of a database share. A new database gets the tables as they are today; each older
version has the statements that lead to the next one. PostgreSQL does all of it in one transaction. MySQL commits after
every statement, so there each one may be run again after a crash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.schema import CreateIndex, CreateTable

from . import tables
from .places import Place


class Schema(NamedTuple):
    """The tables of one component.

    Attributes:
        component: its name in `keystile_schema`.
        version: of the tables as they are today.
        tables: all of them, `keystile_schema` apart.
        command: what brings them up to date, for errors.
        more: the statements that follow the tables, for a dialect.
        steps: by version, the statements that lead to the next one.
    """

    component: str
    version: int
    tables: Sequence[sa.Table]
    command: str
    more: Callable[[sa.Dialect], Iterable[str]] = lambda _dialect: ()
    steps: Mapping[int, Callable[[sa.Dialect], Sequence[str]]] = {}


# The name of the lock that one migration at a time has: for PostgreSQL any number that nobody else would choose.
_LOCK = 0x6B65_7973_7469_6C65
_PATIENCE = 60
# 62 random bits. `random()` alone has 52.
_DRAW = {
    "postgresql": "((random() * 2147483647)::bigint << 31) | (random() * 2147483647)::bigint",
    # Unique on its server, whatever the clock does. RAND() is seeded with little more than the time.
    "mysql": "UUID_SHORT() & 0x7fffffffffffffff",
}
_REVISE, _SET = "EXECUTE FUNCTION keystile_revise()", f"SET NEW.revision = {_DRAW['mysql']}"


def version_in(connection: sa.Connection, schema: Schema) -> int | None:
    """Which version of the tables this database has; None for none."""
    if not sa.inspect(connection).has_table(tables.schema.name):
        return None
    wanted = sa.select(tables.schema.c.version).where(tables.schema.c.component == schema.component)
    found: int | None = connection.execute(wanted).scalar()
    return found


def check(place: Place, connection: sa.Connection, schema: Schema) -> None:
    """ConfigurationError unless the database has the tables of today."""
    found, wanted = version_in(connection, schema), schema.version
    if found is None:
        raise place.wrong(f"has no tables of keystile yet; run `{schema.command}`")
    if found < wanted:
        reason = f"has version {found} of the tables, and this keystile needs {wanted}; run `{schema.command}`"
        raise place.wrong(reason)
    if found > wanted:
        raise place.wrong(_newer(found, wanted))


def pending(place: Place, connection: sa.Connection, schema: Schema) -> list[str]:
    """The statements that this database needs; none if it is up to date.

    Raises:
        ConfigurationError: its tables are of a newer version.
    """
    found = version_in(connection, schema)
    if found == schema.version:
        return []
    if found is not None and found > schema.version:
        raise place.wrong(_newer(found, schema.version))
    dialect, statements = connection.dialect, list[str]()
    if found is None:
        statements += _created(dialect, schema)
    else:
        for version in range(found, schema.version):
            statements += schema.steps[version](dialect)
    return [*statements, *_noted(dialect, schema)]


def migrate(place: Place, schema: Schema, tell: Callable[[int, int, str], object], *, dry: bool = False) -> int:
    """Bring a database up to date. Two at once are safe: the second waits, and finds nothing to do.

    Args:
        place: the database.
        schema: the tables that it is to have.
        tell: called before each statement with its number, how many there are, and its text.
        dry: only tell, and change nothing.

    Returns:
        How many statements there were.

    Raises:
        ConfigurationError: the database cannot be reached, or cannot be changed, or is newer than this keystile.
    """
    with place.patient() as engine:
        try:
            with engine.begin() as connection:
                if not dry:
                    _lock(place, connection)
                statements = pending(place, connection, schema)
                for number, statement in enumerate(statements, 1):
                    tell(number, len(statements), statement)
                    if not dry:
                        connection.exec_driver_sql(statement)
                return len(statements)
        except sa.exc.SQLAlchemyError as error:
            reason = place.said(error)
    raise place.wrong(f"cannot be migrated: {reason}")


def _newer(found: int, known: int) -> str:
    return f"has version {found} of the tables, which a newer keystile made; this one knows {known}: update it"


def _lock(place: Place, connection: sa.Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        # Nobody who only reads may wait for long behind a change that itself waits for a lock.
        connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
    elif connection.exec_driver_sql(f"SELECT GET_LOCK('keystile_migrate', {_PATIENCE})").scalar() != 1:
        raise place.wrong("is being migrated by somebody else, who has not ended within a minute")


def _created(dialect: sa.Dialect, schema: Schema) -> Iterator[str]:
    # PostgreSQL takes a whole failed migration back, and then a table that is there already is somebody else's.
    again = dialect.name != "postgresql"
    for table in (tables.schema, *schema.tables):
        shared = table is tables.schema  # another component may have made it
        yield str(CreateTable(table, if_not_exists=again or shared).compile(dialect=dialect)).strip()
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield str(CreateIndex(index, if_not_exists=again).compile(dialect=dialect)).strip()
    yield from schema.more(dialect)


def _by_end(dialect: sa.Dialect) -> list[str]:
    """The indexes that version 2 added."""
    there = {str(index.name): index for table in tables.owned for index in table.indexes}
    again = dialect.name != "postgresql"
    made = (CreateIndex(there[name], if_not_exists=again) for name in tables.BY_END)
    return [str(each.compile(dialect=dialect)).strip() for each in made]


def _triggers(dialect: sa.Dialect) -> Iterator[str]:
    """What draws the revisions."""
    if dialect.name == "postgresql":
        draw = f"BEGIN NEW.revision := {_DRAW['postgresql']}; RETURN NEW; END"
        yield f"CREATE FUNCTION keystile_revise() RETURNS trigger LANGUAGE plpgsql AS $$ {draw} $$"
    for table in tables.owned:
        if dialect.name == "postgresql":
            yield f"CREATE TRIGGER keystile_inserted BEFORE INSERT ON {table.name} FOR EACH ROW {_REVISE}"
        else:
            begin = f"CREATE TRIGGER IF NOT EXISTS {table.name}_inserted BEFORE INSERT ON {table.name}"
            yield f"{begin} FOR EACH ROW {_SET}"
        yield _revising(dialect, table)


def _revising(dialect: sa.Dialect, table: sa.Table) -> str:
    """What draws the revision of a row that is changed. A use of a key is no change."""
    same = " AND ".join(_same(dialect, name) for name in tables.counted(table))
    # A row that is put back as it was, with its revision, is another row to whoever remembers that number.
    changed = f"NOT ({same}) OR NEW.revision <> OLD.revision"
    if dialect.name == "postgresql":
        begin = f"CREATE TRIGGER keystile_revised BEFORE UPDATE ON {table.name} FOR EACH ROW"
        return f"{begin} WHEN ({changed}) {_REVISE}"
    name = "keystile_keys_changed" if table is tables.keys else f"{table.name}_revised"
    begin = f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE UPDATE ON {table.name} FOR EACH ROW"
    return f"{begin} IF {changed} THEN {_SET}; END IF"


def _without_uses(dialect: sa.Dialect) -> list[str]:
    """What version 3 changed: until then the first use counted as a change of the key."""
    begin = _revising(dialect, tables.keys)
    if dialect.name == "postgresql":
        return ["DROP TRIGGER keystile_revised ON keystile_keys", begin]
    # Here others write meanwhile. No moment may be without a trigger, so the new one comes first, under another name.
    return [begin, "DROP TRIGGER IF EXISTS keystile_keys_revised"]


def _same(dialect: sa.Dialect, name: str) -> str:
    if dialect.name == "postgresql":
        return f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}"
    # A collation may call texts equal that are not, such as those that differ in their case.
    return f"(CAST(NEW.{name} AS BINARY) <=> CAST(OLD.{name} AS BINARY))"


def _noted(dialect: sa.Dialect, schema: Schema) -> Iterator[str]:
    """What writes the version down."""
    values = {"component": schema.component, "version": schema.version, "applied_at": time.time_ns() // 1000}
    for statement in (
        sa.delete(tables.schema).where(tables.schema.c.component == schema.component),
        sa.insert(tables.schema).values(values),
    ):
        yield str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


KEYS = Schema(
    tables.COMPONENT,
    tables.VERSION,
    [table for table in tables.metadata.sorted_tables if table is not tables.schema],
    "keystile migrate",
    _triggers,
    {1: _by_end, 2: _without_uses},
)
"""The tables of the key store."""
