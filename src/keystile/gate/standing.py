"""In which windows a key is counted, whatever it asks for: to show where it stands, or to forget what it used."""

from __future__ import annotations

from .._ground.checks import known
from ..exceptions import ConfigurationError
from ..model import ApiKey, Window
from .gate import Gate


def windows_of(gate: Gate, key: ApiKey) -> tuple[str, tuple[Window, ...]]:
    """The name under which a key's requests are counted, and the windows: its own, those of the rules, then units.

    Raises:
        ConfigurationError: its plan is gone, so that the key is refused.
    """
    if not gate.quotas.knows(key.effective_plan):
        reason = f"the key's plan {key.effective_plan!r} is gone, so the key is refused; {known(gate.policy.plans)}"
        raise ConfigurationError(reason, key="plans")
    asking = [each for each in gate.rules.rules if each.rule.public is not True]
    more = dict.fromkeys(window for each in asking for window in each.own.windows)
    windows = gate.quotas.of(key, tuple(more)) + gate.quotas.units_of(key)
    return gate.quotas.subject(key), windows
