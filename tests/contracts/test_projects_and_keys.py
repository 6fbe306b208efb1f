"""Contract B: a key-management API on both doors and three kinds of stores, point by point."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect

from keystile import Gate
from keystile.config.file import load
from tests.contracts.hosts import SECRETS, copied, moments, ran
from tests.doors import Answer
from tests.management import Sent, answer_of, plain
from tests.selection import some
from tests.servers import Server, serving
from tests.sql_stores import emptied, postgres_url

__all__ = ["postgres_url"]

SCOPES = ["keys:manage", "audit:read"]
# Keys in the memory of a process are made in that process.
IN_MEMORY = f"""
from pathlib import Path
from projects_and_keys import asgi_app, gate, wsgi_app

made = [gate.keys.create("manager", organization_id=each, scopes={SCOPES!r}) for each in ("ours", "theirs")]
Path("keys.txt").write_text("\\n".join(each.secret for each in made))
"""


@dataclass
class Service:
    """The running service.

    Attributes:
        ours, theirs: a managing key of each of two organizations.
        folder: where its own database is.
        url: where its keys are.
    """

    server: Server
    ours: str
    theirs: str
    folder: Path
    url: str

    def ask(
        self, method: str, path: str, body: Any = None, *, key: str = "", headers: dict[str, str] | None = None
    ) -> Answer:
        lines = {"Authorization": f"Bearer {key or self.ours}", **(headers or {})}
        octets = None if body is None else json.dumps(body).encode()
        if octets is not None:
            lines["Content-Type"] = "application/json"
        with self.server.connection() as connection:
            connection.request(method, path, octets, lines)
            response = connection.getresponse()
            fields = [(name.lower(), value) for name, value in response.getheaders()]
            return answer_of(Sent(method, path), response.status, fields, response.read())

    def project(self, name: str = "shop", *, key: str = "") -> Any:
        return self.ask("POST", "/projects", {"name": name}, key=key).json


# What keeps keys in its own memory has one process.
KINDS = [
    ("uvicorn-h11", "memory"),
    ("gunicorn-gevent", "memory"),
    ("uvicorn-httptools", "sqlite"),
    ("gunicorn-sync", "sqlite"),
    ("uvicorn-h11", "postgresql"),
    ("gunicorn-gthread", "postgresql"),
]


def kept_in(folder: Path, url: str) -> None:
    """Name another store in the file."""
    file = folder / "keystile.toml"
    file.write_text(file.read_text().replace("sqlite:///keys.db", url))


@pytest.fixture(
    scope="module",
    params=some(KINDS, ("uvicorn-httptools", "sqlite"), ("gunicorn-gthread", "postgresql")),
    ids="-".join,
)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    kind, store = request.param
    folder = copied("projects_and_keys", tmp_path_factory.mktemp(kind))
    module, url = "projects_and_keys", "sqlite:///keys.db"
    if store == "memory":
        url = "memory://"
        kept_in(folder, url)
        module = "in_memory"
        (folder / "in_memory.py").write_text(IN_MEMORY)
    else:
        if store == "postgresql":
            url = emptied(request.getfixturevalue("postgres_url"))
            kept_in(folder, url)
        with closing(Gate(**load(folder / "keystile.toml", SECRETS).gate)) as gate:
            made = [gate.keys.create("manager", organization_id=each, scopes=SCOPES) for each in ("ours", "theirs")]
        (folder / "keys.txt").write_text("\n".join(each.secret for each in made))
    with serving(kind, module, folder, **SECRETS) as server:
        assert server.get("/projects").status == 401  # a server may listen before it has imported the host
        yield Service(server, *(folder / "keys.txt").read_text().split(), folder, url)


def test_b1_a_list_has_the_projects_of_one_organization(service: Service) -> None:
    ours, theirs = service.project(), service.project(key=service.theirs)
    listed = [each["id"] for each in service.ask("GET", "/projects?limit=100").json["data"]]
    assert ours["id"] in listed
    assert theirs["id"] not in listed


def test_b2_a_new_project_comes_with_a_key_that_is_shown_once(service: Service) -> None:
    made = service.ask("POST", "/projects", {"name": "shop", "environment": "staging"})
    assert made.status == 201
    assert made.header("cache-control") == "no-store"
    assert made.json["environment"] == "staging"
    assert service.project()["environment"] == "production"
    other = service.ask("POST", "/projects", {"name": "shop", "environment": "development"})
    assert (other.status, other.json["environment"]) == (201, "development")
    assert len(service.ask("GET", f"/projects/{made.json['id']}/api-keys").json["data"]) == 1
    raw = made.json["apiKey"]
    assert service.ask("GET", "/whoami", key=raw).json["key"]["projectId"] == made.json["id"]
    for path in (f"/projects/{made.json['id']}", f"/projects/{made.json['id']}/api-keys"):
        assert raw not in service.ask("GET", path).body.decode()
    assert_kept_as_a_hash(service, raw, made.json["key"]["id"])


def assert_kept_as_a_hash(service: Service, raw: str, key_id: str) -> None:
    """The store has the key, and nowhere the whole of it nor its secret part."""
    if service.url == "memory://":
        return  # nothing is kept anywhere else
    kept = stored(service.url, service.folder)
    assert key_id.encode() in kept
    for part in (raw, raw.partition(key_id)[2]):
        assert len(part) >= 32
        assert part.encode() not in kept


def stored(url: str, folder: Path) -> bytes:
    """All that a store has."""
    if not url.startswith("postgresql"):
        return b"".join(path.read_bytes() for path in folder.glob("keys.db*"))
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            tables = inspect(connection).get_table_names()
            rows = [row for name in tables for row in connection.exec_driver_sql(f'SELECT * FROM "{name}"')]
    finally:
        engine.dispose()
    values = [value for row in rows for value in row]
    return b"\n".join(bytes(each) if isinstance(each, (bytes, memoryview)) else str(each).encode() for each in values)


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_b3_a_project_is_read_and_changed(service: Service, method: str) -> None:
    made = service.project()
    path = f"/projects/{made['id']}"
    changed = service.ask(method, path, {"name": "store", "environment": "development"})
    assert changed.status == 200
    assert (changed.json["name"], changed.json["environment"]) == ("store", "development")
    assert service.ask("GET", path).json == changed.json
    for alone in ({"name": "shop"}, {"environment": "staging"}):
        part = service.ask("PATCH", path, alone)
        assert (part.status, part.json | alone) == (200, part.json)
    assert (part.json["name"], part.json["environment"]) == ("shop", "staging")


def test_b3_a_deleted_project_is_gone_with_its_keys_and_the_hosts_data(service: Service) -> None:
    made = service.project()
    path = f"/projects/{made['id']}"
    assert service.ask("GET", "/whoami", key=made["apiKey"]).status == 200
    second, other = service.ask("POST", f"{path}/api-keys", {}).json, service.project()
    with closing(sqlite3.connect(service.folder / "service.db")) as database:
        for table in ("events", "incidents"):
            with database:
                database.executemany(f"INSERT INTO {table} VALUES (?, 'up')", [(made["id"],), (other["id"],)])
        assert service.ask("DELETE", path).status == 204
        for key in (made["apiKey"], second["apiKey"]):
            assert service.ask("GET", "/whoami", key=key).status == 401
        assert service.ask("GET", path).status == 404
        for table in ("events", "incidents"):
            left = {each for (each,) in database.execute(f"SELECT project_id FROM {table}")}
            assert made["id"] not in left
            assert other["id"] in left


def test_b3_the_command_line_deletes_a_project_and_the_hosts_data(tmp_path: Path) -> None:
    folder = copied("projects_and_keys", tmp_path)
    made = json.loads(ran(folder, "keystile", "projects", "create", "shop", "--organization", "acme", "--json"))
    [project_id] = [each for each in moments(made, ["id"]) if each.startswith("proj_")]
    with closing(sqlite3.connect(folder / "service.db")) as database:
        with database:
            database.executemany("INSERT INTO events VALUES (?, 'up')", [(project_id,), ("another",)])
        ran(folder, "keystile", "projects", "delete", project_id, "--yes")
        assert [each for (each,) in database.execute("SELECT project_id FROM events")] == ["another"]


def test_b4_a_list_of_keys_has_no_raw_key(service: Service) -> None:
    made = service.project()
    listed = service.ask("GET", f"/projects/{made['id']}/api-keys")
    assert [each["id"] for each in listed.json["data"]] == [made["key"]["id"]]
    assert made["apiKey"] not in listed.body.decode()
    assert "apiKey" not in listed.json["data"][0]


@pytest.mark.parametrize("body", [{"name": "CI/CD"}, {}])
def test_b5_another_key_is_shown_once(service: Service, body: dict[str, str]) -> None:
    project = service.project()
    made = service.ask("POST", f"/projects/{project['id']}/api-keys", body)
    assert (made.status, made.json["name"]) == (201, body.get("name", "default"))
    assert service.ask("GET", "/whoami", key=made.json["apiKey"]).status == 200
    for path in (f"/api-keys/{made.json['id']}", f"/projects/{project['id']}/api-keys", f"/projects/{project['id']}"):
        assert made.json["apiKey"] not in service.ask("GET", path).body.decode()
    assert_kept_as_a_hash(service, made.json["apiKey"], made.json["id"])


def test_b6_a_revoked_key_is_refused_at_its_next_request(service: Service) -> None:
    project = service.project()
    path = f"/api-keys/{project['key']['id']}"
    assert service.ask("DELETE", f"/projects/{project['id']}{path}").status == 404
    assert service.ask("GET", "/whoami", key=project["apiKey"]).status == 200
    assert service.ask("DELETE", path).status == 204
    refused = service.ask("GET", "/whoami", key=project["apiKey"])
    assert (refused.status, refused.code) == (401, "revoked_api_key")
    assert service.ask("DELETE", path).status == 204


def names(value: Any) -> Iterator[str]:
    """The names of all members of an answer."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name != "metadata":
                yield from names(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from names(inner)


def test_b7_names_are_in_camel_case(service: Service) -> None:
    project = service.project()
    assert {"apiKey", "createdAt"} <= set(project)
    key = service.ask("GET", f"/api-keys/{project['key']['id']}").json
    wanted = {"name": "CI", "expiresAt": "2099-01-15T10:30:00Z", "ipAllowlist": ["192.0.2.0/24"]}
    made = service.ask("POST", f"/projects/{project['id']}/api-keys", wanted)
    assert (made.status, made.json | wanted) == (201, made.json)
    snake = service.ask("POST", f"/projects/{project['id']}/api-keys", {"expires_at": wanted["expiresAt"]})
    assert (snake.status, snake.json["error"]["details"]["fields"][0]["path"]) == (422, "/expires_at")
    entries = service.ask("GET", "/audit").json["data"]
    assert [name for name in names([project, key, made.json, entries]) if "_" in name] == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/projects/{project}", None),
        ("PATCH", "/projects/{project}", {"name": "x"}),
        ("PUT", "/projects/{project}", {"name": "x"}),
        ("DELETE", "/projects/{project}", None),
        ("GET", "/projects/{project}/api-keys", None),
        ("POST", "/projects/{project}/api-keys", {}),
        ("GET", "/api-keys/{key}", None),
        ("PATCH", "/api-keys/{key}", {"name": "x"}),
        ("DELETE", "/api-keys/{key}", None),
    ],
)
def test_b8_ids_of_others_are_answered_like_ids_that_never_were(
    service: Service, method: str, path: str, body: Any
) -> None:
    theirs = service.project(key=service.theirs)
    foreign = service.ask(method, path.format(project=theirs["id"], key=theirs["key"]["id"]), body)
    never = service.ask(method, path.format(project="proj_0000000000000000", key="000000000000"), body)
    assert foreign.status == 404
    dates = ("date",)
    assert [part for part in plain(foreign)[1] if part[0] not in dates] == [
        part for part in plain(never)[1] if part[0] not in dates
    ]
    assert plain(foreign)[2] == plain(never)[2]
    assert service.ask("GET", "/whoami", key=theirs["apiKey"]).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "named"),
    [
        (
            "POST",
            "/projects",
            {"nam": "x", "environment": "moon"},
            {("/nam", "unknown"), ("/name", "required"), ("/environment", "invalid")},
        ),
        ("PATCH", "/projects/{project}", {"createdAt": "now"}, {("/createdAt", "unknown")}),
        ("PUT", "/projects/{project}", {"name": "shop", "environment": "live"}, {("/environment", "invalid")}),
        (
            "POST",
            "/projects/{project}/api-keys",
            {"label": "CI/CD", "name": 7},
            {("/label", "unknown"), ("/name", "type")},
        ),
    ],
)
def test_b8_unknown_fields_and_bad_values_are_named(
    service: Service, method: str, path: str, body: Any, named: set[tuple[str, str]]
) -> None:
    answer = service.ask(method, path.format(project=service.project()["id"]), body)
    assert (answer.status, answer.code) == (422, "invalid_fields")
    assert {(each["path"], each["code"]) for each in answer.json["error"]["details"]["fields"]} == named
