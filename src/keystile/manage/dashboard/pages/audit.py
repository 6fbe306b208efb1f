"""What was changed, the newest first; also as a file."""

from __future__ import annotations

import csv
import io

from ....model import AuditEntry
from ...requests import ManagementAnswer
from .. import texts
from ..visits import Visit
from .lists import by_organization
from .shown import changes, entry_row, organization_asked

_HEAD = (
    "id",
    "at",
    "event",
    "actor_type",
    "actor",
    "actor_name",
    "via",
    "client",
    "organization",
    "targets",
    "changes",
)
MOST_ROWS, _STEP = 5000, 500
# A program for tables takes a cell that begins with one of these for a formula.
_FORMULA = (*"=+-@＝＋－＠", "\t", "\r", "\n")  # noqa: RUF001 # in full width, some take them too


async def listed(visit: Visit) -> ManagementAnswer:
    """``GET /audit``."""
    visit.who.require("audit:read")
    found, shown = await by_organization(visit, "/audit", visit.desk.operations.audit)
    return visit.page(
        "audit.html",
        entries=[entry_row(visit, each) for each in found],
        csv=visit.to("/audit.csv", organization=organization_asked(visit)),
        csv_note=texts.CSV_NOTE.format(number=MOST_ROWS),
        **shown,
    )


async def csv_file(visit: Visit) -> ManagementAnswer:
    """``GET /audit.csv``: the newest entries."""
    visit.who.require("audit:read")
    organization = organization_asked(visit)
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_HEAD)
    after, left = None, MOST_ROWS
    while left > 0:
        found = await visit.desk.operations.audit(visit.caller, organization_id=organization, after=after, limit=_STEP)
        rows.writerows([cell(each) for each in _row(entry)] for entry in found.items)
        if not found.has_more:
            break
        after, left = found.items[-1].id, left - len(found.items)
    fields = (
        ("content-type", "text/csv; charset=utf-8"),
        ("content-disposition", 'attachment; filename="audit.csv"'),
        *visit.desk.fields,
    )
    return ManagementAnswer(200, fields, text.getvalue().encode("utf-8", "replace"))


def cell(text: str) -> str:
    """A cell that no program for tables takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _row(entry: AuditEntry) -> tuple[str, ...]:
    actor = entry.actor
    return (
        entry.id,
        entry.at.isoformat(),
        entry.event,
        actor.type,
        actor.id or "",
        actor.name or "",
        actor.via,
        actor.client or "",
        entry.organization_id or "",
        "; ".join(f"{each.type} {each.id} {each.name}" for each in entry.targets),
        "; ".join(f"{each.name}: {each.before or ''} -> {each.after}" for each in changes(entry)),
    )
