"""The way in for people without a login of the host's: `keystile dashboard`, on this computer alone.

The terminal shows a link that works once. Its token stands behind the ``#``, which browsers send to nobody, so it is in
no log. Whoever opens it gets a session, kept here as a digest: 12 hours long, and half an hour without use.

Requests under another name than those of this computer are refused, because a page of anybody's may have its own name
lead here (DNS rebinding).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..._sync import Lock, Offload
from ...gate import Gate
from ..authority import Authority
from ..crosssite import SAFE_METHODS, may_change
from ..requests import ManagementAnswer, ManagementRequest
from . import texts
from .entering import MOST_LOCATION, Entered, Redirect
from .pages.fields import Form
from .rules.forms import BadForm, read_form
from .rules.headers import SIGNED_OUT
from .rules.links import to
from .site import SIGN_OUT, Site
from .visits import Visit

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

LOGIN = "/login"
TOKEN_LASTS, SESSION_LASTS, SESSION_RESTS = 300.0, 43_200.0, 1800.0
MOST_SESSIONS = 16
# RFC 6265bis: browsers take a name that begins so from this very host alone, for all of it.
COOKIE = "__Host-keystile"
_ATTRIBUTES = "; Path=/; Secure; HttpOnly; SameSite=Strict"


class Sessions:
    """One-time tokens and the sessions that they open. Only digests are kept.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, Lock()
        self._token: tuple[bytes, float] | None = None
        self._open: dict[bytes, tuple[float, float]] = {}

    def token(self) -> str | None:
        """A new token for signing in; None while one is waiting to be used."""
        made, now = secrets.token_urlsafe(32), self._clock()
        with self._lock:
            if self._token is not None and now < self._token[1]:
                return None
            self._token = _digest(made), now + TOKEN_LASTS
        return made

    def enter(self, token: str) -> str | None:
        """A session for a token, which is used up; None if it is not valid."""
        now, made = self._clock(), secrets.token_urlsafe(32)
        with self._lock:
            waiting = self._token
            if waiting is None or now >= waiting[1] or not hmac.compare_digest(_digest(token), waiting[0]):
                return None
            self._token = None
            while len(self._open) >= MOST_SESSIONS:
                del self._open[next(iter(self._open))]
            self._open[_digest(made)] = now, now
        return made

    def knows(self, session: str) -> bool:
        """Whether somebody is signed in with this; it counts as a use."""
        now, digest = self._clock(), _digest(session)
        with self._lock:
            began, used = self._open.pop(digest, (now, None))
            if used is None or now >= began + SESSION_LASTS or now >= used + SESSION_RESTS:
                return False
            self._open[digest] = began, now
        return True

    def leave(self, session: str) -> None:
        """End a session."""
        with self._lock:
            self._open.pop(_digest(session), None)


class Local:
    """The dashboard of `keystile dashboard`.

    Args:
        gate: whose keys these are.
        who: what its user may do.
        hosts: the names, with ports, under which it answers.
        clock: seconds that never go back.
        announce: shows a path, with the token, to whoever sees the terminal.
        counts: whether the gate's limiter knows where keys stand.
        outbox: where webhook endpoints are kept, or None.
    """

    def __init__(
        self,
        gate: Gate,
        who: Authority,
        hosts: frozenset[str],
        clock: Callable[[], float],
        announce: Callable[[str], None],
        *,
        counts: bool,
        outbox: Outbox | None = None,
    ) -> None:
        self._who, self._hosts, self._announce = who, hosts, announce
        self._sessions = Sessions(clock)
        self.site = Site(gate, self._enter, sign_out=LOGIN, counts=counts, outbox=outbox)
        self.offer()

    def offer(self) -> None:
        """Show a link, unless one that was shown is still good."""
        token = self._sessions.token()
        if token is not None:
            self._announce(f"{LOGIN}#{token}")

    async def handle(self, request: ManagementRequest, offload: Offload) -> ManagementAnswer:
        """The answer to a request."""
        visit = Visit(self.site.desk, request)
        if request.host.lower() not in self._hosts:
            return visit.message(421, texts.NOT_FOUND, texts.WRONG_HOST)
        own = request.path in (LOGIN, SIGN_OUT) and request.method == "POST"
        if own and not may_change(request.headers, f"http://{request.host.lower()}"):
            return visit.message(403, texts.NOT_YOURS, texts.CROSS_SITE)
        if request.path == LOGIN:
            return self._login(visit)
        if own:
            return self._leave(visit)
        if self._came_from_elsewhere(request):
            return visit.page("again.html", onward="")
        return await self.site.handle(request, offload)

    async def _enter(self, request: ManagementRequest, _offload: Offload) -> Entered:
        session = _session(request)
        if session is not None and self._sessions.knows(session):
            return self._who
        link = to(request.path, LOGIN)
        return Redirect(link if len(link) <= MOST_LOCATION else LOGIN)

    @staticmethod
    def _came_from_elsewhere(request: ManagementRequest) -> bool:
        """Whether it is a link of another site: browsers follow it without our cookie. Asked for again from a page of
        our own, it comes with the cookie."""
        elsewhere = request.header("sec-fetch-site") in {"cross-site", "same-site"}
        opened = request.header("sec-fetch-dest") == "document" and request.method in SAFE_METHODS
        return elsewhere and opened and _session(request) is None

    def _login(self, visit: Visit) -> ManagementAnswer:
        request = visit.request
        if request.method in SAFE_METHODS:
            self.offer()
            return _login_page(visit, Form({"token": ""}))
        if request.method != "POST":
            return visit.message(405, texts.WRONG_METHOD, texts.WRONG_METHOD_LEAD, ("allow", "GET, HEAD, POST"))
        try:
            sent = read_form(request.header("content-type"), request.body)
        except BadForm as error:
            return visit.message(error.status, texts.PROBLEM, error.reason)
        session = self._sessions.enter(sent.get("token", "").strip())
        if session is None:
            self.offer()
            return _login_page(visit, Form({"token": ""}, problem=texts.LOGIN_WRONG), 403)
        answer = visit.leave("/")
        cookie = ("set-cookie", f"{COOKIE}={session}{_ATTRIBUTES}")
        return ManagementAnswer(answer.status, (*answer.headers, cookie), answer.body)

    def _leave(self, visit: Visit) -> ManagementAnswer:
        session = _session(visit.request)
        if session is not None:
            self._sessions.leave(session)
        cookie = ("set-cookie", f"{COOKIE}=; Max-Age=0{_ATTRIBUTES}")
        return visit.message(200, texts.SIGNED_OUT_TITLE, texts.SIGNED_OUT_LEAD, SIGNED_OUT, cookie)


def _login_page(visit: Visit, form: Form, status: int = 200) -> ManagementAnswer:
    return visit.page("login.html", status, form=form)


def _session(request: ManagementRequest) -> str | None:
    """The session's cookie. Those of other services on this computer come with it, whatever stands in them."""
    pairs = (pair.partition("=") for pair in (request.header("cookie") or "").split(";"))
    return next((value.strip() for name, _, value in pairs if name.strip() == COOKIE), None)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
