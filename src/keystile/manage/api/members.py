"""The fields that bodies hold, and the bodies that routes take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..._ground.frozen import FrozenDict
from ...keys.changes.fields import MAX_NAME
from ...model import ENVIRONMENTS
from .fields import Body, Field, Schema, moment

MOST_LISTED, MOST_TEXT = 100, 500


def is_text(value: Any) -> bool:
    """Whether it is a string."""
    return isinstance(value, str)


def are_texts(value: Any) -> bool:
    """Whether it is a list of strings."""
    return isinstance(value, list) and all(map(is_text, value))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def or_null(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """The same, or null."""
    return lambda value: value is None or fits(value)


def _bounded(least: int, most: int, what: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if not least <= len(value) <= most:
            raise ValueError(f"expected {least} to {most} {what}")
        return value

    return convert


LINE: Schema = FrozenDict({"type": "string", "minLength": 1, "maxLength": MAX_NAME, "format": "line"})
MAYBE_LINE: Schema = FrozenDict({**LINE, "type": ["string", "null"]})


def list_schema(schema: Schema, least: int, *, null: bool) -> Schema:
    """The JSON Schema of a list of these."""
    kinds: Any = ["array", "null"] if null else "array"
    return {"type": kinds, "minItems": least, "maxItems": MOST_LISTED, "items": {"maxLength": MOST_TEXT, **schema}}


def _list_of(least: int) -> Callable[[Any], Any]:
    bounded = _bounded(least, MOST_LISTED, "entries")

    def convert(value: Sequence[str]) -> Sequence[str]:
        if any(len(each) > MOST_TEXT for each in value):
            raise ValueError(f"expected entries of at most {MOST_TEXT} characters")
        return bounded(value)  # type: ignore[no-any-return]

    return convert


NAME = Field("name", "A label for people.", LINE, is_text)
PROJECT = Field("project_id", "One of the organization's projects.", MAYBE_LINE, or_null(is_text))
OWNER = Field("owner_id", "To whom it belongs, as the host's own id.", MAYBE_LINE, or_null(is_text))
ORGANIZATION = Field("organization_id", "Whose it is, for callers who see several.", LINE, is_text)
ENVIRONMENT = Field(
    "environment",
    "What it is for; it stands in the key's prefix.",
    {"type": "string", "enum": list(ENVIRONMENTS)},
    is_text,
)
PLAN = Field(
    "plan",
    "One of the service's plans; null for the organization's, or else the default.",
    {"type": ["string", "null"], "format": "plan"},
    or_null(is_text),
)
LIMITS = Field(
    "limits",
    "Windows that replace the plan's: `60/minute; 5000/day`.",
    {"type": ["string", "null"], "format": "rate-limits", "minLength": 1, "maxLength": MOST_TEXT},
    or_null(is_text),
    _bounded(1, MOST_TEXT, "characters"),
)
SCOPES = Field(
    "scopes",
    "What it may do (RFC 6749 section 3.3).",
    list_schema({"type": "string", "pattern": "^[\\x21\\x23-\\x5B\\x5D-\\x7E]+$"}, 0, null=False),
    are_texts,
    _list_of(0),
)
MAY = Field(
    "may",
    "The requests that it may make: `GET /v1/*`; null is everything.",
    list_schema({"type": "string", "format": "match"}, 1, null=True),
    or_null(are_texts),
    _list_of(1),
)
ALLOWLIST = Field(
    "ip_allowlist",
    "Addresses and networks that it may be used from; null is anywhere.",
    list_schema({"type": "string", "format": "network"}, 1, null=True),
    or_null(are_texts),
    _list_of(1),
)
EXPIRES = Field(
    "expires_at",
    "Its end, in the future; null for none.",
    {"type": ["string", "null"], "format": "date-time"},
    or_null(is_text),
    moment,
)
METADATA = Field(
    "metadata",
    "JSON values to keep with it, at most 16 KiB and 32 levels.",
    {"type": ["object", "null"], "format": "metadata"},
    or_null(lambda value: isinstance(value, dict)),
)


GRACE = Field(
    "grace",
    "For how many seconds the secret before it remains valid.",
    {"type": "number", "minimum": 0},
    _number,
    member=False,
)

OF_KEYS = (ENVIRONMENT, PLAN, LIMITS, SCOPES, MAY, ALLOWLIST, EXPIRES, METADATA)

NEW_PROJECT = Body("NewProject", (NAME, ENVIRONMENT), (ORGANIZATION,), required=frozenset(("name",)))
PROJECT_CHANGE = Body("ProjectChange", (NAME, ENVIRONMENT), merge=True)
PROJECT_REPLACEMENT = Body("ProjectReplacement", (NAME, ENVIRONMENT), required=frozenset(("name",)))
NEW_KEY_OF_PROJECT = Body("NewKeyOfProject", (NAME, *OF_KEYS), (OWNER,))
NEW_KEY = Body("NewKey", (NAME, PROJECT, *OF_KEYS), (OWNER, ORGANIZATION))
KEY_CHANGE = Body("KeyChange", (NAME, PROJECT, *OF_KEYS), merge=True)
ROTATION = Body("Rotation", (GRACE, EXPIRES))
PLAN_CHANGE = Body("PlanChange", (PLAN,), required=frozenset(("plan",)))
NOTHING = Body("Nothing")
