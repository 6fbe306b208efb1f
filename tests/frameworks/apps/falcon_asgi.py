"""Falcon under ASGI: the recipe and what the matrix asks for besides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import falcon
import state
from falcon.asgi import Request, Response, WebSocket
from recipes.falcon_asgi_recipe import app, application
from starlette.middleware.cors import CORSMiddleware


class Health:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = state.PUBLIC


class Caller:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = {"caller": state.seen()}


class Handed:
    async def on_get(self, request: Request, response: Response) -> None:
        response.media = state.handed(request.scope)


class Exports:
    async def on_post(self, request: Request, response: Response) -> None:
        response.media = {"caller": state.seen()}


class Orders:
    async def on_post(self, request: Request, response: Response) -> None:
        if not isinstance((await request.get_media())["count"], int):
            raise falcon.HTTPUnprocessableEntity(description="count is a number")


class Boom:
    async def on_get(self, request: Request, response: Response) -> None:
        state.boom()


class Stream:
    async def on_get(self, request: Request, response: Response) -> None:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first\n"
            yield await asyncio.to_thread(state.wait)

        response.content_type, response.stream = "text/plain", chunks()


class Next:
    async def on_post(self, request: Request, response: Response) -> None:
        response.media = state.go_on()


class Upload:
    async def on_post(self, request: Request, response: Response) -> None:
        length = 0
        async for chunk in request.stream:
            length += len(chunk)
        response.media = {"length": length}


class Socket:
    async def on_websocket(self, request: Request, socket: WebSocket) -> None:
        await socket.accept()
        await socket.receive_text()
        await socket.send_text(state.seen())
        await socket.close()


class Task:
    async def on_post(self, request: Request, response: Response) -> None:
        async def tell() -> None:
            state.tell()

        response.schedule(tell)
        response.media = {"by": "a task"}

    async def on_get(self, request: Request, response: Response) -> None:
        response.media = state.told()


class Around:
    async def process_startup(self, scope: Any, event: Any) -> None:
        state.note("start")

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        state.note("end")

    async def process_response(self, request: Any, response: Any, resource: Any, succeeded: bool) -> None:
        response.set_header("x-seen", state.seen())


app.add_middleware(Around())
app.add_route("/health", Health())
for name in ("async", "limited"):
    app.add_route(f"/v1/{name}", Caller())
app.add_route("/v1/handed", Handed())
app.add_route("/v1/exports", Exports())
app.add_route("/v1/orders", Orders())
app.add_route("/v1/boom", Boom())
app.add_route("/v1/stream", Stream())
app.add_route("/v1/next", Next())
app.add_route("/v1/upload", Upload())
app.add_route("/v1/socket", Socket())
app.add_route("/v1/task", Task())
asgi_app = CORSMiddleware(application, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
