"""What is counted of a key's requests: how many in which hour, with which outcome."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from .._ground.frozen import FrozenDict

HOUR = 3600
DAY_HOURS = 24
ADMITTED = "admitted"
"""The outcome of a request that reached the app; every other one is the ``error.code`` of a refusal."""


class Counted(NamedTuple):
    """How many requests of a key ended in one way.

    Attributes:
        key_id: whose.
        hour: in which hour: whole hours since 1970 in UTC.
        outcome: ``"admitted"``, or the ``error.code`` of the refusal.
        number: how many.
    """

    key_id: str
    hour: int
    outcome: str
    number: int


class Used(NamedTuple):
    """That a key was used.

    Attributes:
        key_id: which key.
        at: when.
        graced: whether it was its older secret.
    """

    key_id: str
    at: datetime
    graced: bool


class UsagePeriod(NamedTuple):
    """What a key did in an hour or on a day.

    Attributes:
        start: when that begins, in UTC.
        admitted: how many of its requests reached the app.
        refused: how many did not, by the ``error.code`` of the answer.
    """

    start: datetime
    admitted: int
    refused: Mapping[str, int] = FrozenDict()
