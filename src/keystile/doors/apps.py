"""Can this be an app for that door? A door asks when it is built, so that the wrong kind fails at start and not at
every request.

The rule: only what cannot be an app for the door is turned away. Python shows what a callable takes and whether calling
it gives a coroutine. What Python cannot show (`*args`, code that is not written in Python) may be anything.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .._sync import is_async
from ..exceptions import ConfigurationError

ARGUMENTS = {"asgi": ("scope", "receive", "send"), "wsgi": ("environ", "start_response")}
# Where a class is the app, calling it makes an instance, which is the answer and must have this method.
_ANSWERS = {"asgi": "__await__", "wsgi": "__iter__"}


def check_app(app: Any, door: str, doors: str = "keystile.") -> None:
    """ConfigurationError unless this may be an app for that door, ``"asgi"`` or ``"wsgi"``; `doors` is what stands
    before the name of the other door where the error recommends it."""
    kind, other = door.upper(), next(each for each in ARGUMENTS if each != door)
    if not callable(app):
        raise ConfigurationError(f"expected an app for {kind}, got {type(app).__name__}", key="app")
    if fits(app, door):
        return
    if fits(app, other):
        article = "an" if other == "asgi" else "a"
        raise ConfigurationError(f"it is {article} {other.upper()} app: use {doors}{other}", key="app")
    called = f"it cannot be called as app({', '.join(ARGUMENTS[door])})"
    raise ConfigurationError(f"it is not an app for {kind}: {called}; {advice(app)}", key="app")


def fits(app: Callable[..., Any], door: str) -> bool:
    """Whether this may be an app for that door, ``"asgi"`` or ``"wsgi"``; False only when it cannot be one."""
    if isinstance(app, type):
        return _makes_answers(app, door) and _takes(app, door)
    if door == "wsgi" and (is_async(app) or is_async(type(app).__call__)):
        return False
    return _takes(app, door)


def advice(app: Callable[..., Any]) -> str:
    """A hint about something that is not an app for any door."""
    if isinstance(app, type):
        return f"is it a factory? {app.__name__} is a class: name an app that it makes"
    return "is it a factory? then call it"


def kinds_of(app: Any) -> set[str]:
    """The full names of an app's classes, by which a framework is known without importing it."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(app).__mro__}


def _takes(app: Callable[..., Any], door: str) -> bool:
    try:
        # The signature of the callable itself: what a decorator wraps may take other arguments.
        signature = inspect.signature(app, follow_wrapped=False)
    except Exception:  # noqa: BLE001 - the signature cannot be read, so nothing is certain
        return True
    try:
        signature.bind(*ARGUMENTS[door])
    except TypeError:
        return False
    return True


def _makes_answers(kind: type, door: str) -> bool:
    makes_others = type(kind).__call__ is not type.__call__ or any(
        "__new__" in vars(base) for base in kind.__mro__[:-1]
    )
    return makes_others or hasattr(kind, _ANSWERS[door])


def check_alone(outbox: Any) -> None:
    """ConfigurationError if there is an outbox, which nothing would show: the management API is not turned on."""
    if outbox is not None:
        reason = "is shown by the management API alone, and the gate's setting management is None"
        raise ConfigurationError(reason, key="outbox")
