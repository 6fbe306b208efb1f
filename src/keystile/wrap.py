"""The configured app behind the gate, for services whose code does not know keystile.

uvicorn keystile.wrap:asgi
gunicorn keystile.wrap:wsgi

`asgi` and `wsgi` are built when a server asks for them, once in a process; importing this module reads nothing.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

from ._sync import Lock
from .config.faults import told
from .config.file import Settings, load, open_gate
from .doors.apps import ARGUMENTS, check_app
from .exceptions import ConfigurationError, KeystileError
from .policy.webhooks import Webhooks

asgi: Any
wsgi: Any

_TARGET = re.compile(r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)")
_built: dict[str, Any] = {}
_lock = Lock()
# The settings that this thread is building from. An app that imports itself from here would wait for its own lock.
_building: ContextVar[Settings | None] = ContextVar("keystile_wrap_building", default=None)


def __getattr__(name: str) -> Any:
    if name not in ARGUMENTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    under_way = _building.get()
    if under_way is not None:
        raise under_way.error("app", f"imports {__name__}:{name} while that is being built; name the service's own app")
    with _lock:
        if name not in _built:
            _built[name] = _build(name)
        return _built[name]


def find_app(settings: Settings) -> Callable[..., Any]:
    """Import the app that the settings name. Exceptions of its own code pass through, except AttributeError: a server
    that asks for an attribute of this module would take that as "no such attribute".

    Args:
        settings: with `app` as ``"module:attribute"``; the attribute may be dotted.

    Raises:
        ConfigurationError: no app is named, or there is no such module or attribute, or it cannot be called.
    """
    if settings.app is None:
        raise settings.error("app", "is missing; name the app to serve, like 'service.main:app'")
    target = _TARGET.fullmatch(settings.app)
    if target is None:
        raise settings.error("app", f"expected 'module:attribute', like 'service.main:app', got {settings.app!r}")
    found: Any = _module(settings, target[1])
    for name in target[2].split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise settings.error("app", f"{target[1]!r} has no attribute {target[2]!r}") from None
    if not callable(found):
        raise settings.error("app", f"{settings.app!r} is not an app: {type(found).__name__} cannot be called")
    app: Callable[..., Any] = found
    return app


def _build(door: str) -> Any:
    settings = load()
    token = _building.set(settings)
    try:
        app = find_app(settings)
    finally:
        _building.reset(token)
    with _naming_the_file(settings):
        check_app(app, door, f"{__name__}:")
    gate = open_gate(settings)
    middleware = importlib.import_module(f".{door}", __package__)
    if settings.webhooks is not None:
        with _naming_the_file(settings, "webhooks."):
            app = middleware.WebhookMiddleware(app, **receiving(settings.webhooks), gate=gate)
    with _naming_the_file(settings):
        return middleware.GateMiddleware(app, gate=gate)


def receiving(webhooks: Webhooks) -> dict[str, Any]:
    """The arguments of a `WebhookMiddleware` that a file gives."""
    return {each.name: getattr(webhooks, each.name) for each in fields(webhooks)}


@contextmanager
def _naming_the_file(settings: Settings, at: str = "") -> Iterator[None]:
    """An error of a door, which knows nothing of the file, names it."""
    try:
        yield
    except ConfigurationError as error:
        raise settings.error(f"{at}{error.key}" if error.key else None, error.reason) from None


def _module(settings: Settings, name: str) -> ModuleType:
    """The service's module; from the working directory if it is not found elsewhere."""
    found = _import(settings, name)
    here = str(Path.cwd())
    if found is None and here not in sys.path:
        sys.path.insert(0, here)
        found = _import(settings, name)
        if found is None:
            sys.path.remove(here)
    if found is None:
        raise settings.error("app", f"there is no module {name!r}, neither installed nor in the working directory")
    return found


def _import(settings: Settings, name: str) -> ModuleType | None:
    """The module, or None if there is none. If the service lacks another module, that is its own error and raised."""
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        return None
    except (AttributeError, KeystileError, GeneratorExit) as error:
        if isinstance(error, ConfigurationError) and error.source == settings.source:
            raise  # of this very file
        raise settings.error("app", f"importing {name!r} raised {told(error, os.environ)}") from error
