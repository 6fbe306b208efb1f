"""The dashboard: what feeds the readers of its forms, paths and header fields."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from keystile import Gate, wsgi
from keystile.exceptions import ConfigurationError
from keystile.manage import ALL, Authority
from keystile.manage.crosssite import may_change, may_show, origin_of
from keystile.manage.dashboard.local import Sessions
from keystile.manage.dashboard.pages.fields import emptied, members
from keystile.manage.dashboard.routes import ALL_PAGES, find
from keystile.manage.dashboard.rules.forms import BadField, BadForm, one_of_each, read_form, seconds
from keystile.manage.dashboard.rules.links import id_in, segment, to
from tests.dashboards import Dash

FORM = "application/x-www-form-urlencoded"
SESSIONS = Sessions(lambda: 0.0)
SESSIONS.token()
_ROOT = Authority(id="root", name="root", organization_ids=ALL, may=frozenset({"keys:manage", "audit:read"}))


def form(sent: bytes) -> None:
    """A body of any type, and a body that is a form."""
    for kind in (sent[:4096].decode("latin-1"), FORM):
        with suppress(BadForm):
            read_form(kind, sent)


def field(name: str) -> Callable[[str], object]:
    """What stands in a field of the form for a key."""

    def read(sent: str) -> None:
        members(emptied([name], {name: sent}))

    return read


def hours(sent: str) -> None:
    with suppress(BadField):
        seconds("hours", sent)


def from_elsewhere(sent: str) -> None:
    """Each field that browsers say themselves with."""
    for name in ("sec-fetch-site", "origin", "sec-fetch-dest"):
        fields = [("sec-fetch-site", "cross-site"), (name, sent)]
        may_change(fields, "https://keys.example.com")
        may_show(fields, framed=True)


def path(sent: str) -> None:
    find("/keys/" + sent)
    find("/webhooks/x/deliveries/" + sent, ALL_PAGES)
    id_in("~" + sent)
    to(sent, "/keys/" + segment(sent[:200]), {"search": sent})


def query(sent: str) -> None:
    with suppress(BadForm):
        one_of_each([("search", sent), ("state", sent)])


def token(sent: str) -> None:
    SESSIONS.enter(sent)
    SESSIONS.knows(sent)


def origin(sent: str) -> None:
    origin_of("http://" + sent)


def through_wsgi(sent: bytes) -> Callable[[], object]:
    """A form that makes a key, and a list that is looked through, as they come from the server."""
    dash = Dash.__new__(Dash)
    dash.gate, dash.kind, dash.mount = GATE, "wsgi", ""
    dash.wsgi = APP
    head = b"form_id=" + b"0" * 32 + b"&scopes="

    def run() -> None:
        with suppress(ConfigurationError):
            dash.post("/keys", head + sent)

    return run


GATE = Gate(peppers=[b"p" * 32])
APP: Any = wsgi.dashboard_app(GATE, authorize=lambda _request: _ROOT)
_VISITS = "takes a visit: its form and its query were read within bounds"
_HOST = "takes what the host gives when it builds the app"
_MODULES = (
    *(
        "pages.audit",
        "pages.changing",
        "pages.ending",
        "pages.keys",
        "pages.lists",
        "pages.making",
        "pages.one",
        "pages.projects",
    ),
    *("pages.rotating", "pages.shown", "rendering", "rules.chart", "rules.errors", "rules.headers", "visits"),
)
NO_STRANGERS = {
    **{f"manage.dashboard.{name}": _VISITS for name in _MODULES},
    **{f"manage.dashboard.pages.webhooks.{name}": _VISITS for name in ("changing", "deliveries", "listing", "one")},
    "manage.dashboard.apps": _HOST,
    "manage.dashboard.entering": _HOST,
}
NOT_FED = {
    "manage.dashboard.pages.webhooks.fields.endpoint_path": "an id of the path; see segment",
    "manage.dashboard.pages.webhooks.fields.endpoint_row": _VISITS,
    "asgi.dashboard_app": _HOST,
    "manage.dashboard.local.Sessions.leave": "one look-up of a digest; see knows",
    "manage.dashboard.pages.fields.wrong": "takes what an operation refuses",
    "manage.dashboard.statics.Statics.answer": "one fullmatch of a regular expression without alternatives; see find",
    "manage.dashboard.once.Sent.once": "one look-up of a form's id, which is short",
    "manage.dashboard.statics.Statics.path": "names of our own files",
}
