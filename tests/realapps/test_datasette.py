"""Datasette, an ASGI service that publishes databases: pages, long streams, a login by a link, and, by the plugin
datasette-mcp, a server of the Model Context Protocol."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import anyio
import httpx
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from tests.realapps.running import Both, Service, is_guarded, running

pytestmark = pytest.mark.stress

ROWS = 5_000
# What `datasette serve --root` does, for a server of another kind.
SERVED = """
from datasette.app import Datasette

settings = {"max_csv_mb": 0, "sql_time_limit_ms": 60_000}
datasette = Datasette(["data.db"], secret="only the service knows this", settings=settings)
datasette._root_token = "once"
app = datasette.app()
"""
SETTINGS = """
hide_credentials = true
[[rules]]
match = "/-/static/*"
public = true
"""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("published")
    with closing(sqlite3.connect(folder / "data.db")) as database, database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        # No digits: the port of a server, which both answers may name, must not be found in them by chance.
        rows = [("abcdefghijklmnopqrstuvwxyz"[each % 26] * 400,) for each in range(ROWS)]
        database.executemany("INSERT INTO notes (text) VALUES (?)", rows)
    (folder / "served.py").write_text(SERVED)
    with running(Service("uvicorn", "served:app", SETTINGS), folder) as both:
        yield both


def test_the_data_is_guarded(published: Both) -> None:
    is_guarded(published, "/data/notes.csv")


def test_what_a_rule_makes_public_stays_so(published: Both) -> None:
    answer = published.gated.get("/-/static/app.css")
    assert (answer.status_code, answer.content) == (200, published.plain.get("/-/static/app.css").content)
    assert published.gated.get("/-/static/../../data/notes.csv").status_code == 401


def test_links_and_redirects_name_the_host_that_was_asked(published: Both) -> None:
    page = published.same("GET", "/-/versions")
    assert page.headers["link"].startswith(f"{published.gated.base_url}/-/versions.json")
    assert published.same("GET", "/data/notes/").status_code == 302


def test_a_stream_comes_as_it_is_made(published: Both) -> None:
    path, key = "/data/notes.csv?_stream=on&_size=max", published.key()
    assert published.same("GET", path, key).text.count("\n") == ROWS + 1
    with published.gated.stream("GET", path, headers={"X-API-Key": key}) as answer:
        assert answer.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in answer.headers
        lines = answer.iter_lines()
        assert next(lines) == "id,text"
        published.revoke(key)  # the stream began with it, and goes on
        assert len(list(lines)) == ROWS
    assert published.gated.get(path, headers={"X-API-Key": key}).status_code == 401


def test_its_own_login_and_its_forms_stay(published: Both) -> None:
    headers = {"X-API-Key": published.key()}
    with httpx.Client(base_url=published.gated.base_url, headers=headers, trust_env=False) as client:
        assert client.get("/-/actor.json").json() == {"actor": None}
        assert client.get("/-/auth-token?token=another").status_code == 403
        let_in = client.get("/-/auth-token?token=once")
        assert (let_in.status_code, let_in.headers["location"]) == (302, "/")
        assert client.get("/-/actor.json").json()["actor"]["id"] == "root"
        page = client.get("/-/logout")
        token = re.search(r'name="csrftoken" value="([^"]+)"', page.text)
        assert token is not None
        assert client.post("/-/logout", data={"csrftoken": "another"}).status_code == 403
        assert client.get("/-/actor.json", headers={"X-API-Key": ""}).status_code == 401  # a cookie is no key
        assert client.post("/-/logout", data={"csrftoken": token[1]}).status_code == 302
        assert client.get("/-/actor.json").json() == {"actor": None}


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_its_tools_are_called_with_a_key(published: Both, mode: str) -> None:
    async def count(client: Client) -> str:
        found = await client.call_tool("execute_sql", {"database": "data", "sql": "select count(*) as n from notes"})
        return str(found.content[0].text)

    async def talk(url: httpx.URL, headers: dict[str, str]) -> list[str]:
        async with (
            httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http,
            Client(streamable_http_client(f"{url}/-/mcp", http_client=http), mode=mode) as client,
        ):
            said = [await count(client)]
            if headers:
                published.revoke(headers["X-API-Key"])
                with pytest.raises(MCPError):
                    await count(client)
            return said

    unguarded = anyio.run(talk, published.plain.base_url, {})
    assert str(ROWS) in unguarded[0]
    assert anyio.run(talk, published.gated.base_url, {"X-API-Key": published.key()}) == unguarded
    refused = published.gated.post("/-/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (401, "missing_api_key")
