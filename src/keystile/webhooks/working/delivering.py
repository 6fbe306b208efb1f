"""One claimed delivery: sign, send, judge, and note what came of it."""

from __future__ import annotations

import random
from collections.abc import Callable

from ..._sync import sleep
from ...exceptions import ConfigurationError
from ...rules.deliveries import Came, Failing, Judged, judge
from ..outbox import Claimed, Finished, Next, Outbox
from ..sending import Attempt, Sender
from ..signing import sign
from .telling import Telling

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between tries to note what came: the first pause, and the longest."""
OURS = frozenset(("busy", "unsendable"))
"""Errors that say nothing about the endpoint."""


class Delivering:
    """Delivers what was claimed.

    Args:
        outbox: where it is noted.
        sender: makes the attempts.
        telling: tells what did not arrive.
        clock: Unix seconds.
    """

    def __init__(self, outbox: Outbox, sender: Sender, telling: Telling, clock: Callable[[], float]) -> None:
        self._outbox, self._sender, self._telling, self._clock = outbox, sender, telling, clock

    async def deliver(self, claimed: Claimed) -> bool:
        """Make one attempt and note it. Whether the message arrived."""
        attempt = await self._attempt(claimed)
        now = self._clock()
        self._telling.clock(claimed.endpoint.id, attempt.clock, now)
        judged = judge(
            Came(attempt.status, attempt.error, attempt.retry_after),
            Failing(claimed.tries, claimed.created_at, claimed.endpoint.first_failure_at),
            now=now,
            random=random.random(),  # noqa: S311 - spreads the attempts, hides nothing
        )
        finished = await self._note(claimed, attempt, _next_of(judged, claimed, attempt), now)
        if finished is not None:
            self._telling.ended(claimed, judged, disabled=finished.disabled)
        return attempt.delivered

    async def _attempt(self, claimed: Claimed) -> Attempt:
        endpoint, now = claimed.endpoint, int(self._clock())
        try:
            signature = sign(endpoint.scheme, endpoint.secrets, claimed.payload, id=claimed.message_id, now=now)
            return await self._sender.send(endpoint.url, claimed.payload, [*signature, *endpoint.headers])
        except ConfigurationError as error:
            # Addresses, ports or secrets that were allowed when the endpoint was made, and are no longer.
            self._telling.unsendable(claimed, error)
            return Attempt(None, "blocked")
        except Exception as error:  # noqa: BLE001 - one message must not end the worker, nor be tried without a pause
            self._telling.unsendable(claimed, error)
            return Attempt(None, "unsendable")

    async def _note(self, claimed: Claimed, attempt: Attempt, then: Next, now: float) -> Finished | None:
        """Write it, and try again while the outbox is down: what is not written is sent again when the lease is over.
        None if it was not written, or is another worker's by now."""
        pause = FIRST_PAUSE
        while True:
            try:
                return await self._outbox.afinish(claimed, attempt, then, now=now)
            except Exception:  # noqa: BLE001 - whatever it is, the message has been sent
                if self._clock() + pause >= claimed.lease_until:
                    return None
            await sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _next_of(judged: Judged, claimed: Claimed, attempt: Attempt) -> Next:
    """The same in the words of the outbox. An endpoint that nothing has reached is disabled only if that is still so
    when it is written."""
    since = claimed.endpoint.first_failure_at if judged.disable == "failing" else None
    return Next(judged.state, judged.due_at, attempt.error not in OURS, judged.disable, since)
