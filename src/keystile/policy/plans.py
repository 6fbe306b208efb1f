"""What the keys of a plan may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .._ground.checks import names_checked
from .settings import check_settings, setting

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

    def __post_init__(self) -> None:
        check_settings(self)
