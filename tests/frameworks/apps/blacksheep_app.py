"""BlackSheep: the recipe and what the matrix asks for besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import state
from blacksheep import Application, Request, Response, Router, StreamedContent, WebSocket, get, post, ws
from blacksheep.server.responses import json, status_code
from recipes.blacksheep_recipe import app, application
from starlette.middleware.cors import CORSMiddleware

sub = Application(router=Router())


@get("/health")
async def health() -> dict[str, str]:
    return state.PUBLIC


@get("/v1/sync")
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@get("/v1/async")
async def from_async() -> dict[str, str]:
    return {"caller": state.seen()}


@get("/v1/limited")
async def limited() -> dict[str, str]:
    return {"caller": state.seen()}


@post("/v1/exports")
async def export() -> dict[str, str]:
    return {"caller": state.seen()}


@get("/v1/handed")
async def handed(request: Request) -> dict[str, str]:
    return state.handed(request.scope)


@post("/v1/orders")
async def order(request: Request) -> Response:
    if not isinstance((await request.json())["count"], int):
        return status_code(422, {"message": "count is a number"})
    return json({})


@get("/v1/boom")
async def boom() -> None:
    state.boom()


@get("/v1/stream")
async def stream() -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await asyncio.to_thread(state.wait)

    return Response(200, content=StreamedContent(b"text/plain", chunks))


@post("/v1/next")
async def go_on() -> dict[str, bool]:
    return state.go_on()


@post("/v1/upload")
async def upload(request: Request) -> dict[str, int]:
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
    return {"length": length}


@ws("/v1/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.send_text(state.seen())
    await websocket.close()


@post("/v1/task")
async def task() -> dict[str, str]:
    async def tell() -> None:
        state.tell()

    state.KEPT.append(asyncio.create_task(tell()))
    return {"by": "a task"}


@get("/v1/task")
async def told() -> dict[str, list[str]]:
    return state.told()


@sub.router.get("/things")
async def things() -> dict[str, str]:
    return {"caller": state.seen()}


@sub.router.get("/guarded")
async def guarded() -> dict[str, str]:
    return {"caller": state.seen()}


async def seen(request: Request, handler: Any) -> Response:
    response = await handler(request)
    response.add_header(b"x-seen", state.seen().encode())
    return response


@app.on_start
async def start(_: Application) -> None:
    state.note("start")


@app.on_stop
async def end(_: Application) -> None:
    state.note("end")


app.middlewares.append(seen)
app.mount("/sub", sub)
asgi_app = CORSMiddleware(application, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
