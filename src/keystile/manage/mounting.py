"""Where a gate serves the management API itself."""

from __future__ import annotations

from ..exceptions import ConfigurationError
from ..gate import Gate
from ..policy.beside.management import Management

_ASKED = ("GET", "POST", "PUT", "PATCH", "DELETE")


def mount_of(gate: Gate) -> Management:
    """Where, and how.

    Raises:
        ConfigurationError: no key would be asked for there.
    """
    settings = gate.policy.management
    if settings is None:
        raise ConfigurationError("is missing", key="management")
    for path in ("/whoami", "/api-keys/id/rotate", "/webhooks", "/webhooks/id/rotate"):
        for method in _ASKED:
            if gate.rules.demand(method, settings.path + path).public is not False:
                reason = f"{settings.path} is public, by `public` or a rule, so that no key would be asked for there"
                raise ConfigurationError(reason, key="management.path")
    return settings
