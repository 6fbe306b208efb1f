"""Where a gate serves the management API itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exceptions import ConfigurationError
from ..gate import Gate
from ..policy.beside.management import Management
from .api.app import ManagementAPI

if TYPE_CHECKING:
    from ..webhooks.outbox import Outbox

_ASKED = ("GET", "POST", "PUT", "PATCH", "DELETE")


def mounted(gate: Gate, outbox: Outbox | None) -> tuple[str, ManagementAPI]:
    """The path, and the API that is there.

    Args:
        gate: its settings say where and how.
        outbox: where webhook endpoints are kept, or None.

    Raises:
        ConfigurationError: no key would be asked for there, or `ManagementAPI` refuses a setting.
    """
    settings = place_of(gate)
    api = ManagementAPI(
        gate,
        field_case=settings.field_case,
        public_openapi=settings.public_openapi,
        live=settings.live,
        outbox=outbox,
    )
    return settings.path, api


def place_of(gate: Gate) -> Management:
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
