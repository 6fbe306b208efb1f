"""Forms as they are sent: read within bounds, and turned into the arguments of operations."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

MOST_BODY = 65_536
MOST_FIELDS = 100
MOST_QUERY = 20
_HOURS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,3})?")
_TYPE = "application/x-www-form-urlencoded"
# No browser writes one, and urllib takes half a microsecond for each.
_LONE_PERCENT = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BadForm(Exception):
    """A form cannot be read.

    Args:
        status: of the answer.
        reason: for people.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class BadField(Exception):
    """What stands in one field cannot be used.

    Args:
        field: its name.
        reason: for people.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def read_form(content_type: str | None, body: bytes) -> dict[str, str]:
    """The fields of a form, each once.

    Raises:
        BadForm: it is not a form, is too long, has too many fields, or one of them twice.
    """
    kind = (content_type or "").partition(";")[0].strip().lower()
    if kind != _TYPE:
        raise BadForm(415, "Expected a form.")
    if len(body) > MOST_BODY:
        raise BadForm(413, "The form is too long.")
    if _LONE_PERCENT.search(body):
        raise BadForm(400, "The form has a percent sign that encodes nothing.")
    try:
        pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except ValueError:
        raise BadForm(400, "The form cannot be read, or has too many fields.") from None
    return _once(pairs)


def _once(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise BadForm(400, "A field was sent twice.")
    return fields


def one_of_each(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The parameters of a query, each once; BadForm if one of them stands there twice, or there are too many."""
    if len(pairs) > MOST_QUERY:
        raise BadForm(400, "There are too many parameters.")
    return _once(pairs)


def listed(text: str) -> list[str]:
    """The entries of a field that takes several, by lines, spaces or commas."""
    return text.replace(",", " ").split()


def lines(text: str) -> list[str]:
    """The entries of a field that takes one a line; they may hold spaces."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def moment(field: str, text: str) -> datetime | None:
    """A time in UTC, as a browser's field for dates and times writes it; None where it is empty."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the first and last hours of the calendar have no UTC
        raise BadField(field, "expected a date and a time, like 2030-01-31T12:00") from None


def json_in(field: str, text: str) -> Mapping[str, Any]:
    """A JSON object; an empty one where nothing is written."""
    if not text.strip():
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadField(field, 'expected a JSON object, like {"team": "billing"}') from None
    if not isinstance(found, dict):
        raise BadField(field, 'expected a JSON object, like {"team": "billing"}')
    return found


def seconds(field: str, text: str) -> float:
    """A length of time in hours, as seconds."""
    if not _HOURS.fullmatch(text.strip()):
        raise BadField(field, "expected a number of hours, like 12 or 0.5")
    return float(text) * 3600
