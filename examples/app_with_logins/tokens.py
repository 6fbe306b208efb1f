"""The logins that the service has had for years: JSON web tokens, HS256, in `Authorization: Bearer`."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any

SECRET = b"only the service knows this"
PEOPLE = {"ada": "lovelace", "grace": "hopper"}
HEAD = urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=").decode()


def token_for(name: str, seconds: float = 3600, **claims: Any) -> str:
    """A token that says who somebody is, for so long."""
    said = json.dumps({"sub": name, "exp": time.time() + seconds, **claims}).encode()
    body = f"{HEAD}.{urlsafe_b64encode(said).rstrip(b'=').decode()}"
    return f"{body}.{_signature(body)}"


def person_of(authorization: str | None) -> str | None:
    """Who a header says that somebody is; None if it is no token of ours, or too old."""
    scheme, _, token = (authorization or "").partition(" ")
    body, _, signature = token.rpartition(".")
    if scheme != "Bearer" or not compare_digest(signature.encode(), _signature(body).encode()):
        return None
    claims = json.loads(urlsafe_b64decode(body.partition(".")[2] + "=="))
    return claims["sub"] if claims["exp"] > time.time() else None


def _signature(body: str) -> str:
    return urlsafe_b64encode(digest(SECRET, body.encode(), sha256)).rstrip(b"=").decode()
