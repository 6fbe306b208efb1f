"""The list of keys: filtered by the server, page by page."""

from __future__ import annotations

from typing import cast

from ....model import KeyState
from ...requests import ManagementAnswer
from .. import texts
from ..visits import Visit
from .fields import Form, emptied
from .shown import PAGE, Options, key_row, organization_asked, organizations, projects

FILTERS = ("search", "state", "project", "organization")


async def listed(visit: Visit) -> ManagementAnswer:
    """``GET /``."""
    asked = emptied(FILTERS, visit.query)
    asked["state"] = asked["state"] if asked["state"] in texts.STATES else ""
    asked["search"] = asked["search"].strip()[:100]
    organization = organization_asked(visit)
    known = await projects(visit, organization)
    named = {each.id: each.name for each in known}
    found = await visit.desk.operations.keys.list(
        visit.caller,
        organization_id=organization,
        project_id=asked["project"] or None,
        state=cast("KeyState | None", asked["state"] or None),
        search=asked["search"] if asked["search"].isprintable() and asked["search"] else None,
        after=visit.after("keys", **asked),
        limit=PAGE,
    )
    last = found.items[-1].key.id if found.has_more else ""
    return visit.page(
        "keys.html",
        rows=[key_row(visit, each, named) for each in found.items],
        filtered=any(asked[name] for name in FILTERS[:3]) or bool(visit.query.get("after")),
        form=Form(asked | {"organization": organization or ""}),
        states=[("", texts.ALL), *texts.STATES.items()],
        projects=_projects(named, asked["project"]),
        organizations=organizations(visit),
        page=visit.pager("/", "keys", last, begun=bool(visit.query.get("after")), **asked),
    )


def _projects(named: dict[str, str], asked: str) -> Options:
    """Those to choose from; also the one that is asked for, however many there are."""
    return [("", texts.ALL), *({asked: asked} | named if asked else named).items()]
