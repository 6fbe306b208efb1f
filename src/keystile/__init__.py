"""keystile: an embeddable gate for HTTP APIs, in front of any ASGI or WSGI app."""

from .answers.current import Current, current
from .exceptions import (
    ConfigurationError,
    InvalidRequest,
    KeyNotFound,
    KeystileError,
    Overloaded,
    StoreUnavailable,
)
from .gate import Gate
from .keys.hashing import Argon2Hasher, HmacHasher
from .keys.opaque import OpaqueFormat
from .model import Admitted, ApiKey, IssuedKey, Principal, Refused, Usage, Window
from .policy import Plan, Rule
from .policy.pages import PageStyle

__version__ = "0.1.0"

__all__ = [
    "Admitted",
    "ApiKey",
    "Argon2Hasher",
    "ConfigurationError",
    "Current",
    "Gate",
    "HmacHasher",
    "InvalidRequest",
    "IssuedKey",
    "KeyNotFound",
    "KeystileError",
    "OpaqueFormat",
    "Overloaded",
    "PageStyle",
    "Plan",
    "Principal",
    "Refused",
    "Rule",
    "StoreUnavailable",
    "Usage",
    "Window",
    "current",
]
