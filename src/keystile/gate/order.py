"""THE order of checks: what a request meets on its way to the app, one after the other.

    request id, client, https, rules, preflight, public path, credential, format and check, proof, record, state,
    address list, plan, scopes, uses, windows

The order is the promise: nothing about a key is told, spent or looked at before its secret is proved, and its record is
read again for every request. A refusal is a value.
"""

from __future__ import annotations

import logging

from .._ground.frozen import HiddenBytes
from .._sync import Offload, at_once
from ..events import Events, Outage
from ..exceptions import Overloaded, StoreUnavailable
from ..keys.workshop import Workshop
from ..limiters import Usages
from ..limiters.failsafe import Failsafe
from ..model import Admitted, ApiKey, Demand, Principal, Reason, Refused, Request, Window
from ..policy import Policy
from ..rules import outcomes
from ..rules.limits.notation import MOST_WINDOWS
from ..rules.limits.quotas import Quotas
from ..rules.limits.subjects import anonymous_subject
from ..rules.limits.usages import binding, retry_seconds
from ..rules.requests.credentials import Accepted, Unusable, extract
from ..rules.requests.paths import RuleTable
from .budget import FailureBudget
from .callers import Callers, judge
from .proving import Prover
from .requestids import RequestIds
from .transport import Transport, Visit, event_of, leads_on

# This is on the path of every request, and a named tuple's own constructor costs twice as much.
_new = tuple.__new__

# What is demanded of a preflight where the policy lets it pass.
_PREFLIGHT = Demand(public=True, scopes=frozenset())
# How long a request waits for a store that another process holds, in seconds.
READ_PATIENCE = 0.25


class Order:
    """The checks of one gate.

    Args:
        policy: the settings.
        shop: the store, key format and hasher.
        events: where refusals are reported.
        transport: finds who is calling, behind which proxies.
        rules: what a path demands.
        quotas: which windows hold for whom.
        accepted: where keys are read from.
        limits: where windows are counted.
    """

    def __init__(  # noqa: PLR0917 - what a gate is made of
        self,
        policy: Policy,
        shop: Workshop,
        events: Events,
        transport: Transport,
        rules: RuleTable,
        quotas: Quotas,
        accepted: Accepted,
        limits: Failsafe,
    ) -> None:
        self._policy, self._events, self._transport, self._rules = policy, events, transport, rules
        self._quotas, self._accepted, self._limits = quotas, accepted, limits
        self._clock, self._mask = shop.clock, shop.mask
        self._hsts, self._https = policy.hsts is not None, policy.https != "off"
        self._looks = transport.header is not None or self._https or self._hsts
        # A limiter in this process's memory decides without a coroutine.
        self._hit_now = limits.hit_now
        self._request_ids = RequestIds()
        blocking = getattr(shop.store, "blocking", True)
        find = shop.adapted("find", blocking=blocking, patience=READ_PATIENCE)
        find_now = at_once(shop.store.find, blocking=blocking)
        budget = FailureBudget(policy, quotas, limits)
        self.prover = Prover(shop, find, find_now, budget, policy.remembered_keys)
        self.callers = Callers(shop, quotas, events, policy.expiry_notice, policy.remembered_keys)
        self._known = self.callers.known
        self.outage = Outage(events, "store", "every key is refused with 503")

    async def check(  # noqa: C901, PLR0912 - the order, in one place
        self, request: Request, offload: Offload, before: Principal | None = None
    ) -> Admitted | Refused:
        """Decide on one request.

        Args:
            request: what the door read.
            offload: how this door runs what blocks: `_sync.pooled` or `_sync.inline`.
            before: whom this very request was admitted for, if it is judged again: then it is not counted again.

        Returns:
            Admitted or Refused. Nothing that a client or a store does makes it raise.
        """
        request_id = request.request_id or self._request_ids.draw()
        if self._looks or request.wire is not None:
            visit = self._transport.see(request, request_id)
            if self._https and not visit.secure:
                return self._in_the_clear(visit)
        else:
            visit = _new(Visit, (request, request_id, request.peer, request.peer, False))
        rules = self._rules
        demand = rules.every if request.unreadable else rules.demand(request.method, request.path, request.raw_path)
        if request.preflight and demand is not rules.every and self._keyless(request):
            return await self._preflight(visit, offload)
        if demand.public:
            windows = self._quotas.for_anyone(demand.windows) if demand.cost else ()
            return await self._count(None, visit, windows, demand, offload)
        raw = extract(request.credentials, self._accepted)
        if isinstance(raw, Unusable):
            return self._refused(outcomes.LONG_QUERY if request.long_query else outcomes.UNUSABLE[raw], visit)
        raw = HiddenBytes(raw)
        try:
            digest = self.prover.digest(raw)
            proven = self.prover.prove_now(digest) or await self.prover.prove(raw, digest, visit.counted, offload)
            if isinstance(proven, Reason):
                return self._refused(proven, visit, before)
            key, secret_hash = proven
            now = self._clock()
            caller = self._known.get(key.id)
            if caller is None or caller.key is not key:
                caller = self.callers.meet(key, caller)
            reason = judge(caller, secret_hash, demand, visit, now)
            if reason is None and now >= caller.touch_due:
                self.callers.touch(caller, now, visit)
            if reason is None and secret_hash.expires_at is not None:
                key = self.callers.graced(key, secret_hash, visit, now)
        except Overloaded:
            return self._refused(outcomes.OVERLOADED, visit, before)
        except Exception as error:  # noqa: BLE001 - whatever a store raises or holds, the gate stays closed
            self.outage.begins(error)
            return self._refused(outcomes.STORE_DOWN, visit, before)
        if reason is not None:
            return self._refused(reason, visit, key)
        if self.outage.lasts:
            self.outage.ends()
        windows = ()
        if demand.cost and before is None:
            windows = caller.windows or ()
            if demand.windows:
                windows = self._quotas.of(key, demand.windows)
                if len(windows) > MOST_WINDOWS:
                    return self._refused(outcomes.UNREADABLE, visit, key)
        if self._hit_now is None or not windows:
            return await self._count(key, visit, windows, demand, offload)
        return self._counted(key, visit, self._hit_now(caller.subject, windows, demand.cost), demand)

    async def recheck(self, admitted: Admitted, request: Request, offload: Offload) -> Refused | None:
        """Whether a request that the app has answered would still be admitted: None, or what to answer instead.

        Args:
            admitted, request: what `check` returned, and the request it was for.
            offload: as for `check`.
        """
        if admitted.principal is None or not self._policy.recheck_in_flight:
            return None
        outcome = await self.check(request._replace(request_id=admitted.request_id), offload, admitted.principal)
        return outcome._replace(usages=admitted.usages) if isinstance(outcome, Refused) else None

    def refuse(self, reason: Reason, admitted: Admitted, request: Request) -> Refused:
        """The refusal of a request that a door turns away after `check`, because its body is not JSON."""
        visit = self._transport.see(request, admitted.request_id)
        return self._refused(reason, visit, admitted.principal, admitted.usages)

    async def _count(
        self, key: ApiKey | None, visit: Visit, windows: tuple[Window, ...], demand: Demand, offload: Offload
    ) -> Admitted | Refused:
        """Count the request in all windows, or refuse it and count it in none."""
        if not windows:
            return self._counted(key, visit, (), demand)
        subject = anonymous_subject(visit.counted) if key is None else self._quotas.subject(key)
        try:
            usages = await self._limits.hit(offload, subject, windows, demand.cost)
        except StoreUnavailable:
            return self._refused(outcomes.OVERLOADED, visit, key)
        return self._counted(key, visit, usages, demand)

    def _keyless(self, request: Request) -> bool:
        return extract(request.credentials, self._accepted) is Unusable.MISSING

    async def _preflight(self, visit: Visit, offload: Offload) -> Admitted | Refused:
        """Let a CORS preflight through to the app, counted by address. What its path demands does not apply to it."""
        outcome = await self._count(None, visit, self._quotas.for_anyone(()), _PREFLIGHT, offload)
        if isinstance(outcome, Admitted) and self._events.wanted(logging.INFO):
            self._events.tell(event_of("preflight", logging.INFO, visit))
        return outcome

    def _counted(self, key: ApiKey | None, visit: Visit, usages: Usages, demand: Demand) -> Admitted | Refused:
        for usage in usages:
            if usage.retry_after != 0.0:
                reason = outcomes.limited(binding(usages).window, retry_seconds(usages))
                return self._refused(reason, visit, key, usages)
        principal = None if key is None else key.principal
        return _new(Admitted, (principal, visit.request_id, usages, demand, self._hsts and visit.secure))

    def _refused(self, reason: Reason, visit: Visit, key: Principal | None = None, usages: Usages = ()) -> Refused:
        if self._events.wanted(logging.INFO):
            self._events.tell(event_of(reason.code, logging.INFO, visit, reason.status, key))
        return _new(Refused, (reason, visit.request_id, usages, self._hsts and visit.secure))

    def _in_the_clear(self, visit: Visit) -> Refused:
        """Refuse a request over http where https is demanded. Its key is not looked at, but it is reported as sent."""
        if not self._keyless(visit.request):
            self._transport.tell_of_clear(visit)
        request = visit.request
        if self._policy.https == "redirect" and request.scheme == "http" and leads_on(request, self._mask):
            return self._refused(outcomes.HTTPS_REDIRECTS[self._policy.redirect_status], visit)
        return self._refused(outcomes.HTTPS_REQUIRED, visit)
