"""Reads streams of events through either door, step by step, as a client would."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio

from tests.doors import Door, asgi_scope, wsgi_environ

PATIENCE = 20.0
Step = Callable[[], Awaitable[object]]
Came = tuple[int, dict[str, str], list[bytes], bool]
"""Status, headers, what came, and whether the stream ended by itself."""


def came(door: Door, app: Any, path: str, headers: Any, steps: Sequence[Step], method: str = "GET") -> Came:
    """What a client gets: each step is done when something more has come, then the client leaves."""
    if door.kind == "wsgi":
        return wsgi_came(door, app, path, headers, steps, method)
    return door.run(asgi_came, app, path, headers, steps, method)  # type: ignore[no-any-return]


def wsgi_came(door: Door, app: Any, path: str, headers: Any, steps: Sequence[Step], method: str) -> Came:
    started: list[Any] = []
    waiting, found, ended = list(steps), list[bytes](), True
    iterable = app(wsgi_environ(method, path, headers, None), lambda *given: started.append(given))
    try:
        for octets in iterable:
            found.append(octets)
            if not waiting:
                ended = False
                break
            door.run(waiting.pop(0))
    finally:
        getattr(iterable, "close", lambda: None)()
    return int(started[0][0][:3]), dict(started[0][1]), found, ended


async def asgi_came(app: Any, path: str, headers: Any, steps: Sequence[Step], method: str) -> Came:
    waiting, found, left = list(steps), list[bytes](), anyio.Event()
    head: list[Any] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            return head.append(message)
        ended.append(not message.get("more_body", False))
        if message["body"]:
            found.append(message["body"])
            if waiting:
                await waiting.pop(0)()
            else:
                left.set()
        return None

    async def receive() -> Any:
        await left.wait()
        return {"type": "http.disconnect"}

    ended: list[bool] = []
    with anyio.fail_after(PATIENCE):
        await app(asgi_scope(method, path, headers, None), receive, send)
    fields = {name.decode(): value.decode() for name, value in head[0]["headers"]}
    return head[0]["status"], fields, found, ended[-1]


def told(octets: bytes) -> list[Any]:
    lines = octets.decode().split("\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
