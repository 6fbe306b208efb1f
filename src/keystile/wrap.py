"""The configured app behind the gate, for services whose code does not know keystile.

uvicorn keystile.wrap:asgi
gunicorn keystile.wrap:wsgi

`asgi` and `wsgi` are built when a server asks for them, once in a process; importing this module reads nothing. On
SIGHUP the file is read again, where no server answers to that signal itself.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from ._sync import Lock, on_hangup
from .config.file import Settings, load, open_gate
from .config.importing import MISREAD, Errors, Name, find
from .config.rereading import Rereader
from .doors.apps import ARGUMENTS, check_app, fits
from .exceptions import ConfigurationError
from .gate import Gate
from .policy.webhooks import RECEIVING, Webhooks

if TYPE_CHECKING:
    from .webhooks.outbox import Outbox

asgi: Any
wsgi: Any


class Found(NamedTuple):
    """An app that the settings name.

    Attributes:
        key: the setting that names it.
        prefix: below which it is served; None if it is the only one.
        name: its name, taken apart.
        app: the app.
    """

    key: str
    prefix: str | None
    name: Name
    app: Callable[..., Any]


_found: list[tuple[Settings, list[Found]]] = []
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


def find_apps(settings: Settings, told_of: Errors = MISREAD) -> list[Found]:
    """The apps that the settings name, imported, or made if they name a call.

    Args:
        settings: with names like ``"module:attribute"`` or ``"module:function('literal', name=1)"``.
        told_of: the exceptions of the service's own code that become a ConfigurationError. Others pass through.

    Raises:
        ConfigurationError: no app is named, or there is no such module or attribute, or it cannot be called.
    """
    if settings.apps:
        return [
            _find_app(settings, f"apps[{at}].app", each.prefix, each.app, told_of)
            for at, each in enumerate(settings.apps)
        ]
    if settings.app is None:
        raise settings.error("app", "is missing; name the app to serve, like 'service.main:app'")
    return [_find_app(settings, "app", None, settings.app, told_of)]


def doors_of(settings: Settings, found: list[Found]) -> list[str]:
    """The doors that can serve all of these apps.

    Raises:
        ConfigurationError: each is an app for some door, and none is for all of them.
    """
    doors = {each.key: [door for door in ARGUMENTS if fits(each.app, door)] for each in found}
    common = [door for door in ARGUMENTS if all(door in fitting for fitting in doors.values())]
    if not common and all(doors.values()):
        one, other = (next(each for each in found if doors[each.key] == [door]) for door in ARGUMENTS)
        reason = (
            f"{one.key} ('{one.name}') is an ASGI app and {other.key} ('{other.name}') a WSGI app, and a server serves "
            "only one of the two: give each kind a configuration and a server of its own"
        )
        raise settings.error("apps", reason)
    return common


def _find_app(settings: Settings, key: str, prefix: str | None, text: str, told_of: Errors) -> Found:
    name, found = find(text, partial(settings.error, key), told_of)
    if not callable(found):
        what = "is" if name.call is None else "gives"
        raise settings.error(key, f"'{name}' {what} no app: {type(found).__name__} cannot be called")
    return Found(key, prefix, name, found)


def _build(door: str) -> Any:
    if not _found:
        _found.append(_find())
    settings, found = _found[0]
    if door not in doors_of(settings, found):
        for each in found:
            with _naming_the_file(settings, each.key.removesuffix("app")):
                check_app(each.app, door, f"{__name__}:")
    gate = _opened(settings)
    app = _mounted(settings, found, door, gate)
    middleware = importlib.import_module(f".{door}", __package__)
    if settings.webhooks is not None and settings.webhooks.receive:
        with _naming_the_file(settings, "webhooks."):
            app = middleware.WebhookMiddleware(app, **receiving(settings.webhooks), gate=gate)
    outbox = _outbox(settings)
    with _naming_the_file(settings):
        built = middleware.GateMiddleware(app, gate=gate, outbox=outbox)
    on_hangup(Rereader(settings, gate))
    return built


def _mounted(settings: Settings, found: list[Found], door: str, gate: Gate) -> Any:
    """The only app, or one that hands requests to several."""
    if found[0].prefix is None:
        return found[0].app
    mounts = importlib.import_module(f".doors.{door}.mounts", __package__)
    with _naming_the_file(settings):
        return mounts.Mounts([(each.prefix, each.key, each.app) for each in found], gate)


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


def _find() -> tuple[Settings, list[Found]]:
    """The settings and the apps; both doors have the same, so that a factory is called once in a process."""
    settings = load()
    with _under_way(settings):
        return settings, find_apps(settings)


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
