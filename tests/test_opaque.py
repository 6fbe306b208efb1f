"""Keys in a form of their own: how they are found, what proves them, and what the gate makes of them on both doors."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, Rule
from keystile._ground.subkeys import LABELS, subkey
from keystile.keys.existing.opaque import LONGEST, SHORTEST, OpaqueFormat, OpaqueHasher
from keystile.keys.format import BASE62, Parsed
from keystile.rules.requests.masks import Mask
from tests.doors import Door
from tests.test_doors import masked

NEW, OLD, FOREIGN = b"the newest pepper", b"an older pepper!", b"somebody's pepper"
ANY = OpaqueFormat([NEW, OLD])
SK = OpaqueFormat([NEW, OLD], prefix="sk", separator=".")
RAW = b"sk_live_4eC39HqLyjWDarjtT1zdp7dc"
TOKENS = st.text(BASE62 + "-._~+/", min_size=SHORTEST, max_size=200).map(str.encode)
OPAQUE: dict[str, Any] = {"prefix": "sk", "peppers": [NEW], "hasher": "argon2id", "key_format": "opaque"}


def draw(length: int) -> str:
    return ("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" * 2)[:length]


def expected_id(pepper: bytes, kind: str, octets: bytes) -> str:
    """The rule once more, in other words."""
    key = hmac.digest(pepper, b"keystile: opaque look-up", "sha256")
    number, digits = int.from_bytes(hmac.digest(key, kind.encode() + b":" + octets, "sha256"), "big"), ""
    for _ in range(43):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits[:12]


@given(TOKENS)
def test_the_id_is_the_first_digits_of_a_mac_of_the_keys_digest(raw: bytes) -> None:
    digest = hashlib.sha256(raw).digest()
    assert ANY.parse(raw) == Parsed(expected_id(NEW, "sha256", digest), raw[-4:].decode())


@given(TOKENS)
def test_a_key_is_looked_up_under_every_pepper_and_both_digests_and_nowhere_else(raw: bytes) -> None:
    digests = [(kind, hashlib.new(kind, raw).digest()) for kind in ("sha256", "sha512")]
    ids = [expected_id(pepper, kind, digest) for pepper in (NEW, OLD) for kind, digest in digests]
    assert [each.id for each in ANY.candidates(raw)] == ids


def test_with_a_separator_the_public_part_is_looked_up_as_well() -> None:
    raw = b"sk_4eC39HqL.yjWDarjtT1zdp7dc"
    ids = [each.id for each in SK.candidates(raw)]
    assert ids[-2:] == [expected_id(pepper, "public part", b"sk_4eC39HqL") for pepper in (NEW, OLD)]
    assert len(ids) == 6
    assert len(SK.candidates(b"sk_4eC39HqLyjWDarjtT1zdp7dc")) == 4


@pytest.mark.parametrize(
    ("raw", "reads"),
    [
        (b"x" * SHORTEST, True),
        (b"x" * (SHORTEST - 1), False),
        (b"x" * LONGEST, True),
        (b"x" * (LONGEST + 1), False),
        (b"dGhpcyBpcyBhIGtleQ==", True),
        (b"dGhpcyBpcy=BhIGtleQ", False),
        (b"with a space in it it", False),
        (b"4eC39HqLyjWDarjtT1zdp7dc\n", False),
        (b"4eC39HqLyjWDarjt\xe9T1zdp7dc", False),
        (b"4eC39HqLyjWDarjt,T1zdp7dc", False),
        (b"", False),
    ],
)
def test_a_key_may_hold_what_a_credential_may_hold(raw: bytes, reads: bool) -> None:
    assert (ANY.parse(raw) is not None) is reads
    assert bool(ANY.candidates(raw)) is reads


def test_a_key_must_begin_with_the_prefix_if_there_is_one() -> None:
    assert SK.parse(RAW) is not None
    for other in (b"pk" + RAW[2:], b"sk-" + RAW[3:], b"SK" + RAW[2:], b"x" + RAW):
        assert SK.parse(other) is None
        assert SK.candidates(other) == ()


@given(st.binary(max_size=600))
def test_arbitrary_octets_never_raise(raw: bytes) -> None:
    for each in (ANY, SK):
        assert (each.parse(raw) is None) == (each.candidates(raw) == ())


@pytest.mark.parametrize("key_format", [ANY, SK])
def test_what_is_minted_is_read_and_has_256_bits(key_format: OpaqueFormat) -> None:
    raw = key_format.mint("staging", draw).encode()
    assert key_format.parse(raw) is not None
    assert raw.endswith(draw(43).encode())
    assert len(raw) == 43 + (len("sk_stage_") if key_format is SK else 0)


def test_the_first_pepper_signs_and_all_verify() -> None:
    hasher, older = OpaqueHasher(ANY), OpaqueHasher(OpaqueFormat([OLD]))
    assert hasher.verify(hasher.hash(RAW), RAW)
    assert hasher.verify(older.hash(RAW), RAW)
    assert not older.verify(hasher.hash(RAW), RAW)
    assert not OpaqueHasher(OpaqueFormat([FOREIGN])).verify(hasher.hash(RAW), RAW)
    assert hasher.hash(RAW) == OpaqueHasher(OpaqueFormat([NEW])).hash(RAW)


@given(TOKENS, TOKENS)
def test_a_key_proves_its_own_hash_alone(raw: bytes, other: bytes) -> None:
    hasher = OpaqueHasher(ANY)
    assert hasher.verify(hasher.hash(raw), raw)
    assert hasher.verify(hasher.hash(raw), other) == (raw == other)


def test_a_mac_is_no_other_mac_under_the_same_pepper() -> None:
    assert len({subkey(NEW, label) for label in LABELS}) == len(LABELS)
    assert hmac.digest(NEW, RAW, "sha256").hex() not in OpaqueHasher(ANY).hash(RAW)


@pytest.mark.parametrize("stored", ["", "$opaque$", "$opaque$zz", "$argon2id$", "\ud800", "ä", "x" * 5000])
def test_garbage_in_the_store_is_proved_by_nothing(stored: str) -> None:
    assert OpaqueHasher(ANY).verify(stored, RAW) is False


def test_a_decoy_looks_like_a_hash_and_nothing_proves_it() -> None:
    hasher = OpaqueHasher(ANY)
    decoy = hasher.decoy()
    assert len(decoy) == len(hasher.hash(RAW))
    assert not hasher.verify(decoy, RAW)
    assert not hasher.needs_rehash(decoy)
    assert hasher.decoy() != decoy


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"peppers": []}, "peppers"),
        ({"peppers": [b"x" * 15]}, "peppers"),
        ({"peppers": [b"x" * 16] * 5}, "peppers"),
        ({"peppers": b"x" * 16}, "peppers"),
        ({"peppers": [NEW], "prefix": "a_b"}, "prefix"),
        ({"peppers": [NEW], "prefix": ""}, "prefix"),
        ({"peppers": [NEW], "separator": ""}, "separator"),
        ({"peppers": [NEW], "separator": ".-"}, "separator"),
        ({"peppers": [NEW], "separator": "/"}, "separator"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        OpaqueFormat(**settings)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("settings", "key", "names"),
    [
        ({"key_format": "opaque"}, "key_format", "peppers"),
        ({"key_format": "Opaque", "peppers": [NEW]}, "key_format", "opaque"),
        ({"key_format": "opaque", "peppers": [NEW], "accept_crc": True}, "accept_crc", "key_format"),
        ({"key_format": "opaque", "peppers": [NEW], "hasher": "hmac-sha256"}, "hasher", "key_format"),
        ({"key_format": SK, "prefix": "sk"}, "prefix", "key_format"),
        ({"key_format": ANY, "hide_credentials": True}, "hide_credentials", "key_format"),
        ({"key_format": SK, "hasher": "hmac-sha256", "peppers": [NEW]}, "hasher", "OpaqueFormat"),
    ],
)
def test_a_gate_refuses_what_contradicts_it_and_names_both(settings: dict[str, Any], key: str, names: str) -> None:
    with pytest.raises(ConfigurationError, match=names) as caught:
        Gate(**settings)
    assert caught.value.key == key


def test_no_pepper_is_shown() -> None:
    assert "pepper" not in repr(ANY)
    with pytest.raises(ConfigurationError) as caught:
        OpaqueFormat([b"short secret"])
    assert "short secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key_format", "text", "hidden"),
    [
        (SK, f"/v1/{RAW.decode()}/x", "/v1/sk_***/x"),
        (SK, f"/v1/SK%5F{RAW.decode()[3:]}", "/v1/SK%5F***"),
        (SK, "/v1/organizations-of-somebody", "/v1/organizations-of-somebody"),
        (ANY, "/v1/4eC39HqLyjWDarjtT1zdp7dc/x", "/v1/***/x"),
        (ANY, "/v1/4eC39HqLyjWDar%6ftT1zdp7dc", "/v1/***"),
        (ANY, "/v1/things/17", "/v1/things/17"),
    ],
)
def test_a_key_in_a_text_is_masked(key_format: OpaqueFormat, text: str, hidden: str) -> None:
    mask = Mask(key_format.parse, key_format.within)
    assert mask.hide(text) == hidden
    assert mask.holds(text) == (text != hidden)


@given(TOKENS.filter(lambda raw: b"/" not in raw), st.sampled_from(["/v1/{}", "/{}/x", "a {} b"]))
def test_every_key_without_a_slash_is_masked_whole(raw: bytes, text: str) -> None:
    assert Mask(ANY.parse, ANY.within).hide(text.format(raw.decode())) == text.format("***")


# Through both doors.


def test_an_imported_key_is_admitted_and_judged_like_any_other(door: Door) -> None:
    door.open(**OPAQUE, rules=[Rule("/v1/*", scopes=["read"])])
    raw = "sk_live_4eC39HqLyjWDarjtT1zdp7dc"
    key, new = door.run(door.gate.keys.aimport_key, "old", raw, scopes=["read"])
    assert new
    assert door.get(key=raw).status == 200
    assert door.get(key=raw).status == 200
    assert door.host.calls[0].principal == key.principal
    door.run(door.gate.keys.arevoke, key.id)
    assert door.get(key=raw).code == "revoked_api_key"


def test_a_new_key_is_minted_in_this_form(door: Door) -> None:
    door.open(**OPAQUE)
    issued = door.create()
    assert re.fullmatch(r"sk_live_[0-9A-Za-z]{43}", issued.secret)
    assert door.get(key=issued.secret).status == 200
    assert door.get(key=issued.secret[:-1] + "-").code == "invalid_api_key"


def test_nobody_without_the_key_learns_anything(door: Door) -> None:
    door.open(**OPAQUE, failure_limits=None)
    issued, revoked = door.create(), door.create()
    door.run(door.gate.keys.arevoke, revoked.key.id)
    strangers = [
        "nonsense",
        "sk_live_",
        f"sk_live_{issued.key.id}",
        issued.secret + "abc",
        issued.secret.swapcase(),
        issued.secret[:-4] + "0000",
        revoked.secret[:-1],
        "sk_" + "x" * 40,
        "x" * 65_536,
    ]
    assert len({repr(masked(door.get(key=stranger))) for stranger in strangers}) == 1
    assert door.host.calls == []


def test_a_key_in_any_form_is_taken_whole_from_each_place(door: Door) -> None:
    door.open(**OPAQUE | {"prefix": None})
    raw = "dGhpcyBpcyBhIGtleSBmcm9tIGJlZm9yZQ=="
    door.run(door.gate.keys.aimport_key, "old", raw)
    assert door.get(key=raw).status == 200
    assert door.get(headers=[("X-API-Key", raw)]).status == 200
    assert door.get(key=raw[:-1]).code == "invalid_api_key"
    assert door.get(headers=[("X-API-Key", f"{raw},{raw}")]).code == "invalid_request"


def test_a_key_from_the_time_of_an_older_pepper_stays_valid_until_that_is_dropped(door: Door) -> None:
    door.open(**OPAQUE | {"peppers": [OLD]})
    old = door.create()
    door.open(**OPAQUE | {"peppers": [NEW, OLD]})
    new = door.create()
    assert (door.get(key=old.secret).status, door.get(key=new.secret).status) == (200, 200)
    door.open(**OPAQUE | {"peppers": [NEW]})
    assert (door.get(key=old.secret).code, door.get(key=new.secret).status) == ("invalid_api_key", 200)


def test_made_up_keys_are_failures_and_use_up_the_budget_before_a_store_is_read(door: Door) -> None:
    door.open(**OPAQUE, failure_limits="3/minute")
    right = door.create().secret
    codes = [door.get(key=f"sk_live_{number:040}").code for number in range(6)]
    assert codes[:3] == ["invalid_api_key"] * 3
    assert codes[-1] == "too_many_failures"
    assert door.get(key=right).status == 200


def test_an_unknown_key_costs_a_bounded_number_of_reads_and_a_malformed_one_none(door: Door) -> None:
    door.open(**OPAQUE | {"peppers": [NEW, OLD]}, failure_limits=None)
    issued = door.create()
    shop, reads = door.gate._shop, list[str]()
    store = getattr(shop.store, "inner", shop.store)
    find = store.find

    def counting(key_id: str) -> Any:
        reads.append(key_id)
        return find(key_id)

    store.find = counting
    try:
        door.open(**OPAQUE | {"peppers": [NEW, OLD]}, failure_limits=None)
        expected = [("sk_" + "x" * 40, 4), (issued.secret[:-1] + "-", 4), ("sk_short", 0), ("x" * 40, 0)]
        for presented, most in expected:
            reads.clear()
            assert door.get(key=presented).code == "invalid_api_key"
            assert len(reads) == most
        reads.clear()
        assert door.get(key=issued.secret).status == 200
        assert set(reads) == {issued.key.id}
    finally:
        del store.find


def test_no_key_is_in_an_event_or_a_line_of_the_log(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "keystile")
    door.open(**OPAQUE | {"prefix": None})
    events: list[Any] = []
    door.gate.on_event(events.append)
    raw = "4eC39HqLyjWDarjtT1zdp7dc99"
    door.run(door.gate.keys.aimport_key, "old", raw)
    door.get(f"/v1/{raw}")
    door.get("/v1/things", key=raw + "x")
    assert events
    assert raw not in repr(events) + caplog.text
