"""The settings of a gate: frozen values, checked when they are built."""

from .kinds import Limits
from .matches import METHODS
from .pages import DEFAULT_PAGE_STYLE, PageStyle
from .plans import Plan
from .policy import (
    CREDENTIAL_FORMS,
    MIN_PEPPER_BYTES,
    REMEMBERED_KEYS,
    ErrorFormat,
    EventFormat,
    Https,
    LimitBy,
    OnLimiterError,
    Policy,
    Preflight,
    RedirectStatus,
)
from .rules import Rule

__all__ = [
    "CREDENTIAL_FORMS",
    "DEFAULT_PAGE_STYLE",
    "METHODS",
    "MIN_PEPPER_BYTES",
    "REMEMBERED_KEYS",
    "ErrorFormat",
    "EventFormat",
    "Https",
    "LimitBy",
    "Limits",
    "OnLimiterError",
    "PageStyle",
    "Plan",
    "Policy",
    "Preflight",
    "RedirectStatus",
    "Rule",
]
