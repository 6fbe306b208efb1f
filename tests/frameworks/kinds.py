"""Which frameworks there are, each with its little app, its server, and how the gate is put around it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A column of the table.

    Attributes:
        module: the little app, in the folder `apps`.
        server: what serves it, by its name in tests/servers.py.
        packages: the distributions whose behaviour this is.
        around: where the gate stands.
        cors: whose CORS is asked: ``"outside"``, a layer around the gate, or ``"gate"``, its own.
        ignores: warnings of the framework itself, which are no errors here: as PYTHONWARNINGS has them.
    """

    module: str
    server: str
    packages: tuple[str, ...]
    around: str
    cors: str
    ignores: tuple[str, ...] = ()

    @property
    def asgi(self) -> bool:
        return self.server.startswith("uvicorn")


def _asgi(module: str, *packages: str, around: str = "`GateMiddleware(app, gate=gate)`", cors: str = "outside") -> Kind:
    return Kind(module, "uvicorn-httptools", packages, around, cors)


def _wsgi(
    module: str,
    *packages: str,
    around: str = "`GateMiddleware(app, gate=gate)`",
    server: str = "waitress",
    ignores: tuple[str, ...] = (),
) -> Kind:
    return Kind(module, server, packages, around, "gate", ignores)


_ADDED = "`app.add_middleware(GateMiddleware, gate=gate)`"
_WITHIN = "`KeystileMiddleware` first in `MIDDLEWARE`"

KINDS = {
    "FastAPI": _asgi("fastapi_added", "fastapi", "starlette", around="`install(app, gate)`"),
    "FastAPI, wrapped": _asgi("fastapi_wrapped", "fastapi", "starlette"),
    "Starlette": _asgi("starlette_app", "starlette", around=_ADDED),
    "Litestar": _asgi(
        "litestar_app", "litestar", around="`GateMiddleware(app, gate=gate)`, and `KeystilePlugin(gate)`"
    ),
    "Quart": _asgi("quart_app", "quart", around="`app.asgi_app = GateMiddleware(app.asgi_app, gate=gate)`"),
    "Django, ASGI": _asgi("django_asgi", "django"),
    "Django within, ASGI": _asgi("django_within_asgi", "django", around=_WITHIN, cors="gate"),
    "Falcon, ASGI": _asgi("falcon_asgi", "falcon"),
    "BlackSheep": _asgi("blacksheep_app", "blacksheep"),
    "Flask": _wsgi("flask_app", "flask", "werkzeug", around="`Keystile(app, gate=gate)`"),
    "Django, WSGI": _wsgi("django_wsgi", "django"),
    "Django within, WSGI": _wsgi("django_within_wsgi", "django", around=_WITHIN),
    "Falcon, WSGI": _wsgi("falcon_wsgi", "falcon"),
    "Bottle": _wsgi("bottle_app", "bottle"),
    # WebOb, below Pyramid, imports what Python 3.13 no longer has, and Pyramid what setuptools is about to give up.
    "Pyramid": _wsgi(
        "pyramid_app",
        "pyramid",
        "webob",
        ignores=(
            "ignore:'cgi' is deprecated",
            "ignore:pkg_resources is deprecated",
            "ignore:Deprecated call to `pkg_resources",
        ),
    ),
    "CherryPy": _wsgi("cherrypy_app", "cherrypy", server="cheroot"),
}
