"""The answer to ``GET …/events``: a stream for whoever may listen, or why there is none now."""

from __future__ import annotations

from ..._ground.frozen import FrozenDict
from ..._sync import Offload
from ...gate import Gate
from ...model import ApiKey, Principal, Reason
from ..answers import AS_IT_IS, Answers
from ..requests import ManagementAnswer, ManagementRequest
from .hub import Full, Hub, Whose, hub_of
from .judging import KeyJudge
from .sending import HEADERS
from .stopping import server_stops
from .stream import RETRY, Judge, Pace, Stream

USUAL = Pace()
_AGAIN = RETRY // 1000
REFUSALS = {
    Full.OWN: Reason(429, "too_many_streams", "Too many streams of these events are open.", retry_after=_AGAIN),
    Full.ALL: Reason(503, "unavailable", "There is no room for another stream now.", retry_after=_AGAIN),
}
# Waiting does not help.
NO_THREADS = Reason(
    503,
    "unavailable",
    "This server answers one request at a time, so it has no stream of events.",
    FrozenDict(needs="threads"),
)


class LiveEvents:
    """The streams of one gate.

    Args:
        gate: whose events.
        answers: writes refusals.
        hub: who listens; by default the gate's.
        pace: how each stream goes on.
    """

    def __init__(
        self,
        gate: Gate,
        answers: Answers,
        hub: Hub | None = None,
        pace: Pace | None = None,
    ) -> None:
        self._gate, self._answers, self._pace = gate, answers, pace or USUAL
        self.hub = hub_of(gate) if hub is None else hub

    def judge_of(self, principal: Principal) -> KeyJudge:
        """Judges the key that a stream was opened with."""
        return KeyJudge(self._find, principal, self._gate.clock)

    async def serve(
        self,
        request: ManagementRequest,
        whose: Whose,
        judge: Judge,
        offload: Offload,
        *more: tuple[str, str],
        after: str | None = None,
    ) -> ManagementAnswer:
        """Answer a request for a stream.

        Args:
            request: GET or HEAD.
            whose: the organizations whose events the caller may see.
            judge: whether the caller may still see them.
            offload: how this door waits.
            more: further header fields.
            after: the id of the event to begin after, where the client does not say one (``Last-Event-ID``).
        """
        if offload.blocks and not getattr(request.native, "is_multithread", True):
            return self._answers.error(request, NO_THREADS)
        fields = (*HEADERS, *more) if request.admitted is None else (*HEADERS, *more, AS_IT_IS)
        if request.method == "HEAD":
            return ManagementAnswer(200, fields, None)
        reader = self.hub.join(whose, offload, request.header("last-event-id") or after)
        if isinstance(reader, Full):
            return self._answers.error(request, REFUSALS[reader])
        return ManagementAnswer(200, fields, Stream(reader, judge, server_stops, self._pace))

    async def _find(self, offload: Offload, key_id: str) -> ApiKey:
        return self._gate.keys.get(key_id) if offload.blocks else await self._gate.keys.aget(key_id)
