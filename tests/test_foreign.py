"""Hashes that other programs made: which are read, what proves them, what is too much work."""

from __future__ import annotations

import hashlib
import sys
import threading
from datetime import UTC, datetime
from typing import Any

import argon2
import bcrypt
import pytest
from django.contrib.auth import hashers
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import Argon2Hasher, ConfigurationError, Gate, HmacHasher, _sync
from keystile.keys.existing.foreign import MAX_BCRYPT_COST, MAX_ITERATIONS, AdoptingHasher, plain_digest
from keystile.keys.existing.opaque import OpaqueFormat
from keystile.keys.finding import locate
from keystile.keys.format import Parsed, crc_check
from keystile.model import ApiKey, SecretHash
from keystile.stores.memory import MemoryStore
from tests.doors import Door
from tests.selection import often
from tests.stage import KINDS as KINDS_OF_HOSTS
from tests.stage import PATIENCE, hosting, until

KEY = "Ab12Cd34.0123456789abcdefghijklmnopqrstuv"
RAW = KEY.encode()
PEPPER = b"a pepper of enough bytes"
CHEAP = Argon2Hasher(memory_kib=8, time_cost=1)
HASHERS = [AdoptingHasher(CHEAP), AdoptingHasher(HmacHasher(PEPPER))]


def argon2_of(kind: argon2.Type) -> str:
    return argon2.PasswordHasher(memory_cost=64, time_cost=1, parallelism=2, hash_len=20, type=kind).hash(RAW)


def django(kind: str, **settings: Any) -> str:
    """What Django itself makes."""
    hasher: Any = getattr(hashers, f"{kind}PasswordHasher")()
    vars(hasher).update(settings)
    found: str = hasher.encode(KEY, hasher.salt(), **({"iterations": 1000} if kind == "PBKDF2" else {}))
    return found


@pytest.fixture(scope="module")
def configured() -> None:
    from django.conf import settings as of_django

    if not of_django.configured:
        of_django.configure()


def every_kind() -> dict[str, str]:
    return {
        "sha256": hashlib.sha256(RAW).hexdigest(),
        "SHA256": hashlib.sha256(RAW).hexdigest().upper(),
        "sha512": hashlib.sha512(RAW).hexdigest(),
        "sha512$$": f"sha512$${hashlib.sha512(RAW).hexdigest()}",
        "argon2id": argon2_of(argon2.Type.ID),
        "argon2i": argon2_of(argon2.Type.I),
        "argon2d": argon2_of(argon2.Type.D),
        "bcrypt": bcrypt.hashpw(RAW, bcrypt.gensalt(4)).decode(),
        "bcrypt 2a": bcrypt.hashpw(RAW, bcrypt.gensalt(4, b"2a")).decode(),
        "bcrypt 2y": bcrypt.hashpw(RAW, bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$"),
        "Django pbkdf2": django("PBKDF2"),
        "Django argon2": django("Argon2", memory_cost=64, time_cost=1, parallelism=1),
        "Django bcrypt": django("BCrypt", rounds=4),
        "Django bcrypt_sha256": django("BCryptSHA256", rounds=4),
    }


KINDS = (
    *("sha256", "SHA256", "sha512", "sha512$$", "argon2id", "argon2i", "argon2d", "bcrypt", "bcrypt 2a", "bcrypt 2y"),
    *("Django pbkdf2", "Django argon2", "Django bcrypt", "Django bcrypt_sha256"),
)


@pytest.mark.parametrize("hasher", HASHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_proved_by_its_key_alone(configured: None, kind: str, hasher: AdoptingHasher) -> None:
    stored = hasher.adopt(every_kind()[kind])
    assert hasher.verify(stored, RAW)
    for other in (b"", RAW[:-1], RAW + b"x", RAW.upper(), b"\xff" * 80, RAW + b"\0"):
        assert not hasher.verify(stored, other)


@pytest.mark.parametrize("hasher", HASHERS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_is_hashed_anew_and_keeps_the_event_loop_free(configured: None, kind: str, hasher: AdoptingHasher) -> None:
    stored = hasher.adopt(every_kind()[kind])
    assert hasher.needs_rehash(stored)
    assert hasher.blocks(stored)
    own = hasher.hash(RAW)
    assert not hasher.needs_rehash(own)
    assert hasher.blocks(own) == hasher.blocking
    assert hasher.verify(own, RAW)


@pytest.mark.parametrize("hasher", HASHERS)
@pytest.mark.parametrize("kind", ["sha256", "sha512"])
def test_what_has_no_salt_does_not_stand_in_the_store(kind: str, hasher: AdoptingHasher) -> None:
    digest = hashlib.new(kind, RAW).hexdigest()
    assert digest not in hasher.adopt(digest)
    assert hasher.adopt(digest).startswith(f"$foreign${kind}:$")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "0" * 63,
        "0" * 65,
        "g" * 64,
        f"sha256$${'0' * 128}",
        f"md5$salt${'0' * 32}",
        "$2x$04$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
        "$2b$04$tooshort",
        f"$2b$03${'a' * 53}",
        f"$2b$15${'a' * 53}",
        f"$2b$31${'a' * 53}",
        f"bcrypt_sha256$$2b$15${'a' * 53}",
        f"pbkdf2_sha256$0$salt${'A' * 43}=",
        f"pbkdf2_sha256${MAX_ITERATIONS + 1}$salt${'A' * 43}=",
        f"pbkdf2_sha256${'9' * 11}$salt${'A' * 43}=",
        f"pbkdf2_sha256$1000$${'A' * 43}=",
        f"pbkdf2_sha256$1000${'s' * 129}${'A' * 43}=",
        "pbkdf2_sha256$1000$salt$short",
        f"pbkdf2_sha1$1000$salt${'A' * 27}=",
        "$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=64,t=17,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=640,t=1,p=17$c29tZXNhbHQ$aGFzaGhhc2g",
        "argon2$argon2i$v=19$m=2097152,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=262144,t=5,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=65537,t=16,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        "$argon2id$v=19$m=x,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
        f"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ${'a' * 600}",
        "$hmac-sha256$00$00",
        "$foreign$x",
        "\ud800",
    ],
)
def test_what_is_unknown_or_too_much_work_is_refused_when_imported_and_when_read(text: str) -> None:
    for hasher in HASHERS:
        with pytest.raises(ConfigurationError) as caught:
            hasher.adopt(text)
        assert caught.value.key == "hash"
        assert len(text) < 10 or text not in str(caught.value)
        assert hasher.verify(f"$foreign${text}", RAW) is False


def test_the_bounds_themselves_are_read() -> None:
    hasher = HASHERS[0]
    assert hasher.adopt(f"$2b${MAX_BCRYPT_COST}${'a' * 53}")
    assert hasher.adopt(f"pbkdf2_sha256${MAX_ITERATIONS}$salt${'A' * 43}=")
    assert hasher.adopt("$argon2id$v=19$m=262144,t=4,p=16$c29tZXNhbHQ$aGFzaGhhc2g")
    assert hasher.adopt("$argon2id$v=19$m=65536,t=16,p=16$c29tZXNhbHQ$aGFzaGhhc2g")


@settings(max_examples=often(25, 100))
@given(st.text(max_size=100), st.sampled_from(["", "sha256:", "sha512:", "$2b$04$", "pbkdf2_sha256$1$", "$argon2id$"]))
def test_no_stored_text_makes_it_raise(text: str, begins: str) -> None:
    assert [hasher.verify(f"$foreign${begins}{text}", RAW) for hasher in HASHERS] == [False, False]


def test_bcrypt_proves_no_key_that_is_longer_than_what_it_reads() -> None:
    hasher, long = HASHERS[0], b"k" * 72
    stored = hasher.adopt(bcrypt.hashpw(long, bcrypt.gensalt(4)).decode())
    assert hasher.verify(stored, long)
    assert not hasher.verify(stored, long + b"abc")


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    text = bcrypt.hashpw(RAW, bcrypt.gensalt(4)).decode()
    stored = HASHERS[0].adopt(text)
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    for call in (lambda: HASHERS[0].adopt(text), lambda: HASHERS[0].verify(stored, RAW)):
        with pytest.raises(ConfigurationError, match=r"keystile\[bcrypt\]"):
            call()


@pytest.mark.parametrize(
    ("text", "kind"),
    [("0" * 64, "sha256"), ("0" * 128, "sha512"), (f"SHA256$${'0' * 64}", "sha256"), ("0" * 32, None), ("", None)],
)
def test_a_digest_without_salt_is_told_by_its_length(text: str, kind: str | None) -> None:
    found = plain_digest(text)
    assert (found and found[0]) == kind


def test_of_two_hashes_one_is_proved_and_the_hint_picks_it() -> None:
    store = MemoryStore()
    any_end, own, other = SecretHash("any", ""), SecretHash("own", "wxyz"), SecretHash("other", "0000")

    def picked(*hashes: SecretHash) -> str | None:
        key = ApiKey(id="i", name="n", created_at=datetime.now(UTC), hashes=hashes)
        store._keys["i"] = key
        find = _sync.adapt(store.find, _sync.Pool(1, 1), blocking=False, patience=0)
        located = _sync.run_now(locate(find, [Parsed("unknown", "wxyz"), Parsed("i", "wxyz")], _sync.inline))
        return located and located.secret_hash.hash

    assert picked(any_end, own) == picked(own, any_end) == picked(own, other) == "own"
    assert picked(any_end, other) == picked(other, any_end) == "any"
    assert picked(other) is None


# Through both doors.


def hints(door: Door, key_id: str) -> list[str]:
    return [each.hint for each in door.run(door.gate.keys.aget, key_id).hashes]


@pytest.mark.parametrize("kind", ["sha256", "sha512", "argon2i", "bcrypt", "Django pbkdf2", "Django bcrypt_sha256"])
def test_a_key_of_which_only_the_hash_was_imported_is_admitted_and_then_kept_as_our_own(
    configured: None, door: Door, kind: str
) -> None:
    key_format = OpaqueFormat([PEPPER], separator=".")
    door.open(prefix=None, hasher="argon2id", key_format=key_format)
    public = None if kind.startswith("sha") else "Ab12Cd34"
    key, new = door.run(door.gate.keys.aimport_key, "old", hash=every_kind()[kind], id=public)
    assert new
    assert hints(door, key.id) == [""]
    assert door.get(key=KEY[:-1] + "w").code == "invalid_api_key"
    assert door.get(key=KEY).status == 200
    assert door.host.calls[0].principal.id == key.id
    assert settled(door, key.id, KEY[-4:] if public else "")
    door.open(prefix=None, hasher="argon2id", key_format=key_format)
    assert door.get(key=KEY).status == 200
    assert door.get(key=KEY[:-1] + "w").code == "invalid_api_key"


@pytest.mark.parametrize("kind", KINDS_OF_HOSTS)
def test_100_first_uses_at_once_wait_for_their_proof_whatever_made_the_hashes(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "prefix": "acme",
        "peppers": [PEPPER],
        "hasher": "hmac-sha256",
        "hashing_wait": PATIENCE,
    }
    issued, gate = [Gate(**settings).keys.create("key") for _ in range(100)], Gate(**settings)
    for each in issued:
        stored = bcrypt.hashpw(each.secret.encode(), bcrypt.gensalt(4)).decode()
        gate.keys.import_key("old", hash=stored, id=each.key.id)
    checkpw, may_go = bcrypt.checkpw, threading.Event()

    def held(raw: bytes, stored: bytes) -> bool:
        return may_go.wait(PATIENCE) and checkpw(raw, stored)

    monkeypatch.setattr(bcrypt, "checkpw", held)
    with hosting(kind) as host:
        actors = [host.ask(gate, each.secret, f"192.0.2.{number}") for number, each in enumerate(issued)]
        try:
            until(lambda: gate._order.prover._budget.places.waiting("hashing") == 100 - _sync.worker_count())
        finally:
            may_go.set()
        assert [actor.code for actor in actors] == ["ok"] * 100
        host.close(gate)


def settled(door: Door, key_id: str, hint: str) -> bool:
    """Whether the hash was replaced, off the path of the request. A digest without a salt needs no other."""
    for _ in range(200):
        if hints(door, key_id) == [hint]:
            return True
        assert _sync.settled()
        door.get(key=KEY)
    return False


def test_keys_in_our_own_form_can_be_imported_by_hash_too(door: Door) -> None:
    body = "acme_live_" + "i" * 12 + "0123456789abcdefghijklmnopqrstuv"
    raw = body + crc_check(body.encode())
    stored = bcrypt.hashpw(raw.encode(), bcrypt.gensalt(4)).decode()
    key, _ = door.run(door.gate.keys.aimport_key, "old", hash=stored, id="i" * 12)
    assert key.id == "i" * 12
    assert door.get(key=raw).status == 200
    other = body[:-1] + "w"
    assert door.get(key=other + crc_check(other.encode())).code == "invalid_api_key"


def test_without_the_library_that_key_alone_gets_503(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "acme_live_" + "i" * 12 + "0123456789abcdefghijklmnopqrstuv"
    raw = body + crc_check(body.encode())
    door.run(
        door.gate.keys.aimport_key, "old", hash=bcrypt.hashpw(raw.encode(), bcrypt.gensalt(4)).decode(), id="i" * 12
    )
    other = door.create().secret
    monkeypatch.setitem(sys.modules, "bcrypt", None)
    assert door.get(key=raw).code == "unavailable"
    assert door.get(key=other).status == 200
