"""The order of lists in the memory store: by age."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from ..model import ApiKey, Organization, Project

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


def age(record: Any) -> tuple[datetime, str]:
    """What records are sorted by."""
    return record.created_at, record.id
