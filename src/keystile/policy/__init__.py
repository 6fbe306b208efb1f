"""The settings of a gate: frozen values, checked when they are built."""

from .pages import DEFAULT_PAGE_STYLE, PageStyle
from .policy import (
    CREDENTIAL_FORMS,
    METHODS,
    MIN_PEPPER_BYTES,
    REMEMBERED_KEYS,
    ErrorFormat,
    EventFormat,
    Https,
    LimitBy,
    Limits,
    OnLimiterError,
    Plan,
    Policy,
    Preflight,
    RedirectStatus,
    Rule,
)

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
