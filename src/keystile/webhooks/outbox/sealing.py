"""Secrets at rest: AES-256-GCM (NIST SP 800-38D) under a key that is not in the database.

What is sealed is bound to its row: a sealed text that somebody copies to another endpoint cannot be opened there. The
nonce has 96 random bits; one key is good for 2**32 of them, far more than there are secrets.
"""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterable, Mapping

from ..._ground.frozen import HiddenBytes, HiddenText
from ...exceptions import ConfigurationError

try:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
except ImportError as error:
    raise ImportError("the outbox needs cryptography: pip install 'keystile[webhooks]'") from error

KEY_VARIABLE = "KEYSTILE_WEBHOOK_KEY"
_FORM, _NONCE, _BYTES = "v1.", 12, 32


def new_key() -> str:
    """A key for `Seal`, as text."""
    return base64.urlsafe_b64encode(secrets.token_bytes(_BYTES)).decode()


class Seal:
    """Seals texts and opens them.

    Args:
        keys: the first one seals, each of them opens: so a key is replaced while what it sealed is still there. Each is
            base64 of 32 bytes. None takes those that ``KEYSTILE_WEBHOOK_KEY`` names, separated by commas.
        environ: used in place of ``os.environ``.

    Raises:
        ConfigurationError: there is no key, or one of them is none. Nothing is ever kept in plain text instead.
    """

    def __init__(self, keys: str | Iterable[str] | None, environ: Mapping[str, str] | None = None) -> None:
        given = (os.environ if environ is None else environ).get(KEY_VARIABLE, "") if keys is None else keys
        listed = [HiddenText(each.strip()) for each in given.split(",")] if isinstance(given, str) else list(given)
        if not any(listed):
            raise ConfigurationError(
                f"is missing, and so is {KEY_VARIABLE}: the secrets of endpoints are never kept in plain text; make "
                "a key with `keystile webhooks key`",
                key="key",
            )
        self._ciphers = [AESGCM(_octets(each)) for each in listed]

    def __repr__(self) -> str:
        return "Seal(<hidden>)"

    def closed(self, text: str, row: str) -> str:
        """The text, sealed for this row."""
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._ciphers[0].encrypt(nonce, HiddenBytes(text.encode()), row.encode())
        return _FORM + base64.b64encode(nonce + sealed).decode()

    def opened(self, sealed: str, row: str) -> HiddenText | None:
        """The text; None if it was not sealed with one of these keys for this row."""
        try:
            octets = base64.b64decode(sealed.removeprefix(_FORM), validate=True)
        except ValueError:
            return None
        if not sealed.startswith(_FORM) or len(octets) <= _NONCE:
            return None
        for cipher in self._ciphers:
            try:
                return HiddenText(cipher.decrypt(octets[:_NONCE], octets[_NONCE:], row.encode()).decode())
            except InvalidTag:
                continue
        return None


def _octets(text: str) -> HiddenBytes:
    try:
        stripped = HiddenText(text.rstrip("="))
        octets = HiddenBytes(base64.b64decode(stripped + "=" * (-len(stripped) % 4), altchars=b"-_", validate=True))
    except (ValueError, AttributeError, TypeError):
        octets = HiddenBytes()
    if len(octets) != _BYTES:
        raise ConfigurationError(
            f"expected base64 of {_BYTES} bytes, as `keystile webhooks key` makes it", key="key"
        ) from None
    return octets
