"""What units may be called: what a window counts, if it does not count requests."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..exceptions import ConfigurationError

# A unit stands in the names of headers and of what a limiter stores, so its name is short and plain.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
# What windows count otherwise: requests, and the wrong keys of an address.
_TAKEN = ("requests", "failures")


def check_unit_names(units: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The same mapping, or ConfigurationError if one of its names cannot be the name of a unit."""
    for name in units:
        if name in _TAKEN:
            raise ConfigurationError("is counted anyway, so it cannot be the name of a unit", key=f"{key}.{name}")
        if not _NAME.fullmatch(name):
            reason = "expected the name of a unit: a lower-case letter, then at most 30 of a-z, 0-9 and _"
            raise ConfigurationError(reason, key=f"{key}.{name}")
    return units
