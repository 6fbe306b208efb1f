"""Which rule holds for a path, and is the path one that everybody reads alike?

Servers do not normalise and routers do, each in its own way, so `/public/../admin` may be public to a gate and
private to the app behind it. The rule: only a canonical path can be public, and one that is not canonical counts
as matching every rule. It is not refused for that: it authenticates, and then the app may say 404.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from ..exceptions import ConfigurationError
from ..model import Window
from ..policy import Rule
from .notation import check_windows, parse_limits

# A segment is not empty, not a dot segment, and has nothing that some parser decodes, splits or folds: no "\", no
# ";" (path parameters), no "%" (a second decoding), no control, nothing that was not UTF-8 (U+FFFD, surrogates).
_CANONICAL = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[^/\\;%\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]+)*/?")
# Encoded octets that servers decode before we see the path: "/", "\", "." and NUL.
_SMUGGLED = re.compile(rb"%(?:2[fFeE]|5[cC]|00)")
MAX_REMEMBERED = 512


class Demand(NamedTuple):
    """What a path asks of a caller.

    Attributes:
        public: no key is needed.
        scopes: the scopes that a key needs, all of them.
        windows: windows beside the caller's own.
        cost: the units that a request counts.
        envelope: the answer gets the envelope.
        json: the request's body, if there is one, must be JSON.
    """

    public: bool
    scopes: frozenset[str]
    windows: tuple[Window, ...] = ()
    cost: int = 1
    envelope: bool = False
    json: bool = False


def canonical(path: str, raw_path: bytes = b"") -> bool:
    """Whether every server, router and file system reads this path in the same way.

    Args:
        path: decoded.
        raw_path: as sent, still encoded; empty if unknown.
    """
    if not path or _CANONICAL.fullmatch(path) is None:
        return False
    return b"%" not in raw_path or _SMUGGLED.search(raw_path) is None


class RuleTable:
    """The rules of a policy, ready to look up: exact paths first, then the longest prefix.

    Args:
        rules: each with the name of the setting that it came from.
        envelope, require_json: what holds where a rule does not say.

    Raises:
        ConfigurationError: a path is not canonical, or two rules for the same requests differ.
    """

    def __init__(
        self, rules: Iterable[tuple[str, Rule]], *, envelope: bool = False, require_json: bool = False
    ) -> None:
        self._plain = Demand(public=False, scopes=frozenset(), envelope=envelope, json=require_json)
        self._exact: dict[str, dict[str, Demand]] = {}
        self._below: dict[str, dict[str, Demand]] = {}
        named: dict[str, tuple[str, Rule]] = {}
        for key, rule in rules:
            _check_path(key, rule)
            other_key, other = named.setdefault(rule.match, (key, rule))
            if other != rule:
                raise ConfigurationError(f"contradicts {other_key}: both hold for {rule.match!r}", key=key)
            table, path = (self._below, rule.path[:-1]) if rule.path.endswith("/*") else (self._exact, rule.path)
            table.setdefault(path, {})[rule.method] = self._demand_of(key, rule)
        self._every = Demand(
            public=False,
            scopes=frozenset(scope for _, rule in named.values() for scope in rule.scopes),
            windows=tuple(window for key, rule in named.values() for window in self._demand_of(key, rule).windows),
            cost=max((rule.cost for _, rule in named.values()), default=1),
            envelope=envelope,
            json=require_json or any(rule.require_json for _, rule in named.values()),
        )
        self.demands = [self._plain, self._every, *(self._demand_of(key, rule) for key, rule in named.values())]
        self._remembered = lru_cache(maxsize=4096)(self._demand)

    def demand(self, method: str, path: str, raw_path: bytes = b"") -> Demand:
        """What a request for this path must bring. The most specific rule decides alone: an exact path before a
        prefix, the longer prefix before the shorter, a rule with the method before one without."""
        # Paths repeat; only short ones are remembered, so that nobody fills the memory with long ones.
        if len(method) + len(path) + len(raw_path) < MAX_REMEMBERED:
            return self._remembered(method, path, raw_path)
        return self._demand(method, path, raw_path)

    def _demand(self, method: str, path: str, raw_path: bytes) -> Demand:
        if not canonical(path, raw_path):
            return self._every
        found = self._exact.get(path)
        if found is not None and (demand := _for_method(found, method)) is not None:
            return demand
        return self._from_prefixes(method, path) if self._below else self._plain

    def _from_prefixes(self, method: str, path: str) -> Demand:
        end = path.rfind("/") + 1
        while end > 0:
            found = self._below.get(path[:end])
            if found is not None and (demand := _for_method(found, method)) is not None:
                return demand
            end = path.rfind("/", 0, end - 1) + 1
        return self._plain

    def _demand_of(self, key: str, rule: Rule) -> Demand:
        try:
            windows = parse_limits(rule.limits, scope=rule.match)
            check_windows(windows, rule.cost)
        except ConfigurationError as error:
            raise ConfigurationError(error.reason, key=f"{key}.{error.key}") from None
        envelope = self._plain.envelope if rule.envelope is None else rule.envelope
        json = self._plain.json if rule.require_json is None else rule.require_json
        return Demand(rule.public, frozenset(rule.scopes), windows, rule.cost, envelope and not rule.public, json)


def _for_method(found: dict[str, Demand], method: str) -> Demand | None:
    # Some routers (werkzeug's) fold the method's case, so a rule must not be dodged by sending "post".
    method = method.upper()
    if method == "HEAD" and "HEAD" not in found:
        method = "GET"
    return found.get(method) or found.get("")


def _check_path(key: str, rule: Rule) -> None:
    path = rule.path[:-1] if rule.path.endswith("/*") else rule.path
    if not canonical(path) or "*" in path:
        raise ConfigurationError(
            f"{rule.path!r} is not canonical: no '//', dot segments, ';', '%', backslash or controls; "
            "'*' only as '/*' at the end",
            key=key,
        )
