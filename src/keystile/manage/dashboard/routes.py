"""Which page answers which path. One table for both doors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from ..requests import ManagementAnswer
from .pages import audit, changing, ending, keys, live, making, one, projects, rotating
from .rules.links import id_in
from .visits import Visit

Page = Callable[[Visit], Awaitable[ManagementAnswer]]
ID = "{id}"

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


class Found(NamedTuple):
    """The pages of a path, by method, and the id that stands in it, or ""."""

    pages: Mapping[str, Page]
    id: str


def find(path: str) -> Found | None:
    """What answers this path; None if nothing does."""
    if path in PAGES:
        return Found(PAGES[path], "")
    segments = path.split("/")
    if len(segments) < 3 or not segments[2]:
        return None
    template = "/".join([*segments[:2], ID, *segments[3:]])
    pages = PAGES.get(template)
    return None if pages is None else Found(pages, id_in(segments[2]))
