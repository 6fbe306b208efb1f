"""The configured app behind the gate, for services whose code does not know keystile.

uvicorn keystile.wrap:asgi
gunicorn keystile.wrap:wsgi

`asgi` and `wsgi` are built when a server asks for them, once in a process; importing this module reads nothing.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any

from ._sync import Lock
from .config.file import Settings, load, open_gate
from .config.importing import MISREAD, Errors, Name, find
from .doors.apps import ARGUMENTS, check_app
from .exceptions import ConfigurationError
from .gate import Gate
from .policy.webhooks import RECEIVING, Webhooks

if TYPE_CHECKING:
    from .webhooks.outbox import Outbox

asgi: Any
wsgi: Any

_found: list[tuple[Settings, Callable[..., Any]]] = []
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


def find_app(settings: Settings, told_of: Errors = MISREAD) -> tuple[Name, Callable[..., Any]]:
    """The app that the settings name, imported, or made if they name a call; and its name, taken apart.

    Args:
        settings: with `app` as ``"module:attribute"`` or ``"module:function('literal', name=1)"``.
        told_of: the exceptions of the service's own code that become a ConfigurationError. Others pass through.

    Raises:
        ConfigurationError: no app is named, or there is no such module or attribute, or it cannot be called.
    """
    if settings.app is None:
        raise settings.error("app", "is missing; name the app to serve, like 'service.main:app'")
    name, found = find(settings.app, partial(settings.error, "app"), told_of)
    if not callable(found):
        what = "is" if name.call is None else "gives"
        raise settings.error("app", f"'{name}' {what} no app: {type(found).__name__} cannot be called")
    return name, found


def _build(door: str) -> Any:
    if not _found:
        _found.append(_find())
    settings, app = _found[0]
    with _naming_the_file(settings):
        check_app(app, door, f"{__name__}:")
    gate = _opened(settings)
    middleware = importlib.import_module(f".{door}", __package__)
    if settings.webhooks is not None and settings.webhooks.receive:
        with _naming_the_file(settings, "webhooks."):
            app = middleware.WebhookMiddleware(app, **receiving(settings.webhooks), gate=gate)
    outbox = _outbox(settings)
    with _naming_the_file(settings):
        return middleware.GateMiddleware(app, gate=gate, outbox=outbox)


def receiving(webhooks: Webhooks) -> dict[str, Any]:
    """The arguments of a `WebhookMiddleware` that a file gives."""
    return {name: getattr(webhooks, name) for name in RECEIVING}


def _outbox(settings: Settings) -> Outbox | None:
    """The outbox whose endpoints the management API shows; None if the file has no such API, or names no outbox."""
    webhooks = settings.webhooks
    if webhooks is None or webhooks.outbox is None or settings.gate.get("management") is None:
        return None
    with _naming_the_file(settings, "webhooks."):
        try:
            from .webhooks.outbox import Outbox
        except ImportError as error:
            raise ConfigurationError(str(error), key="outbox") from None
        return Outbox.of(webhooks)


def _find() -> tuple[Settings, Callable[..., Any]]:
    """The settings and the app; both doors have the same, so that a factory is called once in a process."""
    settings = load()
    with _under_way(settings):
        return settings, find_app(settings)[1]


def _opened(settings: Settings) -> Gate:
    with _under_way(settings):
        return open_gate(settings)


@contextmanager
def _under_way(settings: Settings) -> Iterator[None]:
    token = _building.set(settings)
    try:
        yield
    finally:
        _building.reset(token)


@contextmanager
def _naming_the_file(settings: Settings, at: str = "") -> Iterator[None]:
    """An error of a door, which knows nothing of the file, names it."""
    try:
        yield
    except ConfigurationError as error:
        raise settings.error(f"{at}{error.key}" if error.key else None, error.reason) from None
