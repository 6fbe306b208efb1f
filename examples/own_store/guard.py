"""A gate over a table of users that was there before: `Users.find` is all that it asks of it."""

import hmac
import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from hashlib import sha256

from keystile import ApiKey, Gate, Plan
from keystile.keys.format import Parsed
from keystile.model import SecretHash


class Users:
    """Finds keys, reads tokens ("17.9f86d0…") and proves them: tokens are kept by their SHA-256."""

    blocking = False
    QUERY = "SELECT email, plan, created_at, disabled_at, token_sha256 FROM users WHERE id = ?"

    def find(self, key_id: str) -> ApiKey | None:
        with closing(sqlite3.connect(os.environ["USERS"])) as users:
            row = users.execute(self.QUERY, (key_id,)).fetchone()
        if row is None:
            return None
        made, ended = (moment and datetime.fromisoformat(moment) for moment in row[2:4])
        secret = SecretHash(row[4], hint="")
        return ApiKey(id=key_id, name=row[0], plan=row[1], created_at=made, suspended_at=ended, hashes=(secret,))

    def parse(self, raw: bytes) -> Parsed | None:
        shaped = re.fullmatch(rb"([1-9][0-9]{0,9})\.[0-9a-f]{40}", raw)
        return Parsed(shaped[1].decode(), hint="") if shaped else None

    def hash(self, raw: bytes) -> str:
        return sha256(raw).hexdigest()

    def verify(self, stored: str, raw: bytes) -> bool:
        return hmac.compare_digest(stored, self.hash(raw))

    def needs_rehash(self, _stored: str) -> bool:
        return False

    def decoy(self) -> str:
        return "0" * 64

    def mint(self, _environment: str, _draw: Callable[[int], str]) -> str:
        raise NotImplementedError("the app makes its own tokens")


users = Users()
gate = Gate(users, key_format=users, hasher=users, plans={"free": Plan("60/minute"), "pro": Plan("1000/minute")})
