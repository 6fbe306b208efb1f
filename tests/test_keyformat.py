"""What a raw key looks like, and that nothing else passes for one."""

from __future__ import annotations

import secrets
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate
from keystile.keys.format import BASE62, Parsed, PrefixedFormat, base62, crc_check, keyed_check
from keystile.model import ENVIRONMENTS, Environment

OLD, NEW, FOREIGN = b"the old pepper, 1", b"the new pepper, 2", b"not our pepper, 3"
PLAIN = PrefixedFormat("acme")
PEPPERED = PrefixedFormat("acme", [NEW, OLD])
WORDS = {"production": "live", "staging": "stage", "development": "test"}


def draw(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


@pytest.mark.parametrize(
    ("body", "check"),
    [
        (b"ak_test_7Qx2mB9aLk_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg", "3xaTD1"),
        (b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ", "0mLq17"),  # published by GitHub
        (b"a", "4GEHKN"),
        (b"", "000000"),
    ],
)
def test_the_crc_check_has_its_published_values(body: bytes, check: str) -> None:
    assert crc_check(body) == check


def test_base62_counts_digits_then_upper_then_lower_case() -> None:
    assert [base62(number, 1) for number in (0, 9, 10, 35, 36, 61, 62, 3843)] == [
        "00", "09", "0A", "0Z", "0a", "0z", "10", "zz",
    ]  # fmt: skip


@given(st.integers(0, 62**6 - 1))
def test_base62_can_be_read_back(number: int) -> None:
    read = 0
    for digit in base62(number, 3):
        read = read * 62 + BASE62.index(digit)
    assert read == number


@given(st.binary(max_size=100), st.binary(min_size=16, max_size=64))
def test_the_keyed_check_is_the_first_six_of_43_base62_digits_of_the_mac(body: bytes, pepper: bytes) -> None:
    import hmac

    number, digits = int.from_bytes(hmac.digest(pepper, body, "sha256"), "big"), ""
    for _ in range(43):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    assert keyed_check(body, pepper) == digits[:6]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("format", [PLAIN, PEPPERED])
def test_what_is_minted_is_read_back(format: PrefixedFormat, environment: Environment) -> None:
    raw = format.mint(environment, draw)
    head = f"acme_{WORDS[environment]}_"
    assert raw.startswith(head)
    assert len(raw) == len(head) + 12 + 32 + 6
    assert format.parse(raw.encode()) == Parsed(raw[len(head) : len(head) + 12], raw[-4:])


def test_id_and_secret_are_what_was_drawn_and_the_check_covers_all_before_it() -> None:
    asked: list[int] = []

    def drawn(length: int) -> str:
        asked.append(length)
        return "ab"[len(asked) - 1] * length

    raw = PrefixedFormat("ak").mint("development", drawn)
    assert asked == [12, 32]
    body = "ak_test_" + "a" * 12 + "b" * 32
    assert raw == body + crc_check(body.encode())


def test_the_environment_in_the_key_is_decoration() -> None:
    body = "acme_stage_" + "i" * 12 + "s" * 32
    assert PLAIN.parse((body + crc_check(body.encode())).encode()) == Parsed("i" * 12, crc_check(body.encode())[-4:])


@pytest.mark.parametrize("format", [PLAIN, PEPPERED])
def test_any_other_character_at_any_place_is_refused(format: PrefixedFormat) -> None:
    raw = format.mint("production", draw).encode()
    for place in range(len(raw)):
        for octet in b"09AZaz_-.\x00\n \xe9":
            changed = raw[:place] + bytes([octet]) + raw[place + 1 :]
            assert changed == raw or format.parse(changed) is None


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_changed_character_is_refused(place: int, octet: int) -> None:
    raw = PLAIN.mint("production", lambda length: "Z" * length).encode()
    place %= len(raw)
    changed = raw[:place] + bytes([octet]) + raw[place + 1 :]
    assert changed == raw or PLAIN.parse(changed) is None


def test_a_key_with_something_before_or_behind_it_is_refused() -> None:
    raw = PLAIN.mint("production", draw).encode()
    for more in (b"\n", b" ", b"a", b"\x00", b"=", raw):
        assert PLAIN.parse(raw + more) is None
        assert PLAIN.parse(more + raw) is None
    assert PLAIN.parse(raw[:-1]) is None
    assert PLAIN.parse(raw[1:]) is None


def test_two_swapped_characters_are_refused() -> None:
    raw = PLAIN.mint("production", lambda length: "0123456789AB" if length == 12 else "Cd" * 16).encode()
    for place in range(len(raw) - 1):
        swapped = raw[:place] + raw[place + 1 : place + 2] + raw[place : place + 1] + raw[place + 2 :]
        assert swapped == raw or PLAIN.parse(swapped) is None


def test_a_key_of_another_service_is_refused() -> None:
    assert PLAIN.parse(PrefixedFormat("acmf").mint("production", draw).encode()) is None
    assert PLAIN.parse(PrefixedFormat("ACME").mint("production", draw).encode()) is None


@given(st.binary(max_size=200))
def test_arbitrary_octets_are_refused_and_never_raise(raw: bytes) -> None:
    assert PLAIN.parse(raw) is None
    assert PEPPERED.parse(raw) is None


@settings(max_examples=50)
@given(st.text(BASE62, min_size=50, max_size=50))
def test_the_right_shape_alone_is_not_enough(body: str) -> None:
    raw = f"acme_live_{body}".encode()
    assert (PLAIN.parse(raw) is not None) == (crc_check(raw[:-6]) == body[-6:])


def test_the_first_pepper_signs_and_all_verify() -> None:
    raw = PEPPERED.mint("production", draw)
    assert raw.endswith(keyed_check(raw[:-6].encode(), NEW))
    by_old = PrefixedFormat("acme", [OLD]).mint("production", draw).encode()
    assert PEPPERED.parse(by_old) is not None
    assert PrefixedFormat("acme", [NEW]).parse(by_old) is None


def test_a_key_signed_with_a_foreign_pepper_is_refused() -> None:
    raw = PrefixedFormat("acme", [FOREIGN]).mint("production", draw).encode()
    assert PEPPERED.parse(raw) is None
    assert PrefixedFormat("acme", [NEW], accept_crc=True).parse(raw) is None


def test_a_crc_key_passes_under_peppers_only_while_accept_crc_says_so() -> None:
    raw = PLAIN.mint("production", draw).encode()
    assert PEPPERED.parse(raw) is None
    migrating = PrefixedFormat("acme", [NEW], accept_crc=True)
    assert migrating.parse(raw) is not None
    minted = migrating.mint("production", draw).encode()
    assert PrefixedFormat("acme", [NEW]).parse(minted) is not None


def test_a_keyed_check_does_not_pass_without_its_pepper() -> None:
    assert PLAIN.parse(PEPPERED.mint("production", draw).encode()) is None


@pytest.mark.parametrize(
    ("given_settings", "key"),
    [
        ({"prefix": ""}, "prefix"),
        ({"prefix": "1st"}, "prefix"),
        ({"prefix": "a_b"}, "prefix"),
        ({"prefix": "a-b"}, "prefix"),
        ({"prefix": "acme\n"}, "prefix"),
        ({"prefix": "é"}, "prefix"),
        ({"prefix": "a" * 21}, "prefix"),
        ({"prefix": b"acme"}, "prefix"),
        ({"prefix": None}, "prefix"),
        ({"prefix": "acme", "peppers": [b"x" * 15]}, "peppers"),
        ({"prefix": "acme", "peppers": [b"x" * 16, b""]}, "peppers"),
        ({"prefix": "acme", "peppers": ["x" * 16]}, "peppers"),
        ({"prefix": "acme", "peppers": b"x" * 16}, "peppers"),
        ({"prefix": "acme", "accept_crc": True}, "accept_crc"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(given_settings: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        PrefixedFormat(**given_settings)
    assert caught.value.key == key


def test_no_pepper_shows_in_the_repr_or_the_message() -> None:
    assert "pepper" not in repr(PEPPERED)
    with pytest.raises(ConfigurationError) as caught:
        PrefixedFormat("acme", [b"short secret"])
    assert "short secret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "_", 5, b"acme", ["acme"]], ids=repr)
def test_a_format_of_the_hosts_own_has_a_prefix_that_can_be_compared_or_none(prefix: Any) -> None:
    class Own(PrefixedFormat):
        def __init__(self) -> None:
            super().__init__("acme")
            self.prefix = prefix

    with pytest.raises(ConfigurationError, match="prefix must be text, and not empty") as caught:
        Gate(key_format=Own(), foreign="ignore")
    assert caught.value.key == "key_format"
