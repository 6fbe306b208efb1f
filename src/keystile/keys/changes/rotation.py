"""What a rotation makes of a key's secrets.

A key has two secrets at most: the new one, and the one before it while its grace lasts. So a rotation during the grace
of an earlier one ends the oldest secret at once. The older secret never outlives the end that the key had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from ...model import SecretHash


def rotated(
    hashes: Sequence[SecretHash], new: SecretHash, now: datetime, grace: float, ends: datetime | None
) -> tuple[tuple[SecretHash, ...], bool]:
    """The hashes after a rotation, the new one first, and whether a secret in its grace ended at once.

    Args:
        hashes: those before it.
        new: the hash of the new secret.
        now: the moment.
        grace: for how many seconds the secret before it remains valid.
        ends: when the key was to end, or None.
    """
    newest = current(hashes)
    cut = any(each is not newest and each.expires_at is not None and now < each.expires_at for each in hashes)
    if newest is None or grace == 0:
        return (new,), cut
    end = now + timedelta(seconds=grace)
    return (new, replace(newest, expires_at=end if ends is None else min(end, ends))), cut


def current(hashes: Sequence[SecretHash]) -> SecretHash | None:
    """The newest secret: the one without an end."""
    return next((each for each in hashes if each.expires_at is None), None)
