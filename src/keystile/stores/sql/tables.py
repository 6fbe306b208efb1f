"""The tables of the SQL store, once for all databases; `metadata` is for hosts that run Alembic.

The columns of a record are those of `stores.rows`, in the same form as in SQLite. Identifiers are compared octet by
octet: under a usual collation ``aB`` would find ``Ab``, and on MySQL ``acme `` would find ``acme``.

Each row of a key, a project or an organization has a revision. Triggers draw it anew on every change on which a verdict
depends, whoever makes it: a statement that somebody types must hold on the next request too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeDecorator, TypeEngine

from ..rows import AUDIT_COLUMNS, KEY_COLUMNS, ORGANIZATION_COLUMNS, PROJECT_COLUMNS, USES

COMPONENT, VERSION = "keys", 3
# As long as any text that `keys.changes.fields` lets into a record, with room for names of other stores' keys.
_LONGEST = 255


class Exact(TypeDecorator[str]):
    """A short text that equals only itself."""

    impl = sa.String(_LONGEST)
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        """The type in this database."""
        if dialect.name == "postgresql":
            return sa.Text(collation="C")
        if dialect.name in {"mysql", "mariadb"}:
            is_mariadb = dialect.name == "mariadb" or getattr(dialect, "is_mariadb", False)
            return mysql.VARCHAR(_LONGEST, collation="utf8mb4_nopad_bin" if is_mariadb else "utf8mb4_0900_bin")
        return sa.String(_LONGEST)


# A column of MySQL's TEXT ends at 64 kB.
_LONG = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_MOMENT = sa.BigInteger()
_TYPES: dict[str, TypeEngine[Any]] = {
    **dict.fromkeys(("name", "limits", "scopes", "may", "ip_allowlist", "metadata", "hashes"), _LONG),
    **dict.fromkeys(("targets", "before", "after", "actor_id", "actor_name", "client", "request_id"), _LONG),
    **dict.fromkeys(("created_at", "expires_at", "suspended_at", "revoked_at", "deleted_at", "at", *USES), _MOMENT),
}
_OPTIONAL = frozenset(
    ("owner_id", "project_id", "plan", "limits", "may", "ip_allowlist", "expires_at", "suspended_at", "revoked_at")
) | {*USES, "before", "after", "actor_id", "actor_name", "client", "request_id", "deleted_at"}
_OPTIONS = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("charset", "utf8mb4"))
}

metadata = sa.MetaData()
"""All tables."""


def _columns(names: Iterable[str], optional: Iterable[str] = ()) -> list[sa.Column[Any]]:
    may_lack = _OPTIONAL.union(optional)
    return [
        sa.Column(name, _TYPES.get(name) or Exact(), primary_key=name == "id", nullable=name in may_lack)
        for name in names
    ]


def _end(name: str, column: str) -> sa.Index:
    """What finds the records that ended before a moment; most have not."""
    return sa.Index(f"keystile_{name}", column, postgresql_where=sa.text(f"{column} IS NOT NULL"))


def _revision() -> sa.Column[Any]:
    return sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0")


def _table(name: str, *parts: sa.schema.SchemaItem) -> sa.Table:
    options: dict[str, Any] = dict(_OPTIONS)
    return sa.Table(f"keystile_{name}", metadata, *parts, **options)


schema = _table(
    "schema",
    sa.Column("component", Exact(), primary_key=True),
    sa.Column("version", sa.Integer(), nullable=False),
    sa.Column("applied_at", _MOMENT, nullable=False),
)
organizations = _table(
    "organizations",
    *_columns((*ORGANIZATION_COLUMNS, "deleted_at")),
    _revision(),
    sa.Index("keystile_organizations_by_age", "created_at", "id"),
)
projects = _table(
    "projects",
    *_columns((*PROJECT_COLUMNS, "deleted_at")),
    _revision(),
    sa.Index("keystile_projects_by_age", "created_at", "id"),
    sa.Index("keystile_projects_by_organization", "organization_id", "created_at", "id"),
    _end("projects_by_end", "deleted_at"),
)
keys = _table(
    "keys",
    *_columns(KEY_COLUMNS, ("organization_id",)),
    _revision(),
    sa.Index("keystile_keys_by_age", "created_at", "id"),
    sa.Index("keystile_keys_by_organization", "organization_id", "created_at", "id"),
    sa.Index("keystile_keys_by_project", "project_id", "created_at", "id"),
    sa.Index("keystile_keys_by_owner", "owner_id", "created_at", "id"),
    _end("keys_by_revocation", "revoked_at"),
    _end("keys_by_expiry", "expires_at"),
)
# Rows that are only there to be locked: see `writing.make_room`.
caps = _table("caps", sa.Column("subject", Exact(), primary_key=True))
audit = _table(
    "audit",
    *_columns(AUDIT_COLUMNS, ("organization_id",)),
    sa.Index("keystile_audit_by_age", "at", "id"),
    sa.Index("keystile_audit_by_organization", "organization_id", "at", "id"),
)
# A list of JSON has no index that every database knows.
audit_targets = _table(
    "audit_targets",
    sa.Column("target_id", Exact(), primary_key=True),
    sa.Column("entry_id", Exact(), primary_key=True),
)
# What is counted: for each key, hour since 1970 in UTC, and outcome.
usage = _table(
    "usage",
    sa.Column("key_id", Exact(), primary_key=True),
    sa.Column("hour", sa.BigInteger(), primary_key=True, autoincrement=False),
    sa.Column("outcome", Exact(), primary_key=True),
    sa.Column("count", sa.BigInteger(), nullable=False),
    sa.Index("keystile_usage_by_hour", "hour"),
)
owned = (keys, projects, organizations)
BY_END = ("keystile_keys_by_expiry", "keystile_keys_by_revocation", "keystile_projects_by_end")
"""The indexes that version 2 added."""


def counted(table: sa.Table) -> list[str]:
    """The columns of which a change gives a row another revision."""
    return [column.name for column in table.columns if column.name not in {*USES, "revision"}]
