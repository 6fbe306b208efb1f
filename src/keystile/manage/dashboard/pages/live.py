"""What the gate refuses, and first uses of keys: a table of the last ones, to which the script adds what happens."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

from ...._sync import Offload
from ....exceptions import NotFound
from ...authority import Authority
from ...live.rings import Told
from ...requests import ManagementAnswer
from ..rules.headers import stream_fields
from ..visits import Live, Visit
from .shown import key_path, organizations

_SAID = ("code", "reason", "key_id", "client", "method", "path", "organization_id")
_BLANK = {"at": None, "href": None, **dict.fromkeys(_SAID, "")}


async def shown(visit: Visit) -> ManagementAnswer:
    """``GET /live``. What is shown is kept from the first look on, so that looking again shows what came meanwhile."""
    news = _live(visit).events.hub.recent(visit.caller.organizations(None))
    return visit.page(
        "live.html",
        events=[_row(visit, each) for each in reversed(news.told)],
        blank=_BLANK,
        stream=visit.to("/live/events"),
        after=news.last_id,
        several=len(organizations(visit)) != 1 and not visit.caller.by_key,
    )


async def stream(visit: Visit) -> ManagementAnswer:
    """``GET /live/events``."""
    live, call = _live(visit), visit.caller
    return await live.events.serve(
        visit.request,
        call.organizations(None),
        partial(_goes_on, visit, live),
        call.offload,
        *stream_fields(),
        after=visit.query.get("after"),
    )


async def _goes_on(visit: Visit, live: Live, offload: Offload) -> bool:
    entered = await live.enter(visit.request, offload)
    return isinstance(entered, Authority) and entered.holds_still(visit.who)


def _live(visit: Visit) -> Live:
    if visit.desk.live is None:
        raise NotFound("page", visit.request.path)
    return visit.desk.live


def _row(visit: Visit, told: Told) -> dict[str, Any]:
    event = told.event
    href = visit.to(key_path(event.key_id)) if event.key_id else None
    said = {name: getattr(event, name) or "" for name in _SAID}
    return {"at": datetime.fromtimestamp(told.at, UTC), "href": href, **said}
