"""What `keystile check` warns about: what works, but hardly as somebody meant it. Each warning says what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from ...config.file import Settings
from ...doors.apps import kinds_of
from ...exceptions import ConfigurationError, StoreUnavailable
from ...gate import Gate
from ...policy import METHODS
from ...policy.rules import public_rules
from ...rules.requests.templates import rules_for_template
from ...stores import open_store
from ..opening import called, in_memory
from .routes import Routes, app_within, routes_of

if TYPE_CHECKING:
    from ...wrap import Found

_IN_MEMORY = (
    "keys in memory end with their process, so no command can make one for a server: name a store like "
    "'sqlite:///keystile.db'"
)
_DOCS = ("docs_url", "redoc_url", "openapi_url", "swagger_ui_oauth2_redirect_url")
_REWRITING = {
    "FORWARDED_ALLOW_IPS": "",
    "UVICORN_FORWARDED_ALLOW_IPS": "",
    "UVICORN_PROXY_HEADERS": "true",
    "GUNICORN_CMD_ARGS": "--forwarded-allow-ips",
}


def warnings_of(
    gate: Gate, settings: Settings | None, apps: Sequence[Found], environ: Mapping[str, str]
) -> Iterator[str]:
    """Each warning, with the setting that it is about in front."""
    yield from _of_parts(gate)
    yield from _of_server(environ)
    if settings is not None:
        yield from _of_webhooks(gate, settings)
    yield from _of_docs(gate, apps)
    yield from _of_rules(gate, apps)


def _of_parts(gate: Gate) -> Iterator[str]:
    """What the store and the limiter say of their servers."""
    if in_memory(gate, "store"):
        yield f"store: {_IN_MEMORY}"
    store = gate.parts.store
    if isinstance(store, str):
        with closing(open_store(store)) as opened:
            yield from (f"store: {each}" for each in getattr(opened, "advice", list)())
    limiter = gate.limits.limiter
    try:
        told = called(getattr(limiter, "advice", list))
    except StoreUnavailable as error:
        told = [f"what its server does when it is full is unknown: {error.reason}"]
    yield from (f"limiter: {each}" for each in told)


def _of_server(environ: Mapping[str, str]) -> Iterator[str]:
    """What of the environment has a server replace the client's address. Its own options are not to be seen here."""
    for name, part in _REWRITING.items():
        value = environ.get(name, "").strip()
        if value and part in value.lower():
            yield (
                f"server: {name} is set, so the server may replace the client's address by what a header says, which "
                "anybody may have sent: unset it (uvicorn: --no-proxy-headers) and name your proxies in "
                "trusted_proxies; docs/reference/servers.md says what each server does"
            )


def _of_webhooks(gate: Gate, settings: Settings) -> Iterator[str]:
    """Senders of signed messages have no key."""
    for at, each in enumerate(settings.webhooks.receive if settings.webhooks is not None else ()):
        path = each.match.rpartition(" ")[2]
        if gate.rules.demand("POST", path).public is False:
            yield f"webhooks.receive[{at}].match: {path!r} needs a key, and senders have none: add it to public"


def _of_docs(gate: Gate, apps: Sequence[Found]) -> Iterator[str]:
    """A browser that opens a page sends no key."""
    for found in apps:
        app = app_within(found.app)
        if "fastapi.applications.FastAPI" not in kinds_of(app):
            continue
        prefix = (found.prefix or "").rstrip("/")
        pages = [prefix + page for name in _DOCS if (page := getattr(app, name, None)) and app.openapi_url]
        closed = [page for page in pages if gate.rules.demand("GET", page).public is False]
        if closed:
            yield (
                f"{found.key}: Swagger UI asks for a key at {', '.join(closed)}, and a browser sends none: add them to "
                "public, or turn the pages off (FastAPI(openapi_url=None))"
            )


def _of_rules(gate: Gate, apps: Sequence[Found]) -> Iterator[str]:
    """Rules that hold for no route: a mistake in writing leaves what it was to guard to any key, or to none."""
    if not apps:
        return
    own = dict(gate.policy.own_rules()) | dict(public_rules(gate.policy.public))
    left = dict(own)
    for found in apps:
        for method, template in _asked(routes_of(found.app, (found.prefix or "").rstrip("/"))):
            try:
                held = rules_for_template(gate.rules, method, template).rules
            except ConfigurationError:  # it can meet too much to look through
                return
            for each in held:
                left.pop(each.key, None)
    if gate.policy.management is not None:
        for each in rules_for_template(gate.rules, "GET", f"{gate.policy.management.path}/{{rest:path}}").rules:
            left.pop(each.key, None)
    names = ", ".join(str(found.name) for found in apps)
    for key, rule in left.items():
        yield f"{key}: no route of {names} matches {rule.match!r}, so it holds for nothing: correct it, or leave it out"


def _asked(routes: Routes) -> Iterator[tuple[str, str]]:
    """Each method and template to ask the rules about; below an unknown path, everything."""
    for route in routes.known:
        for method in sorted((route.methods or METHODS) & METHODS):
            yield method, route.template
    for prefix in dict.fromkeys(routes.unknown):
        for method in sorted(METHODS):
            yield method, f"{prefix}/{{rest:path}}"
