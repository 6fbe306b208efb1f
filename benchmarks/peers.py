"""Other limiters' middleware in front of the same bare apps, set up as their documentation says.

slowapi and flask-limiter only count; ours also checks a key and its allowlist. flask-limiter works with Flask only, so
its bare app is Flask without it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from .bare import HEADERS, PATH, asgi_app, run, start_response
from .harness import Case

WIDE, TIGHT = "10000000/minute; 500000000/day", "1/minute; 500/day"
_MISSING = "pip install 'keystile[bench]' (slowapi, flask-limiter)"

# A name; whether the whole time counts instead of the added time; the bare app; the same app behind a limiter.
Row = tuple[str, bool, Case, Case]


def slowapi_rows() -> list[Row]:
    """Its pure ASGI class, which reads limiter and routes from ``scope["app"]``."""
    try:
        import slowapi
        from slowapi.errors import RateLimitExceeded
        from slowapi.middleware import SlowAPIASGIMiddleware
        from slowapi.util import get_remote_address
        from starlette.responses import PlainTextResponse
        from starlette.routing import Route
    except ImportError:
        print(f"slowapi is left out: {_MISSING}")
        return []

    def handler(request: Any) -> Any:
        return PlainTextResponse("")

    def case(limit: str, guarded: Any) -> Case:
        limiter = slowapi.Limiter(
            get_remote_address,
            default_limits=[limit],
            storage_uri="memory://",
            strategy="sliding-window-counter",
            headers_enabled=True,
        )
        host = SimpleNamespace(
            state=SimpleNamespace(limiter=limiter),
            routes=[Route("/v1/projects/{name}", handler)],
            exception_handlers={RateLimitExceeded: slowapi._rate_limit_exceeded_handler},
        )
        scope = asgi_scope() | {"app": host}
        return lambda: run(guarded(dict(scope) | {"state": {}}, receive_nothing, send_nowhere))

    door = SlowAPIASGIMiddleware(asgi_app)
    bare = case(WIDE.replace(" ", ""), asgi_app)
    return [
        ("slowapi ASGI class, 2 sliding limits", False, bare, case(WIDE.replace(" ", ""), door)),
        ("slowapi ASGI class, 429", True, bare, case(TIGHT.replace(" ", ""), door)),
    ]


def asgi_scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "raw_path": PATH.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": HEADERS,
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8000),
    }


async def receive_nothing() -> Any:
    return {"type": "http.request", "body": b"", "more_body": False}


async def send_nowhere(message: Any) -> None:
    pass


def flask_limiter_rows() -> list[Row]:
    try:
        import flask
        from flask_limiter import Limiter
        from flask_limiter.util import get_remote_address
        from werkzeug.test import EnvironBuilder
    except ImportError:
        print(f"flask-limiter is left out: {_MISSING}")
        return []
    environ = EnvironBuilder(PATH, environ_base={"REMOTE_ADDR": "127.0.0.1"}).get_environ()

    def case(limit: str | None) -> Case:
        app = flask.Flask("bench")
        app.add_url_rule("/v1/projects/<name>", "show", lambda name: flask.Response("{}", mimetype="application/json"))
        if limit:
            Limiter(
                get_remote_address,
                app=app,
                default_limits=[limit],
                storage_uri="memory://",
                strategy="sliding-window-counter",
                headers_enabled=True,
            )
        return lambda: b"".join(app(dict(environ), start_response)) and None

    bare = case(None)
    return [
        ("flask-limiter in Flask, 2 sliding limits", False, bare, case(WIDE)),
        ("flask-limiter in Flask, 429", True, bare, case(TIGHT)),
    ]
