"""Was this sent by GitHub? ECDSA on P-256 over SHA-256 of the raw body, the signature in DER, in base64.

The public keys are fetched when a request names one that is not known, at most once a minute, and once a day; with the
ETag, so that GitHub need not send again what has not changed. A stranger who names keys that do not exist causes no
more than that.
"""

from __future__ import annotations

import base64
import binascii
import json
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

from .._sync import Offload, Pool, SingleFlight
from ..exceptions import ConfigurationError, KeystileError

GITHUB_KEYS = "https://api.github.com/meta/public_keys/secret_scanning"
FETCH_EVERY, FETCH_ANYWAY, FETCH_WITHIN = 60.0, 86_400.0, 5.0
MOST_OCTETS, MOST_KEYS = 1_048_576, 64
# Two integers of at most 33 octets, with their heads, are 72 octets: 96 characters.
MOST_SIGNATURE, MOST_IDENTIFIER = 200, 200


class Fetched(NamedTuple):
    """What came from where the public keys are.

    Attributes:
        body: the JSON document.
        etag: its ETag, or None.
    """

    body: bytes
    etag: str | None = None


Fetch = Callable[[str | None], Fetched | None]
"""Gets the public keys. Takes the ETag of the last ones, or None; gives None if they have not changed since. May block,
and may raise anything."""


class KeysUnavailable(KeystileError):
    """The public keys cannot be fetched, so nobody can say who sent this."""


class PublicKeys:
    """The public keys of GitHub, by identifier.

    Args:
        fetch: gets them.
        clock: seconds that never run backwards.
    """

    def __init__(self, fetch: Fetch, clock: Callable[[], float] = time.monotonic) -> None:
        self._fetch, self._clock = fetch, clock
        self._keys: Mapping[str, Any] = {}
        self._etag: str | None = None
        self._failed = False
        self._next = self._anyway = float("-inf")
        self._pool, self._flights = Pool(1, 64), SingleFlight()

    async def find(self, identifier: str, offload: Offload) -> Any:
        """The public key with this identifier, or None.

        Raises:
            KeysUnavailable: it is not known, and cannot be asked for now.
        """
        now = self._clock()
        if identifier not in self._keys or now >= self._anyway:
            if now >= self._next:  # which is so until a fetch that is under way has ended: all wait for that one
                await self._flights.run("fetch", offload, partial(self._refresh, now, offload))
            if identifier not in self._keys and self._failed:
                raise KeysUnavailable
        return self._keys.get(identifier)

    async def _refresh(self, now: float, offload: Offload) -> None:
        if now < self._next:
            return
        try:
            fetched = await offload.run(self._pool, self._fetch, self._etag)
            if fetched is not None:
                self._keys, self._etag = read_keys(fetched.body), fetched.etag
        except Exception:  # noqa: BLE001 - whatever happens on the way: the old keys stay
            self._failed = True
        else:
            self._failed, self._anyway = False, now + FETCH_ANYWAY
        self._next = now + FETCH_EVERY


def read_keys(body: bytes) -> Mapping[str, Any]:
    """The P-256 keys of GitHub's document, by identifier; others are left out.

    Raises:
        ValueError: it is not such a document.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if len(body) > MOST_OCTETS:
        raise ValueError("the document is too long")
    found = {}
    for each in _listed(body)[:MOST_KEYS]:
        try:
            key = load_pem_public_key(each["key"].encode())
        except (KeyError, TypeError, AttributeError, ValueError, UnsupportedAlgorithm):
            continue
        is_p256 = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
        if is_p256 and isinstance(each.get("key_identifier"), str):
            found[each["key_identifier"]] = key
    return found


def _listed(body: bytes) -> list[Any]:
    try:
        listed = json.loads(body)["public_keys"]
    except (KeyError, TypeError, RecursionError):
        raise ValueError("it has no list of public keys") from None
    if not isinstance(listed, list):
        raise ValueError("it has no list of public keys")  # noqa: TRY004 - of a document, not of an argument
    return listed


def is_signed(key: Any, signature: str, body: bytes) -> bool:
    """Whether the owner of this public key signed these octets.

    DER is read by the library: an integer in it may be shorter than the curve's 32 octets.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256

    if len(signature) > MOST_SIGNATURE:
        return False
    try:
        key.verify(base64.b64decode(signature, validate=True), body, ec.ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def needed() -> None:
    """Check that the library for signatures is there.

    Raises:
        ConfigurationError: it is not.
    """
    try:
        import cryptography  # noqa: F401 - only whether it is there
    except ImportError:
        raise ConfigurationError("signatures need a library: install keystile[leaks]", key="leaks") from None


def fetch_from(url: str) -> Fetch:
    """Gets the public keys over HTTP, in a few seconds or not at all.

    Raises:
        ConfigurationError: the library for it is missing.
    """
    try:
        import httpx2
    except ImportError:
        reason = "fetching needs a library: install keystile[leaks], or give a function of your own"
        raise ConfigurationError(reason, key="fetch") from None

    def fetch(etag: str | None) -> Fetched | None:
        headers = {"accept": "application/json"} | ({} if etag is None else {"if-none-match": etag})
        until = time.monotonic() + FETCH_WITHIN
        with httpx2.stream("GET", url, headers=headers, timeout=FETCH_WITHIN, follow_redirects=False) as answer:
            if answer.status_code == 304:
                return None
            answer.raise_for_status()
            body = bytearray()
            for chunk in answer.iter_bytes(65_536):
                body += chunk
                if len(body) > MOST_OCTETS or time.monotonic() > until:
                    raise ValueError("the document is too long, or too slow")
            return Fetched(bytes(body), answer.headers.get("etag"))

    return fetch
