"""FastAPI: the same app for both ways of putting the gate around it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import state
from fastapi import APIRouter, BackgroundTasks, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.middleware.base import RequestResponseEndpoint

from keystile.integrations.fastapi import CurrentPrincipal, require


class Order(BaseModel):
    count: int


router, sub = APIRouter(), FastAPI()


@router.get("/health")
async def health() -> dict[str, str]:
    return state.PUBLIC


@router.get("/v1/sync")
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@router.get("/v1/async")
async def from_async() -> dict[str, str]:
    return {"caller": state.seen()}


@router.get("/v1/handed")
async def handed(request: Request) -> dict[str, str]:
    return state.handed(request.scope)


@router.get("/v1/me")
@router.get("/v1/limited")
@router.post("/v1/exports")
async def plain() -> dict[str, str]:
    return {"caller": state.seen()}


@router.post("/v1/reports", dependencies=[require("reports:write")])
async def report(principal: CurrentPrincipal) -> dict[str, str]:
    return {"caller": principal.name}


@router.post("/v1/orders")
async def order(order: Order) -> Order:
    return order


@router.get("/v1/boom")
async def boom() -> None:
    state.boom()


@router.get("/v1/stream")
async def stream() -> StreamingResponse:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"first\n"
        yield await run_in_threadpool(state.wait)

    return StreamingResponse(chunks(), media_type="text/plain")


@router.post("/v1/next")
async def go_on() -> dict[str, bool]:
    return state.go_on()


@router.post("/v1/upload")
async def upload(request: Request) -> dict[str, int]:
    length = 0
    async for chunk in request.stream():
        length += len(chunk)
    return {"length": length}


@router.websocket("/v1/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.send_text(state.seen())
    await websocket.close()


@router.post("/v1/task")
async def task(tasks: BackgroundTasks) -> dict[str, str]:
    tasks.add_task(state.tell)
    return {"by": "a task"}


@router.get("/v1/task")
async def told() -> dict[str, list[str]]:
    return state.told()


@sub.get("/things")
@sub.get("/guarded")
async def things() -> dict[str, str]:
    return {"caller": state.seen()}


@asynccontextmanager
async def lifespan(_: Any) -> AsyncIterator[None]:
    state.note("start")
    yield
    state.note("end")


def make() -> FastAPI:
    app = FastAPI(lifespan=lifespan)
    app.include_router(router)
    app.mount("/sub", sub)

    @app.middleware("http")
    async def seen(request: Request, call_next: RequestResponseEndpoint) -> Response:
        response = await call_next(request)
        response.headers["x-seen"] = state.seen()
        return response

    return app
