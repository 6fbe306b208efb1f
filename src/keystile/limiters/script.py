"""The one command of the Redis limiter: how it is built, and how its reply is read.

The arithmetic is in `windows.lua`, the twin of `rules/limits/windows.py`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

from .._ground.redis.cluster import Command
from ..exceptions import ConfigurationError
from ..model import Charge, Charges, Usage
from ..rules.limits.charges import check_costs
from ..rules.limits.packed import MOST, SECOND, slot_of

SCRIPT = resources.files(__package__).joinpath("windows.lua").read_text("utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest().encode()
LOOK, HIT, FORGET, REFUND = range(4)
_HEAD, _WINDOW = struct.Struct("<Bq"), struct.Struct("<qqq")
_PREFIX = "keystile:1:"  # names the layout of the stored value, so that no other layout reads it

# Every request comes through here, and the named tuple's own constructor costs twice as much.
_new = tuple.__new__


def key_of(subject: str) -> bytes:
    """The key that holds a subject's windows. The whole subject is the Cluster hash tag, whatever braces it holds."""
    escaped = subject.replace("%", "%25").replace("}", "%7D")
    return f"{_PREFIX}{{{escaped}}}".encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _packed(charges: Charges) -> bytes:
    check_costs(cost for _, cost in charges)
    parts: list[bytes] = []
    for window, cost in charges:
        name, seconds = slot_of(window)
        slot = seconds.to_bytes(4, "big") + name.encode("utf-8", "surrogatepass")
        parts += _number(window.limit), _number(cost), bytes([window.watching]), len(slot).to_bytes(2, "little"), slot
    if len({slot_of(window) for window, _ in charges}) < len(charges):
        raise ConfigurationError("two windows have the same seconds", key="limits")
    return b"".join(parts)


def _number(number: int) -> bytes:
    """Lua's numbers are exact up to MOST. A larger limit or cost would mean the same."""
    return min(max(number, 0), MOST).to_bytes(7, "little")


def arguments(act: int, subject: str, charges: Sequence[Charge], at: int = 0) -> Command:
    """The command for LOOK, HIT, FORGET or REFUND. REFUND takes back what was counted at that moment."""
    return ("EVALSHA", SHA, b"1", key_of(subject), bytes([act]) + _number(at) + _packed(tuple(charges)))


def usages(reply: object, charges: Sequence[Charge]) -> tuple[Usage, ...]:
    """What the script answered.

    Raises:
        ValueError: this is not an answer of the script.
    """
    if not isinstance(reply, bytes) or len(reply) != _HEAD.size + 24 * len(charges):
        raise ValueError("malformed reply")
    _, at = _HEAD.unpack_from(reply)
    return tuple(
        _new(Usage, (window, remaining, grows / SECOND, None if wait < 0 else wait / SECOND, at))
        for (window, _), (remaining, grows, wait) in zip(charges, _WINDOW.iter_unpack(reply[_HEAD.size :]), strict=True)
    )


def is_unreadable(reply: bytes) -> bool:
    """Whether the subject's key held something that the script did not write, so that the subject starts afresh."""
    return reply[0] == 1
