"""A server of the Model Context Protocol behind the gate: the one that docs/guides/mcp.md shows, and its own client."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import httpx2
import pytest
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

from keystile import Gate, Plan
from tests.pages import ROOT, shown
from tests.servers import Server, serving

PAGE = (ROOT / "docs" / "guides" / "mcp.md").read_text(encoding="utf-8")
MAIN = next(block for block in shown(PAGE, "python") if block.startswith("# main.py\n"))
# A tool that ends only when its client has seen that it began; and one that is not async.
MORE = """
from pathlib import Path


@mcp.tool()
async def held(name: str, context: Context) -> str:
    await context.report_progress(1, 2)
    while not Path(name).exists():
        await asyncio.sleep(0.01)
    return "let go"


@mcp.tool()
def whoami_in_a_thread() -> str:
    return current().caller.name


asgi_app = app
"""
PEPPER = "the pepper of a server of tools"
FIRST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
ACCEPTED = {"Accept": "application/json, text/event-stream"}


class Tools(NamedTuple):
    """A running server.

    Attributes:
        server: how it is reached.
        folder: where it runs.
        gate: another gate with the same keys.
    """

    server: Server
    folder: Path
    gate: Gate

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}/mcp"

    def key(self, name: str, plan: str = "free") -> str:
        """A new key."""
        return self.gate.keys.create(name, plan=plan).secret


@pytest.fixture(scope="module", params=["stateless", "sessions"])
def tools(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tools]:
    folder = tmp_path_factory.mktemp(request.param)
    code = MAIN if request.param == "stateless" else MAIN.replace("stateless_http=True", "")
    assert "streamable_http_app(stateless_http=True)" in MAIN
    (folder / "main.py").write_text(code + MORE)
    with serving("uvicorn-httptools", "main", folder, KEYSTILE_PEPPER=PEPPER) as server:
        plans = {"free": Plan(None), "trial": Plan(None)}
        gate = Gate(
            f"sqlite:///{folder}/keystile.db", prefix="acme", peppers=[PEPPER], plans=plans, default_plan="free"
        )
        with closing(gate):
            yield Tools(server, folder, gate)


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    """How the client begins: with the newest protocol, or with the handshake of older ones."""
    return str(request.param)


@asynccontextmanager
async def connected(tools: Tools, key: str, mode: str) -> AsyncIterator[tuple[Client, httpx2.AsyncClient]]:
    async with (
        httpx2.AsyncClient(headers={"X-API-Key": key}, timeout=30, trust_env=False) as http,
        Client(streamable_http_client(tools.url, http_client=http), mode=mode) as client,
    ):
        yield client, http


async def said(client: Client, tool: str, arguments: dict[str, Any] | None = None, **options: Any) -> str:
    """The text that a tool gives."""
    result = await client.call_tool(tool, arguments or {}, **options)
    assert not result.is_error, result
    text: str = result.content[0].text
    return text


def test_a_tool_knows_who_is_calling(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with connected(tools, alice, mode) as (client, http):
            assert {tool.name for tool in (await client.list_tools()).tools} >= {"whoami", "export"}
            for tool in ("whoami", "whoami_in_a_thread"):
                assert await said(client, tool) == "alice"
                http.headers["X-API-Key"] = bob  # in the same session, if there is one
                assert await said(client, tool) == "bob"
                http.headers["X-API-Key"] = alice

    alice, bob = tools.key("alice"), tools.key("bob")
    anyio.run(talk)


def test_an_event_stream_arrives_as_it_is_made(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async def let_go(*_seen: Any) -> None:
            (tools.folder / name).touch()

        async with connected(tools, key, mode) as (client, _):
            with anyio.fail_after(30):
                assert await said(client, "held", {"name": name}, progress_callback=let_go) == "let go"

    key, name = tools.key("alice"), f"go-{mode}"
    anyio.run(talk)


def test_progress_is_told_in_order(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async def note(progress: float, *_more: Any) -> None:
            seen.append(progress)

        async with connected(tools, key, mode) as (client, _):
            assert await said(client, "export", {"rows": 5}, progress_callback=note) == "5 rows for alice"

    key, seen = tools.key("alice"), list[float]()
    anyio.run(talk)
    assert seen == [1, 2, 3, 4, 5]


def test_without_a_key_there_is_no_server(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with connected(tools, "acme_live_wrong", mode):
            raise AssertionError("it was let in")

    for headers, code in (({}, "missing_api_key"), ({"X-API-Key": "acme_live_wrong"}, "invalid_api_key")):
        for method in ("POST", "GET", "DELETE"):
            answer = httpx2.request(method, tools.url, headers=headers, trust_env=False)
            assert (answer.status_code, answer.json()["error"]["code"]) == (401, code)
            assert answer.headers["www-authenticate"].startswith("Bearer")
    with pytest.raises(BaseExceptionGroup) as caught:
        anyio.run(talk)
    assert caught.group_contains(MCPError)
    assert not caught.group_contains(AssertionError)


def test_over_the_limit_is_429(tools: Tools) -> None:
    headers = ACCEPTED | {"X-API-Key": tools.key("trial", "trial")}
    answers = [httpx2.post(tools.url, json=FIRST, headers=headers, trust_env=False) for _ in range(7)]
    assert [answer.status_code == 429 for answer in answers] == [False] * 5 + [True] * 2
    assert [answer.headers["x-ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0", "0"]
    assert answers[-1].json()["error"]["code"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) > 0


async def ask_often(client: Client) -> None:
    """More often than the trial plan allows."""
    for _ in range(5):
        await said(client, "whoami")


def test_a_client_over_the_limit_gets_an_error(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with connected(tools, key, mode) as (client, _):
            assert await said(client, "whoami") == "trial"
            with pytest.raises(MCPError):
                await ask_often(client)

    key = tools.key("trial", "trial")
    anyio.run(talk)


def test_a_revoked_key_is_out_with_its_next_message(tools: Tools, mode: str) -> None:
    async def talk() -> None:
        async with connected(tools, key, mode) as (client, _):
            assert await said(client, "whoami") == "alice"
            tools.gate.keys.revoke(key.split("_")[2][:12])
            with pytest.raises(MCPError):
                await said(client, "whoami")

    key = tools.key("alice")
    anyio.run(talk)
