"""Whether the key that a stream was opened with still is what it was.

The gate has judged the key, whole, when the stream began. Its verdict follows from the record, the request and the
time; of these the record and the time change while a stream lasts. So a stream goes on while the record is the same and
has not expired. After any other change it ends, and the gate judges its client when it comes again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..._sync import Offload
from ...model import ApiKey, Principal

Find = Callable[[Offload, str], Awaitable[ApiKey | None]]


class KeyJudge:
    """Judges one key; the first time, when its stream begins.

    Args:
        find: reads a record.
        admitted: who was admitted; to the older secret of a rotated key, it expires when that secret does.
        clock: Unix seconds.
    """

    def __init__(self, find: Find, admitted: Principal, clock: Callable[[], float]) -> None:
        self._find, self._admitted, self._clock = find, admitted, clock
        self._first: ApiKey | None = None

    async def __call__(self, offload: Offload) -> bool:
        """Whether it may go on."""
        ends = self._admitted.expires_at
        if ends is not None and self._clock() >= ends.timestamp():
            return False
        key = await self._find(offload, self._admitted.id)
        if key is None or key.revoked_at is not None or key.is_suspended:
            return False
        key = replace(key, last_used_at=None, grace_used_at=None)  # its uses change nothing
        if self._first is None:
            if not self._is_admitted(key.principal):
                return False
            self._first = key
        return key == self._first

    def _is_admitted(self, found: Principal) -> bool:
        """Whether it is still who was admitted, a moment ago."""
        was = replace(self._admitted, last_used_at=None, expires_at=found.expires_at)
        return found == was
