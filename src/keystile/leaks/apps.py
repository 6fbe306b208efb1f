"""The endpoint for both doors: a small ASGI app and a small WSGI app."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any

from .._sync import in_time, inline, pooled, run_now
from ..doors.asgi.bodies import read_body
from ..doors.wsgi.protocol import variable_of
from ..gate import Gate
from .acting import OnLeak
from .partner import IDENTIFIER, MOST_BODY, SIGNATURE, TOO_LONG, Answer, Partner, refusal
from .signatures import GITHUB_KEYS, Fetch

_NAMES = (IDENTIFIER, SIGNATURE, "content-length")
READ_WITHIN = 30.0
_TOO_SLOW = refusal(408, "request_timeout", "The body did not arrive in time.", ("connection", "close"))
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
WSGIApp = Callable[[Any, Any], Iterable[bytes]]


def asgi_app(
    gate: Gate, *, fetch: Fetch | None = None, keys_url: str = GITHUB_KEYS, on_leak: OnLeak | None = None
) -> ASGIApp:
    """GitHub's partner endpoint as an ASGI app; the arguments are those of `Partner`."""
    partner = Partner(gate, fetch=fetch, keys_url=keys_url, on_leak=on_leak)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"this app answers http, not {scope['type']}")
        named = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        headers = {name: value for name, value in named if name in _NAMES}
        answer = partner.refuse_head(scope["method"], headers)
        if answer is None:
            body = await _body(scope, receive)
            answer = body if isinstance(body, Answer) else await partner.receive(body, headers, pooled)
        fields = [(name.encode(), value.encode()) for name, value in _fields(answer)]
        await send({"type": "http.response.start", "status": answer.status, "headers": fields})
        await send({"type": "http.response.body", "body": answer.body})

    return app


async def _body(scope: Any, receive: Any) -> bytes | Answer:
    try:
        body = await in_time(READ_WITHIN, read_body(scope, receive, MOST_BODY))
    except TimeoutError:
        return _TOO_SLOW
    return body if isinstance(body, bytes) else TOO_LONG  # or the client has gone, and reads no answer


def wsgi_app(
    gate: Gate, *, fetch: Fetch | None = None, keys_url: str = GITHUB_KEYS, on_leak: OnLeak | None = None
) -> WSGIApp:
    """GitHub's partner endpoint as a WSGI app; the arguments are those of `Partner`. How long a body may take is the
    server's setting."""
    partner = Partner(gate, fetch=fetch, keys_url=keys_url, on_leak=on_leak)

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:
        headers = {name: value for name in _NAMES if (value := environ.get(variable_of(name)))}
        answer = partner.refuse_head(environ["REQUEST_METHOD"], headers)
        if answer is None:
            # PEP 3333: without a length the input may have no end.
            body = environ["wsgi.input"].read(min(int(headers.get("content-length", 0)), MOST_BODY))
            answer = run_now(partner.receive(body, headers, inline))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", _fields(answer))
        return [answer.body]

    return app


def _fields(answer: Answer) -> list[tuple[str, str]]:
    length = str(len(answer.body))
    return [
        ("content-type", "application/json"),
        ("content-length", length),
        ("cache-control", "no-store"),
        *answer.headers,
    ]
