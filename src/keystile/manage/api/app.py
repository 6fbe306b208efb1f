"""What a request to the API meets: who is it, may it come from there, where does it lead, what does it say, do it.

The order is the promise: nothing is read of a body, and nothing looked up, before it is known who asks and that they
have the right to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict, cast

from ..._ground.checks import check_choice, check_flag
from ..._sync import Offload, Pool, is_async
from ...answers.pages import Page, PageParams
from ...exceptions import ConfigurationError, KeystileError, Overloaded, StoreUnavailable
from ...gate import Gate
from ...keys.changes.fields import MAX_NAME, check_seconds
from ...policy.beside.management import FieldCase
from ...rules.outcomes import MISSING
from ..answers import Answers
from ..authority import Authority, authority_of
from ..crosssite import may_change, origin_of
from ..cursors import cursor_secrets
from ..live.serving import LiveEvents
from ..live.stream import Judge
from ..operations import Call, Operations
from ..operations.calls import MOST_LISTED
from ..requests import ManagementAnswer, ManagementRequest
from .bodies import read_object
from .faults import (
    CHANGED,
    CROSS_SITE,
    NO_METHOD,
    NO_ROUTE,
    NOT_FOUND,
    UNKNOWN_CALLER,
    Refusal,
    invalid_fields,
    reason_of,
    unavailable,
)
from .fields import Body, Reading, read_fields
from .handlers import Asked
from .names import CASES, cased
from .openapi import document
from .preconditions import entity_tag, idempotency_key, wanted_revision
from .queries import parameters_of, read_query
from .routes import EVENTS, ROUTES, Found, Route, find
from .webhooks import WEBHOOK_ROUTES, own_messages

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

MOST_BODY = 65_536
Authorize = Callable[[Any], Authority | Awaitable[Authority | None] | None]
# A host's own function, which may ask its database who is logged in.
_ASKING = Pool(8, 64)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)


class APISettings(TypedDict, total=False):
    """What a host says of its API; `ManagementAPI` tells what each is for, and its default."""

    authorize: Authorize | None
    field_case: FieldCase
    public_openapi: bool
    live: bool
    outbox: Outbox | None


class ManagementAPI:
    """The API of one gate; `handle` answers a request.

    Args:
        gate: whose keys are managed.
        authorize: gets the framework's own request, and says who it is; None for nobody. Without it, whom the gate in
            front let in manages by their key.
        field_case: how names are written.
        public_openapi: whether everybody may read the OpenAPI document.
        live: whether there is a stream of events.
        outbox: where webhook endpoints are kept; None if there is none, and then no routes about them either.

    Raises:
        ConfigurationError: an argument cannot be used, or the gate has no secret to sign cursors with.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        authorize: Authorize | None = None,
        field_case: FieldCase = "snake",
        public_openapi: bool = False,
        live: bool = False,
        outbox: Outbox | None = None,
    ) -> None:
        if not isinstance(gate, Gate):
            raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
        if authorize is not None and not callable(authorize):
            raise ConfigurationError(f"expected a function, got {type(authorize).__name__}", key="authorize")
        self._case = CASES[check_choice(field_case, FieldCase, "field_case")]
        self._public = check_flag(public_openapi, "public_openapi")
        self._hooks = outbox is not None
        further_routes = (*(WEBHOOK_ROUTES if self._hooks else ()), *((EVENTS,) if check_flag(live, "live") else ()))
        self._routes = (*ROUTES, *further_routes)
        self._gate, self._authorize, self.answers = gate, authorize, Answers(gate)
        self._live = LiveEvents(gate, self.answers)
        self._operations, self._secrets = Operations(gate, outbox), cursor_secrets(gate)
        self._style, self._hide = gate.policy.page_style, gate.mask.hide
        quotas, most = gate.quotas, gate.policy.max_grace
        further: Mapping[str, Callable[[Any], object]] = {
            "plan": lambda plan: quotas.check_key(plan, None),
            "limits": lambda limits: quotas.check_key(None, limits),
            "grace": lambda seconds: check_seconds(seconds, most, "grace"),
        }
        self._reading = Reading(self._case, authorize is not None, gate.mask.holds, further)

    @property
    def needs_await(self) -> bool:
        """Whether the host's `authorize` is async, so that only the ASGI door can use this."""
        return self._authorize is not None and is_async(self._authorize)

    async def handle(self, request: ManagementRequest, offload: Offload) -> ManagementAnswer:
        """The answer to a request."""
        try:
            return await self._handled(request, offload)
        except Refusal as refusal:
            return self.answers.error(request, refusal.reason, *refusal.headers)
        except (Overloaded, StoreUnavailable) as error:  # the host's `authorize` may ask us, too
            return self.answers.error(request, unavailable(error))

    async def _handled(self, request: ManagementRequest, offload: Offload) -> ManagementAnswer:
        found = find(request.method, request.path, self._routes)
        described = found.route is not None and found.route.kind == "document"
        if described and self._public:
            return self._document(request)
        call = await self._call(request, offload)
        route = _known(found)
        if described:
            return self._document(request)
        if self._authorize is not None and route.changes and not self._from_here(request):
            raise Refusal(CROSS_SITE)
        try:
            if route.right:
                call.authority.require(cast("Any", route.right))
            if not all(map(_could_be_an_id, found.ids.values())):
                raise Refusal(NOT_FOUND)
            asked = self._asked(request, route, found, call)
            if route.kind == "stream":
                return await self._stream(request, asked)
            await _check_revision(asked, route, find("GET", request.path, self._routes).route)
            record = await cast("Any", route.handle)(asked)
        except KeystileError as error:
            raise self._refusal(error, route) from error
        return self._answer(request, route, asked, record)

    async def _stream(self, request: ManagementRequest, asked: Asked) -> ManagementAnswer:
        """Events, for as long as the caller may see them."""
        whose, who = asked.call.organizations(asked.query.get("organization_id")), asked.call.authority
        judge: Judge = partial(self._goes_on, request, who)
        if self._authorize is None and request.admitted is not None and request.admitted.principal is not None:
            judge = self._live.judge_of(request.admitted.principal)
        return await self._live.serve(request, whose, judge, asked.call.offload)

    async def _goes_on(self, request: ManagementRequest, who: Authority, offload: Offload) -> bool:
        """Whether a host still says what it said when a stream began."""
        return (await self._authority(request, offload)).holds_still(who)

    async def _call(self, request: ManagementRequest, offload: Offload) -> Call:
        authority = await self._authority(request, offload)
        return Call(authority, offload, request.client, request.request_id)

    async def _authority(self, request: ManagementRequest, offload: Offload) -> Authority:
        if self._authorize is None:
            principal = None if request.admitted is None else request.admitted.principal
            if principal is None:
                raise Refusal(MISSING)
            return authority_of(principal)
        if is_async(self._authorize):
            given = await cast("Any", self._authorize)(request.native)
        elif offload.blocks:
            given = self._authorize(request.native)
        else:
            given = await offload.run(_ASKING, self._authorize, request.native)
        if given is None:
            raise Refusal(UNKNOWN_CALLER)
        if not isinstance(given, Authority):
            raise TypeError(f"authorize gives an Authority or None, and not {type(given).__name__}")
        return given

    def _from_here(self, request: ManagementRequest) -> bool:
        own = self._gate.policy.public_url or f"{request.scheme}://{request.host}"
        return may_change(request.headers, origin_of(own))

    def _asked(self, request: ManagementRequest, route: Route, found: Found, call: Call) -> Asked:
        """What is asked, read and checked: the query, then what it depends on, then the body."""
        query = read_query(request, route, self._case, self._style, sessions=self._authorize is not None)
        page = self._page_params(request, call) if route.kind == "page" else None
        revision, repeated = wanted_revision(request, route), idempotency_key(request, route)
        # What is in the past now was not, perhaps, when the same request came first.
        now = _LONG_AGO if repeated is not None else datetime.fromtimestamp(self._gate.clock(), UTC)
        fields = {} if route.body is None else self._fields(request, route.body, now)
        return Asked(self._operations, call, found.ids, fields, query, page, revision, repeated)

    def _fields(self, request: ManagementRequest, body: Body, now: datetime) -> dict[str, Any]:
        given = read_object(request, typed=self._authorize is not None)
        fields, faults = read_fields(body, given, now, self._reading)
        if faults:
            raise Refusal(invalid_fields(faults, self._hide))
        return fields

    def _page_params(self, request: ManagementRequest, call: Call) -> PageParams:
        return PageParams.read(
            request.raw_query,
            secrets=self._secrets,
            route=request.path,
            owner=f"{call.authority.type} {call.authority.id}",
            style=self._style,
            maximum=min(self._style.max_limit, MOST_LISTED),
        )

    def _refusal(self, error: KeystileError, route: Route) -> Exception:
        sessions = self._authorize is not None
        sent = frozenset() if route.body is None else {each.name for each in route.body.all(sessions=sessions)}
        asked = {each.name for each in parameters_of(route, sessions=sessions)}
        reason = reason_of(error, sent=frozenset(sent), asked=frozenset(asked), case=self._case, hide=self._hide)
        return error if reason is None else Refusal(reason)

    def _answer(self, request: ManagementRequest, route: Route, asked: Asked, record: Any) -> ManagementAnswer:
        if route.answer is None:
            return self.answers.empty(request)
        if route.kind == "page":
            return self._page(request, route, asked, record)
        if route.kind == "list":
            return self.answers.listed(request, [cased(route.answer.write(each), self._case) for each in record])
        tags = (("etag", entity_tag(record)),) if route.tagged else ()
        written = cased(route.answer.write(record), self._case)
        return self.answers.data(request, written, *tags, status=route.status)

    def _page(self, request: ManagementRequest, route: Route, asked: Asked, found: Any) -> ManagementAnswer:
        params, shape = cast("PageParams", asked.page), cast("Any", route.answer)
        written = [cased(shape.write(each), self._case) for each in found.items]
        cursor = params.cursor(written[-1]["id"]) if found.has_more else None
        return self.answers.page(request, Page(written, params.limit, found.has_more, cursor), params)

    def _document(self, request: ManagementRequest) -> ManagementAnswer:
        sessions = self._authorize is not None
        whole = document(self._gate, self._case, request.mount, self._routes, sessions=sessions, public=self._public)
        if self._hooks:
            whole["webhooks"] = own_messages()
        return self.answers.document(request, whole)


def _could_be_an_id(text: str) -> bool:
    return len(text) <= MAX_NAME and text.isprintable() and bool(text.strip()) and "\ufffd" not in text


def _known(found: Found) -> Route:
    if not found.methods:
        raise Refusal(NO_ROUTE)
    if found.route is None:
        raise Refusal(NO_METHOD, ("allow", ", ".join(found.methods)))
    return found.route


async def _check_revision(asked: Asked, route: Route, get: Route | None) -> None:
    """For what ends a record, which no operation makes depend on a revision: nothing can be lost by it.

    Args:
        asked: with the revision.
        route: ends the record.
        get: the route that gives it.
    """
    if asked.revision is None or route.method != "DELETE":
        return
    if (await cast("Any", get).handle(asked)).revision != asked.revision:
        raise Refusal(CHANGED)
