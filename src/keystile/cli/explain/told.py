"""What `keystile explain` tells of a request: for machines, and for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ...gate import Gate
from ...model import Demand, Window
from ...policy import METHODS
from ...rules.limits.notation import MOST_WINDOWS
from ...rules.network.bounds import Lists
from ...rules.requests.canonical import canonical
from ...rules.requests.held import Held
from ..shown import span

# Of a list of addresses people see so many.
_MOST_ENTRIES = 8
_KEY = {
    True: "not needed: public",
    False: "needed",
    "optional": "optional: without one it is anonymous, with a wrong one refused",
}
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
    if demand.public is True:
        return _anonymous(gate, demand)
    return demand.windows if demand.cost else ()


def _anonymous(gate: Gate, demand: Demand) -> tuple[Window, ...]:
    """The windows of a request without a key, where none is needed."""
    return gate.quotas.for_anyone(demand.windows) if demand.public and demand.cost else ()


def record(gate: Gate, asked: Asked) -> dict[str, Any]:
    """All that is told, as JSON values."""
    holding, demand = _found(gate, asked)
    respelled = _respelled(gate, asked)
    return {
        "method": asked.method,
        "path": asked.path,
        "unreadable": asked.unreadable or None,
        "odd_method": asked.method not in METHODS,
        "enforce": gate.policy.enforce,
        "rules": [{"setting": each.key, "match": each.rule.match, "enforce": each.rule.enforce} for each in holding],
        **_members(gate, demand),
        "lists": [_lists(each) for each in gate.rules.lists_of(holding)],
        "cors": _cors(gate, asked),
        "other_slash": None if respelled is None else _members(gate, respelled),
        "not_canonical": _members(gate, gate.rules.every),
    }


def _members(gate: Gate, demand: Demand) -> dict[str, Any]:
    windows = _windows(gate, demand)
    return {
        "public": demand.public,
        "accept": _places(demand),
        "scopes": sorted(demand.scopes),
        "watched_scopes": sorted(demand.watched),
        "windows": [_window(each) for each in windows],
        "anonymous_windows": [_window(each) for each in _anonymous(gate, demand)],
        "too_many_windows": len(windows) > MOST_WINDOWS,
        "cost": demand.cost,
        "reserve": [
            {"unit": each.unit, "amount": each.amount, "enforced": not each.watching} for each in demand.reserve
        ],
        "envelope": demand.envelope,
        "require_json": demand.json,
    }


def _window(window: Window) -> dict[str, Any]:
    enforced = not window.watching
    return {"limit": window.limit, "window_seconds": window.seconds, "scope": window.scope, "enforced": enforced}


def _places(demand: Demand) -> list[str]:
    """Where a key may stand, as a client writes it."""
    return [] if demand.public is True else sorted(place.shown for place in demand.accept)


def _lists(lists: Lists) -> dict[str, Any]:
    """The lists of one place; null for one that is not there."""
    allow, deny = (None if each is None else list(each.entries) for each in (lists.allow, lists.deny))
    return {"setting": lists.key.rstrip(".") or None, "allow": allow, "deny": deny}


def _cors(gate: Gate, asked: Asked) -> dict[str, Any] | None:
    """For whom the gate answers a preflight of this path, and with which methods besides the one asked for."""
    policy = gate.policy
    if not policy.cors_origins:
        return None
    methods = () if asked.unreadable else gate.rules.methods(asked.path, asked.raw_path)
    credentials = policy.cors_credentials
    return {"origins": list(policy.cors_origins), "credentials": credentials, "methods": sorted(methods)}


def rows(gate: Gate, asked: Asked) -> list[tuple[str, str]]:
    """All that is told, for people: what, and how it is."""
    holding, demand = _found(gate, asked)
    found = [("request", f"{asked.method} {_plain(asked.path)}"), *_notes(gate, asked)]
    found += [(f"rule {each.key}", _marked(each.rule.match, not each.rule.enforce)) for each in holding] or [
        ("rules", "none")
    ]
    found += [
        ("key", _KEY[demand.public]),
        ("read from", ", ".join(_places(demand)) or "-"),
        ("scopes", _scopes(demand)),
        ("windows", _shown(gate, demand)),
        ("cost", str(demand.cost) if demand.cost else "0: not counted"),
        *([("reserves", _reserved(demand))] if gate.charges else []),
        ("envelope", "yes" if demand.envelope else "no"),
        ("JSON bodies only", "yes" if demand.json else "no"),
    ]
    return [*found, *_address_rows(gate, holding), *_preflight_rows(gate, asked), *_other_rows(gate, asked)]


def _notes(gate: Gate, asked: Asked) -> list[tuple[str, str]]:
    found = []
    if asked.unreadable:
        found.append(("note", f"{asked.unreadable}: every rule's demands hold, and no permission"))
    elif asked.method not in METHODS:
        found.append(("note", "no method that rules tell apart: all demands of its path hold, and no permission"))
    if not gate.policy.enforce:
        found.append(("note", "the gate is in dry run: it tells what it would refuse, and lets it pass"))
    return found


def _preflight_rows(gate: Gate, asked: Asked) -> list[tuple[str, str]]:
    cors = _cors(gate, asked)
    if cors is None:
        return []
    methods = ", ".join([*cors["methods"], "the one asked for"])
    return [("preflight", f"answered for {' '.join(cors['origins'])}, methods: {methods}")]


def _other_rows(gate: Gate, asked: Asked) -> list[tuple[str, str]]:
    """What other spellings of the path get."""
    found, respelled = [], _respelled(gate, asked)
    if respelled is not None:
        spelling = "without the slash" if asked.path.endswith("/") else "with a slash"
        found.append((spelling, _summed(gate, respelled)))
    if not asked.unreadable:
        more = "; all lists of addresses" if gate.rules.every.admits else ""
        found.append(("not canonical", f"{_NEVER}: {_summed(gate, gate.rules.every)}{more}"))
    return found


def _address_rows(gate: Gate, holding: list[Held]) -> list[tuple[str, str]]:
    """The lists in the order in which they are looked at: first all that deny."""
    lists = gate.rules.lists_of(holding)
    rows = [("denied", each.key, each.deny) for each in lists if each.deny is not None]
    rows += [("allowed", each.key, each.allow) for each in lists if each.allow is not None]
    return [(what, f"{_some(found.entries)} ({key.rstrip('.') or 'the gate'})") for what, key, found in rows]


def _some(entries: Sequence[str]) -> str:
    more = len(entries) - _MOST_ENTRIES
    return " ".join(entries[:_MOST_ENTRIES]) + (f" and {more} more" if more > 0 else "")


def _summed(gate: Gate, demand: Demand) -> str:
    """A demand in one line."""
    windows = f"cost {demand.cost}; windows: {_shown(gate, demand)}"
    if demand.public is True:
        return f"public, {windows}"
    kind = "a key is optional" if demand.public else "a key is needed"
    scopes = "" if demand.public else f"; scopes: {_scopes(demand)}"
    reserved = f"; reserves: {_reserved(demand)}" if demand.reserve else ""
    return f"{kind}, read from {', '.join(_places(demand)) or 'nowhere'}{scopes}; {windows}{reserved}"


def _marked(text: str, watching: bool) -> str:
    return f"{text} (dry run)" if watching else text


def _scopes(demand: Demand) -> str:
    listed = [*sorted(demand.scopes), *(_marked(scope, True) for scope in sorted(demand.watched))]
    return " ".join(listed) or "-"


def _reserved(demand: Demand) -> str:
    return ", ".join(_marked(f"{each.amount} {each.unit}", each.watching) for each in demand.reserve) or "-"


def _shown(gate: Gate, demand: Demand) -> str:
    windows = _windows(gate, demand)
    if len(windows) > MOST_WINDOWS:
        return f"more than {MOST_WINDOWS}: answered with 400"
    listed = _listed(windows)
    if demand.public is not True and demand.cost:
        listed.insert(0, "the key's own")
    told = ", ".join(listed) or "-"
    if demand.public != "optional":
        return told
    return f"{told}; without a key: {', '.join(_listed(_anonymous(gate, demand))) or '-'}"


def _listed(windows: Iterable[Window]) -> list[str]:
    return [
        _marked(f"{each.limit} in {span(each.seconds)} ({each.scope or 'each address'})", each.watching)
        for each in windows
    ]


def _plain(path: str) -> str:
    return path if path.isprintable() else ascii(path)[1:-1]
