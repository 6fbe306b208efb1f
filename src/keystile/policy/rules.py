"""What holds for the requests of a path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .._ground.checks import check_scopes, errors_under, names_checked
from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError
from .matches import Pattern, parse_match
from .places import check_rule_accept
from .plans import Limits, check_unit_names
from .settings import check_settings, described, setting


def check_addresses(entries: tuple[str, ...], key: str) -> tuple[str, ...]:
    """A list of addresses that is not empty. What stands in it is read when the gate is built."""
    if not entries:
        raise ConfigurationError("is empty: leave it out for no list", key=key)
    return entries


def check_public(paths: tuple[str, ...], key: str) -> tuple[str, ...]:
    """A list of public paths, not all there are."""
    if "/*" in paths:
        raise ConfigurationError("'/*' would make every path public; run the app without a gate instead", key=key)
    return paths


Public = bool | Literal["optional"]
"""Whether no key is asked for; "optional" is a key if there is one."""


def _check_match(match: str, key: str) -> str:
    with errors_under(key):
        parse_match(match)
    return match


@names_checked
@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a path: ``Rule("POST /v1/exports", scopes=["exports:write"])``. docs/reference/settings.md
    describes each setting.

    Raises:
        ConfigurationError: the rule cannot be read or contradicts itself.
    """

    match: str = field(
        metadata=described(
            '"POST /v1/exports", "GET,PUT /v1/users/{id}" or "/v1/exports/*": methods, if it is not for all, then a '
            "path. `{name}` stands for any one segment; `/*` at the end for everything below, and for the path itself. "
            "At most 16 segments. GET also holds HEAD and the websocket handshake. Relative to the app: a mount's "
            "prefix is not part of it. Every rule that matches holds: scopes and windows of all of them; what can have "
            "one value only comes from the most specific rule that says it. What a rule demands holds with and without "
            "a slash at the path's end; public is only what is spelled so.",
            check=_check_match,
        )
    )
    public: Public | None = setting(
        'Whether no key is asked for. "optional" admits a request without a key, as anonymous, and one with a key as '
        "its caller; a bad key is refused. None is as a less specific rule says, and with `scopes`, `accept` or "
        "`reserve` it is false. Where public or optional wins, the scopes of wider rules do not hold; their address "
        "lists do, and their windows, without a key "
        "by client address.",
        default=None,
    )
    scopes: Sequence[str] = setting(
        "The key must hold all of them; there are no wildcards.", default=(), check=check_scopes
    )
    limits: Limits = setting(
        'Windows for this path alone, in addition to the caller\'s own ("10/hour"). On a public path they count by '
        "client address.",
        default=None,
    )
    reserve: Mapping[str, int] = setting(
        'Units to take from the windows of the key\'s plan before the app runs: {"tokens": 1000}; 0 asks only that one '
        "is free. The app says with `current().charge()` how many it used, and what it did not use is given back. Of "
        "several rules that reserve one unit, the highest number holds.",
        default=FrozenDict(),
        check=check_unit_names,
        kind="WHOLES",
    )
    cost: int | None = setting(
        "How much a request counts in each window of requests; 0 is identified, but not counted, and like `public` "
        "holds only for what is spelled so. None is as a less specific rule says, and 1 where none does.",
        default=None,
        kind="WHOLE",
    )
    accept: Sequence[str] | None = setting(
        "Where keys are read from on this path; None is as a less specific rule or the gate says. Every place that "
        "any rule names is looked at on every path: a key that stands elsewhere than here is not accepted.",
        default=None,
        check=check_rule_accept,
    )
    allow: Sequence[str] | None = setting(
        "The only addresses and networks that such requests may come from, with a key or without; None for no list. "
        "The lists of every rule that matches hold, and the gate's own, on public paths too.",
        default=None,
        check=check_addresses,
    )
    deny: Sequence[str] | None = setting(
        "Addresses and networks that no such request may come from, whatever is allowed; None for no list.",
        default=None,
        check=check_addresses,
    )
    enforce: bool = setting(
        "False is a dry run of this rule's own scopes, lists, windows and reservations: they refuse nobody, and what "
        "they would have refused is told as the event `would_refuse`. Other rules hold as ever.",
        default=True,
    )
    envelope: bool | None = setting(
        "Whether answers get the envelope; None is as a less specific rule or the gate says. Public paths never do.",
        default=None,
    )
    require_json: bool | None = setting(
        "Whether a request's body must be JSON; None is as a less specific rule or the gate says.", default=None
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.cost == 0 and self.limits is not None:
            raise ConfigurationError(f"{self.match!r} costs 0, so that nothing would count in its limits", key="limits")
        if not self.public:
            return
        if self.scopes:
            raise ConfigurationError(
                f"{self.match!r} is {'public' if self.public is True else self.public} but asks for scopes, and nobody "
                "could hold them",
                key="scopes",
            )
        if self.public is True:
            self._check_public()

    def _check_public(self) -> None:
        if self.pattern.is_everything:
            raise ConfigurationError(f"{self.match!r} would make every path public; use no gate instead", key="public")
        if self.envelope:
            raise ConfigurationError(
                f"{self.match!r} is public, and answers of public paths never get the envelope", key="envelope"
            )
        if self.reserve:
            raise ConfigurationError(
                f"{self.match!r} is public but reserves units, and only the plan of a key has units", key="reserve"
            )
        if self.accept is not None:
            raise ConfigurationError(f"{self.match!r} is public, and no key is read there", key="accept")

    @property
    def pattern(self) -> Pattern:
        """What it matches, read."""
        return parse_match(self.match)


def public_rules(paths: Iterable[str]) -> list[tuple[str, Rule]]:
    """What `public` is short for: a rule for each of these paths, with the name of the setting it came from."""
    listed = []
    for index, path in enumerate(paths):
        key = f"public[{index}]"
        if not path.startswith("/"):
            raise ConfigurationError(f"{path!r} does not start with '/': write a path like '/health'", key=key)
        if " " in path:
            raise ConfigurationError(f"{path!r} has a space: write a path alone", key=key)
        try:
            listed.append((key, Rule(path, public=True)))
        except ConfigurationError as error:
            raise ConfigurationError(error.reason, key=key) from None
    return listed
