"""Which routes an app has: those of FastAPI, Starlette, Flask and Django, read without importing any of them.

What cannot be looked into is said to be unknown: nobody is to be warned of a rule for a path that is there after all.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, NamedTuple

from ...doors.apps import kinds_of

MOST_ROUTES, MOST_UNKNOWN, DEEPEST = 10_000, 100, 20

_DJANGO = "django.core.handlers."
# Middleware that is known to change no path. Another kind of wrapper may serve paths of its own.
_PLAIN_WRAPPERS = ("starlette.middleware.", "werkzeug.middleware.proxy_fix", "keystile.")
_SEVERAL = re.compile(r"<(?:re_)?path:(\w+)>")
_ONE = re.compile(r"<(?:[^<>:]+:)?(\w+)>")
# A converter's arguments may hold anything: "<any(a, b):x>".
_IN_FLASK = re.compile(r"<(?:[^<>:(]+(?:\([^<>]*\))?:)?(\w+)>")


class Route(NamedTuple):
    """A route of an app.

    Attributes:
        template: its path, with ``{name}`` for a segment and ``{name:path}`` for any number of them.
        methods: those that it answers; empty for any.
    """

    template: str
    methods: frozenset[str]


@dataclass
class Routes:
    """The routes of an app.

    Attributes:
        known: those that were found.
        unknown: the paths below which there may be others; ``""`` for anywhere.
    """

    known: list[Route] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    _seen: int = 0

    def add(self, template: str, methods: Any) -> None:
        """Note a route."""
        self.known.append(Route(template or "/", frozenset(methods or ())))

    def goes_on(self) -> bool:
        """Whether one more thing may be looked at; beyond the bound, that there are more is noted. Apps that hold each
        other, or themselves, have no end."""
        self._seen += 1
        within = self._seen <= MOST_ROUTES and len(self.unknown) <= MOST_UNKNOWN
        if not within and "" not in self.unknown:
            self.unknown.append("")
        return within


def routes_of(app: Any, prefix: str = "") -> Routes:
    """The routes of an app that is served below a prefix. Does not raise."""
    found = Routes()
    try:
        _look(app, prefix, found, 0)
    except Exception:  # noqa: BLE001 - it is a framework's inner part, and may be anything
        found.unknown.append(prefix)
    return found


def app_within(app: Any) -> Any:
    """The app inside of plain middleware."""
    for _ in range(100):
        inner = getattr(app, "app", None)
        if inner is None or not type(app).__module__.startswith(_PLAIN_WRAPPERS):
            break
        app = inner
    return getattr(app, "__self__", app)  # Flask's `wsgi_app` is a method


def _look(app: Any, prefix: str, found: Routes, depth: int) -> None:
    app = app_within(app)
    kinds = kinds_of(app)
    look = next((_LOOKS[name] for name in _LOOKS if name in kinds), None)
    if depth > DEEPEST or (look is None and not any(kind.startswith(_DJANGO) for kind in kinds)):
        found.unknown.append(prefix)
    elif look is None:
        _in_django(import_module("django.urls").get_resolver().url_patterns, f"{prefix}/", found, depth)
    else:
        look(app, prefix, found, depth)


def _in_starlette(app: Any, prefix: str, found: Routes, depth: int) -> None:
    _in_list(app.routes, prefix, found, depth)
    fallback = getattr(getattr(app, "router", app), "default", None)
    if getattr(fallback, "__name__", "") != "not_found":
        found.unknown.append(prefix)


def _in_list(routes: Any, prefix: str, found: Routes, depth: int) -> None:
    for each in routes:
        if not found.goes_on():
            return
        kinds = {kind.__name__ for kind in type(each).__mro__}
        if depth > DEEPEST:
            found.unknown.append(prefix)
        elif "WebSocketRoute" in kinds:
            found.add(prefix + each.path, {"GET"})
        elif "Route" in kinds:
            found.add(prefix + each.path, each.methods)
        elif "Mount" in kinds and "{" not in each.path:
            _look(each.app, prefix + each.path, found, depth + 1)
        elif "_IncludedRouter" in kinds:
            _in_list(each.original_router.routes, prefix + each.include_context.prefix, found, depth + 1)
        else:  # a Host, or a kind that is not known here
            found.unknown.append(prefix)


def _in_flask(app: Any, prefix: str, found: Routes, _depth: int) -> None:
    for each in app.url_map.iter_rules():
        if not found.goes_on():
            return
        converters = getattr(each, "_converters", {})

        def written(part: re.Match[str], converters: Any = converters) -> str:
            # A parameter may hold slashes, for all that is known of a converter that does not say.
            one = getattr(converters.get(part[1]), "part_isolating", False)
            return f"{{{part[1]}}}" if one else f"{{{part[1]}:path}}"

        found.add(prefix + _IN_FLASK.sub(written, each.rule), each.methods)


def _in_django(patterns: Any, prefix: str, found: Routes, depth: int) -> None:
    for each in patterns:
        if not found.goes_on():
            return
        text = getattr(each.pattern, "_route", None)
        if not isinstance(text, str) or depth > DEEPEST or _ONE.sub("", text).count("<"):
            found.unknown.append(prefix.rstrip("/"))  # a regular expression, or a prefix for a language
            continue
        template = prefix + _ONE.sub(r"{\1}", _SEVERAL.sub(r"{\1:path}", text))
        inner = getattr(each, "url_patterns", None)
        if inner is None:
            found.add(template, ())
        else:
            _in_django(inner, template, found, depth + 1)


_LOOKS: dict[str, Callable[[Any, str, Routes, int], None]] = {
    "starlette.applications.Starlette": _in_starlette,
    "starlette.routing.Router": _in_starlette,
    "flask.app.Flask": _in_flask,
}
