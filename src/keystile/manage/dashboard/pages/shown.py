"""How records look on pages: the few values that templates fill in, each with the link that leads to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ....exceptions import NotFound
from ....model import ENVIRONMENTS, AuditEntry, Project
from ...authority import ALL
from ...operations import ShownKey
from .. import texts
from ..rules.links import segment
from ..visits import Visit

PAGE = 50
MOST_CHOICES = 500
MOST_ORGANIZATIONS = 20
_LONGEST = 200

Options = list[tuple[str, str]]


def key_path(key_id: str) -> str:
    """The path of a key's page."""
    return f"/keys/{segment(key_id)}"


def project_path(project_id: str) -> str:
    """The path of a project's page."""
    return f"/projects/{segment(project_id)}"


def key_label(shown: ShownKey) -> str:
    """A key as people tell it from others: its id and its end."""
    return shown.key.id + (f"…{shown.secrets[0].hint}" if shown.secrets and shown.secrets[0].hint else "")


def key_row(visit: Visit, shown: ShownKey, projects: Mapping[str, str]) -> dict[str, Any]:
    """What every page shows of a key.

    Args:
        visit: the page.
        shown: the key.
        projects: names of projects, by their ids.
    """
    key = shown.key
    return {
        "id": key.id,
        "name": key.name,
        "shown": key_label(shown),
        "href": visit.to(key_path(key.id)),
        "state": shown.state,
        "is_live": shown.state in ("active", "suspended"),
        "suspended": key.suspended_at is not None,
        "environment": key.environment,
        "project": projects.get(key.project_id or "", key.project_id),
        "organization_id": key.organization_id,
        "owner_id": key.owner_id,
        "plan": key.effective_plan,
        "limits": key.limits,
        "scopes": key.scopes,
        "may": key.may,
        "ip_allowlist": key.ip_allowlist,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "metadata": _pretty(key.metadata),
    }


def organizations(visit: Visit) -> Options:
    """The organizations to choose from; none for somebody who sees all."""
    seen = visit.who.organization_ids
    return [] if seen is ALL else [(each, each) for each in sorted(seen)]


def organization_asked(visit: Visit) -> str | None:
    """The organization whose list is shown; None for the caller's only one, and for all."""
    asked = visit.query.get("organization") or None
    if visit.caller.by_key:
        return None
    found = organizations(visit)
    if found and asked is None:
        return found[0][0]
    if found and (asked, asked) not in found:
        raise NotFound("organization", asked or "")
    return asked


def organization_of(visit: Visit, organization_id: str | None) -> str | None:
    """How an operation is told whose record this is: a managing key cannot say so."""
    return None if visit.caller.by_key else organization_id


async def projects(visit: Visit, organization_id: str | None) -> Sequence[Project]:
    """The projects to choose from, or to name: the oldest ones."""
    found = await visit.desk.operations.projects.list(visit.caller, organization_id=organization_id, limit=MOST_CHOICES)
    return found.items


async def project_choices(visit: Visit) -> Options:
    """The projects that a key may belong to, or none; with their organizations where these are several."""
    named = [each for each, _ in organizations(visit)][:MOST_ORGANIZATIONS]
    single = len(named) == 1 or visit.caller.by_key
    found = [each for one in ([None] if single or not named else named) for each in await projects(visit, one)]
    shown = [(each.id, each.name if single else f"{each.name} ({each.organization_id})") for each in found]
    return [("", texts.NO_PROJECT), *shown]


def plan_choices(visit: Visit) -> Options:
    """The plans to choose from."""
    return [("", texts.DEFAULT_PLAN), *((each, each) for each in visit.desk.gate.policy.plans)]


def environments(*first: tuple[str, str]) -> Options:
    """The environments to choose from, after these."""
    return [*first, *((each, texts.ENVIRONMENTS[each]) for each in ENVIRONMENTS)]


class Change(NamedTuple):
    """A member that was changed, as text; `before` is None where nothing was there."""

    name: str
    before: str | None
    after: str


def entry_row(visit: Visit, entry: AuditEntry) -> dict[str, Any]:
    """What a page shows of an entry of the audit."""
    actor = entry.actor
    targets = [{"name": each.name, "href": _target(visit, each.type, each.id)} for each in entry.targets]
    return {
        "at": entry.at,
        "event": entry.event,
        "who": actor.name or actor.id or texts.SOMEBODY,
        "via": actor.via,
        "client": actor.client,
        "targets": targets,
        "changes": changes(entry),
    }


def changes(entry: AuditEntry) -> list[Change]:
    """What an entry says was changed."""
    before, after = entry.before or {}, entry.after or {}
    return [
        Change(name, None if before.get(name) is None else _text(before[name]), _text(after.get(name)))
        for name in dict.fromkeys((*after, *before))
        if before.get(name) is not None or after.get(name) is not None
    ]


def _target(visit: Visit, kind: str, id: str) -> str | None:
    if kind == "key":
        return visit.to(key_path(id))
    return visit.to(project_path(id)) if kind == "project" and visit.who.can("keys:manage") else None


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _pretty(value: Mapping[str, Any]) -> str:
    return json.dumps(plain(value), ensure_ascii=False, indent=2) if value else ""


def plain(value: Any) -> Any:
    """JSON values as the library of JSON knows them."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [plain(each) for each in value]
    return value
