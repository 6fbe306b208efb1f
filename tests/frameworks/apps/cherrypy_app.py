"""CherryPy: the recipe and what the matrix asks for besides."""

from __future__ import annotations

from collections.abc import Iterator

import cherrypy
import state
from recipes.cherrypy_recipe import V1
from recipes.cherrypy_recipe import application as wsgi_app


@cherrypy.tools.register("before_finalize")
def seen() -> None:
    cherrypy.response.headers["X-Seen"] = state.seen()


@cherrypy.expose
@cherrypy.tools.json_out()
def from_sync(self: object) -> dict[str, str]:
    return {"caller": state.seen()}


@cherrypy.expose
@cherrypy.tools.json_out()
def handed(self: object) -> dict[str, str]:
    return state.handed(cherrypy.request.wsgi_environ)


@cherrypy.expose
@cherrypy.tools.json_in()
@cherrypy.tools.json_out()
def orders(self: object) -> dict[str, str]:
    if not isinstance(cherrypy.request.json["count"], int):
        raise cherrypy.HTTPError(422, "count is a number")
    return {}


@cherrypy.expose
def boom(self: object) -> None:
    state.boom()


@cherrypy.expose
def stream(self: object) -> Iterator[bytes]:
    cherrypy.response.headers["Content-Type"] = "text/plain"

    def chunks() -> Iterator[bytes]:
        yield b"first\n"
        yield state.wait()

    return chunks()


stream._cp_config = {"response.stream": True}


@cherrypy.expose
@cherrypy.tools.json_out()
def go_on(self: object) -> dict[str, bool]:
    return state.go_on()


@cherrypy.expose
@cherrypy.tools.json_out()
def upload(self: object) -> dict[str, int]:
    length = 0
    while chunk := cherrypy.request.body.fp.read(65_536):
        length += len(chunk)
    return {"length": length}


upload._cp_config = {"request.process_request_body": False, **upload._cp_config}


@cherrypy.expose
@cherrypy.tools.json_out()
def task(self: object) -> dict[str, object]:
    if cherrypy.request.method == "POST":
        return state.tell_in_a_thread()
    return state.told()


class Site:
    @cherrypy.expose
    @cherrypy.tools.json_out()
    def health(self) -> dict[str, str]:
        return state.PUBLIC


class Sub:
    things = guarded = from_sync


V1.sync = V1.limited = V1.exports = from_sync
V1.handed, V1.orders, V1.boom, V1.stream = handed, orders, boom, stream
V1.upload, V1.task = upload, task
V1.next = go_on
cherrypy.config.update({"tools.seen.on": True})
cherrypy.tree.mount(Site(), "")
cherrypy.tree.mount(Sub(), "/sub")

__all__ = ["wsgi_app"]
