"""What messages are signed with: a text or octets that somebody gave, and the key that a scheme makes of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Protocol

from .._ground.frozen import HiddenBytes, HiddenText
from ..exceptions import ConfigurationError

SHARED, PRIVATE, PUBLIC = "whsec_", "whsk_", "whpk_"
"""The prefixes that Standard Webhooks gives a shared secret, a private key of ed25519 and a public one."""

LEAST, MOST = 24, 64
"""The bytes of a shared secret in Standard Webhooks."""
LEAST_TEXT = 16

_LENGTHS = {SHARED: (LEAST, MOST), PRIVATE: (32, 32), PUBLIC: (32, 32)}

_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}")


class Key(Protocol):
    """A key that signs or verifies in one version of a scheme.

    Attributes:
        version: the version's name, as it stands before a signature: ``v1``, ``v1a``.
    """

    version: str

    def sign(self, *parts: bytes) -> bytes:
        """The signature of these octets one after the other."""

    def verifies(self, signatures: Sequence[bytes], *parts: bytes) -> bool:
        """Whether one of these is the signature of these octets. The time that it takes does not depend on which, nor
        on how much of one is right."""


class HmacKey:
    """HMAC-SHA256 (RFC 2104)."""

    version = "v1"

    def __init__(self, secret: bytes) -> None:
        self._secret = HiddenBytes(secret)

    def sign(self, *parts: bytes) -> bytes:
        """See `Key`."""
        mac = hmac.new(self._secret, digestmod=hashlib.sha256)
        for part in parts:
            mac.update(part)
        return mac.digest()

    def verifies(self, signatures: Sequence[bytes], *parts: bytes) -> bool:
        """See `Key`."""
        right = self.sign(*parts)
        return sum([hmac.compare_digest(right, each) for each in signatures]) > 0


class Secret:
    """A secret that messages are signed with. Its repr hides it.

    Args:
        value: octets; or text: ``whsec_`` and base64, as Standard Webhooks writes it, or any other text that a service
            gave out. What it means depends on the scheme: Stripe uses a text with ``whsec_`` as it is.

    Raises:
        ConfigurationError: it is neither text nor octets, or empty.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes) -> None:
        if not isinstance(value, (str, bytes)):
            raise ConfigurationError(f"expected text or octets, got {type(value).__name__}", key="secret")
        if not value:
            raise ConfigurationError("is empty", key="secret")
        self._value = HiddenText(value) if isinstance(value, str) else HiddenBytes(value)

    def __repr__(self) -> str:
        return "Secret(<hidden>)"

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not pickled: what holds it would be a file with a secret")

    def plain_key(self) -> Key:
        """The key for schemes that use a secret as it is.

        Raises:
            ConfigurationError: it has less than 16 bytes.
        """
        octets = HiddenBytes(
            self._value if isinstance(self._value, bytes) else self._value.encode(errors="surrogatepass")
        )
        if len(octets) < LEAST_TEXT:
            raise ConfigurationError(f"expected at least {LEAST_TEXT} bytes", key="secret")
        return HmacKey(octets)

    def standard_key(self) -> Key:
        """The key for Standard Webhooks.

        Raises:
            ConfigurationError: it is a text that does not begin as Standard Webhooks says, is not base64, or has
                another length than it should.
        """
        prefix, octets = _parts(self._value)
        if prefix not in _LENGTHS:
            raise ConfigurationError(f"expected {SHARED!r} and base64, or octets", key="secret")
        if octets is None:
            raise ConfigurationError("what follows the prefix is not base64 in its standard alphabet", key="secret")
        if prefix == PRIVATE and len(octets) == 64:
            octets = HiddenBytes(octets[:32])  # some write the public key behind the private one
        least, most = _LENGTHS[prefix]
        if not least <= len(octets) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise ConfigurationError(f"expected {wanted} bytes, got {len(octets)}", key="secret")
        if prefix == SHARED:
            return HmacKey(octets)
        from .ed25519 import PrivateKey, PublicKey

        return (PrivateKey if prefix == PRIVATE else PublicKey)(octets)


def _parts(value: str | bytes) -> tuple[str, HiddenBytes | None]:
    """The prefix of a secret, and its octets; None if they are not written as base64 is. It raises nothing: a
    traceback would hold the text."""
    if isinstance(value, bytes):
        return SHARED, HiddenBytes(value)
    prefix, separator, text = value.partition("_")
    stripped = text.rstrip("=")
    try:
        octets = base64.b64decode(stripped + "=" * (-len(stripped) % 4), validate=True)
    except ValueError:
        octets = b""
    right = _BASE64.fullmatch(text) and base64.b64encode(octets).decode().rstrip("=") == stripped
    return prefix + separator, HiddenBytes(octets) if right else None
