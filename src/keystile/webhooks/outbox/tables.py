"""The tables of the outbox; `metadata` is for hosts that run Alembic.

Moments are whole microseconds since the epoch. A delivery that a worker has claimed stays ``due``, but no sooner than
when the worker's lease ends: so a worker that dies needs no one to clean up behind it, and what can be claimed is one
condition that a partial index answers.

No foreign keys: they would have every transaction of the host lock the rows of endpoints.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from ...stores.sql.migrations import Schema
from ...stores.sql.tables import Exact

metadata = sa.MetaData()
"""All tables."""

_MOMENT = sa.BigInteger()


def _id() -> sa.Column[str]:
    return sa.Column("id", Exact(), primary_key=True)


def _where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


endpoints = sa.Table(
    "keystile_endpoints",
    metadata,
    _id(),
    sa.Column("organization_id", Exact(), nullable=False),
    sa.Column("url", sa.Text(), nullable=False),
    sa.Column("description", sa.Text()),
    sa.Column("event_types", sa.Text()),  # JSON; NULL stands for all
    sa.Column("scheme", sa.Text(), nullable=False),  # JSON
    sa.Column("secrets", sa.Text(), nullable=False),  # JSON, sealed
    sa.Column("headers", sa.Text(), nullable=False),  # likewise: a header may hold a credential
    sa.Column("header_names", sa.Text(), nullable=False),  # JSON
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("disabled_at", _MOMENT),
    sa.Column("disabled_reason", sa.Text()),
    sa.Column("first_failure_at", _MOMENT),  # since then nothing has arrived
    sa.Column("deleted_at", _MOMENT),
    sa.Column("revision", sa.BigInteger(), nullable=False),
    sa.Index("keystile_endpoints_by_organization", "organization_id", "id"),
)
messages = sa.Table(
    "keystile_messages",
    metadata,
    _id(),
    sa.Column("organization_id", Exact(), nullable=False),
    sa.Column("type", Exact(), nullable=False),
    sa.Column("payload", sa.LargeBinary(), nullable=False),
    sa.Column("created_at", _MOMENT, nullable=False),
    sa.Column("dedupe_key", Exact()),
    sa.UniqueConstraint("organization_id", "dedupe_key", name="keystile_messages_once"),
)
deliveries = sa.Table(
    "keystile_deliveries",
    metadata,
    _id(),
    sa.Column("message_id", Exact(), nullable=False),
    sa.Column("endpoint_id", Exact(), nullable=False),
    sa.Column("state", Exact(), nullable=False),
    sa.Column("attempt", sa.Integer(), nullable=False),  # how many there were
    sa.Column("begun_after", sa.Integer(), nullable=False),  # how many there were when it was last retried by hand
    sa.Column("due_at", _MOMENT, nullable=False),
    sa.Column("lease_by", sa.Text()),
    sa.UniqueConstraint("message_id", "endpoint_id", name="keystile_deliveries_once"),
    sa.Index("keystile_deliveries_due", "endpoint_id", "due_at", "id", **_where("state = 'due'")),
    sa.Index("keystile_deliveries_failed", "endpoint_id", "id", **_where("state = 'failed'")),
    sa.Index("keystile_deliveries_under_way", "endpoint_id", **_where("lease_by IS NOT NULL")),
    sa.Index("keystile_deliveries_by_endpoint", "endpoint_id", "id"),
)
attempts = sa.Table(
    "keystile_attempts",
    metadata,
    sa.Column("delivery_id", Exact(), primary_key=True),
    sa.Column("attempt", sa.Integer(), primary_key=True, autoincrement=False),
    sa.Column("at", _MOMENT, nullable=False),
    sa.Column("status", sa.Integer()),
    sa.Column("error", sa.Text()),
    sa.Column("ms", sa.Integer(), nullable=False),
    sa.Column("response_head", sa.Text(), nullable=False),
)
marks = sa.Table(
    "keystile_marks",
    metadata,
    sa.Column("name", Exact(), primary_key=True),
    sa.Column("at", _MOMENT, nullable=False),
)

OUTBOX = Schema("outbox", 1, metadata.sorted_tables, "keystile webhooks migrate")
