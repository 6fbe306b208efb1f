"""What was delivered and what was not, for people: read it, have it sent once more, and forget it when it is old."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from ...exceptions import ConfigurationError, NotFound
from ...keys.changes.fields import check_optional, check_page, check_text
from .records import STATES, Delivery, PastAttempt, State
from .registering import living
from .rows import attempt_of, delivery_of
from .stamps import DELIVERY, ENDPOINT, MESSAGE, first_id, micros
from .tables import attempts, deliveries, endpoints, messages

BATCH = 500
"""How many rows one transaction changes: others wait for these."""

_JOINED = deliveries.join(messages, messages.c.id == deliveries.c.message_id)
_SELECT = sa.select(deliveries, messages.c.type, messages.c.created_at).select_from(_JOINED)
# A state is written into a statement as a partial index has it.
_IN_STATE = {"due": sa.text("state = 'due'"), "failed": sa.text("state = 'failed'")}

Of = tuple[str, str | None]
"""The id of what is wanted, and whose it must be."""


class Page(NamedTuple):
    """Which part of a list.

    Attributes:
        state: only those in this state.
        after: the id of the last one before it.
        limit: at most so many.
    """

    state: State | None
    after: str | None
    limit: int


def check_page_of(state: Any, after: Any, limit: Any) -> Page:
    """A page, or ConfigurationError."""
    if state is not None and state not in STATES:
        raise ConfigurationError(f"expected one of {', '.join(STATES)}", key="state")
    return Page(state, check_optional(after, "after"), check_page(limit))


def of(id: Any, organization_id: Any, key: str = "endpoint_id") -> Of:
    """What is wanted, or ConfigurationError."""
    return check_text(id, key), check_optional(organization_id, "organization_id")


def check_since(since: Any) -> float:
    """Unix seconds, of a moment that somebody names; or ConfigurationError."""
    if not isinstance(since, datetime) or since.utcoffset() is None:
        raise ConfigurationError("expected a datetime with a time zone", key="since")
    return since.timestamp()


def deliveries_of(connection: sa.Connection, wanted: Of, page: Page) -> Sequence[Delivery]:
    """The deliveries to an endpoint, the newest first."""
    living(connection, *wanted, ended=True)
    where: list[sa.ColumnElement[bool] | sa.TextClause] = [deliveries.c.endpoint_id == wanted[0]]
    if page.after is not None:
        where.append(deliveries.c.id < page.after)
    if page.state is not None:
        where.append(_IN_STATE.get(page.state, deliveries.c.state == page.state))
    found = connection.execute(_SELECT.where(*where).order_by(deliveries.c.id.desc()).limit(page.limit))
    return [delivery_of(dict(row)) for row in found.mappings()]


def delivery(connection: sa.Connection, wanted: Of) -> Delivery:
    """One delivery; of a deleted endpoint too."""
    _delivery(connection, wanted, ended=True)
    return _read(connection, wanted[0])


def attempts_of(connection: sa.Connection, wanted: Of) -> Sequence[PastAttempt]:
    """The attempts of a delivery."""
    _delivery(connection, wanted, ended=True)
    of_it = sa.select(attempts).where(attempts.c.delivery_id == wanted[0]).order_by(attempts.c.attempt)
    return [attempt_of(dict(row)) for row in connection.execute(of_it).mappings()]


def retry(connection: sa.Connection, wanted: Of, now: float) -> Delivery:
    """Make a delivery due, unless it is under way."""
    _delivery(connection, wanted)
    own = deliveries.c.id == wanted[0]
    under_way = deliveries.c.lease_by.is_not(None) & (deliveries.c.due_at > micros(now))
    connection.execute(sa.update(deliveries).where(own, ~under_way).values(_again(now)))
    return _read(connection, wanted[0])


def retry_failed(connection: sa.Connection, wanted: Of, since: float, now: float) -> int:
    """Make some deliveries due that were given up; how many."""
    living(connection, *wanted)
    given_up = sa.select(deliveries.c.id).where(
        deliveries.c.endpoint_id == wanted[0], _IN_STATE["failed"], deliveries.c.id >= first_id(DELIVERY, since)
    )
    ids = list(connection.execute(given_up.order_by(deliveries.c.id).limit(BATCH).with_for_update()).scalars())
    if ids:
        connection.execute(sa.update(deliveries).where(deliveries.c.id.in_(ids)).values(_again(now)))
    return len(ids)


def drop(connection: sa.Connection) -> int:
    """Drop some of what is due to deleted endpoints; how many. What was added in the moment in which its endpoint was
    deleted is found here later."""
    gone = sa.select(endpoints.c.id).where(endpoints.c.deleted_at.is_not(None))
    due = sa.select(deliveries.c.id).where(deliveries.c.endpoint_id.in_(gone), _IN_STATE["due"])
    ids = list(connection.execute(due.limit(BATCH).with_for_update(skip_locked=True)).scalars())
    if ids:
        dropped = sa.update(deliveries).where(deliveries.c.id.in_(ids))
        connection.execute(dropped.values(state="dropped", lease_by=None))
    return len(ids)


def purge(connection: sa.Connection, before: float, most: int) -> int:
    """Delete old messages that are not on their way; how many."""
    drop(connection)
    on_its_way = (
        sa.select(deliveries.c.id)
        .join(endpoints, endpoints.c.id == deliveries.c.endpoint_id)
        .where(deliveries.c.message_id == messages.c.id, _IN_STATE["due"], endpoints.c.disabled_at.is_(None))
    )
    old = sa.select(messages.c.id).where(messages.c.id < first_id(MESSAGE, before), ~on_its_way.exists())
    ordered = old.order_by(messages.c.id).limit(most)
    ids = list(connection.execute(ordered.with_for_update(skip_locked=True)).scalars())
    if ids:
        of_them = sa.select(deliveries.c.id).where(deliveries.c.message_id.in_(ids))
        connection.execute(sa.delete(attempts).where(attempts.c.delivery_id.in_(of_them)))
        connection.execute(sa.delete(deliveries).where(deliveries.c.message_id.in_(ids)))
        connection.execute(sa.delete(messages).where(messages.c.id.in_(ids)))
    _forget_endpoints(connection, before, most)
    return len(ids)


def _forget_endpoints(connection: sa.Connection, before: float, most: int) -> None:
    used = sa.select(deliveries.c.id).where(deliveries.c.endpoint_id == endpoints.c.id)
    gone = sa.select(endpoints.c.id).where(
        endpoints.c.deleted_at < micros(before), endpoints.c.id < first_id(ENDPOINT, before), ~used.exists()
    )
    ids = list(connection.execute(gone.limit(most)).scalars())
    if ids:
        connection.execute(sa.delete(endpoints).where(endpoints.c.id.in_(ids)))


def _again(now: float) -> dict[str, object]:
    return {"state": "due", "due_at": micros(now), "begun_after": deliveries.c.attempt, "lease_by": None}


def _read(connection: sa.Connection, delivery_id: str) -> Delivery:
    found = connection.execute(_SELECT.where(deliveries.c.id == delivery_id)).mappings().first()
    if found is None:
        raise NotFound("delivery", delivery_id)  # it was purged at this moment
    return delivery_of(dict(found))


def _delivery(connection: sa.Connection, wanted: Of, *, ended: bool = False) -> None:
    """NotFound unless there is such a delivery, to an endpoint of this organization."""
    delivery_id, organization_id = wanted
    found = connection.execute(sa.select(deliveries.c.endpoint_id).where(deliveries.c.id == delivery_id)).scalar()
    if found is None:
        raise NotFound("delivery", delivery_id)
    try:
        living(connection, found, organization_id, ended=ended)
    except NotFound:
        raise NotFound("delivery", delivery_id) from None
