"""Whether a request is sent again, and after how long. No input or output here.

A client waits only if it is told how long. A server that does not say, such as a gate with a limit of 0, may never have
room, and asking again would only add to its load.

429 says that the request was refused before it was handled. A gate refuses before the app runs, so nothing was done,
and any method is sent again. 503 may come from an app that had begun, or from a proxy in front: nobody can tell from
the answer. So after 503 only methods are sent again that may arrive twice (RFC 9110 section 9.2.2), and requests with
an ``Idempotency-Key``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from random import random
from typing import Any, NamedTuple
from weakref import ReferenceType, ref

from .._ground.checks import check_between, check_seconds
from .shapes import Response
from .waits import told

EXTENSION = "keystile.spent"
IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"))


@dataclass(frozen=True, slots=True)
class Retry:
    """Bounds of asking again.

    Args:
        attempts: how often a request is sent at most, from 1 (never again) to 100.
        longest_wait: seconds. If a server says more, its answer is returned at once.
        whole_time: seconds from the first attempt, those of redirects included. A wait that would not end within it is
            not begun.
        jitter: seconds that are added to the first wait at most, by chance. Doubled for each wait after it. So clients
            that were refused together do not come back together, and none earlier than it was told.

    Raises:
        ConfigurationError: a number is out of its range; seconds are from 0 to 3600.
    """

    attempts: int = 4
    longest_wait: float = 60.0
    whole_time: float = 120.0
    jitter: float = 1.0

    def __post_init__(self) -> None:
        check_between(self.attempts, 1, 100, "attempts")
        for name in ("longest_wait", "whole_time", "jitter"):
            check_seconds(getattr(self, name), name)


class Spent(NamedTuple):
    """What the attempts of a request took. Redirects have it too, so that their waits have one bound in all.

    Attributes:
        request: whose attempts they were. If it is sent once more as a whole, nothing is spent.
        seconds: those of the requests that redirects came from are among them.
    """

    request: ReferenceType[Any]
    seconds: float


class Attempts:
    """The attempts of one request.

    Args:
        retry: the bounds.
        request: of either library, as the client sends it.
        clock: seconds that never run backwards.
    """

    def __init__(self, retry: Retry, request: Any, clock: Callable[[], float]) -> None:
        before = request.extensions.get(EXTENSION)
        spent = before.seconds if isinstance(before, Spent) and before.request() is not request else 0.0
        self._retry, self._clock, self._begun, self._made = retry, clock, clock() - spent, 0
        self._request = request
        self._again = _can_be_sent_again(request)
        self._twice = request.method in IDEMPOTENT or bool(request.headers.get("idempotency-key"))

    def pause(self, response: Response) -> float | None:
        """Seconds until the next attempt, or None if this answer is the last."""
        self._made += 1
        if 300 <= response.status_code < 400:
            spent = Spent(ref(self._request), self._clock() - self._begun)
            self._request.extensions = {**self._request.extensions, EXTENSION: spent}
        if self._made >= self._retry.attempts or not self._again:
            return None
        if response.status_code != 429 and not (response.status_code == 503 and self._twice):
            return None
        wait = told(response.headers, time.time())
        most = min(self._retry.longest_wait, self._retry.whole_time - (self._clock() - self._begun))
        if wait is None or wait > most:
            return None
        spread = self._retry.jitter * 2.0 ** (self._made - 1)
        return min(wait + random() * spread, most)  # noqa: S311 - spreads clients, hides nothing


def _can_be_sent_again(request: Any) -> bool:
    """Whether the body is octets and not a stream, which may be at its end when the first attempt is."""
    try:
        return request.content is not None
    except RuntimeError:  # it was never read as a whole
        # What a redirect made of a request without a body.
        return "content-length" not in request.headers and "transfer-encoding" not in request.headers
