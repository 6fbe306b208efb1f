"""The parts of a server's secret, one for each use: here is every label that there is.

A MAC that was made for one use is worth nothing for another, because each use has a key of its own, made of the secret
and the label of the use.

Two uses have none and are keyed by the secret itself, as keys and records that exist were made so: the check in a key
(`keys.format`) and `keys.hashing.HmacHasher`. The one takes the MAC of a key without its check, the other that of a
whole key, or of the 32 or 64 octets of its digest. No label is any of these: it has a space. So no such MAC is a part.
"""

from __future__ import annotations

import hashlib
import hmac

OPAQUE_LOOKUP = b"keystile: opaque look-up"
QUICK_PROOF = b"keystile: quick proof"
CURSOR = b"keystile cursor 1"
LABELS = (OPAQUE_LOOKUP, QUICK_PROOF, CURSOR)


def subkey(secret: bytes, label: bytes) -> bytes:
    """The part of a secret for the use with this label."""
    return hmac.digest(secret, label, hashlib.sha256)
