"""Keys of ed25519 (RFC 8032), version ``v1a`` of Standard Webhooks: a receiver needs no secret, only a public key."""

from __future__ import annotations

from collections.abc import Sequence

from ..exceptions import ConfigurationError

try:
    from cryptography.exceptions import InvalidSignature as NoMatch
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError:
    raise ConfigurationError(
        "keys of ed25519 need the package cryptography: pip install 'keystile[webhooks]'", key="secret"
    ) from None


class PublicKey:
    """A key that verifies and cannot sign."""

    version = "v1a"

    def __init__(self, octets: bytes) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(octets)
        except ValueError:
            raise ConfigurationError("is not a public key of ed25519", key="secret") from None

    def sign(self, *_parts: bytes) -> bytes:
        """A public key signs nothing."""
        raise ConfigurationError("a public key verifies and cannot sign", key="secret")

    def verifies(self, signatures: Sequence[bytes], *parts: bytes) -> bool:
        """See `secrets.Key`."""
        message = b"".join(parts)
        return sum([self._verifies(each, message) for each in signatures]) > 0

    def _verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except NoMatch:
            return False
        return True


class PrivateKey:
    """A key that signs, and verifies what it signed."""

    version = "v1a"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self._public = PublicKey(self._key.public_key().public_bytes_raw())

    def sign(self, *parts: bytes) -> bytes:
        """See `secrets.Key`."""
        return self._key.sign(b"".join(parts))

    def verifies(self, signatures: Sequence[bytes], *parts: bytes) -> bool:
        """See `secrets.Key`."""
        return self._public.verifies(signatures, *parts)
