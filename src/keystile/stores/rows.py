"""How records become rows and rows become records, in every store that keeps tables.

What is looked up or changed on its own has a column; lists, metadata and hashes are JSON. Moments are whole
microseconds since the epoch: they compare as numbers everywhere, and no session's time zone changes them. Whatever a
decoder raises, the row cannot be read.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from .._ground.frozen import HiddenRow, HiddenText, frozen
from ..model import Actor, ApiKey, AuditEntry, Inherited, Organization, Project, SecretHash, Target

KEY_COLUMNS = (
    *("id", "name", "organization_id", "project_id", "owner_id", "environment", "plan", "limits", "scopes", "may"),
    *("ip_allowlist", "created_at", "expires_at", "suspended_at", "revoked_at", "last_used_at", "metadata", "hashes"),
    "grace_used_at",
)
PROJECT_COLUMNS = ("id", "organization_id", "name", "environment", "created_at", "suspended_at")
ORGANIZATION_COLUMNS = ("id", "name", "plan", "created_at", "suspended_at")
AUDIT_COLUMNS = (
    *("id", "at", "event", "organization_id", "targets", "before", "after", "correlation_id"),
    *("actor_type", "actor_id", "actor_name", "via", "client", "request_id"),
)
USES = ("last_used_at", "grace_used_at")
"""What `touch` sets. It is no change of the record."""

_MEMBERS = {
    "keystile_keys": frozenset(KEY_COLUMNS) - {"id", "created_at", "revoked_at"},
    "keystile_projects": frozenset(PROJECT_COLUMNS) - {"id", "created_at"},
    "keystile_organizations": frozenset(ORGANIZATION_COLUMNS) - {"id", "created_at"},
}
Row = tuple[Any, ...]

_MOMENTS = frozenset(
    ("created_at", "expires_at", "suspended_at", "revoked_at", "last_used_at", "grace_used_at", "deleted_at", "at")
)
_JSON = frozenset(("scopes", "may", "ip_allowlist", "metadata", "hashes", "targets", "before", "after"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Kept:
    """Recently decoded records with their revisions. All are forgotten when a connection is opened."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start with none. A reader that is under way goes on with the old ones."""
        # Not a plain dict: taking the oldest entry out of one gets slower with each entry taken out before.
        self.records: OrderedDict[str, tuple[Row, ApiKey]] = OrderedDict()


def microseconds(moment: datetime | None) -> int | None:
    """A moment as it stands in a row."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def moment(found: int | None) -> datetime | None:
    """The moment that stands in a row."""
    return None if found is None else _EPOCH + timedelta(microseconds=found)


def check_members(table: str, changes: Iterable[str]) -> None:
    """ValueError for members that cannot be changed: they become names of columns in a statement."""
    unknown = set(changes) - _MEMBERS[table]
    if unknown:
        raise ValueError(f"no such members to change: {', '.join(unknown)}")


def encoded(name: str, value: Any) -> Any:
    """A member of a record as it stands in its column."""
    if value is None:
        return None
    if name in _MOMENTS:
        return microseconds(value)
    if name == "hashes":
        return HiddenText(json.dumps([_of_hash(each) for each in value]))
    return json.dumps(value) if name in _JSON else value


def searched_hint(text: str) -> str:
    """What stands in `hashes` if this text is the hint of one of them, and never otherwise: a quotation mark inside of
    a text has a backslash before it. So the column can be searched without being decoded."""
    return f'", {json.dumps(text)}, '


def key_row(key: ApiKey) -> Row:
    """A key's row."""
    return HiddenRow(encoded(name, getattr(key, name)) for name in KEY_COLUMNS)


def project_row(project: Project) -> Row:
    """A project's row."""
    return tuple(encoded(name, getattr(project, name)) for name in PROJECT_COLUMNS)


def organization_row(organization: Organization) -> Row:
    """An organization's row."""
    return tuple(encoded(name, getattr(organization, name)) for name in ORGANIZATION_COLUMNS)


def entry_row(entry: AuditEntry) -> Row:
    """The row of an audit entry."""
    actor = entry.actor
    known = {each.name: getattr(entry, each.name) for each in fields(entry)} | actor._asdict()
    known |= {"actor_type": actor.type, "actor_id": actor.id, "actor_name": actor.name, "id": entry.id}
    return tuple(encoded(name, known[name]) for name in AUDIT_COLUMNS)


def key_of(revision: int, row: Iterable[Any], plan: str | None, suspended_at: int | None) -> ApiKey:
    """The key in a row, with what it inherits."""
    values = _decoded(KEY_COLUMNS, row)
    values["hashes"] = tuple(_as_hash(*each) for each in values["hashes"])
    key = ApiKey(**values, revision=revision, inherited=Inherited(plan, moment(suspended_at)))
    _check(key)
    return key


def project_of(row: Sequence[Any]) -> Project:
    """The project in a row that begins with the revision."""
    return Project(revision=row[0], **_decoded(PROJECT_COLUMNS, row[1:]))


def organization_of(row: Sequence[Any]) -> Organization:
    """The organization in a row that begins with the revision."""
    return Organization(revision=row[0], **_decoded(ORGANIZATION_COLUMNS, row[1:]))


def entry_of(row: Sequence[Any]) -> AuditEntry:
    """The audit entry in a row."""
    values = _decoded(AUDIT_COLUMNS, row)
    actor = (values.pop(name) for name in ("actor_type", "actor_id", "actor_name", "via", "client", "request_id"))
    values["targets"] = tuple(Target(*each) for each in values["targets"])
    return AuditEntry(actor=Actor(*actor), **values)


def _decoded(columns: Sequence[str], row: Iterable[Any]) -> dict[str, Any]:
    values = dict(zip(columns, row, strict=True))
    for name, value in values.items():
        if value is not None and name in _MOMENTS:
            values[name] = moment(value)
        elif value is not None and name in _JSON:
            values[name] = frozen(json.loads(value))
    return values


def _of_hash(known: SecretHash) -> list[Any]:
    found = [known.hash, known.hint, microseconds(known.expires_at)]
    return found if known.quick is None else [*found, known.quick]


def _as_hash(text: Any, hint: Any, end: int | None, quick: Any = None) -> SecretHash:
    if not isinstance(text, str) or not isinstance(hint, str) or not isinstance(quick, (str, type(None))):
        raise TypeError
    return SecretHash(text, hint, moment(end), quick)


def _check(key: ApiKey) -> None:
    """Raise TypeError for values that keystile never writes: a text as scope list would grant each of its letters."""
    texts = [key.id, key.name, key.environment, *key.scopes, *(key.may or ()), *(key.ip_allowlist or ())]
    optional = (key.organization_id, key.project_id, key.owner_id, key.plan, key.limits, key.inherited.plan)
    texts += [each for each in optional if each]
    lists = [key.scopes, key.may or (), () if key.ip_allowlist is None else key.ip_allowlist]
    if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, tuple) for each in lists):
        raise TypeError
    if not isinstance(key.metadata, Mapping) or not isinstance(key.created_at, datetime):
        raise TypeError
