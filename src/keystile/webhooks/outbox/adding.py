"""What adding a message does inside a transaction: the message, and one delivery for each endpoint that wants it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from ...exceptions import EndpointConflict
from ...keys.changes.fields import check_optional, check_text
from ...rules.messages import check_type, payload_of, wants
from .registering import living
from .stamps import DELIVERY, MESSAGE, micros, new_id
from .tables import deliveries, endpoints, messages

_WANTED = sa.select(endpoints.c.id, endpoints.c.event_types).where(
    endpoints.c.organization_id == sa.bindparam("organization"),
    endpoints.c.deleted_at.is_(None),
    endpoints.c.disabled_at.is_(None),
)


class Message(NamedTuple):
    """A message to be kept.

    Attributes:
        id: its id.
        organization_id: whose endpoints get it.
        type: what happened.
        payload: what is signed and sent.
        at: Unix seconds.
        dedupe_key: of messages of an organization with one key, only the first is kept.
    """

    id: str
    organization_id: str
    type: str
    payload: bytes
    at: float
    dedupe_key: str | None = None


def message_of(type: str, data: Any, organization_id: str, dedupe_key: str | None, *, now: float, most: int) -> Message:
    """A message with an id of its own, or ConfigurationError.

    Args:
        type, data, organization_id, dedupe_key: as the host gives them.
        now: Unix seconds.
        most: how many bytes it may have.
    """
    return Message(
        new_id(MESSAGE, now),
        check_text(organization_id, "organization_id"),
        check_type(type),
        payload_of(type, data, datetime.fromtimestamp(now, UTC), most),
        now,
        check_optional(dedupe_key, "dedupe_key"),
    )


def add(connection: sa.Connection, message: Message) -> str:
    """Keep a message, and deliveries to the endpoints that there are now; gives its id, or that of the message that is
    there already under its key. One that another transaction is about to keep is waited for."""
    if not _keep(connection, message):
        of_key = sa.select(messages.c.id).where(
            messages.c.organization_id == message.organization_id, messages.c.dedupe_key == message.dedupe_key
        )
        return str(connection.execute(of_key).scalar_one())
    found = connection.execute(_WANTED, {"organization": message.organization_id}).all()
    add_deliveries(connection, message, [row.id for row in found if wants(_types(row.event_types), message.type)])
    return message.id


def test(connection: sa.Connection, message: Message, wanted: tuple[str, str | None]) -> str:
    """Keep a message for one endpoint, whatever it wants; gives its id.

    Args:
        connection: keeps it.
        message: it becomes the message of the endpoint's organization.
        wanted: the endpoint's id, and whose it must be or None.

    Raises:
        NotFound: there is no such endpoint.
        EndpointConflict: it is disabled.
    """
    row = living(connection, *wanted)
    if row["disabled_at"] is not None:
        raise EndpointConflict("endpoint_disabled", "is disabled: enable it first", key="endpoint_id")
    own = message._replace(organization_id=row["organization_id"])
    _keep(connection, own)
    add_deliveries(connection, own, [row["id"]])
    return own.id


def was_added(connection: sa.Connection, message_id: str) -> str | None:
    """The message's id, if it is there."""
    found: str | None = connection.execute(sa.select(messages.c.id).where(messages.c.id == message_id)).scalar()
    return found


def add_deliveries(connection: sa.Connection, message: Message, endpoint_ids: Iterable[str]) -> None:
    """Have a message sent to these."""
    same = {"message_id": message.id, "state": "due", "attempt": 0, "begun_after": 0}
    due = {"due_at": micros(message.at)}
    rows = [{"id": new_id(DELIVERY, message.at), "endpoint_id": each, **same, **due} for each in endpoint_ids]
    if rows:
        connection.execute(sa.insert(deliveries), rows)


def _keep(connection: sa.Connection, message: Message) -> bool:
    insert = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert
    values = message._asdict()
    values["created_at"] = micros(values.pop("at"))
    kept = insert(messages).values(values).on_conflict_do_nothing(index_elements=["organization_id", "dedupe_key"])
    # Without this option, what an INSERT has done is not told.
    return connection.execute(kept, execution_options={"preserve_rowcount": True}).rowcount > 0


def _types(text: str | None) -> list[str] | None:
    found: list[str] | None = None if text is None else json.loads(text)
    return found
