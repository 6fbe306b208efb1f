"""Bottle: the recipe and what the matrix asks for besides."""

from __future__ import annotations

from collections.abc import Iterator

import state
from bottle import Bottle, abort, request, response
from recipes.bottle_recipe import app
from recipes.bottle_recipe import application as wsgi_app

sub = Bottle()


@app.get("/health")
def health() -> dict[str, str]:
    return state.PUBLIC


@app.get("/v1/sync")
@app.get("/v1/limited")
@app.post("/v1/exports")
@sub.get("/things")
@sub.get("/guarded")
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@app.get("/v1/handed")
def handed() -> dict[str, str]:
    return state.handed(request.environ)


@app.post("/v1/orders")
def order() -> dict[str, str]:
    if not isinstance(request.json["count"], int):
        abort(422, "count is a number")
    return {}


@app.get("/v1/boom")
def boom() -> None:
    state.boom()


@app.get("/v1/stream")
def stream() -> Iterator[bytes]:
    response.content_type = "text/plain"
    yield b"first\n"
    yield state.wait()


@app.post("/v1/next")
def go_on() -> dict[str, bool]:
    return state.go_on()


@app.post("/v1/upload")
def upload() -> dict[str, int]:
    length, body = 0, request.body
    while chunk := body.read(65_536):
        length += len(chunk)
    return {"length": length}


@app.post("/v1/task")
def task() -> dict[str, str]:
    return state.tell_in_a_thread()


@app.get("/v1/task")
def told() -> dict[str, list[str]]:
    return state.told()


@app.hook("after_request")
def seen() -> None:
    response.headers["x-seen"] = state.seen()


app.mount("/sub/", sub)

__all__ = ["wsgi_app"]
