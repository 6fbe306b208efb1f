"""The Redis script, told the time by its caller, so that its decisions can be compared with those of the rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keystile.limiters.redis import RedisLimiter
from keystile.limiters.script import SCRIPT, arguments, is_unreadable, usages
from keystile.model import Charge, Usage


def with_clock_as_argument() -> str:
    """The script with the time in microseconds as one more argument, and with keys that never expire: only the
    arithmetic is left."""
    parts = {
        "redis.call('TIME')": "{0, tonumber(ARGV[2])}",
        "math.ceil((ends - clock) / 1000) + 1": "10 ^ 9",
    }
    text = SCRIPT
    for part, other in parts.items():
        assert text.count(part) == 1
        text = text.replace(part, other)
    return text


class ClockedRedisLimiter(RedisLimiter):
    """A `RedisLimiter` on a clock of the test's.

    Args:
        url: of the server.
        clock: nanoseconds since 1970.
    """

    def __init__(self, url: str, clock: Callable[[], int]) -> None:
        # What is compared is not how long an answer takes.
        super().__init__(url, socket_timeout=20, socket_connect_timeout=20)
        self._clock, self._sha = clock, self._links.client("").script_load(with_clock_as_argument())

    def _ask(self, act: int, subject: str, charges: Sequence[Charge], at: int = 0) -> tuple[Usage, ...]:
        command = arguments(act, subject, charges, at)[2:]
        reply = self._links.client("").execute_command("EVALSHA", self._sha, *command, self._clock() // 1000)
        if is_unreadable(reply):
            self.on_unreadable(subject)
        return usages(reply, charges)
