"""The words of keystile as values: what a key is and whom it belongs to, what a request brings, how a check ends.

Everything here is immutable, and knows nothing of how it is kept or found out: keys and their owners in `keys`, what is
told of changes in `audit`, requests and outcomes in `requests`, what is counted of them in `counts`.
"""

from .audit import Actor, ActorType, AuditEntry, Target, Via
from .counts import Counted, UsagePeriod, Used
from .keys import (
    ENVIRONMENTS,
    KEY_STATES,
    ApiKey,
    Environment,
    Inherited,
    IssuedKey,
    IssuedProject,
    KeyState,
    Organization,
    Principal,
    Project,
    Purged,
    SecretHash,
)
from .requests import (
    Admitted,
    Asked,
    Charge,
    Charges,
    Demand,
    Reason,
    Refused,
    Request,
    Reservation,
    Sight,
    Site,
    Usage,
    Window,
    Wire,
)

__all__ = [
    "ENVIRONMENTS",
    "KEY_STATES",
    "Actor",
    "ActorType",
    "Admitted",
    "ApiKey",
    "Asked",
    "AuditEntry",
    "Charge",
    "Charges",
    "Counted",
    "Demand",
    "Environment",
    "Inherited",
    "IssuedKey",
    "IssuedProject",
    "KeyState",
    "Organization",
    "Principal",
    "Project",
    "Purged",
    "Reason",
    "Refused",
    "Request",
    "Reservation",
    "SecretHash",
    "Sight",
    "Site",
    "Target",
    "Usage",
    "UsagePeriod",
    "Used",
    "Via",
    "Window",
    "Wire",
]
