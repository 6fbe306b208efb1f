"""An app behind a real gate, for clients: it says what reached it, and redirects anywhere. Both doors serve it."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import parse_qsl

from flask import Flask, jsonify, redirect, request
from flask.typing import ResponseReturnValue
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from keystile import Gate, Plan, asgi, current, wsgi
from tests.clients import PEPPERS, PLACES

gate = Gate(
    store=os.environ["KEYSTILE_STORE"],
    limiter=os.environ["KEYSTILE_LIMITER"],
    prefix="acme",
    accept=PLACES,
    peppers=PEPPERS,
    hasher="hmac-sha256",
    plans={"free": Plan("1000/minute")},
    default_plan="free",
    public=["/open/*"],
    envelope=True,
)


def seen(headers: Any, query: str) -> dict[str, Any]:
    """Everything that could hold a key."""
    return {"headers": {name.lower(): value for name, value in headers.items()}, "query": parse_qsl(query)}


async def echo(request: Request) -> Response:
    return JSONResponse(seen(request.headers, request.url.query))


async def to(request: Request) -> Response:
    return RedirectResponse(request.query_params["where"], int(request.query_params.get("status", "307")))


async def me(_: Request) -> Response:
    return JSONResponse({"caller": current().caller.name})


routes = [
    Route("/open/echo", echo, methods=["GET", "POST"]),
    Route("/open/to", to, methods=["GET", "POST"]),
    Route("/v1/me", me, methods=["GET", "POST"]),
    Route("/v1/to", to, methods=["GET", "POST"]),
]
asgi_app = asgi.GateMiddleware(Starlette(routes=routes), gate=gate)

flask = Flask(__name__)


@flask.route("/open/echo", methods=["GET", "POST"])
def flask_echo() -> ResponseReturnValue:
    return jsonify(seen(request.headers, request.query_string.decode()))


@flask.route("/open/to", methods=["GET", "POST"])
@flask.route("/v1/to", methods=["GET", "POST"])
def flask_to() -> ResponseReturnValue:
    return redirect(request.args["where"], int(request.args.get("status", "307")))


@flask.route("/v1/me", methods=["GET", "POST"])
def flask_me() -> ResponseReturnValue:
    return jsonify(caller=current().caller.name)


wsgi_app = wsgi.GateMiddleware(flask.wsgi_app, gate=gate)
