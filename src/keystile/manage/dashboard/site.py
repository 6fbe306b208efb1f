"""A request to the dashboard, from its first look to its answer. The order of checks is in `Site.handle`."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from ..._ground.checks import check_flag, check_strings
from ..._sync import Offload
from ...exceptions import (
    ConfigurationError,
    EndpointConflict,
    KeyLimitReached,
    KeyNotActive,
    NotAllowed,
    NotFound,
    Overloaded,
    RecordChanged,
    StoreUnavailable,
)
from ...gate import Gate
from ...model import Reason
from ...policy.origins import check_origins
from ..answers import Answers
from ..authority import Authority
from ..crosssite import SAFE_METHODS, may_change, may_show, origin_of
from ..live.serving import LiveEvents
from ..operations import Call
from ..requests import ManagementAnswer, ManagementRequest
from . import texts
from .entering import Enter, Redirect
from .rendering import templates
from .routes import ALL_PAGES, PAGES, Found, find
from .rules.errors import told
from .rules.forms import BadForm, read_form
from .rules.headers import NO_STORE, SIGNED_OUT
from .rules.links import is_of_webhooks
from .visits import Desk, Live, Visit, desk

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

SIGN_OUT = "/logout"
_LATER = ("retry-after", "5")


class Site:
    """All pages of one gate.

    Args:
        gate: whose keys these are.
        enter: says who may enter.
        public_url: our own URL, where the request does not say it; by default that of the gate.
        embed_in: origins of pages that may show these in a frame.
        sign_out: where signing out leads, a path or a URL of the host's; None shows no button for it.
        counts: whether the gate's limiter knows where keys stand.
        live: whether there is a page of what happens in this process.
        outbox: where webhook endpoints are kept; None for no pages about them.

    Raises:
        ConfigurationError: an argument is wrong, or Jinja is missing.
    """

    def __init__(
        self,
        gate: Gate,
        enter: Enter,
        *,
        public_url: str | None = None,
        embed_in: Iterable[str] = (),
        sign_out: str | None = None,
        counts: bool = True,
        live: bool = False,
        outbox: Outbox | None = None,
    ) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        self._gate, self._enter = gate, enter
        self._origin = _own(public_url or gate.policy.public_url)
        frames = _framing(embed_in)
        self._framed = bool(frames)
        self._sign_out = None if sign_out is None else Redirect(sign_out)
        templates()
        shown = Live(LiveEvents(gate, Answers(gate)), enter) if check_flag(live, "live") else None
        signs_out = sign_out is not None
        self.desk: Desk = desk(gate, frames, signs_out=signs_out, counts=counts, live=shown, outbox=outbox)
        """What all pages share."""

    async def handle(self, request: ManagementRequest, offload: Offload) -> ManagementAnswer:
        """The answer to a request. In this order: files, the mount, other sites, the gate, who it is, the page,
        the form."""
        safe = request.method in SAFE_METHODS
        file = self.desk.statics.answer(request.path) if safe else None
        if file is not None:
            return file
        if request.bare_mount and request.mount:
            return self._with_slash(request)
        visit = Visit(self.desk, request)
        if not (may_show(request.headers, framed=self._framed) if safe else self._from_us(request)):
            return visit.message(403, texts.NOT_YOURS, texts.NOT_SHOWN if safe else texts.CROSS_SITE)
        if request.admitted is not None and request.admitted.demand.public is False:
            return visit.message(403, texts.GUARDED, texts.GUARDED_LEAD.format(path=f"{request.mount}/*"))
        try:
            entered = await self._enter(request, offload)
        except (StoreUnavailable, Overloaded):
            return visit.message(503, texts.DOWN, texts.DOWN_LEAD, _LATER)
        if isinstance(entered, Redirect):
            return self._leave(entered) if safe else visit.lead_on(403, entered)
        if entered is None:
            return visit.message(403, texts.NOT_ALLOWED, texts.NOT_ALLOWED_LEAD)
        call = Call(entered, offload, request.client, request.request_id, "dashboard")
        return await self._entered(Visit(self.desk, request, call), entered)

    def refuse(self, request: ManagementRequest, reason: Reason) -> ManagementAnswer:
        """What a door answers itself, as a page."""
        title = HTTPStatus(reason.status).phrase
        return Visit(self.desk, request).message(reason.status, title, reason.message)

    def _from_us(self, request: ManagementRequest) -> bool:
        return may_change(request.headers, self._origin or origin_of(f"{request.scheme}://{request.host}"))

    async def _entered(self, visit: Visit, who: Authority) -> ManagementAnswer:
        request = visit.request
        if request.path == SIGN_OUT and request.method == "POST" and self._sign_out is not None:
            return Visit(self.desk, request).lead_on(200, self._sign_out, SIGNED_OUT)
        hooks = self.desk.hooks
        found = find(request.path, ALL_PAGES if hooks else PAGES)
        try:
            who.require("webhooks:read" if hooks and is_of_webhooks(request.path) else "keys:read")
            return _not_found(visit) if found is None else await _page(visit, found)
        except NotAllowed as error:
            return visit.message(403, texts.NOT_ALLOWED, _reason(error))
        except NotFound:
            return _not_found(visit)
        except BadForm as error:
            return visit.message(error.status, texts.PROBLEM, error.reason)
        except (RecordChanged, KeyNotActive, KeyLimitReached, EndpointConflict) as error:
            return visit.message(409, texts.PROBLEM, told(error))
        except ConfigurationError as error:
            return visit.message(422, texts.PROBLEM, error.reason)
        except (StoreUnavailable, Overloaded):
            return visit.message(503, texts.DOWN, texts.DOWN_LEAD, _LATER)

    def _leave(self, to: Redirect) -> ManagementAnswer:
        return ManagementAnswer(303, (("location", to.location), *self.desk.fields), b"")

    def _with_slash(self, request: ManagementRequest) -> ManagementAnswer:
        """Links of the first page are relative to the mount, which therefore ends with a slash."""
        last = quote(request.mount.rpartition("/")[2], safe="~")
        return ManagementAnswer(308, (("location", f"./{last}/"), NO_STORE), b"")


async def _page(visit: Visit, found: Found) -> ManagementAnswer:
    request = visit.request
    method = "GET" if request.method == "HEAD" else request.method
    page = found.pages.get(method)
    if page is None:
        allowed = sorted({*found.pages, *(["HEAD"] if "GET" in found.pages else ())})
        allow = ("allow", ", ".join(allowed))
        return visit.message(405, texts.WRONG_METHOD, texts.WRONG_METHOD_LEAD, allow)
    form = {} if method == "GET" else read_form(request.header("content-type"), request.body)
    return await page(Visit(visit.desk, request, visit.call, found.id, form, found.inner))


def _reason(error: NotAllowed) -> str:
    return f"{error.reason[:1].upper()}{error.reason[1:]}."


def _not_found(visit: Visit) -> ManagementAnswer:
    return visit.message(404, texts.NOT_FOUND, texts.NOT_FOUND_LEAD)


def _own(url: str | None) -> str:
    if url is None:
        return ""
    found = origin_of(url) if isinstance(url, str) else ""
    if not found:
        raise ConfigurationError("expected a URL like 'https://keys.example.com'", key="public_url")
    try:
        check_origins((found,), "public_url")
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key="public_url") from None
    return found


def _framing(origins: Iterable[str]) -> tuple[str, ...]:
    found = check_origins(check_strings(origins, "embed_in"), "embed_in")
    if "*" in found:
        raise ConfigurationError("'*' would let any site show these pages, and lead clicks astray", key="embed_in")
    return found
