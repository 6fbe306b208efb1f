"""Keys at rest: what proves a hash, what is not even tried, and what is remembered of a proof."""

from __future__ import annotations

import gc
import random
import re
import threading
from typing import Any

import argon2
import argon2.low_level
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import Argon2Hasher, ConfigurationError, HmacHasher
from keystile.keys.hashing import MAX_FILLED_KIB, MAX_LANES, MAX_MEMORY_KIB, MAX_TIME, Hasher, Proof, ProofCache

RAW = b"acme_live_0123456789ab"
PEPPER = b"a pepper of enough bytes"
CHEAP = Argon2Hasher(memory_kib=8, time_cost=1)
HASHERS: list[Hasher] = [CHEAP, HmacHasher(PEPPER)]
# What a store may hold instead of a hash, by accident or because somebody edited it.
GARBAGE = [
    "",
    "$",
    "secret",
    "$argon2id$",
    "$argon2id$v=19$m=8,t=1,p=1$$",
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ",
    "$argon2id$v=19$m=8,t=1$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=x,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=x$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m,t,p$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=0,t=0,p=0$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=-8,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=" + "9" * 5000 + ",t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$!!!!",
    "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$hash\x00",
    "$argon2id$v=19$m=8,t=1,p=1$sälz$häsh",
    "$argon2id$v=19$m=8,t=1,p=1$\ud800$aGFzaGhhc2g",
    "$2b$12$abcdefghijklmnopqrstuv",
    "$hmac-sha256$",
    "$hmac-sha256$00",
    "$hmac-sha256$ä",
    "\ud800",
    RAW.decode(),
]


def phc(kind: argon2.low_level.Type) -> str:
    """RAW, hashed rightly by another variant of argon2."""
    salt = b"some salt of 16b"
    return argon2.low_level.hash_secret(
        RAW, salt, time_cost=1, memory_cost=8, parallelism=1, hash_len=32, type=kind
    ).decode()


@pytest.mark.parametrize("hasher", HASHERS)
def test_a_key_proves_its_own_hash_and_no_other_key_does(hasher: Hasher) -> None:
    stored = hasher.hash(RAW)
    assert hasher.verify(stored, RAW)
    for other in (b"", RAW[:-1], RAW + b"x", RAW.upper(), RAW + b"\x00", b"\xff" * 80):
        assert not hasher.verify(stored, other)


@pytest.mark.parametrize("hasher", HASHERS)
def test_every_octet_of_a_long_key_counts(hasher: Hasher) -> None:
    stored = hasher.hash(b"k" * 200)
    assert hasher.verify(stored, b"k" * 200)
    assert not hasher.verify(stored, b"k" * 199 + b"x")


@pytest.mark.parametrize("hasher", HASHERS)
def test_the_stored_form_holds_nothing_of_the_key(hasher: Hasher) -> None:
    assert RAW.decode() not in hasher.hash(RAW)
    assert RAW.hex() not in hasher.hash(RAW)


@pytest.mark.parametrize("hasher", HASHERS)
@pytest.mark.parametrize("stored", GARBAGE)
def test_garbage_in_the_store_is_proved_by_nothing_and_never_raises(hasher: Hasher, stored: str) -> None:
    assert hasher.verify(stored, RAW) is False


@settings(max_examples=50)
@given(st.text(max_size=100), st.binary(max_size=100))
def test_no_stored_text_makes_a_hasher_raise(stored: str, raw: bytes) -> None:
    assert [hasher.verify(stored, raw) for hasher in HASHERS] == [False, False]


@pytest.mark.parametrize("hasher", HASHERS)
def test_a_decoy_is_proved_by_nothing_and_looks_like_a_hash(hasher: Hasher) -> None:
    decoy, real = hasher.decoy(), hasher.hash(RAW)
    assert not hasher.verify(decoy, RAW)
    assert not hasher.verify(decoy, b"")
    assert not hasher.needs_rehash(decoy)
    assert hasher.decoy() != decoy
    assert [len(part) for part in decoy.split("$")] == [len(part) for part in real.split("$")]


def test_an_argon2_decoy_costs_what_a_hash_costs() -> None:
    hasher = Argon2Hasher(memory_kib=64, time_cost=3, parallelism=2)
    assert argon2.extract_parameters(hasher.decoy()) == argon2.extract_parameters(hasher.hash(RAW))


def test_argon2_is_argon2id_with_owasps_parameters_and_a_fresh_salt() -> None:
    hasher = Argon2Hasher()
    first = hasher.hash(RAW)
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert hasher.hash(RAW) != first
    assert hasher.blocking


@pytest.mark.parametrize("kind", [argon2.low_level.Type.I, argon2.low_level.Type.D])
def test_another_variant_of_argon2_is_refused_even_if_the_key_is_right(kind: argon2.low_level.Type) -> None:
    assert CHEAP.verify(phc(argon2.low_level.Type.ID), RAW)
    assert not CHEAP.verify(phc(kind), RAW)


@pytest.mark.parametrize(
    "parameters",
    [
        "m=2097152,t=2,p=1",
        f"m={MAX_MEMORY_KIB + 1},t=1,p=1",
        f"m=8,t={MAX_TIME + 1},p=1",
        f"m={8 * (MAX_LANES + 1)},t=1,p={MAX_LANES + 1}",
        f"m={MAX_FILLED_KIB // MAX_TIME + 1},t={MAX_TIME},p=1",
        f"m={MAX_MEMORY_KIB},t={MAX_FILLED_KIB // MAX_MEMORY_KIB + 1},p={MAX_LANES}",
        "m=4294967295,t=4294967295,p=16777215",
    ],
)
def test_parameters_above_the_ceiling_are_refused_without_being_computed(
    parameters: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[Any] = []
    stored = re.sub(r"m=\d+,t=\d+,p=\d+", parameters, CHEAP.decoy())
    monkeypatch.setattr(argon2.low_level, "verify_secret", lambda *a: computed.append(a))
    monkeypatch.setattr(argon2.PasswordHasher, "verify", lambda *a: computed.append(a))
    assert CHEAP.verify(stored, RAW) is False
    assert computed == []


def test_parameters_at_the_ceiling_are_computed() -> None:
    lanes = Argon2Hasher(memory_kib=8 * MAX_LANES, time_cost=MAX_TIME, parallelism=MAX_LANES)
    assert CHEAP.verify(lanes.hash(RAW), RAW)


@pytest.mark.parametrize("other", [{"memory_kib": 16}, {"time_cost": 2}, {"memory_kib": 16, "parallelism": 2}])
def test_a_hash_made_with_other_settings_verifies_and_wants_to_be_renewed(other: dict[str, int]) -> None:
    stored = Argon2Hasher(**{"memory_kib": 8, "time_cost": 1} | other).hash(RAW)
    assert CHEAP.verify(stored, RAW)
    assert CHEAP.needs_rehash(stored)
    assert not CHEAP.needs_rehash(CHEAP.hash(RAW))


@pytest.mark.parametrize(
    ("given_settings", "key"),
    [
        ({"memory_kib": 7}, "memory_kib"),
        ({"memory_kib": MAX_MEMORY_KIB + 1}, "memory_kib"),
        ({"memory_kib": 15, "parallelism": 2}, "memory_kib"),
        ({"memory_kib": "19456"}, "memory_kib"),
        ({"memory_kib": 64.0}, "memory_kib"),
        ({"memory_kib": None}, "memory_kib"),
        ({"memory_kib": True}, "memory_kib"),
        ({"time_cost": 0}, "time_cost"),
        ({"time_cost": MAX_TIME + 1}, "time_cost"),
        ({"memory_kib": MAX_MEMORY_KIB, "time_cost": MAX_FILLED_KIB // MAX_MEMORY_KIB + 1}, "time_cost"),
        ({"time_cost": True}, "time_cost"),
        ({"time_cost": "2"}, "time_cost"),
        ({"parallelism": 0}, "parallelism"),
        ({"parallelism": -1}, "parallelism"),
        ({"parallelism": MAX_LANES + 1}, "parallelism"),
        ({"parallelism": 100_000}, "parallelism"),
        ({"parallelism": True}, "parallelism"),
        ({"parallelism": 1.5}, "parallelism"),
        ({"parallelism": "1"}, "parallelism"),
        ({"parallelism": None}, "parallelism"),
    ],
)
def test_an_argon2_parameter_that_cannot_be_used_is_named(given_settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Argon2Hasher(**given_settings)
    assert caught.value.key == key


def test_a_mac_is_marked_and_is_hmac_sha256_under_the_pepper() -> None:
    hasher = HmacHasher(b"k" * 16)
    mac = "20d3a8e758713abc9c5064a73fcbaf97d693a0010eaf6b8409705dfa57bfc301"
    assert re.fullmatch(rf"\$hmac-sha256\$[0-9a-f]{{8}}\${mac}", hasher.hash(b"raw"))
    assert not hasher.verify(mac, b"raw")
    assert not hasher.blocking


def test_a_mac_under_another_pepper_is_not_proved() -> None:
    assert not HmacHasher(b"l" * 16).verify(HmacHasher(b"k" * 16).hash(RAW), RAW)


@pytest.mark.parametrize("pepper", [b"", b"x" * 15, "x" * 32, None, bytearray(b"x" * 32), 16])
def test_a_pepper_that_is_too_short_or_not_bytes_is_refused(pepper: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        HmacHasher(pepper)
    assert caught.value.key == "peppers"


@pytest.mark.parametrize("hasher", [CHEAP, HmacHasher(PEPPER)])
def test_no_hasher_shows_a_secret_in_its_repr(hasher: Hasher) -> None:
    assert PEPPER.decode() not in repr(hasher)
    assert "pepper" not in repr(hasher)


def remembered(cache: ProofCache, number: int) -> Proof | None:
    return cache.find(cache.digest(b"raw %d" % number))


def filled(capacity: int, count: int) -> ProofCache:
    cache = ProofCache(capacity)
    for number in range(count):
        cache.remember(cache.digest(b"raw %d" % number), Proof(f"id {number}", f"hash {number}"))
    return cache


def test_a_proof_is_found_by_its_key_alone() -> None:
    cache = filled(10, 3)
    assert remembered(cache, 1) == Proof("id 1", "hash 1")
    assert remembered(cache, 3) is None


def test_the_cache_is_bounded_and_the_oldest_proof_goes_first() -> None:
    cache = filled(100, 1000)
    assert len(cache) == 100
    assert remembered(cache, 899) is None
    assert remembered(cache, 900) == Proof("id 900", "hash 900")


def test_a_proof_that_is_used_stays() -> None:
    cache = filled(3, 3)
    assert remembered(cache, 0) is not None
    cache.remember(cache.digest(b"one more"), Proof("id", "hash"))
    assert remembered(cache, 0) is not None
    assert remembered(cache, 1) is None


def test_remembering_again_replaces() -> None:
    cache = filled(3, 3)
    cache.remember(cache.digest(b"raw 2"), Proof("id 2", "another hash"))
    assert remembered(cache, 2) == Proof("id 2", "another hash")
    assert len(cache) == 3


def test_two_caches_know_one_key_by_different_digests() -> None:
    assert ProofCache().digest(RAW) != ProofCache().digest(RAW)


def test_no_raw_key_is_held() -> None:
    cache = ProofCache()
    raw = b"acme_live_" + bytes(random.choices(b"0123456789", k=50))
    cache.remember(cache.digest(raw), Proof("id", "hash"))
    seen: list[Any] = []
    waiting: list[Any] = [vars(cache), *cache._proofs.items()]
    while waiting:  # everything that hangs on the cache, modules and types aside
        each = waiting.pop()
        if any(each is other for other in seen) or isinstance(each, type) or callable(each):
            continue
        seen.append(each)
        waiting += gc.get_referents(each)
    held = [each for each in seen if isinstance(each, (bytes, str, bytearray))]
    assert cache.digest(raw) in held
    for text in held:
        octets = text.encode() if isinstance(text, str) else bytes(text)
        assert raw[10:] not in octets
        assert octets != raw


def test_many_threads_at_once_never_raise_and_never_mix_proofs_up() -> None:
    cache = ProofCache(8)
    digests = [cache.digest(b"raw %d" % number) for number in range(32)]
    faults: list[object] = []
    start = threading.Barrier(8)

    def hammer(seed: int) -> None:
        chosen = random.Random(seed)
        start.wait()
        try:
            for _ in range(4000):
                number = chosen.randrange(32)
                proof = cache.find(digests[number])
                if proof is None:
                    cache.remember(digests[number], Proof(f"id {number}", "hash"))
                elif proof.key_id != f"id {number}":
                    faults.append(proof)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the fault that is looked for
            faults.append(error)

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(cache) <= 8
