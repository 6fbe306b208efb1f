"""`keystile explain`: which rules hold for a request, and what follows from them."""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_to_bytes

import click

from ..gate import Gate
from ..model import Demand, Window
from ..policy import METHODS
from ..rules.limits.notation import MOST_WINDOWS
from ..rules.requests.canonical import LONGEST, ambiguous, below, canonical
from ..rules.requests.held import Held
from .opening import Place, opened
from .shown import print_json, print_table, span
from .typed import json_option

# A method of HTTP, or what looks like one (RFC 9110 section 5.6.2), then a path as it stands in a request line.
_REQUEST = re.compile(r"(?:([!#$%&'*+.^_`|~0-9A-Za-z-]+) )?(/[^\s?#]*)(?:\?[^\s#]*)?")
_WRONG = 'expected a method and a path as a client sends them, like "POST /v1/exports/7"'
_NEVER = "a path that is not canonical, or a header that names another method"


class Asked(NamedTuple):
    """A request as the gate would see it.

    Attributes:
        method, path, raw_path: as in `model.Request`.
        unreadable: why no rule can be told; empty if one can.
    """

    method: str
    path: str
    raw_path: bytes
    unreadable: str


def _as_request(_ctx: click.Context, _param: click.Parameter, value: str) -> tuple[str, str]:
    found = _REQUEST.fullmatch(value)
    if found is None or len(value) > LONGEST:
        raise click.BadParameter(_WRONG)
    return found[1] or "GET", found[2]


@click.command()
@click.argument("request", callback=_as_request, metavar='"METHOD /path"')
@json_option
@click.pass_obj
def explain(place: Place, request: tuple[str, str], as_json: bool) -> None:
    """Show which rules hold for a request, and what it must bring.

    The path is as clients send it; its query does not matter. Without a method it is GET.
    """
    with opened(place) as gate:
        asked = _seen(gate, *request)
        holding, demand = _found(gate, asked)
        if as_json:
            print_json(_record(gate, asked, holding, demand))
            return
        print_table(_rows(gate, asked, holding, demand))


def _seen(gate: Gate, method: str, target: str) -> Asked:
    raw_path = target.encode("utf-8", "surrogateescape")
    path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
    root_path = gate.policy.root_path
    why = ""
    if root_path:
        if ambiguous(path, root_path):
            why = "the root path stands in it where some apps take it off and some do not"
        path = below(path, root_path)
    if not canonical(path, raw_path):
        why = "the path is not canonical"
    return Asked(method, path, raw_path, why)


def _found(gate: Gate, asked: Asked) -> tuple[list[Held], Demand]:
    if asked.unreadable:
        return gate.rules.rules, gate.rules.every
    found = asked.method, asked.path, asked.raw_path
    return gate.rules.holding(*found), gate.rules.demand(*found)


def _respelled(gate: Gate, asked: Asked) -> Demand | None:
    """What the other spelling of the path demands, with or without a slash at its end; None if that is the same."""
    if asked.unreadable or asked.path == "/":
        return None
    other = asked.path[:-1] if asked.path.endswith("/") else f"{asked.path}/"
    if not canonical(other):
        return None
    demand = gate.rules.demand(asked.method, other)
    return None if demand == gate.rules.demand(asked.method, asked.path, asked.raw_path) else demand


def _windows(gate: Gate, demand: Demand) -> tuple[Window, ...]:
    """The windows that rules bring; on public paths, where no plan holds, also those of every address."""
    if not demand.cost:
        return ()
    return gate.quotas.for_anyone(demand.windows) if demand.public else demand.windows


def _record(gate: Gate, asked: Asked, holding: list[Held], demand: Demand) -> dict[str, Any]:
    respelled = _respelled(gate, asked)
    return {
        "method": asked.method,
        "path": asked.path,
        "unreadable": asked.unreadable or None,
        "odd_method": asked.method not in METHODS,
        "rules": [{"setting": each.key, "match": each.rule.match} for each in holding],
        **_members(gate, demand),
        "other_slash": None if respelled is None else _members(gate, respelled),
        "not_canonical": _members(gate, gate.rules.every),
    }


def _members(gate: Gate, demand: Demand) -> dict[str, Any]:
    windows = _windows(gate, demand)
    return {
        "public": demand.public,
        "scopes": sorted(demand.scopes),
        "windows": [{"limit": each.limit, "window_seconds": each.seconds, "scope": each.scope} for each in windows],
        "too_many_windows": len(windows) > MOST_WINDOWS,
        "cost": demand.cost,
        "envelope": demand.envelope,
        "require_json": demand.json,
    }


def _rows(gate: Gate, asked: Asked, holding: list[Held], demand: Demand) -> list[tuple[str, str]]:
    rows = [("request", f"{asked.method} {_plain(asked.path)}")]
    if asked.unreadable:
        rows.append(("note", f"{asked.unreadable}: every rule's demands hold, and no permission"))
    elif asked.method not in METHODS:
        rows.append(("note", "no method that rules tell apart: all demands of its path hold, and no permission"))
    rows += [(f"rule {each.key}", each.rule.match) for each in holding] or [("rules", "none")]
    rows += [
        ("key", "not needed: public" if demand.public else "needed"),
        ("scopes", " ".join(sorted(demand.scopes)) or "-"),
        ("windows", _shown(gate, demand)),
        ("cost", str(demand.cost) if demand.cost else "0: not counted"),
        ("envelope", "yes" if demand.envelope else "no"),
        ("JSON bodies only", "yes" if demand.json else "no"),
    ]
    respelled = _respelled(gate, asked)
    if respelled is not None:
        spelling = "without the slash" if asked.path.endswith("/") else "with a slash"
        rows.append((spelling, _summed(gate, respelled)))
    if not asked.unreadable:
        rows.append(("not canonical", f"{_NEVER}: {_summed(gate, gate.rules.every)}"))
    return rows


def _summed(gate: Gate, demand: Demand) -> str:
    """A demand in one line."""
    if demand.public:
        return f"public, cost {demand.cost}; windows: {_shown(gate, demand)}"
    scopes = " ".join(sorted(demand.scopes)) or "-"
    return f"a key is needed, cost {demand.cost}; scopes: {scopes}; windows: {_shown(gate, demand)}"


def _shown(gate: Gate, demand: Demand) -> str:
    windows = _windows(gate, demand)
    if len(windows) > MOST_WINDOWS:
        return f"more than {MOST_WINDOWS}: answered with 400"
    listed = [f"{each.limit} in {span(each.seconds)} ({each.scope or 'each address'})" for each in windows]
    if not demand.public and demand.cost:
        listed.insert(0, "the key's own")
    return ", ".join(listed) or "-"


def _plain(path: str) -> str:
    return path if path.isprintable() else ascii(path)[1:-1]
