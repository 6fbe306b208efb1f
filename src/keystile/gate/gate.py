"""The gate: the order of checks, written once.

`Gate.check` is one coroutine that both doors run. It awaits the store, the hasher and the limiter and returns Admitted
or Refused; a refusal is a value. The order is the promise: nothing about a key is told, spent or looked at before its
secret is proved, and its record is read anew for every request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from .._ground.checks import names_checked
from .._ground.frozen import FrozenDict, HiddenBytes
from .._sync import Offload, adapt, at_once
from ..answers.current import RequestIds
from ..events import Events, L, Outage
from ..exceptions import ConfigurationError, Overloaded, StoreUnavailable
from ..keys.format import KeyFormat
from ..keys.hashing import Hasher, HasherName
from ..keys.parts import Parts
from ..keys.ring import KeyRing
from ..keys.workshop import as_cursor_secrets, as_limiter, open_workshop
from ..limiters import RateLimiter, Usages
from ..limiters.failsafe import Failsafe
from ..model import Admitted, ApiKey, Principal, Reason, Refused, Request, Window
from ..policy import (
    CREDENTIAL_FORMS,
    REMEMBERED_KEYS,
    ErrorFormat,
    EventFormat,
    Https,
    LimitBy,
    Limits,
    OnLimiterError,
    Plan,
    Policy,
    Preflight,
    RedirectStatus,
    Rule,
)
from ..policy.pages import DEFAULT_PAGE_STYLE, PageStyle
from ..policy.settings import made
from ..rules import outcomes
from ..rules.limits import ratelimits
from ..rules.limits.notation import MOST_WINDOWS
from ..rules.limits.quotas import Quotas
from ..rules.limits.subjects import anonymous_subject
from ..rules.limits.windows import binding
from ..rules.requests.credentials import Unusable, accepted, extract
from ..rules.requests.paths import Demand, RuleTable
from ..stores import KeyStore
from .budget import FailureBudget
from .callers import Callers, judge
from .proving import Prover
from .rechecking import Rechecker
from .transport import Transport, Visit, event_of, leads_on

# This is on the path of every request, where a named tuple's own constructor costs twice as much.
_new = tuple.__new__

# What a preflight asks of its caller where the policy lets it pass.
_PREFLIGHT = Demand(public=True, scopes=frozenset())
# For how long a request waits for a store that another process holds, in seconds.
READ_PATIENCE = 0.25


@names_checked
class Gate:
    """Decides for each request who is calling and whether they may.

    The settings are those of `keys.parts.Parts` and of `policy.Policy`; docs/settings.md describes each.

    Raises:
        ConfigurationError: a setting is unknown, ill-typed, or contradicts another; the store cannot be opened.
    """

    def __init__(
        self,
        store: str | KeyStore = "memory://",
        *,
        prefix: str | None = None,
        public: Iterable[str] = (),
        rules: Iterable[Rule] = (),
        accept: Iterable[str] = CREDENTIAL_FORMS,
        realm: str = "api",
        peppers: Sequence[str | bytes] = (),
        accept_crc: bool = False,
        hasher: HasherName | Hasher = "argon2id",
        key_format: KeyFormat | None = None,
        limiter: str | RateLimiter = "memory://",
        plans: Mapping[str, Plan] = FrozenDict(),
        default_plan: str | None = None,
        limit_by: LimitBy = "key",
        anonymous_limits: Limits = None,
        failure_limits: Limits = "20/minute",
        address_wait: float = 1.0,
        hashing_wait: float = 5.0,
        wsgi_threads: int | None = None,
        remembered_keys: int = REMEMBERED_KEYS,
        on_limiter_error: OnLimiterError = "local",
        ietf_headers: bool = False,
        envelope: bool = False,
        error_format: ErrorFormat = "envelope",
        propagate_exceptions: bool | None = None,
        echo_request_id: bool = False,
        page_style: PageStyle = DEFAULT_PAGE_STYLE,
        cursor_secrets: Sequence[str | bytes] = (),
        public_url: str | None = None,
        require_json: bool = False,
        max_json_body: int = 1_048_576,
        trusted_proxies: Iterable[str] = (),
        trusted_hops: int | None = None,
        client_header: str = "X-Forwarded-For",
        https: Https = "off",
        redirect_status: RedirectStatus = 301,
        hsts: int | None = None,
        recheck_in_flight: bool = False,
        root_path: str | None = None,
        query_parameter: str | None = None,
        event_format: EventFormat = "text",
        preflight: Preflight = "refuse",
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = locals()
        made(Parts, given)  # checks them; each is opened from what was given
        self.policy = made(Policy, given)
        self.events = Events(event_format)
        self.transport = Transport(self.policy, self.events, clock)
        self._hsts, self._https = hsts is not None, https != "off"
        self._looks = self.transport.header is not None or self._https or self._hsts
        self.accepted = accepted(tuple(self.policy.accept), query_parameter)
        self._rules = RuleTable(self.policy.all_rules(), envelope=envelope, require_json=require_json)
        costs = (demand.cost for demand in self._rules.demands)
        self.quotas = Quotas(self.policy, costs, self._rules.most_windows)
        self._shop = open_workshop(
            store=store,
            prefix=prefix,
            peppers=peppers,
            accept_crc=accept_crc,
            hasher=hasher,
            key_format=key_format,
            clock=clock,
            remembered_keys=remembered_keys,
        )
        self.mask = self._shop.mask
        self.events.hide = self.mask.hide
        secrets = as_cursor_secrets(cursor_secrets, peppers)
        if any(demand.envelope or demand.json for demand in self._rules.demands):
            # Not for every gate: pages need a good part of the standard library.
            from ..answers.shape import Pages, Shape

            self._shape = partial(Shape, Pages(page_style, secrets, self.policy.public_url, self.mask))
        self.is_key = self._shop.is_key
        self.limits = Failsafe(as_limiter(limiter), on_limiter_error, self.events)
        self.keys = KeyRing(self._shop, self.quotas)
        blocking = getattr(self._shop.store, "blocking", True)
        find = adapt(self._shop.store.find, self._shop.store_pool, blocking=blocking, patience=READ_PATIENCE)
        # Where windows are counted in this process's memory, a decision needs no coroutine.
        self._hit_now = self.limits.hit_now
        find_now = at_once(self._shop.store.find, blocking=blocking)
        budget = FailureBudget(self.policy, self.quotas, self.limits)
        self._prover = Prover(self._shop, find, find_now, budget, remembered_keys)
        self._find = find
        self._request_ids = RequestIds()
        self._callers = Callers(self._shop, self.quotas, self.events, remembered_keys)
        self._known = self._callers.known
        self._rechecker = Rechecker(self.accepted, self._rules, self._prover, self._callers, clock)
        self._outage = Outage(self.events, "store", "every key is refused with 503")

    @property
    def needs_await(self) -> bool:
        """Whether the store or the limiter is async, so that only the ASGI door can use this gate."""
        return self.keys.needs_await or self.limits.needs_await

    @property
    def clock(self) -> Callable[[], float]:
        """Unix seconds."""
        return self._shop.clock

    async def check(self, request: Request, offload: Offload) -> Admitted | Refused:  # noqa: C901, PLR0912 - the order, in one place
        """Decide about one request.

        Args:
            request: what the door read.
            offload: how this door does what blocks: `_sync.pooled` or `_sync.inline`.

        Returns:
            Admitted or Refused; it raises nothing for anything that a client or a store can do.
        """
        request_id = request.request_id or self._request_ids.draw()
        if self._looks or request.wire is not None:
            visit = self.transport.see(request, request_id)
            if self._https and not visit.secure:
                return self._in_the_clear(visit)
        else:
            visit = _new(Visit, (request, request_id, request.peer, request.peer, False))
        rules = self._rules
        demand = rules.every if request.unreadable else rules.demand(request.method, request.path, request.raw_path)
        if request.preflight and demand is not rules.every and self._keyless(request):
            return await self._preflight(visit, offload)
        if demand.public:
            return await self._count(None, visit, self.quotas.for_anyone(demand.windows), demand, offload)
        raw = extract(request.credentials, self.accepted)
        if isinstance(raw, Unusable):
            return self._refused(outcomes.LONG_QUERY if request.long_query else outcomes.UNUSABLE[raw], visit)
        raw = HiddenBytes(raw)
        key = None
        try:
            digest = self._prover.digest(raw)
            proven = self._prover.prove_now(digest) or await self._prover.prove(raw, digest, visit.counted, offload)
            if isinstance(proven, Reason):
                return self._refused(proven, visit)
            key, secret_hash = proven
            now = self._shop.clock()
            caller = self._known.get(key.id)
            if caller is None or caller.key is not key:
                caller = self._callers.meet(key, caller)
            reason = judge(caller, secret_hash, demand, visit.client, now)
            if reason is None and now >= caller.touch_due:
                self._callers.touch(caller, now, visit)
        except Overloaded:
            return self._refused(outcomes.OVERLOADED, visit)
        except Exception as error:  # noqa: BLE001 - whatever a store raises or holds, the gate stays closed
            self._outage.begins(error)
            return self._refused(outcomes.STORE_DOWN, visit)
        if reason is not None:
            return self._refused(reason, visit, key)
        if self._outage.lasts:
            self._outage.ends()
        windows = caller.windows or ()
        if demand.windows:
            windows = self.quotas.of(key, demand.windows)
            if len(windows) > MOST_WINDOWS:
                return self._refused(outcomes.UNREADABLE, visit, key)
        if self._hit_now is None or not windows:
            return await self._count(key, visit, windows, demand, offload)
        return self._counted(key, visit, self._hit_now(caller.subject, windows, demand.cost), demand)

    async def recheck(self, admitted: Admitted, request: Request, offload: Offload) -> Refused | None:
        """Whether a request that the app has answered would be admitted still; None, or what to answer instead.

        Args:
            admitted, request: what `check` gave for which request.
            offload: as for `check`.
        """
        principal = admitted.principal
        if principal is None or not self.policy.recheck_in_flight:
            return None
        visit = self.transport.see(request, admitted.request_id)
        try:
            reason = await self._rechecker.judge(visit, offload)
        except Overloaded:
            reason = outcomes.OVERLOADED
        except Exception as error:  # noqa: BLE001 - as in check
            self._outage.begins(error)
            reason = outcomes.STORE_DOWN
        return None if reason is None else self._refused(reason, visit, principal, admitted.usages)

    def refuse(self, reason: Reason, admitted: Admitted, request: Request) -> Refused:
        """A refusal that a door decided about after `check`: of a body that is not JSON."""
        visit = self.transport.see(request, admitted.request_id)
        return self._refused(reason, visit, admitted.principal, admitted.usages)

    async def _count(
        self, key: ApiKey | None, visit: Visit, windows: tuple[Window, ...], demand: Demand, offload: Offload
    ) -> Admitted | Refused:
        """Count the request in all windows, or refuse it and count it in none."""
        if not windows:
            return self._counted(key, visit, (), demand)
        subject = anonymous_subject(visit.counted) if key is None else self.quotas.subject(key)
        try:
            usages = await self.limits.hit(offload, subject, windows, demand.cost)
        except StoreUnavailable:
            return self._refused(outcomes.OVERLOADED, visit, key)
        return self._counted(key, visit, usages, demand)

    def _keyless(self, request: Request) -> bool:
        return extract(request.credentials, self.accepted) is Unusable.MISSING

    async def _preflight(self, visit: Visit, offload: Offload) -> Admitted | Refused:
        """Let a CORS preflight through to the app, counted by address; what its path asks of others is not for it."""
        outcome = await self._count(None, visit, self.quotas.for_anyone(()), _PREFLIGHT, offload)
        if isinstance(outcome, Admitted) and self.events.wanted(logging.INFO):
            self.events.tell(event_of("preflight", logging.INFO, visit))
        return outcome

    def _counted(self, key: ApiKey | None, visit: Visit, usages: Usages, demand: Demand) -> Admitted | Refused:
        for usage in usages:
            if usage.retry_after != 0.0:
                reason = outcomes.limited(binding(usages).window, ratelimits.retry_seconds(usages))
                return self._refused(reason, visit, key, usages)
        principal, shape = None if key is None else key.principal, None
        if demand.envelope or demand.json:
            shape = self._shape(demand.envelope, demand.json, principal)
        return _new(Admitted, (principal, visit.request_id, usages, shape, self._hsts and visit.secure))

    def _refused(self, reason: Reason, visit: Visit, key: Principal | None = None, usages: Usages = ()) -> Refused:
        if self.events.wanted(logging.INFO):
            self.events.tell(event_of(reason.code, logging.INFO, visit, reason.status, key))
        return _new(Refused, (reason, visit.request_id, usages, self._hsts and visit.secure))

    def _in_the_clear(self, visit: Visit) -> Refused:
        """A request over http where https is demanded. Its key is not looked at, but whoever sent one should know."""
        if not self._keyless(visit.request):
            self.transport.tell_of_clear(visit, self._shop.clock())
        request = visit.request
        if self.policy.https == "redirect" and request.scheme == "http" and leads_on(request, self.mask):
            return self._refused(outcomes.HTTPS_REDIRECTS[self.policy.redirect_status], visit)
        return self._refused(outcomes.HTTPS_REQUIRED, visit)

    def on_event(self, listener: L) -> L:
        """Have a plain, quick function called with every `events.Event`, on the path of requests. Also as a decorator.

        Raises:
            ConfigurationError: it cannot be called, or is async.
        """
        return self.events.listen(listener)

    def close(self) -> None:
        """Let go of files and connections, the store's and the limiter's; `aclose` if one of them is async."""
        if self.needs_await:
            raise ConfigurationError("the store or the limiter is async: await aclose() instead", key="store")
        self._shop.store.close()
        self.limits.limiter.close()

    async def aclose(self) -> None:
        """Let go of files and connections, the store's and the limiter's."""
        for each in (self._shop.store, *self.limits.limiters()):
            closing = each.close()
            if closing is not None:
                await closing
