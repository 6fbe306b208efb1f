"""How the command line shows plans, windows and places: tables for people, JSON for machines.

Nothing here shows a secret, a hash, or any part of a URL beyond its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from .._ground.urls import place_of
from ..model import Usage, Window
from ..policy import Policy

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def print_usages(usages: Sequence[Usage], *, as_json: bool) -> None:
    """Where a caller stands in each window."""
    if as_json:
        print_json([_standing(usage) for usage in usages])
        return
    rows = [(span(used.window.seconds), _belongs(used.window), *_counted(used)) for used in usages]
    print_table([("WINDOW", "SCOPE", "LIMIT", "REMAINING", "RESETS AT"), *rows])


def _belongs(window: Window) -> str:
    """What a window counts, and whether it refuses."""
    found = f"{window.unit} {window.scope}".strip() or "-"
    return f"{found} (dry run)" if window.watching else found


def shown_url(url: str) -> str:
    """The URL of a store or a limiter without user, password and parameters."""
    return url if url.startswith("sqlite:") else place_of(url) + _part_of(url)


# For one server the path is the number of a database. With Sentinel it is the name of the master.
_ONE, _SENTINEL = re.compile(r"(?:redis|valkey)s?"), re.compile(r"(?:redis|valkey)\+sentinel")


def _part_of(url: str) -> str:
    """Which database of a Redis is meant; empty if it is another store, or could be part of a password."""
    scheme, _, rest = url.partition("://")
    address, _, query = rest.rpartition("@")[2].partition("?")
    path = address.partition("/")[2]
    if _SENTINEL.fullmatch(scheme):
        return f"/{path}" if re.fullmatch(r"[\w.-]{1,64}", path) else ""
    number = re.search(r"(?:^|&)db=(\d+)", query, re.ASCII) or re.fullmatch(r"(\d+)", path, re.ASCII)
    return f"/{number[1] if number else 0}" if _ONE.fullmatch(scheme) else ""


def shown_plans(policy: Policy) -> list[tuple[str, str]]:
    """A row for each plan: its name and what it allows."""
    rows = []
    for name, plan in policy.plans.items():
        limits = "unlimited" if plan.limits is None else _notation(plan.limits)
        limits += "".join(f", {unit}: {_notation(of_unit)}" for unit, of_unit in plan.units.items())
        limits += "" if plan.enforce else " (dry run)"
        rows.append((f"plan {name}", f"{limits} (the default)" if name == policy.default_plan else limits))
    return rows or [("plans", "-")]


def _notation(limits: str | Sequence[str]) -> str:
    return limits if isinstance(limits, str) else "; ".join(limits)


def _counted(usage: Usage) -> tuple[str, str, str]:
    return str(usage.window.limit), str(usage.remaining), plain(_reset(usage)) or "-"


def _standing(usage: Usage) -> dict[str, Any]:
    window = usage.window
    return {
        "window_seconds": window.seconds,
        "scope": window.scope,
        "unit": window.unit,
        "enforced": not window.watching,
        "limit": window.limit,
        "remaining": usage.remaining,
        "reset_at": plain(_reset(usage)),
    }


def _reset(usage: Usage) -> datetime | None:
    """When `remaining` next grows, rounded up as in the headers; None if nothing is used."""
    if usage.remaining >= usage.window.limit:
        return None
    return datetime.fromtimestamp(math.ceil(usage.reset_at), UTC)


def span(seconds: int) -> str:
    """``1 minute``, ``12 hours``, ``90 seconds``: in the largest unit that gives a whole number."""
    unit, size = next(each for each in _UNITS if seconds % each[1] == 0)
    return f"{seconds // size} {unit}{'s' if seconds > size else ''}"


def plain(value: Any) -> Any:
    """The value as JSON: moments in ISO 8601, UTC, whole seconds."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def print_json(value: Any) -> None:
    """For machines."""
    click.echo(json.dumps(value))


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
