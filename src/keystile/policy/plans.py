"""What the keys of a plan may do, and what the units that it limits may be called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .._ground.checks import names_checked
from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError
from .settings import check_settings, setting

Limits = str | Sequence[str] | None
"""One or several windows in the rate notation of the `limits` library; None is unlimited."""

CapBy = Literal["owner", "project", "organization"]
WhenFull = Literal["refuse", "revoke_oldest"]

# A unit stands in the names of headers and of what a limiter stores, so its name is short and plain.
_UNIT = re.compile(r"[a-z][a-z0-9_]{0,30}")
# What windows count otherwise: requests, and the wrong keys of an address.
_TAKEN = ("requests", "failures")


def check_unit_names(units: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The same mapping, or ConfigurationError if one of its names cannot be the name of a unit."""
    for name in units:
        if name in _TAKEN:
            raise ConfigurationError("is counted anyway, so it cannot be the name of a unit", key=f"{key}.{name}")
        if not _UNIT.fullmatch(name):
            reason = "expected the name of a unit: a lower-case letter, then at most 30 of a-z, 0-9 and _"
            raise ConfigurationError(reason, key=f"{key}.{name}")
    return units


def _check_cap_by(owners: tuple[str, ...], key: str) -> tuple[str, ...]:
    if not owners:
        raise ConfigurationError('names nobody: expected some of "owner", "project", "organization"', key=key)
    return tuple(dict.fromkeys(owners))


@names_checked
@dataclass(frozen=True, slots=True)
class Plan:
    """What the keys of a plan may do: ``Plan("60/minute; 5000/day")``. docs/reference/settings.md describes each
    setting.

    Raises:
        ConfigurationError: a setting has the wrong type.
    """

    limits: Limits = setting(
        'Windows that all hold at once: "60/minute; 5000/day", or a list of such strings. None is unlimited, and a '
        "limit of 0 admits nothing.",
        default=None,
    )
    max_keys: int | None = setting(
        "How many live keys there may be, counted together as `cap_by` says. A key is live until it is revoked or "
        "expires. None is no limit.",
        default=None,
        kind="WHOLE",
    )
    cap_by: Sequence[CapBy] = setting(
        'Whose keys `max_keys` counts together: those of one "owner", one "project", one "organization", or of one '
        'owner within one organization: ["owner", "organization"]. Keys without any are counted together too.',
        default=("organization",),
        check=_check_cap_by,
    )
    when_full: WhenFull = setting(
        'What happens when one more key is made than `max_keys`: "refuse" it, or "revoke_oldest" to make room.',
        default="refuse",
    )
    access: bool = setting(
        "Whether keys of this plan are let in at all. If not, they get 403 `plan_required`.", default=True
    )
    units: Mapping[str, str | Sequence[str]] = setting(
        'Windows of named units, by the unit\'s name: {"tokens": "100000/minute; 2000000/day"}. They hold where a rule '
        "reserves the unit. A plan without a unit does not limit it.",
        default=FrozenDict(),
        check=check_unit_names,
    )
    enforce: bool = setting(
        "False is a dry run of what this plan says: its windows count but refuse nobody, nor does `access`, and what "
        "they would have refused is told as the event `would_refuse`.",
        default=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.max_keys is None and (self.when_full != "refuse" or tuple(self.cap_by) != ("organization",)):
            name = "cap_by" if self.when_full == "refuse" else "when_full"
            raise ConfigurationError("has no meaning without max_keys; leave it out", key=name)
        if self.max_keys == 0 and self.when_full == "revoke_oldest":
            raise ConfigurationError("'revoke_oldest' cannot make room where max_keys is 0", key="when_full")
