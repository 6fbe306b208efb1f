"""How the command line shows keys, plans and windows: tables for people, JSON for machines.

Nothing here shows a secret, a hash, or any part of a URL beyond its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import click

from .._ground.urls import place_of
from ..model import ApiKey, Principal, Usage, Window
from ..policy import Policy

_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


def state(key: ApiKey) -> str:
    """In which part of its life a key is."""
    if key.revoked_at is not None:
        return "revoked"
    if key.is_suspended:
        return "suspended"
    return "expired" if key.expires_at is not None and key.expires_at <= datetime.now(UTC) else "active"


def _hints(key: ApiKey) -> list[str]:
    return [each.hint for each in key.hashes if each.hint]


_COLUMNS: dict[str, Callable[[ApiKey], Any]] = {
    "ID": lambda key: key.id,
    "NAME": lambda key: key.name,
    "STATE": state,
    "ENVIRONMENT": lambda key: key.environment,
    "ORGANIZATION": lambda key: key.organization_id,
    "OWNER": lambda key: key.owner_id,
    "PLAN": lambda key: key.plan,
    "LIMITS": lambda key: key.limits,
    "SCOPES": lambda key: key.scopes,
    "EXPIRES": lambda key: key.expires_at,
    "LAST USED": lambda key: key.last_used_at,
    "ENDS IN": _hints,
}


def print_keys(keys: Sequence[ApiKey], *, as_json: bool) -> None:
    """A table of keys."""
    if as_json:
        print_json([record(key) for key in keys])
    else:
        print_table([tuple(_COLUMNS), *(tuple(_cell(show(key)) for show in _COLUMNS.values()) for key in keys)])


def print_usages(usages: Sequence[Usage], *, as_json: bool) -> None:
    """Where a caller stands in each window."""
    if as_json:
        print_json([_standing(usage) for usage in usages])
        return
    rows = [(span(used.window.seconds), _belongs(used.window), *_counted(used), _cell(_reset(used))) for used in usages]
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


def _counted(usage: Usage) -> tuple[str, str]:
    return str(usage.window.limit), str(usage.remaining)


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


def _cell(value: Any) -> str:
    value = plain(value)
    if isinstance(value, dict):
        return json.dumps(value) if value else "-"
    return " ".join(value) or "-" if isinstance(value, (list, tuple)) else str(value or "-")


def record(key: ApiKey) -> dict[str, Any]:
    """Everything about a key except its hashes."""
    known = {each.name: plain(getattr(key, each.name)) for each in fields(Principal)}
    known["inherited"] = {name: plain(value) for name, value in key.inherited._asdict().items() if value is not None}
    return {**known, "grace_used_at": plain(key.grace_used_at), "hints": _hints(key)}


def print_json(value: Any) -> None:
    """For machines."""
    click.echo(json.dumps(value))


def print_key(key: ApiKey, *, as_json: bool) -> None:
    """One key's record."""
    if as_json:
        print_json(record(key))
    else:
        print_table([("state", state(key)), *((name, _cell(value)) for name, value in record(key).items())])


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Rows in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
