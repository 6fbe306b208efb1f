"""The envelope around Falcon, whose answers say that they are JSON unless they are told otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import falcon
import falcon.asgi
import falcon.testing
import pytest

from keystile import Gate, HmacHasher, asgi, wsgi
from keystile.events import Event


def say(path: str, response: Any) -> None:
    match path:
        case "/text":
            response.text = "hi"
        case "/number":
            response.text = "42"
        case "/media":
            response.media = {"a": 1}
        case "/gone":
            raise falcon.HTTPGone(description="It was moved.")


class Plain:
    def on_get(self, request: Any, response: Any) -> None:
        say(request.path, response)


class Asynchronous:
    async def on_get(self, request: Any, response: Any) -> None:
        say(request.path, response)


def client_of(gate: Gate, kind: str) -> falcon.testing.TestClient:
    app, door, resource = (
        (falcon.App(), wsgi.GateMiddleware, Plain())
        if kind == "wsgi"
        else (falcon.asgi.App(), asgi.GateMiddleware, Asynchronous())
    )
    for path in ("/text", "/number", "/media", "/gone", "/empty"):
        app.add_route(path, resource)
    if kind == "asgi":
        return falcon.testing.TestClient(Guarded(app, door, gate))
    return falcon.testing.TestClient(door(app, gate))


class Guarded(falcon.asgi.App):
    """Falcon's client knows by the app's class that it is to speak ASGI."""

    def __init__(self, app: Any, door: Callable[..., Any], gate: Gate) -> None:
        super().__init__()
        self._door = door(app, gate)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._door(scope, receive, send)


@pytest.mark.parametrize("kind", ["wsgi", "asgi"])
def test_what_falcon_calls_json_is_wrapped_only_if_it_may_be_that(kind: str) -> None:
    gate = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16), envelope=True)
    told: list[Event] = []
    gate.on_event(told.append)
    client, headers = client_of(gate, kind), {"X-API-Key": gate.keys.create("key").secret}

    def get(path: str, **more: str) -> Any:
        return client.simulate_get(path, headers={**headers, **more})

    for _ in range(2):
        text = get("/text")
        assert (text.status_code, text.content, text.headers["content-length"]) == (200, b"hi", "2")
        assert text.headers["x-request-id"].startswith("req_")
    assert [event.path for event in told if event.code == "not_json"] == ["/text"]
    assert (get("/number").json["data"], get("/media").json["data"], get("/empty").json["data"]) == (42, {"a": 1}, None)
    assert get("/gone").json["error"]["message"] == "It was moved."
    assert get("/nowhere").json["error"]["code"] == "not_found"
    assert get("/nowhere", Accept="application/json").json["error"]["code"] == "not_found"
