"""keystile: an embeddable gate for HTTP APIs, in front of any ASGI or WSGI app."""

from .answers.current import Current, current
from .exceptions import (
    ConfigurationError,
    InvalidRequest,
    KeyLimitReached,
    KeyNotActive,
    KeyNotFound,
    KeystileError,
    NotFound,
    Overloaded,
    RecordChanged,
    StoreUnavailable,
)
from .gate import Gate
from .keys.existing.opaque import OpaqueFormat
from .keys.hashing import Argon2Hasher, HmacHasher
from .model import (
    Actor,
    Admitted,
    ApiKey,
    AuditEntry,
    IssuedKey,
    IssuedProject,
    Organization,
    Principal,
    Project,
    Refused,
    Usage,
    UsagePeriod,
    Window,
)
from .policy import Management, Plan, Rule
from .policy.pages import PageStyle

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "Admitted",
    "ApiKey",
    "Argon2Hasher",
    "AuditEntry",
    "ConfigurationError",
    "Current",
    "Gate",
    "HmacHasher",
    "InvalidRequest",
    "IssuedKey",
    "IssuedProject",
    "KeyLimitReached",
    "KeyNotActive",
    "KeyNotFound",
    "KeystileError",
    "Management",
    "NotFound",
    "OpaqueFormat",
    "Organization",
    "Overloaded",
    "PageStyle",
    "Plan",
    "Principal",
    "Project",
    "RecordChanged",
    "Refused",
    "Rule",
    "StoreUnavailable",
    "Usage",
    "UsagePeriod",
    "Window",
    "current",
]
