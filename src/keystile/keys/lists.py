"""Which keys are asked for, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from ..exceptions import ConfigurationError
from ..model import KEY_STATES, KeyState
from ..stores import KeyFilter
from .changes.fields import check_optional


def wanted_keys(texts: Mapping[str, Any], state: Any, live: bool, now: datetime) -> KeyFilter:
    """What a list of keys is filtered by.

    Args:
        texts: by the names of `KeyFilter`.
        state: one of the states that a key may be in now, or None.
        live: only those that are active or suspended.
        now: the gate's moment.

    Raises:
        ConfigurationError: one of these is wrong, or two contradict each other.
    """
    if state is not None and state not in KEY_STATES:
        raise ConfigurationError(f"expected one of {', '.join(KEY_STATES)}", key="state")
    if state is not None and live:
        raise ConfigurationError("contradicts live, which is active or suspended; leave live or state out", key="state")
    wanted: KeyState | Literal["live"] | None = "live" if live else state
    checked = {name: check_optional(value, name) for name, value in texts.items()}
    return KeyFilter(**checked, state=None if wanted is None else (wanted, now))
