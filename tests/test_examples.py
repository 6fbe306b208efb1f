"""The examples of pages, served and walked as a client would."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from keystile import Gate
from tests.servers import Server, serving

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
LAUNCHER = "import sys\nsys.path.insert(0, {folder!r})\nfrom pages_{name} import app\n{door}_app = app\n"
DOORS = {"fastapi": ("asgi", "uvicorn-h11"), "flask": ("wsgi", "gunicorn-gthread")}


def launched(folder: Path, name: str) -> Iterator[tuple[Server, str]]:
    door, kind = DOORS[name]
    (folder / "service.py").write_text(LAUNCHER.format(folder=str(EXAMPLES), name=name, door=door), encoding="utf-8")
    store = f"sqlite:///{folder}/keystile.db"
    gate = Gate(store, prefix="acme")
    secret = gate.keys.create("reader").secret
    gate.close()
    with serving(
        kind,
        "service",
        folder,
        KEYSTILE_STORE=store,
        KEYSTILE_PEPPER="a pepper for the examples",
        TRACES=f"sqlite:///{folder}/traces.db",
    ) as server:
        yield server, secret


@pytest.fixture
def fastapi(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    yield from launched(tmp_path, "fastapi")


@pytest.fixture
def flask(tmp_path: Path) -> Iterator[tuple[Server, str]]:
    yield from launched(tmp_path, "flask")


def insert(folder: Path, rows: list[tuple[int, int]]) -> None:
    """Rows of (id, minute), many with the same minute."""
    import sqlalchemy as sa

    engine = sa.create_engine(f"sqlite:///{folder}/traces.db")
    with engine.begin() as connection:
        for number, minute in rows:
            connection.execute(
                sa.text("INSERT INTO traces (id, started_at, name) VALUES (:id, :at, 'a')"),
                {"id": number, "at": datetime(2026, 1, 1, 12, minute, tzinfo=UTC).strftime("%Y-%m-%d %H:%M:%S.000000")},
            )
    engine.dispose()


def test_a_walk_by_the_links_sees_every_stable_row_once(fastapi: tuple[Server, str], tmp_path: Path) -> None:
    server, secret = fastapi
    insert(tmp_path, [(number, number // 7) for number in range(1, 41)])
    seen: list[int] = []
    path, number = "/v1/traces?limit=4&name=a", 100
    while path:
        answer = server.get(path, {"Authorization": f"Bearer {secret}"})
        document: dict[str, Any] = answer.json
        assert answer.status == 200, document
        seen += [row["id"] for row in document["data"]]
        number += 1
        insert(tmp_path, [(number, number % 60)])  # before the place, or behind it
        link = answer.header("link")
        assert (link is not None) == document["pagination"]["has_more"]
        path = link.partition(">")[0][1:] if link else ""
        assert not path or urlsplit(path).netloc == ""
    stable = [each for each in seen if each <= 40]
    assert stable == sorted(stable, key=lambda each: (each // 7, each), reverse=True)
    assert sorted(stable) == list(range(1, 41))
    assert len(seen) == len(set(seen))


def test_fastapi_answers_a_bad_page_with_a_400(fastapi: tuple[Server, str]) -> None:
    server, secret = fastapi
    for query in ("limit=x", "limit=0", "cursor=x"):
        answer = server.get(f"/v1/traces?{query}", {"Authorization": f"Bearer {secret}"})
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert answer.json["error"]["details"]["parameter"] == query.partition("=")[0]
    assert server.get("/nowhere", {"Authorization": f"Bearer {secret}"}).code == "not_found"


def test_flask_pages_flat_and_answers_a_bad_page_with_a_400(flask: tuple[Server, str]) -> None:
    server, secret = flask
    key = {"Api-Key": secret}
    first = server.get("/v1/apps?limit=6", key).json
    assert set(first) == {"data", "has_more", "next_token"}
    second = server.get(f"/v1/apps?limit=6&next_token={first['next_token']}", key).json
    assert set(second) == {"data", "has_more"}
    assert sorted(each["id"] for each in first["data"] + second["data"]) == list(range(10))
    for query in ("limit=x", "next_token=x"):
        answer = server.get(f"/v1/apps?{query}", key)
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert answer.json["error"]["details"]["parameter"] == query.partition("=")[0]
    assert server.get("/nowhere", key).code == "not_found"
    assert server.get("/v1/apps", key, method="DELETE").code == "method_not_allowed"
