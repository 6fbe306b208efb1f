"""One key: how it is used, where it stands, which secrets are in force, and what was changed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from ....exceptions import ConfigurationError, StoreUnavailable
from ....keys.usage.reading import Step
from ....model import Usage, UsagePeriod
from ...operations import ShownKey
from ...requests import ManagementAnswer
from .. import texts
from ..rules.chart import Bar, Outcome, chart
from ..visits import Visit
from .fields import Form
from .shown import entry_row, key_path, key_row, organization_of

OUTCOMES = (
    Outcome("admitted", texts.ADMITTED),
    Outcome("limited", texts.LIMITED),
    Outcome("refused", texts.REFUSED),
)
_LIMITED = frozenset(("rate_limited", "too_many_failures"))
SPANS = {"day": (texts.LAST_DAY, 24), "month": (texts.LAST_MONTH, 30)}
HISTORY = 20
_UNITS = (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1))


async def show(visit: Visit) -> ManagementAnswer:
    """``GET /keys/{id}``."""
    return await shown_again(visit, Form())


async def shown_again(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    """The page of a key, with what went wrong."""
    shown = await visit.desk.operations.keys.get(visit.caller, visit.id)
    span = "month" if visit.query.get("span") == "month" else "day"
    return visit.page(
        "key.html",
        status,
        form=form,
        key=key_row(visit, shown, await _project_name(visit, shown)),
        spans=[
            {"label": label, "href": visit.to(key_path(visit.id), span=name), "here": name == span}
            for name, (label, _) in SPANS.items()
        ],
        usage=await _usage(visit, span),
        windows=await _windows(visit),
        counts=visit.desk.counts,
        company=None if visit.desk.gate.policy.limit_by == "key" else visit.desk.gate.policy.limit_by,
        secrets=_secrets(shown),
        history=await _history(visit, shown),
    )


async def _project_name(visit: Visit, shown: ShownKey) -> dict[str, str]:
    project_id = shown.key.project_id
    if project_id is None:
        return {}
    return {project_id: (await visit.desk.operations.projects.get(visit.caller, project_id)).name}


async def _usage(visit: Visit, span: str) -> dict[str, Any] | None:
    """What the chart shows; None if this store does not count."""
    label, number = SPANS[span]
    step: Step = "hour" if span == "day" else "day"
    start = visit.now - (timedelta(hours=number - 1) if step == "hour" else timedelta(days=number - 1))
    try:
        found = await visit.desk.operations.keys.usage(visit.caller, visit.id, start, step=step)
    except ConfigurationError:
        return None
    bars = [_bar(period, step) for period in found]
    sums = [sum(column) for column in zip(*(bar.counts for bar in bars), strict=True)]
    return {
        "chart": chart("requests", texts.CHART_TITLE.format(span=label.lower()), bars, OUTCOMES),
        "bars": bars,
        "totals": [
            {"name": each.name, "label": each.label, "number": number}
            for each, number in zip(OUTCOMES, sums, strict=True)
        ],
        "empty": not any(sums),
    }


def _bar(period: UsagePeriod, step: str) -> Bar:
    limited = sum(number for code, number in period.refused.items() if code in _LIMITED)
    counts = (period.admitted, limited, sum(period.refused.values()) - limited)
    start = period.start
    if step == "hour":
        return Bar(f"{start:%d %b, %H:%M}", counts, f"{start:%H:%M}" if start.hour % 6 == 0 else "")
    return Bar(f"{start:%d %b}", counts, f"{start:%d %b}" if start.weekday() == 0 else "")


async def _windows(visit: Visit) -> list[dict[str, Any]] | None:
    """Where the key stands; None if that is not known."""
    if not visit.desk.counts:
        return None
    try:
        found = await visit.desk.operations.keys.standing(visit.caller, visit.id)
    except StoreUnavailable:
        return None
    return [_window(each, visit.now) for each in found]


def _window(usage: Usage, now: datetime) -> dict[str, Any]:
    window = usage.window
    used = max(0, window.limit - usage.remaining)
    counted = f"{window.limit:,} {window.unit or 'requests'} per {_span(window.seconds)}"
    return {
        "label": f"{counted} · {window.scope}" if window.scope else counted,
        "limit": window.limit,
        "used": used,
        "high": window.limit * 4 // 5,
        "reset_at": datetime.fromtimestamp(usage.reset_at, now.tzinfo),
    }


def _span(seconds: int) -> str:
    name, size = next((name, size) for name, size in _UNITS if seconds % size == 0)
    return name if seconds == size else f"{seconds // size:,} {name}s"


def _secrets(shown: ShownKey) -> list[dict[str, Any]]:
    """Those in force. With two, the key's last use was of either; that of the older one is known by itself."""
    last, older = shown.key.last_used_at, shown.grace_used_at
    newest = None if len(shown.secrets) > 1 and last is not None and last == older else last
    used: Sequence[datetime | None] = (newest, older)
    return [
        {"hint": each.hint, "expires_at": each.expires_at, "used_at": at}
        for each, at in zip(shown.secrets, used, strict=False)
    ]


async def _history(visit: Visit, shown: ShownKey) -> list[dict[str, Any]]:
    if not visit.who.can("audit:read"):
        return []
    found = await visit.desk.operations.audit(
        visit.caller,
        organization_id=organization_of(visit, shown.key.organization_id),
        target=shown.key.id,
        limit=HISTORY,
    )
    return [entry_row(visit, each) for each in found.items]
