"""Judging the caller of a request again, after the app has worked on it.

The first result is not reused: the same request is read, proved and judged as if it came now, by the record as it is
now. Windows are not asked again, because it is not another request.
"""

from __future__ import annotations

from collections.abc import Callable

from .._ground.frozen import HiddenBytes
from .._sync import Offload
from ..model import Reason
from ..rules import outcomes
from ..rules.requests.credentials import Accepted, Unusable, extract
from ..rules.requests.paths import RuleTable
from .callers import Callers, judge
from .proving import Prover
from .transport import Visit


class Rechecker:
    """What a second look at a caller needs.

    Args:
        accepted: where keys are read from.
        rules: what a path demands.
        prover: finds and proves the request's key.
        callers: what follows from the key's record.
        clock: Unix seconds.
    """

    def __init__(
        self, accepted: Accepted, rules: RuleTable, prover: Prover, callers: Callers, clock: Callable[[], float]
    ) -> None:
        self._accepted, self._rules, self._prover, self._callers = accepted, rules, prover, callers
        self._clock = clock

    async def judge(self, visit: Visit, offload: Offload) -> Reason | None:
        """Why the caller of an admitted request would be refused now, or None."""
        request = visit.request
        raw = extract(request.credentials, self._accepted)
        if isinstance(raw, Unusable):
            return outcomes.UNUSABLE[raw]
        raw = HiddenBytes(raw)
        digest = self._prover.digest(raw)
        proven = self._prover.prove_now(digest) or await self._prover.prove(raw, digest, visit.counted, offload)
        if isinstance(proven, Reason):
            return proven
        key, secret_hash = proven
        caller = self._callers.known.get(key.id)
        if caller is None or caller.key is not key:
            caller = self._callers.meet(key, caller)
        rules = self._rules
        demand = rules.every if request.unreadable else rules.demand(request.method, request.path, request.raw_path)
        return judge(caller, secret_hash, demand, visit.client, self._clock())
