"""Metrics and request logs of apps, by team. What stands here in lists comes out of a database elsewhere."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi import FastAPI, HTTPException

from keystile import current
from keystile.pagination import Page

Item = dict[str, Any]
APPS = [
    {"id": "shop", "team": "north", "consumers": 3, "requests": 1201},
    {"id": "blog", "team": "north", "consumers": 0, "requests": 100},
    {"id": "wiki", "team": "south", "consumers": 1, "requests": 1},
]
START = datetime(2026, 1, 15, 10, 30, tzinfo=UTC)

app = FastAPI()


def ours() -> list[Item]:
    """The apps of the caller's team."""
    return [each for each in APPS if each["team"] == current().caller.organization_id]


def one_of_ours(app_id: str) -> Item:
    for each in ours():
        if each["id"] == app_id:
            return each
    raise HTTPException(404)


def page(items: Iterable[Item], key: Callable[[Item], Any]) -> list[Item]:
    return current().paginate(Page.from_sequence(items, current().page_params(), key))


@app.get("/v1/apps")
def apps() -> list[Item]:
    return page(({"id": each["id"]} for each in ours()), lambda each: each["id"])


@app.get("/v1/apps/{app_id}/consumers")
def consumers(app_id: str) -> list[Item]:
    return page(({"id": number} for number in range(one_of_ours(app_id)["consumers"])), lambda each: each["id"])


@app.get("/v1/apps/{app_id}/request-logs")
def request_logs(app_id: str) -> list[Item]:
    numbers = range(one_of_ours(app_id)["requests"])
    return page(({"id": each, "at": START + timedelta(seconds=each)} for each in numbers), lambda each: each["id"])


@app.get("/v1/apps/{app_id}/traffic")
def traffic(app_id: str) -> list[Item]:
    return page([{"hour": START, "requests": one_of_ours(app_id)["requests"]}], lambda each: each["hour"])
