"""The apps that are compared: one small endpoint in each framework, alone, behind keystile, and behind its peers.

Each peer is set up as its documentation says, by its fastest way that the documentation shows, and for all counters the
same holds: two sliding windows in memory, wide enough for every request, and limit headers on. What each does:

- keystile proves a key, reads its record and its allowlist of addresses, and counts by key: strict windows.
- slowapi counts by address, in two counters that approximate a sliding window. It checks no key.
- flask-limiter does the same for Flask. It checks no key.
- keyshield + slowapi proves a key and reads its record from a cache of the process for 300 seconds. Its wait before
  every answer (0.1 to 0.3 s by default) is set to nothing. slowapi counts as above.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from benchmarks.bare import asgi_app, wsgi_app
from keystile import Gate, Plan, asgi, wsgi

WIDE, TIGHT = "10000000/minute; 500000000/day", "1/minute; 500/day"
PATH = "/v1/projects/abc"
KEYSHIELD = "keyshield + slowapi"
ENVIRON = "KEYSTILE_BENCH"


class Made(NamedTuple):
    """An app, and the key that opens it, where it needs one."""

    app: Any
    key: str | None = None


def gate_of(limits: str, **settings: Any) -> tuple[Gate, str]:
    """A gate, and a key with an allowlist and two windows."""
    gate = Gate(prefix="acme", plans={"p": Plan(limits)}, default_plan="p", **settings)
    return gate, gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret


def raw_asgi(guard: str, limits: str) -> Made:
    if guard == "bare":
        return Made(asgi_app)
    gate, key = gate_of(limits)
    return Made(asgi.GateMiddleware(asgi_app, gate), key)


def raw_wsgi(guard: str, limits: str) -> Made:
    if guard == "bare":
        return Made(wsgi_app)
    gate, key = gate_of(limits)
    return Made(wsgi.GateMiddleware(wsgi_app, gate), key)


def starlette(guard: str, limits: str) -> Made:
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def show(request: Any) -> Any:
        return JSONResponse({})

    app = Starlette(routes=[Route("/v1/projects/{name}", show)])
    return Made(app, _guarded(app, guard, limits))


def fastapi(guard: str, limits: str) -> Made:
    from fastapi import Depends, FastAPI

    app, key, depends = FastAPI(), None, []
    if guard == KEYSHIELD:
        known, key = keyshield()
        depends = [Depends(known)]
        _guarded(app, "slowapi", limits)
    else:
        key = _guarded(app, guard, limits)

    @app.get("/v1/projects/{name}", dependencies=depends)
    async def show(name: str) -> dict[str, Any]:
        return {}

    return Made(app, key)


def _guarded(app: Any, guard: str, limits: str) -> str | None:
    """Add what guards a Starlette or a FastAPI; returns the key."""
    if guard == "keystile":
        gate, key = gate_of(limits)
        app.add_middleware(asgi.GateMiddleware, gate=gate)
        return key
    if guard == "slowapi":
        from slowapi import Limiter, _rate_limit_exceeded_handler
        from slowapi.errors import RateLimitExceeded
        from slowapi.middleware import SlowAPIASGIMiddleware
        from slowapi.util import get_remote_address

        app.state.limiter = Limiter(
            key_func=get_remote_address,
            default_limits=[limits.replace(" ", "")],
            storage_uri="memory://",
            strategy="sliding-window-counter",
            headers_enabled=True,
        )
        app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
        app.add_middleware(SlowAPIASGIMiddleware)
    return None


def keyshield() -> tuple[Any, str]:
    """Its dependency for FastAPI with the cached service, and a key."""
    from keyshield.api import create_depends_api_key
    from keyshield.hasher.argon2 import Argon2ApiKeyHasher
    from keyshield.repositories.in_memory import InMemoryApiKeyRepository
    from keyshield.services.cached import CachedApiKeyService

    service = CachedApiKeyService(
        repo=InMemoryApiKeyRepository(),
        hasher=Argon2ApiKeyHasher(pepper="the pepper of a benchmark, which guards nothing"),
        min_delay=0,
        max_delay=0,
    )

    async def get_service() -> CachedApiKeyService:
        return service

    # In a thread: the server that loads this app may run an event loop here.
    with ThreadPoolExecutor(1) as pool:
        _, key = pool.submit(asyncio.run, service.create(name="key")).result()
    return create_depends_api_key(get_service), key


def flask(guard: str, limits: str) -> Made:
    from flask import Flask, Response

    app, key = Flask("bench"), None
    app.add_url_rule("/v1/projects/<name>", "show", lambda name: Response("{}", mimetype="application/json"))
    if guard == "keystile":
        gate, key = gate_of(limits)
        app.wsgi_app = wsgi.GateMiddleware(app.wsgi_app, gate=gate)  # type: ignore[method-assign]
    elif guard == "flask-limiter":
        from flask_limiter import Limiter
        from flask_limiter.util import get_remote_address

        Limiter(
            get_remote_address,
            app=app,
            default_limits=[limits],
            storage_uri="memory://",
            strategy="sliding-window-counter",
            headers_enabled=True,
        )
    return Made(app, key)


HOSTS: dict[str, Callable[[str, str], Made]] = {
    "raw ASGI": raw_asgi,
    "raw WSGI": raw_wsgi,
    "Starlette": starlette,
    "FastAPI": fastapi,
    "Flask": flask,
}
GUARDS = {
    "raw ASGI": ("bare", "keystile"),
    "raw WSGI": ("bare", "keystile"),
    "Starlette": ("bare", "keystile", "slowapi"),
    "FastAPI": ("bare", "keystile", "slowapi", KEYSHIELD),
    "Flask": ("bare", "keystile", "flask-limiter"),
}
"""slowapi needs the app of a Starlette, flask-limiter that of a Flask, keyshield a framework's dependency."""


CONTROLS = ("the same fields", "other work")
"""Behind a WSGI server these stand beside the bare app: what the fields alone cost that a gate has the server read and
write, and what other Python code costs that takes about as long as the gate in a loop of its own."""
_FIELDS = [
    ("x-request-id", "req_93GovsRkFI44sGOcJm01cY9x"),
    ("cache-control", "private"),
    ("vary", "api-key, authorization, x-api-key"),
    ("x-ratelimit-limit", "10000000"),
    ("x-ratelimit-remaining", "9999999"),
    ("x-ratelimit-reset", "1795324464"),
]


def from_environ() -> Any:
    """What a server serves: the app that the environment names. Its key goes into the file that it names."""
    host, guard, place = os.environ[ENVIRON].split("|")
    made = control(guard, HOSTS[host]("bare", WIDE).app) if guard in CONTROLS else HOSTS[host](guard, WIDE)
    fresh = Path(f"{place}.new")
    fresh.write_text(made.key or "")
    fresh.rename(place)
    return made.app


def control(name: str, app: Any) -> Made:
    """A bare WSGI app with something before it that is no gate."""

    def with_fields(environ: Any, start_response: Any) -> Any:
        return app(environ, lambda status, fields, exc_info=None: start_response(status, fields + _FIELDS, exc_info))

    def with_work(environ: Any, start_response: Any) -> Any:
        parse_qsl("a=1&b=2")
        json.dumps(json.loads('{"a":[1,2,3],"b":"c"}'), separators=(",", ":"))
        hashlib.blake2b(b"x" * 50, digest_size=16).digest()
        datetime.now(UTC).isoformat()
        return app(environ, start_response)

    return Made(with_fields, "acme_live_" + "x" * 50) if name == CONTROLS[0] else Made(with_work)
