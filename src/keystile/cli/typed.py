"""Reads what people type on the command line; and the option that several commands have."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from ..keys.format import ID_LENGTH

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DURATION = re.compile(r"([0-9]+)([dh])")
# So many digits are more seconds than anything lasts.
_SPAN = re.compile(r"([0-9]{1,12})([smhd]?)")
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400}
json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")
_KEY_ID = re.compile(rf"[0-9A-Za-z]{{{ID_LENGTH}}}")


def as_moment(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """A moment in UTC, from ISO 8601 with a time zone, or from a number of days or hours from now."""
    return None if value is None else _moment(value, 1)


def as_past(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """The same for a moment of the past: a number of days or hours is counted back, and a date is its beginning."""
    if value is not None and _DATE.fullmatch(value):
        value += "T00:00:00Z"
    return None if value is None else _moment(value, -1)


def _moment(value: str, sign: int) -> datetime:
    duration = _DURATION.fullmatch(value)
    try:
        if duration is not None:
            return datetime.now(UTC) + sign * timedelta(hours=int(duration[1]) * (24 if duration[2] == "d" else 1))
        moment = datetime.fromisoformat(value)
        if moment.utcoffset() is None:
            raise click.BadParameter("it has no time zone; write Z at the end for UTC")
        return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter("expected a time like 2030-01-31T12:00:00Z, or 30d, or 12h") from None


def as_seconds(_ctx: click.Context, _param: click.Parameter, value: str) -> float:
    """A span of time in seconds."""
    span = _SPAN.fullmatch(value)
    if span is None:
        raise click.BadParameter("expected a span like 90s, 30m, 12h or 7d")
    return float(int(span[1]) * _SECONDS[span[2]])


def as_headers(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """Headers as they stand in a message: a name, a colon, a value. A value may be a credential: none is repeated."""
    parts = [each.partition(":") for each in values]
    if not all(name and colon for name, colon, _ in parts):
        raise click.BadParameter("expected a header like 'X-Team: data'")
    if len({name.lower() for name, _, _ in parts}) < len(parts):
        raise click.BadParameter("a header stands there twice")
    return {name: value.strip() for name, _, value in parts}


def as_object(_ctx: click.Context, _param: click.Parameter, value: str | None) -> dict[str, Any] | None:
    """A JSON object; None if nothing was typed."""
    if value is None:
        return None
    try:
        found = json.loads(value)
    except (ValueError, RecursionError):
        raise click.BadParameter('it is not JSON; write an object like {"team": "data"}') from None
    if not isinstance(found, dict):
        raise click.BadParameter('expected a JSON object like {"team": "data"}')
    return found


def check_key_id(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
    """Never repeat what was typed: people paste whole keys here."""
    if value is None or _KEY_ID.fullmatch(value):
        return value
    raise click.ClickException(
        f"this is not the id of a key; an id has {ID_LENGTH} letters and digits, as `keystile keys list` shows"
    )
