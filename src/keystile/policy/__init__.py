"""The settings of a gate: frozen values, described once and checked when they are built.

Knows only the exceptions and `_ground`. A setting's name, type, default, meaning and check stand in one place here.
The file, its example, its schema and docs/reference/settings.md follow. How kinds of values are checked (`kinds`) and
how settings are described (`settings`, `reading`) can be changed here alone. A new setting also needs code to enforce
it.
"""

from .beside.management import FieldCase, Management
from .choices import (
    ErrorFormat,
    EventFormat,
    Foreign,
    Https,
    LimitBy,
    OnLimiterError,
    Preflight,
    RedirectStatus,
)
from .matches import METHODS
from .pages import DEFAULT_PAGE_STYLE, PageStyle
from .places import CREDENTIAL_FORMS
from .plans import Limits, Plan
from .policy import MIN_PEPPER_BYTES, MIN_RETENTION, REMEMBERED_KEYS, Policy
from .rules import Public, Rule

__all__ = [
    "CREDENTIAL_FORMS",
    "DEFAULT_PAGE_STYLE",
    "METHODS",
    "MIN_PEPPER_BYTES",
    "MIN_RETENTION",
    "REMEMBERED_KEYS",
    "ErrorFormat",
    "EventFormat",
    "FieldCase",
    "Foreign",
    "Https",
    "LimitBy",
    "Limits",
    "Management",
    "OnLimiterError",
    "PageStyle",
    "Plan",
    "Policy",
    "Preflight",
    "Public",
    "RedirectStatus",
    "Rule",
]
