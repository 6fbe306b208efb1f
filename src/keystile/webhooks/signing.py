"""Sign a message, and verify one: plain functions on octets. The clock is the caller's.

What is signed is the body as it goes over the wire, never what a parser made of it. A signature is compared in constant
time, with every secret and every signature of the message, however many have matched before; the time of a message is
judged after its signature, so that the time of the answer tells nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..exceptions import ConfigurationError, InvalidSignature
from .schemes import VERSIONS, Claim, Scheme
from .secrets import Key, Secret

Headers = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
"""Headers as clients and frameworks keep them: a mapping, or pairs of name and value."""


class Received(NamedTuple):
    """A message whose signature is right.

    Attributes:
        id: its id, or None if the scheme has none. It is the same each time that the sender tries again.
        timestamp: when it was signed, in Unix seconds, or None if the scheme has no time.
        secret_index: which of the secrets it was signed with, counted from 0 in the order in which they were given.
    """

    id: str | None
    timestamp: int | None
    secret_index: int


def sign(
    scheme: Scheme, secrets: Sequence[Secret], body: bytes, *, now: int, id: str | None = None
) -> list[tuple[str, str]]:
    """The headers that a message is sent with.

    Args:
        scheme: how it is signed.
        secrets: what it is signed with. All sign, so that a receiver can replace its secret in its own time.
        body: the octets that are sent.
        now: Unix seconds, whole.
        id: the message's id, for `standard`: the same each time that it is sent.

    Returns:
        Names and values.

    Raises:
        ConfigurationError: a secret is none for this scheme, the id is missing or has not its form, or the body is not
            octets.
    """
    _check_octets(body)
    if isinstance(now, bool) or not isinstance(now, int) or not 0 <= now < 10**12:
        raise ConfigurationError("expected whole Unix seconds", key="now")
    return scheme.write(scheme.keys(secrets), body, id, now)


def verify(scheme: Scheme, secrets: Sequence[Secret], headers: Headers, body: bytes, *, now: float) -> Received:
    """Who signed a message, and when.

    Args:
        scheme: how it is signed.
        secrets: each of them is accepted.
        headers: all headers of the request, every line of each.
        body: its octets as they were received.
        now: Unix seconds.

    Raises:
        InvalidSignature: whatever is wrong with the message.
        ConfigurationError: a secret is none for this scheme, or the body is not octets.
    """
    _check_octets(body)
    claim = scheme.read(lines_of(headers, scheme.headers))
    return proved(claim, scheme.keys(secrets), body, now, scheme.tolerance)


def proved(claim: Claim, keys: Sequence[Key], body: bytes, now: float, tolerance: float) -> Received:
    """What `verify` returns or raises, for headers that were read and keys that were made."""
    by_version = {version: [each for name, each in claim.signatures if name == version] for version in VERSIONS}
    judged = [key.verifies(by_version[key.version], claim.before, body) for key in keys]
    matching = [index for index, matches in enumerate(judged) if matches]
    if not matching:
        raise InvalidSignature("no signature matches")
    if claim.timestamp is not None and abs(int(now) - claim.timestamp) > tolerance:
        raise InvalidSignature(f"it was signed {int(now) - claim.timestamp} seconds ago: too far from now")
    return Received(claim.id, claim.timestamp, matching[0])


def lines_of(headers: Headers, wanted: Sequence[str]) -> dict[bytes, list[bytes]]:
    """The lines of these headers, by their lower-case names.

    Raises:
        InvalidSignature: a value is no header's: it has characters that no octet stands for.
    """
    names = {name.encode(): name for name in wanted}
    found: dict[bytes, list[bytes]] = {}
    pairs: Iterable[tuple[str | bytes, str | bytes]] = headers.items() if isinstance(headers, Mapping) else headers
    for name, value in pairs:
        lowered = (name.encode("latin-1", "replace") if isinstance(name, str) else bytes(name)).lower()
        if lowered in names:
            found.setdefault(lowered, []).append(_octets(value))
    return found


def _octets(value: str | bytes) -> bytes:
    if not isinstance(value, str):
        return bytes(value)
    try:
        return value.encode("latin-1")
    except UnicodeEncodeError:
        raise InvalidSignature("a header holds what is no octet") from None


def _check_octets(body: object) -> None:
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise ConfigurationError(
            f"expected the octets as they were received or will be sent, got {type(body).__name__}", key="body"
        )
