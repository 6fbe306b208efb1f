"""Which page answers which path. One table for both doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from ..requests import ManagementAnswer
from .pages import audit, changing, ending, keys, live, making, one, projects, rotating
from .pages.webhooks import changing as edited
from .pages.webhooks import deliveries, listing
from .pages.webhooks import one as endpoint
from .rules.links import id_in
from .visits import Visit

Page = Callable[[Visit], Awaitable[ManagementAnswer]]
ID = "{id}"
# Where ids stand in a path, by its segments.
_PLACES: tuple[tuple[int, ...], ...] = ((), (2,), (2, 4))

PAGES: Mapping[str, Mapping[str, Page]] = {
    "/": {"GET": keys.listed},
    "/keys": {"POST": making.make},
    "/keys/new": {"GET": making.form},
    "/keys/{id}": {"GET": one.show},
    "/keys/{id}/edit": {"GET": changing.form, "POST": changing.change},
    "/keys/{id}/rotate": {"GET": rotating.form, "POST": rotating.rotate},
    "/keys/{id}/suspend": {"POST": changing.suspend},
    "/keys/{id}/resume": {"POST": changing.resume},
    "/keys/{id}/revoke": {"GET": ending.form, "POST": ending.revoke},
    "/projects": {"GET": projects.listed, "POST": projects.make},
    "/projects/new": {"GET": projects.new},
    "/projects/{id}": {"GET": projects.form, "POST": projects.change},
    "/projects/{id}/suspend": {"POST": projects.suspend},
    "/projects/{id}/resume": {"POST": projects.resume},
    "/projects/{id}/delete": {"GET": ending.project_form, "POST": ending.delete},
    "/live": {"GET": live.shown},
    "/live/events": {"GET": live.stream},
    "/audit": {"GET": audit.listed},
    "/audit.csv": {"GET": audit.csv_file},
}


# Only with an outbox.
WEBHOOK_PAGES: Mapping[str, Mapping[str, Page]] = {
    "/webhooks": {"GET": listing.listed, "POST": listing.make},
    "/webhooks/new": {"GET": listing.new},
    "/webhooks/{id}": {"GET": endpoint.show},
    "/webhooks/{id}/edit": {"GET": edited.form, "POST": edited.change},
    "/webhooks/{id}/rotate": {"GET": edited.rotate_form, "POST": edited.rotate},
    "/webhooks/{id}/enable": {"POST": endpoint.enable},
    "/webhooks/{id}/disable": {"POST": endpoint.disable},
    "/webhooks/{id}/test": {"POST": endpoint.test},
    "/webhooks/{id}/delete": {"GET": edited.delete_form, "POST": edited.delete},
    "/webhooks/{id}/retry": {"POST": endpoint.retry_failed},
    "/webhooks/{id}/deliveries/{id}": {"GET": deliveries.show},
    "/webhooks/{id}/deliveries/{id}/retry": {"POST": deliveries.retry},
}
ALL_PAGES = {**PAGES, **WEBHOOK_PAGES}


class Found(NamedTuple):
    """The pages of a path, by method, and the ids that stand in it, or ""."""

    pages: Mapping[str, Page]
    id: str = ""
    inner: str = ""


def find(path: str, known: Mapping[str, Mapping[str, Page]] = PAGES) -> Found | None:
    """What answers this path, of the pages that there are; None if nothing does."""
    segments = path.split("/")
    for places in _PLACES:
        if len(segments) > max(places, default=0) and all(segments[place] for place in places):
            template = "/".join(ID if place in places else each for place, each in enumerate(segments))
            if template in known:
                return Found(known[template], *(id_in(segments[place]) for place in places))
    return None
