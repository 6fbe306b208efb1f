"""The order of lists in the memory store: by age."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from ..model import ApiKey, AuditEntry, Organization, Project
from .filters import AuditFilter

R = TypeVar("R", ApiKey, Project, Organization)


def page(records: Mapping[str, R], fits: Callable[[R], bool], after: str | None, limit: int) -> Sequence[R]:
    """So many records that fit, by age, after the one with this id."""
    known = sorted(filter(fits, records.values()), key=age)
    if after is None:
        return known[:limit]
    start = records.get(after)
    if start is None:
        return []
    place = bisect_right(known, age(start), key=age)
    return known[place : place + limit]


def page_of_audit(
    entries: Iterable[AuditEntry], wanted: AuditFilter, after: str | None, limit: int
) -> Sequence[AuditEntry]:
    """So many entries that are asked for, the newest first, after the one with this id."""
    known = sorted(entries, key=lambda each: (each.at, each.id), reverse=True)
    start = next((place for place, each in enumerate(known) if each.id == after), len(known) if after else -1)
    return list(islice(filter(wanted.fits, known[start + 1 :]), limit))


def age(record: Any) -> tuple[datetime, str]:
    """What records are sorted by."""
    return record.created_at, record.id
