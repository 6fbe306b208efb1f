"""What the setting ``KEYSTILE`` of a Django site says."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.core.signals import setting_changed

from ...config.file import load, open_gate
from ...config.importing import MISREAD, find
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...policy import Rule
from ...rules.requests.paths import RuleTable

_SETTING, _NAMES = "KEYSTILE", ("config", "gate", "only")


@cache
def get_gate() -> Gate:
    """The gate of this site, one for the process: the one that ``KEYSTILE["gate"]`` names, or is, or else that of the
    file ``KEYSTILE["config"]``, or of the usual file.

    Raises:
        ConfigurationError: the setting, or one of the gate's own, cannot be used.
    """
    told = _told()
    gate = told.get("gate")
    if gate is None:
        return open_gate(load(told.get("config")))
    if "config" in told:
        raise _error("config", "says where the gate is, and so does 'gate': leave one of them out")
    if isinstance(gate, str):
        gate = find(gate, lambda reason: _error("gate", reason), MISREAD, "gate")[1]
    if not isinstance(gate, Gate):
        raise _error("gate", f"expected a Gate or the name of one, like 'site.gates:gate', got {type(gate).__name__}")
    return gate


def get_only() -> RuleTable | None:
    """A table that demands something of each request inside ``KEYSTILE["only"]``; None if everything is inside.

    What no rule can read meets every demand, so it is inside.
    """
    only = _told().get("only")
    if only is None:
        return None
    if isinstance(only, str) or not isinstance(only, Iterable) or not (listed := list(only)):
        raise _error("only", f"expected a list of matches, like ['/api/*'], got {only!r}")
    return RuleTable(_inside(f"{_SETTING}['only'][{at}]", match) for at, match in enumerate(listed))


def _inside(name: str, match: Any) -> tuple[str, Rule]:
    try:
        return name, Rule(match, scopes=["inside"])
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=name) from None


def _told() -> dict[str, Any]:
    told = getattr(settings, _SETTING, {})
    if not isinstance(told, dict):
        raise ConfigurationError(f"expected a dict, got {type(told).__name__}", key=_SETTING)
    for name in sorted(told.keys() - set(_NAMES), key=str):
        raise _error(name, f"is unknown: there are {', '.join(_NAMES)}")
    return told


def _error(name: object, reason: str) -> ConfigurationError:
    return ConfigurationError(reason, key=f"{_SETTING}[{name!r}]")


def _on_setting(*, setting: str, **_: Any) -> None:
    if setting == _SETTING:  # a test's override_settings
        get_gate.cache_clear()


setting_changed.connect(_on_setting)
