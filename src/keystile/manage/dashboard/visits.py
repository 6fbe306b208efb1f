"""A request to a page, with all that a page needs to answer it."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from ...answers.cursors import Cursor
from ...exceptions import InvalidRequest
from ...gate import Gate
from ..authority import Authority
from ..live.serving import LiveEvents
from ..operations import Call, Operations
from ..requests import ManagementAnswer, ManagementRequest
from . import texts
from .entering import Enter, Redirect
from .once import Sent
from .rendering import rendered
from .rules.forms import one_of_each
from .rules.headers import Fields, page_fields
from .rules.links import HOOKS, is_of_webhooks, to
from .statics import Statics

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

_HTML = ("content-type", "text/html; charset=utf-8")


class Live(NamedTuple):
    """What the live view needs.

    Attributes:
        events: the streams.
        enter: says who may still look.
    """

    events: LiveEvents
    enter: Enter


@dataclass(frozen=True)
class Desk:
    """What all visits share.

    Attributes:
        gate: whose keys these are.
        operations: what can be done with them.
        statics: the files that pages load.
        fields: what every page is sent with.
        signs_out: whether there is a way to sign out.
        counts: whether the gate's limiter knows where keys stand.
        secrets: sign cursors.
        live: shows what happens; None where that is not asked for.
        hooks: whether there is an outbox, and so pages about webhooks.
        sent: the forms that made something, where their ids do not say so.
    """

    gate: Gate
    operations: Operations
    statics: Statics
    fields: Fields
    signs_out: bool
    counts: bool
    secrets: tuple[bytes, ...] = field(repr=False)
    live: Live | None = None
    hooks: bool = False
    sent: Sent = field(default_factory=Sent, repr=False)


def desk(
    gate: Gate,
    embed_in: tuple[str, ...],
    *,
    signs_out: bool,
    counts: bool,
    live: Live | None = None,
    outbox: Outbox | None = None,
) -> Desk:
    """The desk of a dashboard."""
    # Without a secret of the service's own, a cursor holds in this process alone; elsewhere the first page is shown.
    signing = gate.cursor_secrets or (secrets.token_bytes(32),)
    operations, hooks = Operations(gate, outbox), outbox is not None
    return Desk(gate, operations, Statics(), page_fields(embed_in), signs_out, counts, signing, live, hooks)


@dataclass(frozen=True)
class Visit:
    """One request of somebody who may enter.

    Attributes:
        desk: what all visits share.
        request: the request.
        call: who asks, for operations; None where nobody has signed in.
        id: of the record that the path names, or "".
        form: the fields that were sent.
        inner: the second id in the path, or "".
    """

    desk: Desk
    request: ManagementRequest
    call: Call | None = None
    id: str = ""
    form: Mapping[str, str] = field(default_factory=dict, repr=False)
    inner: str = ""

    @property
    def caller(self) -> Call:
        """Who asks; a page is only given to somebody."""
        if self.call is None:
            raise RuntimeError("nobody has signed in")
        return self.call

    @property
    def who(self) -> Authority:
        """Who that is."""
        return self.caller.authority

    @property
    def now(self) -> datetime:
        """The gate's moment."""
        return datetime.fromtimestamp(self.desk.gate.clock(), UTC)

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters, each once; BadForm if one of them stands there twice."""
        return one_of_each(self.request.query)

    def to(self, path: str, **query: str | None) -> str:
        """A link from this page to another."""
        return to(self.request.path, path, query)

    def page(self, template: str, status: int = 200, *more: tuple[str, str], **values: Any) -> ManagementAnswer:
        """A page, with further header fields."""
        who = None if self.call is None else self.call.authority
        body = rendered(
            template,
            to=self.to,
            static=self.desk.statics.path,
            who=None if who is None else who.name,
            navigation=() if who is None else self._navigation(who),
            signs_out=self.desk.signs_out,
            manages_hooks=who is not None and who.can("webhooks:manage"),
            manages=who is not None and who.can("keys:manage"),
            audits=who is not None and who.can("audit:read"),
            **values,
        )
        return ManagementAnswer(status, (_HTML, *self.desk.fields, *more), body)

    def message(self, status: int, title: str, lead: str, *more: tuple[str, str]) -> ManagementAnswer:
        """A page that says one thing."""
        return self.page("message.html", status, *more, title=title, lead=lead)

    def leave(self, path: str, **query: str | None) -> ManagementAnswer:
        """Lead on to another page, after something was done."""
        return ManagementAnswer(HTTPStatus.SEE_OTHER, (("location", self.to(path, **query)), *self.desk.fields), b"")

    def lead_on(self, status: int, to: Redirect, *more: tuple[str, str]) -> ManagementAnswer:
        """Lead on to a page of the host's, after a form was sent. Browsers forbid a redirect here that ends on another
        origin, as signing in and out often do: to them it is the form that goes there (CSP 3, ``form-action``)."""
        return self.page("again.html", status, *more, onward=to.location.replace("'", "%27"))

    def after(self, route: str, **filters: str | None) -> str | None:
        """After which record a page of a list begins, by the signed cursor in the query; None for the first page, and
        where the cursor is not ours."""
        text = self.query.get("after")
        if not text:
            return None
        try:
            found = Cursor.verify(text, self.desk.secrets, **self._bound(route, filters), parameter="after")
        except InvalidRequest:
            return None
        return str(found.after[0])

    def cursor(self, last: str, route: str, **filters: str | None) -> str:
        """The cursor of the page after the record with this id."""
        return Cursor((last,), **self._bound(route, filters)).sign(self.desk.secrets)

    def pager(self, path: str, route: str, last: str, *, begun: bool, **filters: str | None) -> dict[str, str]:
        """The links below a page of a list: to the first page and to the next one, or "" for none.

        Args:
            path: of the list.
            route: what its cursors are bound to.
            last: the id of the last record here, or "" if no page comes after it.
            begun: whether a page comes before it.
            filters: what the list was asked for.
        """
        return {
            "first": self.to(path, **filters) if begun else "",
            "next": self.to(path, **filters, after=self.cursor(last, route, **filters)) if last else "",
        }

    def _bound(self, route: str, filters: Mapping[str, str | None]) -> dict[str, Any]:
        named = tuple(
            (name.encode(), value.encode("utf-8", "surrogatepass")) for name, value in filters.items() if value
        )
        return {"route": f"dashboard {route}", "filters": named, "owner": self.who.id}

    def _navigation(self, who: Authority) -> list[dict[str, Any]]:
        path = self.request.path
        shown = []
        if who.can("keys:read"):
            shown.append(("/", texts.KEYS, path == "/" or path.startswith("/keys")))
            shown.append(("/projects", texts.PROJECTS, path.startswith("/projects")))
        if self.desk.hooks and who.can("webhooks:read"):
            shown.append((HOOKS, texts.WEBHOOKS, is_of_webhooks(path)))
        if self.desk.live is not None:
            shown.append(("/live", texts.LIVE, path == "/live"))
        if who.can("audit:read"):
            shown.append(("/audit", texts.AUDIT, path.startswith("/audit")))
        return [{"path": path, "label": label, "here": here} for path, label, here in shown]
