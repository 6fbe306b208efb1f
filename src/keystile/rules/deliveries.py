"""When a message is sent again, what an outcome means, and when an endpoint is given up.

Standard Webhooks: only 2xx is success, 410 ends the endpoint, everything else is tried again for three days. Svix,
whose server is the field's reference: jitter of a fifth, `Retry-After` within bounds, and an endpoint is disabled when
nothing arrived for five days.
"""

from __future__ import annotations

from collections.abc import Collection
from statistics import median
from typing import Literal, NamedTuple

SECOND, MINUTE, HOUR, DAY = 1.0, 60.0, 3600.0, 86_400.0
SCHEDULE = (
    *(0.0, 5 * SECOND, 5 * MINUTE, 30 * MINUTE),
    *(2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR),
)
"""Seconds from one attempt to the next: the first at once, the tenth, which is the last, about 76 hours after it."""
JITTER = 0.2
"""The part by which a pause is made longer or shorter, or everybody who failed together would come back together."""
GIVEN_UP, SPAN = 5 * DAY, 12 * HOUR
"""An endpoint is disabled when nothing arrived for the first, and a message has failed for longer than the second: two
failures that are days apart say little."""
DRIFT = 150.0
"""Seconds by which the clocks of others may differ from ours: half of what receivers bear."""

State = Literal["done", "due", "failed"]


class Came(NamedTuple):
    """What came of an attempt.

    Attributes:
        status: of the answer, or None.
        error: why no answer came, or None.
        retry_after: seconds for which the other side asks to be left alone, or None.
    """

    status: int | None
    error: str | None = None
    retry_after: int | None = None


class Failing(NamedTuple):
    """What is known of a message and its endpoint when an attempt has ended.

    Attributes:
        number: of the attempt, from 1.
        sent_first: when the message was added, in Unix seconds.
        failing_since: of the endpoint: its first failure since something arrived; None for none.
    """

    number: int
    sent_first: float
    failing_since: float | None = None


class Judged(NamedTuple):
    """What an attempt means.

    Attributes:
        state: of the delivery: ``"done"``, ``"due"`` again, or ``"failed"`` for good.
        due_at: when it is due again, in Unix seconds, or None.
        reason: why it has failed: ``"gone"``, ``"blocked"``, ``"exhausted"``; or None.
        disable: why the endpoint is to be disabled: ``"gone"`` or ``"failing"``; or None.
    """

    state: State
    due_at: float | None = None
    reason: str | None = None
    disable: str | None = None


def judge(came: Came, failing: Failing, *, now: float, random: float) -> Judged:
    """What an attempt means for its delivery and for the endpoint.

    Args:
        came: what came of it.
        failing: what is known of the message and its endpoint.
        now: Unix seconds.
        random: from 0 to 1, drawn for this attempt.
    """
    if came.status is not None and 200 <= came.status < 300:
        return Judged("done")
    if came.status == 410:
        return Judged("failed", reason="gone", disable="gone")
    if came.error == "blocked":
        # Where it leads will not become public by waiting, and each look would tell the outside something new.
        return Judged("failed", reason="blocked", disable=_disabled(failing, now))
    if failing.number >= len(SCHEDULE):
        return Judged("failed", reason="exhausted", disable=_disabled(failing, now))
    due_at = now + pause(failing.number, came.retry_after, random)
    return Judged("due", due_at, disable=_disabled(failing, now))


def pause(number: int, retry_after: int | None, random: float) -> float:
    """Seconds from attempt `number` to the next.

    What the other side asks for counts as long as it is no sooner than ours and at most twice as long: it may slow us
    down, but neither hurry us nor have us forget the message.
    """
    base = SCHEDULE[number]
    if retry_after is not None:
        return min(max(float(retry_after), base), 2 * base)
    return base * (1 - JITTER + 2 * JITTER * random)


def drift(offsets: Collection[float]) -> float | None:
    """By how many seconds our clock seems to be wrong, from how far the clocks of others are ahead of it; None if it
    agrees with most of them. One other clock may be wrong itself, so most of them decide."""
    if not offsets:
        return None
    middle = median(offsets)
    return middle if abs(middle) > DRIFT else None


def _disabled(failing: Failing, now: float) -> str | None:
    since = failing.failing_since
    long = since is not None and now - since >= GIVEN_UP and now - failing.sent_first > SPAN
    return "failing" if long else None
