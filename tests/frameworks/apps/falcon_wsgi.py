"""Falcon under WSGI: the recipe and what the matrix asks for besides."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon
import state
from falcon import Request, Response
from recipes.falcon_recipe import app
from recipes.falcon_recipe import application as wsgi_app


class Health:
    def on_get(self, request: Request, response: Response) -> None:
        response.media = state.PUBLIC


class Caller:
    def on_get(self, request: Request, response: Response) -> None:
        response.media = {"caller": state.seen()}


class Handed:
    def on_get(self, request: Request, response: Response) -> None:
        response.media = state.handed(request.env)


class Exports:
    def on_post(self, request: Request, response: Response) -> None:
        response.media = {"caller": state.seen()}


class Orders:
    def on_post(self, request: Request, response: Response) -> None:
        if not isinstance(request.get_media()["count"], int):
            raise falcon.HTTPUnprocessableEntity(description="count is a number")


class Boom:
    def on_get(self, request: Request, response: Response) -> None:
        state.boom()


class Stream:
    def on_get(self, request: Request, response: Response) -> None:
        def chunks() -> Iterator[bytes]:
            yield b"first\n"
            yield state.wait()

        response.content_type, response.stream = "text/plain", chunks()


class Next:
    def on_post(self, request: Request, response: Response) -> None:
        response.media = state.go_on()


class Upload:
    def on_post(self, request: Request, response: Response) -> None:
        length = 0
        while chunk := request.bounded_stream.read(65_536):
            length += len(chunk)
        response.media = {"length": length}


class Task:
    def on_post(self, request: Request, response: Response) -> None:
        response.media = state.tell_in_a_thread()

    def on_get(self, request: Request, response: Response) -> None:
        response.media = state.told()


class Seen:
    def process_response(self, request: Any, response: Any, resource: Any, succeeded: bool) -> None:
        response.set_header("x-seen", state.seen())


app.add_middleware(Seen())
app.add_route("/health", Health())
for name in ("sync", "limited"):
    app.add_route(f"/v1/{name}", Caller())
app.add_route("/v1/handed", Handed())
app.add_route("/v1/exports", Exports())
app.add_route("/v1/orders", Orders())
app.add_route("/v1/boom", Boom())
app.add_route("/v1/stream", Stream())
app.add_route("/v1/next", Next())
app.add_route("/v1/upload", Upload())
app.add_route("/v1/task", Task())

__all__ = ["wsgi_app"]
