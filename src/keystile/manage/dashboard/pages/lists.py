"""Lists that are shown for one organization, page by page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ...operations import Listed
from ..visits import Visit
from .fields import Form
from .shown import PAGE, organization_asked, organizations

T = TypeVar("T")


async def by_organization(
    visit: Visit, path: str, operation: Callable[..., Awaitable[Listed[T]]]
) -> tuple[Sequence[T], dict[str, Any]]:
    """A page of a list that is shown for one organization: what is on it, and what its template needs besides.

    Args:
        visit: the request.
        path: of the list; its cursors are bound to it.
        operation: lists, oldest or newest first.
    """
    route, organization, seen = path.removeprefix("/"), organization_asked(visit), organizations(visit)
    after = visit.after(route, organization=organization)
    found = await operation(visit.caller, organization_id=organization, after=after, limit=PAGE)
    last: Any = found.items[-1] if found.has_more else None
    return found.items, {
        "form": Form({"organization": organization or ""}),
        "several": len(seen) != 1 and not visit.caller.by_key,
        "organizations": seen,
        "page": visit.pager(path, route, "" if last is None else last.id, begun=bool(after), organization=organization),
    }
