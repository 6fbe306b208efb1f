"""What a WSGI host says about itself, read from the app behind the door without importing any framework."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

# The attributes in which middleware keeps the app that it wraps.
_INNER = ("app", "wsgi_app", "application")


def wants_exceptions(app: Any) -> bool:
    """Whether the host wants its exceptions to propagate: to a test, a debugger, or its server.

    The settings are Flask's ``PROPAGATE_EXCEPTIONS``, or ``TESTING`` and ``DEBUG`` where that is None, as in Flask's
    ``handle_exception``; and Django's ``DEBUG_PROPAGATE_EXCEPTIONS``. Middleware in between is passed through by its
    usual attributes.
    """
    for _ in range(100):
        app = getattr(app, "__self__", app)  # Flask's `wsgi_app` is a method
        config = getattr(app, "config", None)
        if isinstance(config, Mapping) and "PROPAGATE_EXCEPTIONS" in config:
            asked = config["PROPAGATE_EXCEPTIONS"]
            return bool(app.testing or app.debug) if asked is None else bool(asked)
        if any(kind.__module__.startswith("django.") for kind in type(app).__mro__):
            return bool(import_module("django.conf").settings.DEBUG_PROPAGATE_EXCEPTIONS)
        app = next((inner for name in _INNER if (inner := getattr(app, name, None)) is not None), None)
        if app is None:
            break
    return False
