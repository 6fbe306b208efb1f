"""What the keys of a plan may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .._ground.checks import names_checked
from .._ground.frozen import FrozenDict
from .settings import check_settings, setting
from .units import check_unit_names

Limits = str | Sequence[str] | None
"""One or several windows in the rate notation of the `limits` library; None is unlimited."""


@names_checked
@dataclass(frozen=True, slots=True)
class Plan:
    """What the keys of a plan may do: ``Plan("60/minute; 5000/day")``. docs/settings.md describes each setting.

    Raises:
        ConfigurationError: a setting has the wrong type.
    """

    limits: Limits = setting(
        'Windows that all hold at once: "60/minute; 5000/day", or a list of such strings. None is unlimited, and a '
        "limit of 0 admits nothing.",
        default=None,
    )

    units: Mapping[str, str | Sequence[str]] = setting(
        'Windows of named units, by the unit\'s name: {"tokens": "100000/minute; 2000000/day"}. They hold where a rule '
        "reserves the unit. A plan without a unit does not limit it.",
        default=FrozenDict(),
        check=check_unit_names,
    )
    enforce: bool = setting(
        "False is a dry run of what this plan says: its windows count but refuse nobody, and what they would have "
        "refused is told as the event `would_refuse`.",
        default=True,
    )

    def __post_init__(self) -> None:
        check_settings(self)
