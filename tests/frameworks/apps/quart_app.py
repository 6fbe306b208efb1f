"""Quart: the recipe and what the matrix asks for besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import state
from quart import Blueprint, Response, abort, request, websocket
from recipes.quart_recipe import app
from starlette.middleware.cors import CORSMiddleware

sub = Blueprint("sub", __name__, url_prefix="/sub")


@app.get("/health")
async def health() -> dict[str, str]:
    return state.PUBLIC


@app.get("/v1/sync")
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@app.get("/v1/async")
@app.get("/v1/limited")
@app.post("/v1/exports")
async def from_async() -> dict[str, str]:
    return {"caller": state.seen()}


@app.get("/v1/handed")
async def handed() -> dict[str, str]:
    return state.handed(request.scope)


@app.post("/v1/orders")
async def order() -> dict[str, str]:
    if not isinstance((await request.get_json())["count"], int):
        abort(422, "count is a number")
    return {}


@app.get("/v1/boom")
async def boom() -> None:
    state.boom()


@app.get("/v1/stream")
async def stream() -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await asyncio.to_thread(state.wait)

    return Response(chunks(), mimetype="text/plain")


@app.post("/v1/next")
async def go_on() -> dict[str, bool]:
    return state.go_on()


@app.post("/v1/upload")
async def upload() -> dict[str, int]:
    length = 0
    async for chunk in request.body:
        length += len(chunk)
    return {"length": length}


@app.websocket("/v1/socket")
async def socket() -> None:
    await websocket.receive()
    await websocket.send(state.seen())


@app.post("/v1/task")
async def task() -> dict[str, str]:
    app.add_background_task(state.tell)
    return {"by": "a task"}


@app.get("/v1/task")
async def told() -> dict[str, list[str]]:
    return state.told()


@sub.get("/things")
@sub.get("/guarded")
async def things() -> dict[str, str]:
    return {"caller": state.seen()}


@app.after_request
async def seen(response: Any) -> Any:
    response.headers["x-seen"] = state.seen()
    return response


@app.before_serving
async def start() -> None:
    state.note("start")


@app.after_serving
async def end() -> None:
    state.note("end")


app.register_blueprint(sub)
asgi_app = CORSMiddleware(app, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
