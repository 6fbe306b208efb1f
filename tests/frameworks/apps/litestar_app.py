"""Litestar, with the gate around it: its own middleware would run only once a route is found."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import state
from anyio import to_thread
from gates import gate
from litestar import Litestar, Request, WebSocket, asgi, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.di import NamedDependency
from litestar.params import JSONBody
from litestar.response import Response, Stream
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route

from keystile.asgi import GateMiddleware
from keystile.integrations.litestar import KeystilePlugin, require
from keystile.model import Principal


class Order(BaseModel):
    count: int


@get("/health")
async def health() -> dict[str, str]:
    return state.PUBLIC


@get("/v1/sync", sync_to_thread=True)
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@get(["/v1/me", "/v1/async", "/v1/limited"])
async def from_async() -> dict[str, str]:
    return {"caller": state.seen()}


@get("/v1/handed")
async def handed(request: Request[Any, Any, Any]) -> dict[str, str]:
    return state.handed(request.scope)


@post("/v1/exports", status_code=200)
async def export() -> dict[str, str]:
    return {"caller": state.seen()}


@post("/v1/reports", status_code=200, guards=[require("reports:write")])
async def report(principal: NamedDependency[Principal]) -> dict[str, str]:
    return {"caller": principal.name}


@post("/v1/orders")
async def order(data: JSONBody[Order]) -> Order:
    return data


@get("/v1/boom")
async def boom() -> None:
    state.boom()


@get("/v1/stream")
async def stream() -> Stream:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await to_thread.run_sync(state.wait)

    return Stream(chunks(), media_type="text/plain")


@post("/v1/next", status_code=200)
async def go_on() -> dict[str, bool]:
    return state.go_on()


@post("/v1/upload", status_code=200)
async def upload(request: Request[Any, Any, Any]) -> dict[str, int]:
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
    return {"length": length}


@websocket("/v1/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.receive_text()
    await socket.send_text(state.seen())
    await socket.close()


@post("/v1/task", status_code=200)
async def task() -> Response[dict[str, str]]:
    return Response({"by": "a task"}, background=BackgroundTask(state.tell))


@get("/v1/task")
async def told() -> dict[str, list[str]]:
    return state.told()


async def things(_: Any) -> JSONResponse:
    return JSONResponse({"caller": state.seen()})


# Litestar gives a mounted app its paths with a slash at the end.
mounted = Starlette(routes=[Route("/things/", things), Route("/guarded/", things)])
sub = asgi("/sub", is_mount=True, copy_scope=True)(mounted)


def after_request(response: Response[Any]) -> Response[Any]:
    response.headers["x-seen"] = state.seen()
    return response


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    state.note("start")
    yield
    state.note("end")


things_to_do = [export, order, report, go_on, upload, task]
things_to_see = [health, from_sync, from_async, handed, boom, stream, told, socket, sub]
app = Litestar(
    [*things_to_do, *things_to_see],
    plugins=[KeystilePlugin(gate)],
    lifespan=[lifespan],
    after_request=after_request,
)
asgi_app = CORSMiddleware(
    GateMiddleware(app, gate=gate), allow_origins=["https://page.example"], allow_headers=["x-api-key"]
)
