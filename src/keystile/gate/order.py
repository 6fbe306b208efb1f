"""THE order of checks: what a request meets on its way to the app, one after the other.

    request id, client, https, rules, deny and allow lists, preflight, public path, credential (or none, if it is
    optional), format and check, proof, record, state, the key's address list, plan, scopes, uses, windows

The order is the promise: nothing about a key is told, spent or looked at before its secret is proved, and its record is
read again for every request. A refusal is a value.
"""

from __future__ import annotations

import logging

from .._ground.frozen import HiddenBytes
from .._sync import Offload
from ..events import Events, Outage
from ..exceptions import Overloaded, StoreUnavailable
from ..keys.usage.counting import Counting, Place
from ..keys.workshop import Workshop
from ..limiters import Usages
from ..limiters.failsafe import Failsafe
from ..model import Admitted, ApiKey, Asked, Charges, Demand, Principal, Reason, Refused, Request
from ..policy import Policy
from ..policy.places import places_of
from ..rules import outcomes
from ..rules.limits.charges import charged
from ..rules.limits.notation import MOST_WINDOWS
from ..rules.limits.quotas import Quotas
from ..rules.limits.subjects import anonymous_subject
from ..rules.limits.usages import binding, refuses, retry_seconds
from ..rules.requests.credentials import Accepted, Unusable, extract
from ..rules.requests.paths import RuleTable
from .budget import FailureBudget
from .callers import Callers, judge
from .dryrun import DryRun
from .lanes import Admit, Lane, Lanes
from .presenting import InTheClear, Presenting, schemes_of
from .proving import Prover
from .strangers import Preflights, meeting
from .transport import RequestIds, Transport, Visit, event_of

# This is on the path of every request, and a named tuple's own constructor costs twice as much.
_new = tuple.__new__

# What is demanded of a preflight where the policy lets it pass.
_PREFLIGHT = Demand(public=True, scopes=frozenset())


class Order:
    """The checks of one gate.

    Args:
        policy: the settings.
        shop: the store, key format and hasher.
        events: where refusals are reported.
        transport: finds who is calling, behind which proxies.
        rules: what a path demands.
        quotas: which windows hold for whom.
        accepted: where keys are read from, on any path.
        limits: where windows are counted.
        counting: where requests are counted for each key.
        earlier: the checks by the policy before this one, whose proofs stay good; None at first.
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
        counting: Counting,
        earlier: Order | None = None,
    ) -> None:
        self._policy, self._events, self._transport, self._rules = policy, events, transport, rules
        self._quotas, self._accepted, self._limits = quotas, accepted, limits
        self._clock = shop.clock
        self.dry = DryRun(policy, events)
        self._clear = InTheClear(policy, transport, shop.mask, self.dry)
        self._preflights, self._passes = Preflights(policy, rules, shop.mask), policy.preflight == "pass"
        self._hsts, self._https = policy.hsts is not None, policy.https != "off"
        self._presenting = Presenting(policy, shop, accepted)
        self._plain, self._schemes = self._presenting.plain, schemes_of(places_of(policy.accept))
        # Whether a browser's page is ours depends on the scheme too.
        self._looks = transport.header is not None or self._https or self._hsts or accepted.basic
        # A limiter in this process's memory decides without a coroutine.
        self._hit_now, self._request_ids = limits.hit_now, RequestIds()
        if earlier is None:
            self.prover = Prover(shop, FailureBudget(policy, quotas, limits), policy.remembered_keys)
            self.outage = Outage(events, "store", "every key is refused with 503")
        else:
            self.prover, self.outage = earlier.prover, earlier.outage
        self._counting, self._counts = counting, counting.counts
        met = None if earlier is None else earlier.callers.known
        self.callers: Callers = Callers(counting, quotas, events, policy.expiry_notice, policy.remembered_keys, met)
        self._known = self.callers.known
        # Where requests are told apart by nothing but what a lane looks at.
        alike = self._plain and self.dry.enforces and self.prover.find_now is not None
        self._lanes = Lanes(self.prover, rules, limits, counting, shop.clock) if alike else None
        self.admit: Admit | None = None
        """Admits a request that is warm, without a look at what cannot have changed; None where there are no lanes."""
        if self._lanes is not None:
            meet = meeting(policy, rules, quotas, self._request_ids, events, shop.candidates, self._schemes)
            self.admit = self._lanes.admitting(policy, self._request_ids, self.outage, meet, self._refused_by)

    async def check(  # noqa: C901, PLR0912, PLR0915 - the order, in one place
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
                why = self._clear.refusal(visit, keyless=self._presenting.is_missing(request), again=before is not None)
                if why is not None:
                    return self._refused(why, visit)
        else:
            visit = _new(Visit, (request, request_id, request.peer, request.peer, False))
        rules = self._rules
        demand = rules.every if request.unreadable else rules.demand(request.method, request.path, request.raw_path)
        if (demand.admits or demand.would_admit) and self.dry.bars(demand, visit, again=before is not None):
            return self._refused(outcomes.BARRED, visit)
        if request.preflight is not None:
            answer = await self._preflight(visit, request.preflight, demand, offload)
            if answer is not None:
                return answer
        raw: bytes | Unusable
        if demand.public is True:
            raw = Unusable.MISSING
        elif self._plain:
            raw = extract(request.credentials, self._accepted)
        else:
            raw = self._presenting.find(request, demand, secure=visit.secure)
        if isinstance(raw, Unusable):
            if raw is not Unusable.MISSING or not demand.public:
                why = outcomes.LONG_QUERY if request.long_query else outcomes.UNUSABLE[raw]
                return self._nobody(why, visit, demand, before)
            charges = charged(self._quotas.for_anyone(demand.windows), demand.cost) if demand.cost else ()
            return await self._count(None, visit, charges, demand, offload)
        raw = HiddenBytes(raw)
        try:
            digest = self.prover.digest(raw)
            proven = self.prover.prove_now(digest) or await self.prover.prove(raw, digest, visit.counted, offload)
            if isinstance(proven, Reason):
                return self._nobody(proven, visit, demand, before)
            key, secret_hash = proven
            now = self._clock()
            caller = self._known.get(key.id)
            if caller is None or caller.key is not key:
                caller = self.callers.meet(key, caller)
            reason = judge(caller, secret_hash, demand, visit, now)
            if reason is None and now >= caller.touch_due:
                if not caller.used:
                    await self.callers.first_use(caller, now, visit, offload)
                self.callers.touch(caller, now, visit)
            if reason is None and secret_hash.expires_at is not None:
                key = self.callers.graced(key, secret_hash, visit, now)
        except Overloaded:
            return self._refused(outcomes.OVERLOADED, visit, before)
        except Exception as error:  # noqa: BLE001 - whatever a store raises or holds, the gate stays closed
            self.outage.begins(error)
            return self._refused(outcomes.STORE_DOWN, visit, before)
        place = caller.place if before is None else None
        if reason is not None:
            if self.dry.enforces or reason.status == 401:
                if self._lanes is not None and before is None and secret_hash.expires_at is None:
                    self._lanes.keep(digest, caller, (), demand, visit, reason)
                return self._noted(place, self._nobody(reason, visit, demand, key))
            if before is None:
                self.dry.tell(reason, visit, key)
        elif before is None and (demand.watched or caller.spared is not None):
            self.dry.tell_spared(caller, demand, visit)
        if self.outage.lasts:
            self.outage.ends()
        charges = () if before is not None else caller.charges or ()
        if before is None and (demand.windows or demand.cost != 1 or demand.reserve):
            charges = self._quotas.charges(key, demand)
            if len(charges) > MOST_WINDOWS:
                return self._noted(place, self._refused(outcomes.UNREADABLE, visit, key))
        outcome: Admitted | Refused
        if self._hit_now is None or not charges:
            outcome = await self._count(key, visit, charges, demand, offload)
        else:
            outcome = self._counted(key, visit, self._hit_now(caller.subject, charges), demand)
        if type(outcome) is Refused:
            return self._noted(place, outcome)
        if self._lanes is not None and before is None and secret_hash.expires_at is None:
            self._lanes.keep(digest, caller, charges, demand, visit)
        if place is not None:  # as `_noted` does, but without a frame
            if not self._counts:
                self._counting.ask()
            self._counts[place] += 1
        return outcome

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

    def refuse(self, reason: Reason, admitted: Admitted, request: Request) -> Refused | None:
        """The refusal of a request that is turned away after `check`; None if that is told only, in a dry run."""
        visit = self._transport.see(request, admitted.request_id)
        if self.dry.softens(reason):
            self.dry.tell(reason, visit, admitted.principal)
            return None
        return self._refused(reason, visit, admitted.principal, admitted.usages)

    def _noted(self, place: Place | None, outcome: Admitted | Refused) -> Admitted | Refused:
        """Count that a request of a proved key was refused. Who is admitted as nobody counts for no key."""
        if place is not None and isinstance(outcome, Refused):
            self._counting.count(place, outcome.reason.code)
        return outcome

    async def _count(
        self, key: ApiKey | None, visit: Visit, charges: Charges, demand: Demand, offload: Offload
    ) -> Admitted | Refused:
        """Count the request in all windows, or refuse it and count it in none."""
        if not charges:
            return self._counted(key, visit, (), demand)
        subject = anonymous_subject(visit.counted) if key is None else self._quotas.subject(key)
        try:
            usages = await self._limits.hit(offload, subject, charges)
        except StoreUnavailable:
            return self._refused(outcomes.OVERLOADED, visit, key)
        return self._counted(key, visit, usages, demand)

    async def _preflight(
        self, visit: Visit, asked: Asked, demand: Demand, offload: Offload
    ) -> Admitted | Refused | None:
        """Answer a CORS preflight, or let it through to the app, counted by address: what its path demands does not
        apply to it. None if the policy does neither: then it is a request like any other."""
        allowed = self._preflights.granted(visit.request, asked)
        if allowed is not None:  # it runs nothing, and is not counted
            return self._refused(outcomes.PREFLIGHT, visit)._replace(granted=allowed)
        if not self._passes or demand is self._rules.every or not self._presenting.is_missing(visit.request):
            return None
        outcome = await self._count(None, visit, charged(self._quotas.for_anyone(())), _PREFLIGHT, offload)
        if isinstance(outcome, Admitted) and self._events.wanted(logging.INFO):
            self._events.tell(event_of("preflight", logging.INFO, visit))
        return outcome

    def _counted(self, key: ApiKey | None, visit: Visit, usages: Usages, demand: Demand) -> Admitted | Refused:
        for usage in usages:
            if usage.retry_after != 0.0:
                refused = self._full(key, visit, usages)
                if refused is not None:
                    return refused
                break
        principal = None if key is None else key.principal
        return _new(Admitted, (principal, visit.request_id, usages, demand, self._hsts and visit.secure))

    def _refused_by(self, lane: Lane, request_id: str, secure: bool, usages: Usages) -> Refused | None:
        """As `check` goes on for want of a scope, or where a window is full; None if it is told (see `strangers`)."""
        if self._events.wanted(logging.INFO):
            return None
        reason = lane.reason or outcomes.limited(binding(usages).window, retry_seconds(usages))
        if lane.place is not None:
            self._counting.count(lane.place, reason.code)
        return _new(Refused, (reason, request_id, usages, self._hsts and secure, None, self._schemes))

    def _full(self, key: ApiKey | None, visit: Visit, usages: Usages) -> Refused | None:
        """Refuse a request for which a window is full. If only windows in dry run are full, that is told."""
        holding = [usage for usage in usages if not usage.window.watching]
        if refuses(holding):
            return self._refused(outcomes.limited(binding(holding).window, retry_seconds(holding)), visit, key, usages)
        self.dry.tell(outcomes.limited(binding(usages).window, None), visit, key)
        return None

    def _nobody(self, reason: Reason, visit: Visit, demand: Demand, key: Principal | None = None) -> Admitted | Refused:
        """Refuse a caller without a key that is good and alive; in dry run of the gate, admit it as nobody."""
        if self.dry.enforces or not self.dry.softens(reason):
            refused = self._refused(reason, visit, key)
            return refused if self._plain else refused._replace(schemes=self._presenting.schemes(visit.request, demand))
        self.dry.tell(reason, visit, key)
        return _new(Admitted, (None, visit.request_id, (), demand, self._hsts and visit.secure))

    def _refused(self, reason: Reason, visit: Visit, key: Principal | None = None, usages: Usages = ()) -> Refused:
        if self._events.wanted(logging.INFO):
            self._events.tell(event_of(reason.code, logging.INFO, visit, reason.status, key))
        return _new(Refused, (reason, visit.request_id, usages, self._hsts and visit.secure, None, self._schemes))
