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
from ..model import Usage, Window

SCRIPT = resources.files(__package__).joinpath("windows.lua").read_text("utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest().encode()
LOOK, HIT, FORGET, REFUND = range(4)
_SECOND = 1_000_000
_HEAD, _WINDOW = struct.Struct("<Bq"), struct.Struct("<qqq")
# Lua's numbers are exact up to here. A larger limit or cost would mean the same.
_MOST = 2**53
_PREFIX = "keystile:1:"  # names the layout of the stored value, so that no other layout reads it

# Every request comes through here, and the named tuple's own constructor costs twice as much.
_new = tuple.__new__


def key_of(subject: str) -> bytes:
    """The key that holds a subject's windows. The whole subject is the Cluster hash tag, whatever braces it holds."""
    escaped = subject.replace("%", "%25").replace("}", "%7D")
    return f"{_PREFIX}{{{escaped}}}".encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _packed(act: int, windows: tuple[Window, ...], cost: int) -> bytes:
    parts = [bytes([act]), min(cost, _MOST).to_bytes(7, "little")]
    for limit, seconds, scope in windows:
        name = seconds.to_bytes(4, "big") + scope.encode("utf-8", "surrogatepass")
        parts += (min(limit, _MOST).to_bytes(7, "little"), len(name).to_bytes(2, "little"), name)
    if len({(window.scope, window.seconds) for window in windows}) < len(windows):
        raise ConfigurationError("two windows have the same seconds", key="limits")
    return b"".join(parts)


def arguments(act: int, subject: str, windows: Sequence[Window], cost: int, at: int = 0) -> Command:
    """The command for LOOK, HIT, FORGET or REFUND. REFUND takes back what was counted at that moment."""
    packed = _packed(act, tuple(windows), cost)
    if act == REFUND:
        packed = packed[:8] + min(max(at, 0), _MOST).to_bytes(7, "little") + packed[8:]
    return ("EVALSHA", SHA, b"1", key_of(subject), packed)


def usages(reply: object, windows: Sequence[Window]) -> tuple[Usage, ...]:
    """What the script answered.

    Raises:
        ValueError: this is not an answer of the script.
    """
    if not isinstance(reply, bytes) or len(reply) != _HEAD.size + 24 * len(windows):
        raise ValueError("malformed reply")
    _, at = _HEAD.unpack_from(reply)
    return tuple(
        _new(Usage, (window, remaining, grows / _SECOND, None if wait < 0 else wait / _SECOND, at))
        for window, (remaining, grows, wait) in zip(windows, _WINDOW.iter_unpack(reply[_HEAD.size :]), strict=True)
    )


def is_unreadable(reply: bytes) -> bool:
    """Whether the subject's key held something that the script did not write, so that the subject starts afresh."""
    return reply[0] == 1
