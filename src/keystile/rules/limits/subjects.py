"""Names for callers that are counted together. No two callers share one, whatever characters their ids hold."""

from __future__ import annotations

from functools import lru_cache

from ..network import addresses

ANONYMOUS = "ip:"
"""The prefix of subjects that stand for an address alone. `subject` never makes a name with it."""


@lru_cache(maxsize=65_536)
def subject(*parts: str) -> str:
    """A name that is different for different parts: ``("a/b", "c")`` and ``("a", "b/c")`` do not collide."""
    return "".join([f"{len(part)}:{part}" for part in parts])


def anonymous_subject(address: str | None) -> str:
    """A name for a caller known only by address: IPv6 by its /64; all callers without an address share one name.

    Args:
        address: an IP address as text.
    """
    found = addresses.parse(address)
    if found is None:
        return ANONYMOUS
    version, number = found
    return f"{ANONYMOUS}{number:x}" if version == 4 else f"{ANONYMOUS}{number >> 64:x}/64"


def guessing_subjects(address: str | None) -> tuple[str, ...]:
    """Names for the networks whose wrong keys are counted together, the narrowest first: IPv6 by /64, /56 and /48.

    A /64 is one network. Homes and small sites have a /56, 256 of them; larger sites a /48 (RFC 6177, RIPE-690).

    Args:
        address: an IP address as text.
    """
    found = addresses.parse(address)
    if found is None or found.version == 4:
        return (anonymous_subject(address),)
    return tuple(f"{ANONYMOUS}{found.number >> (128 - length):x}/{length}" for length in (64, 56, 48))
