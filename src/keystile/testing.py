"""For a host's own tests: a principal in the place of a key, while a block lasts.

with override_principal(gate, scopes=["exports:write"], organization_id="org_1"):
    assert client.post("/v1/exports").status_code == 200

Doors ask `gate.check` anew for each request. Inside the block that attribute of this one gate is another function;
outside of it there is nothing to switch on, no flag that a request looks at, and no setting that a file could hold.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields as fields_of
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

from ._sync import Lock, Offload
from .events import Event
from .exceptions import ConfigurationError
from .gate import Gate
from .gate.callers import Caller, judge, meet
from .gate.presenting import schemes_of
from .gate.transport import RequestIds, Visit, event_of
from .keys.changes.fields import UNSET, check_text, checked
from .model import Admitted, ApiKey, Demand, Principal, Reason, Refused, Request, SecretHash

__all__ = ["override_principal"]

_NO_SECRET = SecretHash("", "")
_request_ids = RequestIds()
_lock = Lock()
# What is in the place of each gate's own check: the gate's own first, the innermost block's last.
_standing: WeakKeyDictionary[Gate, list[tuple[Any, Any, Any]]] = WeakKeyDictionary()


@contextmanager
def override_principal(gate: Gate, principal: Principal | None = None, /, **fields: Any) -> Iterator[Principal]:
    """Take every request through this gate for one of this principal, until the block ends.

    Whatever key a request carries is not looked at, nor from where and how often it comes: nothing is proved, counted
    or limited. What rules demand holds: a scope that the principal lacks is 403, a path that is public has no
    principal, a body that must be JSON must be. So does what the principal is: one that is suspended is refused.

    It holds for all threads and tasks of this process that come through this gate's doors, and for no other gate. A
    WARNING is logged when it begins. It ends with the block, however that ends; of nested blocks the innermost holds.

    Args:
        gate: the one that stands before the app.
        principal: who is calling; if None, one is made of the fields.
        fields: members of a key, as in ``gate.keys.create``, and `id`: ``scopes=["a"]``, ``organization_id="org_1"``.
            They replace those of `principal`.

    Yields:
        The principal.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    if not isinstance(gate, Gate):
        raise ConfigurationError(f"expected a Gate, got {type(gate).__name__}", key="gate")
    caller = _made(gate, principal, fields)
    reason = "every request is taken for one of this principal, until a block of a test ends"
    event = Event("principal_overridden", logging.WARNING, key_id=caller.id, organization_id=caller.organization_id)
    gate.events.tell(event._replace(reason=reason))
    with _lock:
        listed = _standing.get(gate) or [(gate.check, gate.recheck, gate.admit)]
        stand_in = _StandIn(gate, caller, listed[0][0], listed[-1][1])
        placed = (stand_in.check, stand_in.recheck, None)
        _standing[gate] = [*listed, placed]
        gate.check, gate.recheck, gate.admit = placed
    try:
        yield caller
    finally:
        with _lock:
            stand_in.lasts = False
            listed = _standing[gate]
            listed.remove(placed)  # not the last one, where blocks of two threads overlap
            gate.check, gate.recheck, gate.admit = listed[-1]
            if len(listed) == 1:
                del _standing[gate]


def _made(gate: Gate, principal: Principal | None, given: dict[str, Any]) -> Principal:
    """The principal that these arguments ask for."""
    now = datetime.fromtimestamp(gate.clock(), UTC)
    members = dict(given)
    own: dict[str, Any] = {"id": check_text(members.pop("id"), "id")} if "id" in members else {}
    own |= checked(members, now)
    if own.get("plan", UNSET) not in (UNSET, None) and not gate.quotas.knows(own["plan"]):
        raise ConfigurationError(f"the gate has no plan {own['plan']!r}", key="plan")
    if principal is None:
        made: dict[str, Any] = {"id": "test", "name": "test", "created_at": now}
        return Principal(**made | own)
    if not isinstance(principal, Principal):
        raise ConfigurationError(f"expected a Principal, got {type(principal).__name__}", key="principal")
    return replace(principal.principal if isinstance(principal, ApiKey) else principal, **own)


class _StandIn:
    """What decides instead of the gate: as its order of checks, from the proof of the secret on, but for addresses and
    windows.

    Args:
        gate, principal: as for `override_principal`.
        check: the gate's own, which answers preflights: that of a block around would let them through as its principal.
        recheck: what judges whom another has admitted, such as a block around.
    """

    def __init__(self, gate: Gate, principal: Principal, check: Any, recheck: Any) -> None:
        self._gate, self.principal, self.lasts = gate, principal, True
        self._check, self._recheck = check, recheck
        known = {each.name: getattr(principal, each.name) for each in fields_of(Principal)}
        key = ApiKey(**known | {"ip_allowlist": None}, hashes=())
        self._caller: Caller = meet(key, None, gate.quotas)

    async def check(self, request: Request, offload: Offload, before: Principal | None = None) -> Admitted | Refused:
        """As `Gate.check`."""
        if request.preflight is not None:
            outcome: Admitted | Refused = await self._check(request, offload, before)
            if isinstance(outcome, Admitted) or outcome.granted is not None:
                return outcome
        request_id = request.request_id or _request_ids.draw()
        rules = self._gate.rules
        demand = rules.every if request.unreadable else rules.demand(request.method, request.path, request.raw_path)
        principal = None if demand.public is True else self.principal
        visit = Visit(request, request_id, request.peer, request.peer, False)
        reason = None if principal is None else self._judged(demand, visit)
        if reason is None:
            return Admitted(principal, request_id, (), demand)
        if not self._gate.policy.enforce:
            return Admitted(None if reason.status == 401 else principal, request_id, (), demand)
        self._gate.events.tell(event_of(reason.code, logging.INFO, visit, reason.status, principal))
        return Refused(reason, request_id, schemes=schemes_of(demand.accept))

    async def recheck(self, admitted: Admitted, request: Request, offload: Offload) -> Refused | None:
        """As `Gate.recheck`. Whom a block admitted that has ended since is judged by the gate."""
        if self.lasts and admitted.principal is self.principal:
            return None
        outcome: Refused | None = await self._recheck(admitted, request, offload)
        return outcome

    def _judged(self, demand: Demand, visit: Visit) -> Reason | None:
        return judge(self._caller, _NO_SECRET, demand, visit, self._gate.clock())
