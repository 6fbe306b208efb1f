"""The service of docs/guides/units.md works as the page says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import anyio.lowlevel

from tests.doors import Answer, asgi_scope

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "units.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def post(app: Any, prompt: str, secret: str) -> Answer:
    messages: list[Any] = []

    async def receive() -> Any:
        if messages and not messages[-1].get("more_body", True):
            return {"type": "http.disconnect"}
        await anyio.lowlevel.checkpoint()
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        messages.append(message)

    path = f"/v1/chat?prompt={quote(prompt)}"
    anyio.run(app, asgi_scope("POST", path, [("x-api-key", secret)], "127.0.0.1"), receive, send)
    fields = [(name.decode(), value.decode("latin-1")) for name, value in messages[0]["headers"]]
    return Answer(messages[0]["status"], fields, b"".join(message.get("body", b"") for message in messages[1:]))


def test_the_service_of_the_page_gives_back_what_it_did_not_use() -> None:
    made: dict[str, Any] = {}
    exec(compile(block("python"), "docs/guides/units.md", "exec"), made)
    app, secret = made["app"], made["gate"].keys.create("reader").secret
    first = post(app, "a b c d e f", secret)
    assert first.body == b"a b c d e f "
    assert (first.header("x-ratelimit-remaining-tokens"), first.header("x-ratelimit-remaining")) == ("9000", "59")
    assert post(app, "a", secret).header("x-ratelimit-remaining-tokens") == "8988", "988 of 1000 went back"
    post(app, "a " * 750, secret)
    assert post(app, "a", secret).header("x-ratelimit-remaining-tokens") == "7486", "12, 2 and 1500 were used"
    post(app, "a " * 4000, secret)
    told = post(app, "a", secret).json["error"]
    assert told | {"details": told["details"] | {"retry_after": 41}} == json.loads(block("json"))["error"]
