"""Flask, with keystile's module for it."""

from __future__ import annotations

from collections.abc import Iterator

import state
from flask import Flask, Response, abort, request
from gates import gate
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from keystile.integrations.flask import Keystile, current_principal, require

app, sub = Flask("app"), Flask("sub")


@app.get("/health")
def health() -> dict[str, str]:
    return state.PUBLIC


@app.get("/v1/me")
@app.get("/v1/sync")
@app.get("/v1/limited")
@app.post("/v1/exports")
@sub.get("/things")
@sub.get("/guarded")
def from_sync() -> dict[str, str]:
    return {"caller": state.seen()}


@app.get("/v1/async")
async def from_async() -> dict[str, str]:
    return {"caller": state.seen()}


@app.get("/v1/handed")
def handed() -> dict[str, str]:
    return state.handed(request.environ)


@app.post("/v1/orders")
def order() -> dict[str, str]:
    if not isinstance(request.get_json()["count"], int):
        abort(422, "count is a number")
    return {}


@app.get("/v1/boom")
def boom() -> None:
    state.boom()


@app.get("/v1/stream")
def stream() -> Response:
    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        yield state.wait()

    return Response(chunks(), mimetype="text/plain")


@app.post("/v1/next")
def go_on() -> dict[str, bool]:
    return state.go_on()


@app.post("/v1/upload")
def upload() -> dict[str, int]:
    length = 0
    while chunk := request.stream.read(65_536):
        length += len(chunk)
    return {"length": length}


@app.post("/v1/task")
def task() -> dict[str, str]:
    return state.tell_in_a_thread()


@app.get("/v1/task")
def told() -> dict[str, list[str]]:
    return state.told()


@app.after_request
def seen(response: Response) -> Response:
    response.headers["x-seen"] = state.seen()
    return response


@app.post("/v1/reports")
@require("reports:write")
def report() -> dict[str, str]:
    return {"caller": current_principal.name}


app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/sub": sub})
Keystile(app, gate=gate)
wsgi_app = app
