"""What is answered: each shape with its members, and the JSON Schema of every one.

Clients depend on the shapes: a member is never renamed, and is there also if it is null. Nothing here holds a hash, and
a secret only where it was just made.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, NamedTuple

from ...model import ENVIRONMENTS, Usage, UsagePeriod
from ..authority import ALL

Schema = Mapping[str, Any]
TEXT: Schema = {"type": "string"}
MAYBE_TEXT: Schema = {"type": ["string", "null"]}
MOMENT: Schema = {"type": "string", "format": "date-time"}
MAYBE_MOMENT: Schema = {"type": ["string", "null"], "format": "date-time"}
TEXTS: Schema = {"type": "array", "items": TEXT}
MAYBE_TEXTS: Schema = {"type": ["array", "null"], "items": TEXT}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
ANY_OBJECT: Schema = {"type": "object"}
MAYBE_OBJECT: Schema = {"type": ["object", "null"]}


class Member(NamedTuple):
    """A member of a shape.

    Attributes:
        name: as it is called here.
        schema: its JSON Schema, or another shape.
        get: gives its value from a record, as JSON.
    """

    name: str
    schema: Schema | Shape
    get: Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Shape:
    """The JSON of one kind of record.

    Attributes:
        name: of its schema.
        members: all of them, in their order.
    """

    name: str
    members: tuple[Member, ...]

    def write(self, record: Any) -> dict[str, Any]:
        """The record's JSON."""
        return {member.name: member.get(record) for member in self.members}

    def within(self, name: str, at: str, *more: Member) -> Shape:
        """A shape with these members, of a record that has this one at an attribute; and further members."""
        find = attrgetter(at)
        inner = tuple(Member(each.name, each.schema, _after(find, each.get)) for each in self.members)
        return Shape(name, (*inner, *more))


def _after(find: Callable[[Any], Any], get: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda record: get(find(record))


def moment(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, whole seconds, as everywhere in the project's answers."""
    return None if value is None else value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _exact(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _changed(name: str) -> Member:
    """What a change took or gave, with its moments written as all the others are."""

    def get(entry: Any) -> dict[str, Any] | None:
        values = getattr(entry, name)
        return None if values is None else {each: _as_moment(each, value) for each, value in values.items()}

    return Member(name, MAYBE_OBJECT, get)


def _as_moment(name: str, value: Any) -> Any:
    is_one = isinstance(value, str) and (name.endswith("_at") or name == "before")
    return _exact(datetime.fromisoformat(value)) if is_one else value


def plain(name: str, schema: Schema, at: str | None = None) -> Member:
    """A member whose value is JSON as it is, at this attribute of a record."""
    return Member(name, schema, attrgetter(at or name))


def timed(name: str, at: str | None = None, *, null: bool = True) -> Member:
    """A moment."""
    return Member(name, MAYBE_MOMENT if null else MOMENT, _after(attrgetter(at or name), moment))


def texts(name: str, at: str | None = None, *, null: bool = False) -> Member:
    """A list of texts."""
    find = attrgetter(at or name)

    def get(record: Any) -> list[Any] | None:
        value = find(record)
        return None if value is None else list(value)

    return Member(name, MAYBE_TEXTS if null else TEXTS, get)


def shapes_of(name: str, shape: Shape, at: str | None = None) -> Member:
    """A list of records, each in this shape."""
    schema = {"type": "array", "items": shape}
    return Member(name, schema, lambda record: [shape.write(each) for each in attrgetter(at or name)(record)])


def _reset(used: Usage) -> str:
    """Rounded up, as the header is."""
    return str(moment(datetime.fromtimestamp(-(-used.reset_at // 1), UTC)))


ENVIRONMENT: Schema = {"type": "string", "enum": list(ENVIRONMENTS)}
STATE: Schema = {"type": "string", "enum": ["active", "suspended", "expired", "revoked"]}

SECRET = Shape("Secret", (plain("hint", TEXT), timed("expires_at")))
INHERITED = Shape("Inherited", (plain("plan", MAYBE_TEXT), timed("suspended_at")))
_RECORD = Shape(
    "Record",
    (
        plain("id", TEXT),
        plain("name", TEXT),
        plain("organization_id", MAYBE_TEXT),
        plain("project_id", MAYBE_TEXT),
        plain("owner_id", MAYBE_TEXT),
        plain("environment", ENVIRONMENT),
        plain("plan", MAYBE_TEXT),
        plain("limits", MAYBE_TEXT),
        texts("scopes"),
        texts("may", null=True),
        texts("ip_allowlist", null=True),
        timed("created_at", null=False),
        timed("expires_at"),
        timed("suspended_at"),
        timed("revoked_at"),
        timed("last_used_at"),
        Member("metadata", ANY_OBJECT, attrgetter("metadata")),
        Member("inherited", INHERITED, lambda key: INHERITED.write(key.inherited)),
    ),
)
KEY = _RECORD.within("Key", "key", plain("state", STATE), shapes_of("secrets", SECRET), timed("grace_used_at"))
_ISSUED = (
    Member("api_key", MAYBE_TEXT, attrgetter("secret")),
    plain("replayed", FLAG),
    texts("revoked_keys", "revoked"),
)
NEW_KEY = KEY.within("NewlyMadeKey", "shown", *_ISSUED)
ROTATED_KEY = KEY.within(
    "RotatedKey", "shown", Member("api_key", TEXT, attrgetter("secret")), plain("replaced_at_once", FLAG)
)
PROJECT = Shape(
    "Project",
    (
        plain("id", TEXT),
        plain("name", TEXT),
        plain("organization_id", TEXT),
        plain("environment", ENVIRONMENT),
        timed("created_at", null=False),
        timed("suspended_at"),
    ),
)
NEW_PROJECT = PROJECT.within(
    "NewlyMadeProject",
    "project",
    Member("api_key", MAYBE_TEXT, attrgetter("made.secret")),
    plain("replayed", FLAG, "made.replayed"),
    Member("key", KEY, lambda made: KEY.write(made.made.shown)),
)
ORGANIZATION = Shape(
    "Organization",
    (
        plain("id", TEXT),
        plain("name", TEXT),
        plain("plan", MAYBE_TEXT),
        timed("created_at", null=False),
        timed("suspended_at"),
    ),
)
ACTOR = Shape(
    "Actor",
    tuple(plain(name, MAYBE_TEXT) for name in ("type", "id", "name", "via", "client", "request_id")),
)
TARGET = Shape("Target", tuple(plain(name, TEXT) for name in ("type", "id", "name")))
AUDIT = Shape(
    "AuditEntry",
    (
        plain("id", TEXT),
        Member("at", MOMENT, lambda entry: _exact(entry.at)),
        plain("event", TEXT),
        Member("actor", ACTOR, lambda entry: ACTOR.write(entry.actor)),
        plain("organization_id", MAYBE_TEXT),
        shapes_of("targets", TARGET),
        _changed("before"),
        _changed("after"),
        plain("correlation_id", TEXT),
    ),
)
PERIOD = Shape(
    "UsagePeriod",
    (
        timed("start", null=False),
        plain("admitted", WHOLE),
        Member("refused", {"type": "object", "additionalProperties": WHOLE}, lambda each: dict(each.refused)),
    ),
)
WINDOW = Shape(
    "Window",
    (
        plain("limit", WHOLE, "window.limit"),
        plain("seconds", WHOLE, "window.seconds"),
        plain("scope", TEXT, "window.scope"),
        plain("unit", TEXT, "window.unit"),
        plain("watching", FLAG, "window.watching"),
        plain("remaining", WHOLE),
        Member("reset_at", MOMENT, _reset),
    ),
)


def _organizations(record: Any) -> list[str] | None:
    given = record.authority.organization_ids
    return None if given is ALL else sorted(given)


def _month(record: Any) -> dict[str, Any] | None:
    """What was used this month, as one period; None for who uses nothing."""
    days: tuple[UsagePeriod, ...] = record.used
    if not days:
        return None
    refused: Counter[str] = Counter()
    for day in days:
        refused.update(day.refused)
    return PERIOD.write(UsagePeriod(days[0].start, sum(day.admitted for day in days), refused))


WHOAMI = Shape(
    "Whoami",
    (
        plain("type", {"type": "string", "enum": ["key", "session"]}, "authority.type"),
        plain("id", TEXT, "authority.id"),
        plain("name", TEXT, "authority.name"),
        Member("organization_ids", MAYBE_TEXTS, _organizations),
        Member("may", TEXTS, lambda record: sorted(record.authority.may)),
        Member(
            "key",
            {"anyOf": [KEY, {"type": "null"}]},
            lambda record: None if record.shown is None else KEY.write(record.shown),
        ),
        shapes_of("windows", WINDOW, "usages"),
        Member("used_this_month", {"anyOf": [PERIOD, {"type": "null"}]}, _month),
    ),
)
