"""Starlette: the recipe and what the matrix asks for besides."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import state
from recipes.starlette_recipe import app as asgi_app
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket


async def health(request: Request) -> JSONResponse:
    return JSONResponse(state.PUBLIC)


def from_sync(request: Request) -> JSONResponse:
    return JSONResponse({"caller": state.seen()})


async def from_async(request: Request) -> JSONResponse:
    return JSONResponse({"caller": state.seen()})


async def handed(request: Request) -> JSONResponse:
    return JSONResponse(state.handed(request.scope))


async def order(request: Request) -> JSONResponse:
    if not isinstance((await request.json())["count"], int):
        raise HTTPException(422, "count is a number")
    return JSONResponse({})


async def boom(request: Request) -> None:
    state.boom()


async def stream(request: Request) -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await run_in_threadpool(state.wait)

    return StreamingResponse(chunks(), media_type="text/plain")


async def go_on(request: Request) -> JSONResponse:
    return JSONResponse(state.go_on())


async def upload(request: Request) -> JSONResponse:
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
    return JSONResponse({"length": length})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.send_text(state.seen())
    await websocket.close()


async def task(request: Request) -> JSONResponse:
    if request.method == "POST":
        return JSONResponse({"by": "a task"}, background=BackgroundTask(state.tell))
    return JSONResponse(state.told())


class Seen(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = state.seen()
        return response


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    state.note("start")
    yield
    state.note("end")


asgi_app.routes.extend(
    [
        Route("/health", health),
        Route("/v1/sync", from_sync),
        Route("/v1/async", from_async),
        Route("/v1/handed", handed),
        Route("/v1/limited", from_async),
        Route("/v1/exports", from_async, methods=["POST"]),
        Route("/v1/orders", order, methods=["POST"]),
        Route("/v1/boom", boom),
        Route("/v1/stream", stream),
        Route("/v1/next", go_on, methods=["POST"]),
        Route("/v1/upload", upload, methods=["POST"]),
        Route("/v1/task", task, methods=["GET", "POST"]),
        WebSocketRoute("/v1/socket", socket),
        Mount("/sub", routes=[Route("/things", from_async), Route("/guarded", from_async)]),
    ]
)
asgi_app.router.lifespan_context = lifespan
asgi_app.user_middleware.append(Middleware(Seen))
asgi_app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
