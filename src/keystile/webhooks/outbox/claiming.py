"""What a worker does inside a transaction: claim deliveries, and finish them.

Which deliveries are next is asked of each endpoint in turn, by steps through the index of what is due: the cost grows
with the endpoints that wait for something, not with how much each of them waits for. So one that is down, with a
hundred thousand deliveries behind it, holds nobody up.

A claim moves a delivery's due time to the end of its lease, and counts the attempt. Whoever finishes it must name both
the worker and the attempt: one who slept through its lease finishes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from ..._ground.checks import check_count
from ...exceptions import ConfigurationError
from ...keys.changes.fields import check_text
from ..sending import Attempt
from .records import Claimed, Finished, Next
from .rows import Rows
from .stamps import micros
from .tables import attempts, deliveries, endpoints, messages

PER_ENDPOINT = 4
"""Deliveries that may be under way to one endpoint."""
MOST, LONGEST_LEASE = 256, 3600
# After which time an endpoint whose secrets cannot be opened is tried again, in seconds.
UNREADABLE = 60
_DUE = "state = 'due'"  # as the index says it: with a parameter in its place, no plan may use that index
# The order of the whole index in each step, and scalar subqueries in place of joins: so a server without statistics of
# its tables, which were empty a minute ago, has no other plan.
_NEXT = """
WITH RECURSIVE waiting (endpoint_id) AS (
    SELECT (
        SELECT endpoint_id FROM keystile_deliveries WHERE state = 'due' ORDER BY endpoint_id, due_at, id LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT endpoint_id FROM keystile_deliveries WHERE state = 'due' AND endpoint_id > waiting.endpoint_id
        ORDER BY endpoint_id, due_at, id LIMIT 1
    )
    FROM waiting WHERE waiting.endpoint_id IS NOT NULL
), free AS {once} (
    SELECT waiting.endpoint_id, (
        SELECT count(*) FROM keystile_deliveries AS taken
        WHERE taken.endpoint_id = waiting.endpoint_id AND taken.lease_by IS NOT NULL AND taken.due_at > :now
    ) AS under_way
    FROM waiting WHERE waiting.endpoint_id NOT IN :full AND (
        SELECT endpoint.disabled_at IS NULL AND endpoint.deleted_at IS NULL {well}
        FROM keystile_endpoints AS endpoint WHERE endpoint.id = waiting.endpoint_id
    )
)
SELECT oldest.id, free.endpoint_id, free.under_way FROM free {oldest}
WHERE free.under_way < :each ORDER BY oldest.due_at, oldest.id LIMIT :most
"""
_OLDEST = """
FROM keystile_deliveries AS due
WHERE due.endpoint_id = free.endpoint_id AND due.state = 'due' AND due.due_at <= :now
ORDER BY due.due_at, due.id LIMIT :each
"""
_WELL = "AND endpoint.first_failure_at IS NULL"
# SQLite has no LATERAL, and PostgreSQL no good plan for the other.
_LATERAL = f"CROSS JOIN LATERAL (SELECT due.id, due.due_at {_OLDEST}) AS oldest"
_IN = f"CROSS JOIN keystile_deliveries AS oldest ON oldest.id IN (SELECT due.id {_OLDEST})"


class Wanted(NamedTuple):
    """What a worker asks for.

    Attributes:
        worker_id: who asks.
        most: at most so many.
        now: Unix seconds.
        full: endpoints that get nothing more just now.
        lease: for how many seconds they are the worker's.
        per_endpoint: at most so many under way to one endpoint, of all workers together.
        well: nothing for endpoints at which nothing has arrived since they failed.
    """

    worker_id: str
    most: int
    now: float
    full: Collection[str]
    lease: float
    per_endpoint: int
    well: bool = False


def check_wanted(wanted: Wanted) -> Wanted:
    """The same, or ConfigurationError."""
    check_text(wanted.worker_id, "worker_id")
    check_count(wanted.per_endpoint, "per_endpoint")
    if not 1 <= check_count(wanted.most, "most") <= MOST:
        raise ConfigurationError(f"expected 1 to {MOST}", key="most")
    if not 0 < wanted.lease <= LONGEST_LEASE:
        raise ConfigurationError(f"expected a number of seconds up to {LONGEST_LEASE}", key="lease")
    return wanted


def claim(connection: sa.Connection, wanted: Wanted, rows: Rows, taken: list[str]) -> list[Claimed]:
    """Deliveries that are due, the oldest first. Their ids are left in `taken`, for `was_claimed`."""
    for _ in range(2):
        candidates = _candidates(connection, wanted)
        taken[:] = _take(connection, wanted, candidates) if candidates else []
        if taken or not candidates:  # else another worker claimed just these
            break
    return _read(connection, wanted, taken, rows)


def was_claimed(connection: sa.Connection, wanted: Wanted, rows: Rows, taken: list[str]) -> list[Claimed] | None:
    """What `claim` gave, if these were taken then; else nobody would send them before their leases end."""
    own = (
        deliveries.c.id.in_(taken),
        deliveries.c.lease_by == wanted.worker_id,
        deliveries.c.due_at == micros(wanted.now + wanted.lease),
        deliveries.c.state == "due",
    )
    mine = set(connection.execute(sa.select(deliveries.c.id).where(*own)).scalars()) if taken else set()
    return _read(connection, wanted, [each for each in taken if each in mine], rows) if mine else None


def finish(connection: sa.Connection, claimed: Claimed, attempt: Attempt, then: Next, now: float) -> Finished | None:
    """Note an attempt and what follows; None, and nothing is noted, if the delivery is not this worker's any more. The
    same once more gives the same."""
    own = (
        deliveries.c.id == claimed.delivery_id,
        deliveries.c.lease_by == claimed.lease_by,
        deliveries.c.attempt == claimed.attempt,
        deliveries.c.state == "due",
    )
    due = {} if then.due_at is None else {"due_at": micros(then.due_at)}
    freed = sa.update(deliveries).where(*own).values(state=then.state, lease_by=None, **due)
    if not connection.execute(freed).rowcount:
        return was_finished(connection, claimed, then, now)
    values = {
        "delivery_id": claimed.delivery_id,
        "attempt": claimed.attempt,
        "at": micros(now),
        "status": attempt.status,
        "error": attempt.error,
        "ms": round(attempt.seconds * 1000),
        "response_head": attempt.shown,
    }
    connection.execute(sa.insert(attempts).values(values))
    _mark(connection, claimed, then, now, arrived=attempt.delivered)
    return Finished(then.disable is not None and _disable(connection, claimed, then, now))


def was_finished(connection: sa.Connection, claimed: Claimed, then: Next, now: float) -> Finished | None:
    """What `finish` gave, if this attempt was noted at this moment."""
    noted = (
        attempts.c.delivery_id == claimed.delivery_id,
        attempts.c.attempt == claimed.attempt,
        attempts.c.at == micros(now),
    )
    if connection.execute(sa.select(attempts.c.attempt).where(*noted)).first() is None:
        return None
    disabled = (
        endpoints.c.id == claimed.endpoint.id,
        endpoints.c.disabled_at == micros(now),
        endpoints.c.disabled_reason == then.disable,
    )
    return Finished(connection.execute(sa.select(endpoints.c.id).where(*disabled)).first() is not None)


def next_of(dialect: str, *, well: bool = False) -> sa.TextClause:
    """The statement that finds what is next; only of endpoints that are well, if that is wanted."""
    postgresql = dialect == "postgresql"
    text = _NEXT.format(
        oldest=_LATERAL if postgresql else _IN,
        once="MATERIALIZED" if postgresql else "",
        well=_WELL if well else "",
    )
    return sa.text(text).bindparams(sa.bindparam("full", expanding=True))


def _candidates(connection: sa.Connection, wanted: Wanted) -> list[str]:
    """Ids of what may be claimed. An endpoint with some under way has fewer than `per_endpoint`."""
    most, each = wanted.most * wanted.per_endpoint, wanted.per_endpoint
    full = ["", *wanted.full]  # no database has a list of none
    values = {"now": micros(wanted.now), "full": full, "each": each, "most": most}
    found, given = list[str](), Counter[str]()
    statement = next_of(connection.dialect.name, well=wanted.well)
    for delivery_id, endpoint_id, under_way in connection.execute(statement, values):
        given[endpoint_id] += 1
        if under_way + given[endpoint_id] <= each:
            found.append(delivery_id)
    return found[: 2 * wanted.most]  # as many again, where others have taken the first ones


def _take(connection: sa.Connection, wanted: Wanted, candidates: Sequence[str]) -> list[str]:
    """Those of them that nobody else takes just now."""
    now = micros(wanted.now)
    free = sa.select(deliveries.c.id).where(deliveries.c.id.in_(candidates), sa.text(_DUE), deliveries.c.due_at <= now)
    ordered = free.order_by(deliveries.c.due_at, deliveries.c.id).limit(wanted.most)
    ids = list(connection.execute(ordered.with_for_update(skip_locked=True)).scalars())
    if ids:
        values = {
            "attempt": deliveries.c.attempt + 1,
            "due_at": micros(wanted.now + wanted.lease),
            "lease_by": wanted.worker_id,
        }
        connection.execute(sa.update(deliveries).where(deliveries.c.id.in_(ids)).values(values))
    return ids


def _read(connection: sa.Connection, wanted: Wanted, taken: Iterable[str], rows: Rows) -> list[Claimed]:
    """What was taken. What cannot be signed, because no key opens its secrets, is put back, uncounted, for a while."""
    ids = {delivery_id: place for place, delivery_id in enumerate(taken)}
    if not ids:
        return []
    joined = deliveries.join(messages, messages.c.id == deliveries.c.message_id).join(
        endpoints, endpoints.c.id == deliveries.c.endpoint_id
    )
    named = [*(column.label(f"{column.table.name}_{column.name}") for table in _READ for column in table.columns)]
    found = connection.execute(sa.select(*named).select_from(joined).where(deliveries.c.id.in_(ids))).mappings()
    made, put_back = list[Claimed](), list[str]()
    for row in found:
        claimed = rows.claimed(dict(row), wanted.now)
        if claimed is None:
            put_back.append(row["keystile_deliveries_id"])
        else:
            made.append(claimed)
    if put_back:
        values: dict[str, Any] = {"attempt": deliveries.c.attempt - 1, "lease_by": None}
        values["due_at"] = micros(wanted.now + UNREADABLE)
        connection.execute(sa.update(deliveries).where(deliveries.c.id.in_(put_back)).values(values))
    return sorted(made, key=lambda each: ids[each.delivery_id])


_READ = (deliveries, messages, endpoints)


def _mark(connection: sa.Connection, claimed: Claimed, then: Next, now: float, *, arrived: bool) -> None:
    """Note since when nothing has arrived at the endpoint. Its row is written seldom: many deliveries share it."""
    failing = endpoints.c.first_failure_at
    of_endpoint = sa.update(endpoints).where(endpoints.c.id == claimed.endpoint.id)
    if arrived:
        connection.execute(of_endpoint.where(failing.is_not(None)).values(first_failure_at=None))
    elif then.blamed:
        connection.execute(of_endpoint.where(failing.is_(None)).values(first_failure_at=micros(now)))


def _disable(connection: sa.Connection, claimed: Claimed, then: Next, now: float) -> bool:
    where = [endpoints.c.id == claimed.endpoint.id, endpoints.c.disabled_at.is_(None), endpoints.c.deleted_at.is_(None)]
    if then.failing_since is not None:
        where.append(endpoints.c.first_failure_at == micros(then.failing_since))
    values = {"disabled_at": micros(now), "disabled_reason": then.disable, "revision": endpoints.c.revision + 1}
    return connection.execute(sa.update(endpoints).where(*where).values(values)).rowcount > 0
