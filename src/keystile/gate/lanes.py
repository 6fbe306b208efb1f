"""Lanes: what a warm request would work out once more, kept for as long as it holds.

A request is warm if one like it was admitted before: with the same key, for a path that demands the same. `order` is
the specification. A lane is made of what was decided there, and serves only while each of its grounds still stands:

    what it skips in the order             why it may
    ------------------------------------   --------------------------------------------------------------
    rules                                  the demand is the very same object
    deny and allow lists, the key's own    the client is one that they admitted, by this very record
    credential, format and check, proof    the octets are those of a key that was proved
    state, plan, scopes                    the store gives the very same record, read for this request
    expiry, the note of its use            the clock is before the first moment at which one of these is due
    uses                                   method and path are some that they permitted over http, not a websocket

Windows are asked as ever. Where a ground has gone, or where anything else would have to be looked at, there is no lane:
the request goes through the order. That is never wrong, only slow. So a lane admits, or finds a window full, or is that
of a key without a scope that is demanded; it refuses for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .._ground.frozen import HiddenBytes
from ..events import Outage
from ..keys.usage.counting import Counting, Place
from ..limiters import Usages
from ..limiters.failsafe import Failsafe
from ..model import Admitted, ApiKey, Charges, Demand, Principal, Reason, Refused
from ..policy import Policy
from ..rules.outcomes import lacking
from ..rules.requests.paths import MAX_REMEMBERED, RuleTable
from .callers import Caller
from .proving import Prover
from .strangers import Meet
from .transport import RequestIds, Target, Visit

# How many demands, clients and paths are remembered for a key. Beyond that they are forgotten, and met anew.
MOST_LANES, MOST_CLIENTS, MOST_TARGETS = 8, 64, 64
# For all keys together: so many octets for each key that a process remembers, wherever they are. What a lane takes, and
# what each client or path takes beside its text.
ROOM, _LANE, _NOTE = 2048, 512, 128

Admit = Callable[["bytes | None", "str | None", Target, bool], "Admitted | Refused | None"]
Refuse = Callable[["Lane", str, bool, Usages], "Refused | None"]

_new = tuple.__new__


@dataclass(slots=True, eq=False)
class Lane:
    """What follows from a record, the hash that was proved, and what a path demands.

    Attributes:
        key, demand: the record and the demand.
        principal: the record without its hashes.
        until: when something is to be looked at again, in Unix seconds.
        clients: the addresses that the lists admitted; None where there are no lists.
        targets: what the key was used for; None where it may be used for everything.
        place: where its admitted requests are counted; None if they are not.
        hit: counts a request in all windows; None where there are none.
        reason: why the key is refused here, whatever it asks for; None where it is admitted.
    """

    key: ApiKey
    demand: Demand
    principal: Principal
    until: float
    clients: set[str | None] | None
    targets: set[Target] | None
    place: Place | None
    hit: Callable[[], Usages] | None
    reason: Reason | None


class Lanes:
    """The lanes of one gate, for as long as its policy stays.

    Args:
        prover: has the proofs, each with the lanes of its key, and finds records.
        rules: what a path demands.
        limits: where windows are counted.
        counting: where requests are counted for each key.
        clock: Unix seconds.
    """

    def __init__(
        self, prover: Prover, rules: RuleTable, limits: Failsafe, counting: Counting, clock: Callable[[], float]
    ) -> None:
        self._prover, self._rules, self._limits = prover, rules, limits
        self._counting, self._clock = counting, clock
        self._room, self._taken = ROOM * prover.remembered, 0

    def keep(  # noqa: PLR0917 - what was found out
        self,
        digest: bytes,
        caller: Caller,
        charges: Charges,
        demand: Demand,
        visit: Visit,
        reason: Reason | None = None,
    ) -> None:
        """Keep what was found out about a request of a key that is admitted unless a window is full, or lacks a scope.

        Args:
            digest: of the raw key.
            caller: what follows from its record.
            charges: what the request costs.
            demand: of its path.
            visit: the request.
            reason: why it is refused, or None. Other reasons than the want of a scope are not kept.
        """
        request, proof = visit.request, self._prover.find(digest)
        # What a key may do hangs on the scheme too: what opened a websocket says nothing about a request over http.
        if proof is None or request.scheme in {"ws", "wss"} or not _is_plain(caller, charges, demand):
            return
        if reason is not None and reason is not lacking(demand.scopes):
            return
        if self._taken >= self._room:
            self._prover.forget_lanes()
            self._taken = 0
        lane = proof.lanes.get(id(demand))
        if lane is None or lane.key is not caller.key:
            if lane is not None or len(proof.lanes) >= MOST_LANES:  # of another record, as are those beside it
                proof.lanes.clear()
            lane = self._made(caller, charges, demand, reason)
            if lane is None:
                return
            proof.lanes[id(demand)] = lane
            self._taken += _LANE
        # A refusal is no use, and is counted in the hour in which it happens.
        lane.until = caller.ends if reason is not None else min(caller.ends, caller.touch_due)
        lane.place = caller.place
        if lane.clients is not None:
            self._note(lane.clients, visit.client, MOST_CLIENTS, len(visit.client or ""))
        target = request.method, request.path, request.raw_path
        if lane.targets is not None and (length := sum(map(len, target))) < MAX_REMEMBERED:
            self._note(lane.targets, target, MOST_TARGETS, length)

    def _made(self, caller: Caller, charges: Charges, demand: Demand, reason: Reason | None) -> Lane | None:
        hit = None
        if charges:
            if self._limits.bound is None:
                return None
            hit = self._limits.bound(caller.subject, charges)
        clients: set[str | None] | None = None if caller.allowlist is None and demand.admits is None else set()
        targets: set[Target] | None = None if caller.uses is None or reason is not None else set()
        return Lane(caller.key, demand, caller.key.principal, 0.0, clients, targets, caller.place, hit, reason)

    def _note(self, known: set[Any], seen: Any, most: int, length: int) -> None:
        if seen not in known:
            if len(known) >= most:
                known.clear()
            known.add(seen)
            self._taken += _NOTE + length

    def admitting(  # noqa: C901 - as `admit`
        self, policy: Policy, ids: RequestIds, outage: Outage, meet: Meet, refuse: Refuse
    ) -> Admit:
        """A function that takes the one token or None, the client, the target, and whether they came over https, of a
        request in which there is nothing else; and gives what becomes of it, or None where only the order can say.

        Args:
            policy: the settings: whether https is demanded, now and for the future.
            ids: of requests.
            outage: of the store.
            meet: says what becomes of a request without a key that is known.
            refuse: refuses where a window is full, or the lane's key lacks a scope.
        """
        prover, counting, https, hsts = self._prover, self._counting, policy.https != "off", policy.hsts is not None
        copy, proofs, recent, find = *prover.proofs, prover.find_now
        met, look_up, clock, counts = self._rules.met.get, self._rules.demand, self._clock, counting.counts
        assert find is not None  # noqa: S101 - for the type checker

        # One function, its values in its closure: a frame that is cold costs as much as its work.
        def admit(  # noqa: C901, PLR0912 - what a lane skips, in the order
            token: bytes | None, client: str | None, target: Target, secure: bool
        ) -> Admitted | Refused | None:
            if token is None:
                return meet(None, target, secure)
            keyed = copy()
            keyed.update(token)
            digest = keyed.digest()
            proof = proofs(digest)
            if proof is None:
                token = HiddenBytes(token)
                return meet(token, target, secure)
            del token  # no traceback shows it, whatever fails from here on
            if https and not secure:
                return None
            demand = met(target) or look_up(*target)
            # Of a demand that a lane holds, the identity is no other's.
            lane = proof.lanes.get(id(demand))
            if lane is None or outage.lasts or clock() >= lane.until:
                return None
            try:
                recent(digest)
                if find(proof.key_id) is not lane.key:
                    return None
            except Exception:  # noqa: BLE001 - the order asks once more, and tells of it
                return None
            if (lane.clients is not None and client not in lane.clients) or (
                lane.targets is not None and target not in lane.targets
            ):
                return None
            try:
                request_id = ids.ready.pop()
            except IndexError:
                request_id = ids.draw()
            usages: Usages = ()
            if lane.reason is not None:
                return refuse(lane, request_id, secure, ())
            if lane.hit is not None:
                usages = lane.hit()
                for usage in usages:
                    if usage[3] != 0.0:
                        return refuse(lane, request_id, secure, usages)
            if lane.place is not None:
                if not counts:
                    counting.ask()
                counts[lane.place] += 1
            return _new(Admitted, (lane.principal, request_id, usages, demand, hsts and secure))

        return admit


def _is_plain(caller: Caller, charges: Charges, demand: Demand) -> bool:
    """Whether nothing has to be told of the request, and nothing of it is settled later."""
    told = demand.watched or demand.would_admit is not None or caller.spared is not None
    return not told and not demand.reserve and not any(window.watching for window, _ in charges)
