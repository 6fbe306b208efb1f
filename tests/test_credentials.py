"""Which key a request presents: the grammar of RFC 9110 section 11.4, and never a choice between two."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.policy import CREDENTIAL_FORMS
from keystile.rules.requests.credentials import MAX_CREDENTIAL, Unusable, accepted, extract

ALL = accepted(CREDENTIAL_FORMS)
GOOD = b"acme_live_0123456789abcdef"
MISSING, MALFORMED, AMBIGUOUS = Unusable.MISSING, Unusable.MALFORMED, Unusable.AMBIGUOUS

AUTH, API_KEY, X_API_KEY = b"authorization", b"api-key", b"x-api-key"
WELL_FORMED = [(AUTH, b"Bearer " + GOOD), (AUTH, b"Api-Key " + GOOD), (API_KEY, GOOD), (X_API_KEY, GOOD)]
# Values that are no credential in a header that carries nothing else, with what they amount to.
BAD_KEYS = {
    "a comma alone": (b",", AMBIGUOUS),
    "an empty line joined before": (b", " + GOOD, AMBIGUOUS),
    "an empty line joined behind": (GOOD + b",", AMBIGUOUS),
    "a space inside": (b"abc def", MALFORMED),
    "a tab inside": (b"abc\tdef", MALFORMED),
    "a comma": (b"abc,def", AMBIGUOUS),
    "a trailing comma": (b"abc,", AMBIGUOUS),
    "two lines joined": (b"abc, def", AMBIGUOUS),
    "two equal lines joined": (GOOD + b"," + GOOD, AMBIGUOUS),
    "latin-1": (b"caf\xe9", MALFORMED),
    "utf-8": ("schlüssel".encode(), MALFORMED),
    "every high octet": (bytes(range(0x80, 0x100)), MALFORMED),
    "NUL": (b"abc\x00", MALFORMED),
    "a bare CR": (b"abc\rdef", MALFORMED),
    "a trailing LF": (GOOD + b"\n", MALFORMED),
    "obs-fold": (b"abc\r\n def", MALFORMED),
    "obs-fold at the end": (GOOD + b"\r\n ", MALFORMED),
    "DEL": (b"abc\x7f", MALFORMED),
    "a vertical tab around it": (b"\x0b" + GOOD, MALFORMED),
    "a no-break space around it": (b"\xa0" + GOOD, MALFORMED),
    "padding before the end": (b"a=b", MALFORMED),
    "nothing but padding": (b"==", MALFORMED),
    "quoted": (b'"abc"', MALFORMED),
    "a scheme where none belongs": (b"Bearer " + GOOD, MALFORMED),
    "64 KiB": (b"a" * 65_536, MALFORMED),
    "64 KiB of commas": (b"," * 65_536, AMBIGUOUS),
    "one octet too long": (b"a" * (MAX_CREDENTIAL + 1), MALFORMED),
}
BAD_AUTHORIZATION = {
    "an empty line joined before": (b",Bearer " + GOOD, AMBIGUOUS),
    "an empty line joined behind": (b"Bearer " + GOOD + b",", AMBIGUOUS),
    "schemes alone, joined": (b"Bearer,Bearer", AMBIGUOUS),
    "a foreign line and an empty one joined": (b"Basic dXNlcjpwYXNz, ", AMBIGUOUS),
    "a foreign line and a scheme alone joined": (b"Basic dXNlcjpwYXNz,Bearer", AMBIGUOUS),
    "an empty line and a foreign one joined": (b",Basic dXNlcjpwYXNz", AMBIGUOUS),
    "a tab between": (b"Bearer\t" + GOOD, MALFORMED),
    "a space and a tab between": (b"Bearer \t" + GOOD, MALFORMED),
    "a key behind the key": (b"Bearer " + GOOD + b" " + GOOD, MALFORMED),
    "two joined": (b"Bearer " + GOOD + b", Bearer " + GOOD, AMBIGUOUS),
    "a comma behind the scheme": (b"Bearer,abc", AMBIGUOUS),
    "parameters": (b'Bearer realm="x"', MALFORMED),
    "a colon behind the scheme": (b"Bearer: " + GOOD, MALFORMED),
    "non-ASCII": (b"Bearer caf\xe9", MALFORMED),
    "obs-fold": (b"Bearer\r\n " + GOOD, MALFORMED),
    "a trailing LF": (b"Bearer " + GOOD + b"\n", MALFORMED),
    "64 KiB": (b"Bearer " + b"a" * 65_536, MALFORMED),
    "too many commas to look behind": (b"Digest " + b'a="b", ' * 257, AMBIGUOUS),
}
NO_CREDENTIAL = {
    "empty": b"",
    "only white space": b" \t",
    "a scheme alone": b"Bearer",
    "a scheme and a space": b"Bearer ",
    "a scheme in white space": b"\tapi-KEY \t ",
    "Basic": b"Basic dXNlcjpwYXNz",
    "Digest with its commas": b'Digest username="u", realm="r", nonce="n"',
    "an unknown scheme": b"Token " + GOOD,
    "as many commas as are looked behind": b"Digest " + b'a="b", ' * 256 + b"c",
    "a scheme that only begins like ours": b"Bearers " + GOOD,
    "a scheme that only ends like ours": b"xBearer " + GOOD,
    "a raw key without a scheme": GOOD,
    "no scheme at all": b"\xff\xfe",
    "64 KiB of Basic": b"Basic " + b"a" * 65_536,
}


def test_every_form_is_read() -> None:
    assert [extract([line], ALL) for line in WELL_FORMED] == [GOOD] * 4


def test_nothing_presented_is_missing() -> None:
    assert extract([], ALL) is MISSING


@pytest.mark.parametrize("name", [API_KEY, X_API_KEY])
@pytest.mark.parametrize(("value", "fault"), list(BAD_KEYS.values()), ids=list(BAD_KEYS))
def test_a_bare_key_is_refused_if_it_is_not_one_token(name: bytes, value: bytes, fault: Unusable) -> None:
    assert extract([(name, value)], ALL) is fault


@pytest.mark.parametrize(("value", "fault"), list(BAD_AUTHORIZATION.values()), ids=list(BAD_AUTHORIZATION))
def test_authorization_is_refused_if_it_is_not_scheme_and_token(value: bytes, fault: Unusable) -> None:
    assert extract([(AUTH, value)], ALL) is fault


@pytest.mark.parametrize("value", list(NO_CREDENTIAL.values()), ids=list(NO_CREDENTIAL))
def test_what_holds_no_key_of_ours_is_no_credential(value: bytes) -> None:
    assert extract([(AUTH, value)], ALL) is MISSING


@pytest.mark.parametrize("value", list(NO_CREDENTIAL.values()), ids=list(NO_CREDENTIAL))
@pytest.mark.parametrize("name", [API_KEY, X_API_KEY])
def test_what_holds_no_key_of_ours_leaves_the_key_beside_it_alone(name: bytes, value: bytes) -> None:
    assert extract([(AUTH, value), (name, GOOD)], ALL) == GOOD


@pytest.mark.parametrize("value", [b"", b" ", b"\t", b" \t  "])
@pytest.mark.parametrize("name", [API_KEY, X_API_KEY])
def test_an_empty_value_presents_nothing(name: bytes, value: bytes) -> None:
    assert extract([(name, value)], ALL) is MISSING
    assert extract([(name, value), (AUTH, b"Bearer " + GOOD)], ALL) == GOOD
    assert extract([(name, value), (AUTH, b"Bearer")], ALL) is MISSING
    assert extract([(name, value), (AUTH, b"Bearer a b")], ALL) is MALFORMED


@pytest.mark.parametrize("line", [(X_API_KEY, GOOD), (X_API_KEY, b""), (X_API_KEY, b" ")])
def test_a_repeated_line_is_ambiguous_even_if_one_is_empty(line: tuple[bytes, bytes]) -> None:
    assert extract([(X_API_KEY, b""), line], ALL) is AMBIGUOUS
    assert extract([line, (X_API_KEY, b"")], ALL) is AMBIGUOUS


@pytest.mark.parametrize("twin", [b"api_key", b"x_api_key"])
def test_an_underscore_twin_is_ambiguous_even_if_it_is_empty(twin: bytes) -> None:
    for beside in ([], [(X_API_KEY, GOOD)], [(AUTH, b"Bearer " + GOOD)]):
        assert extract([(twin, b""), *beside], ALL) is AMBIGUOUS


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (GOOD, GOOD),
        (b"abc==", b"abc=="),
        (b"", MISSING),
        (b" ", MALFORMED),
        (b"\t", MALFORMED),
        (b" " + GOOD, MALFORMED),
        (GOOD + b" ", MALFORMED),
        (b"\t" + GOOD + b"\t", MALFORMED),
        (b"\xc2\xa0" + GOOD, MALFORMED),
        (GOOD + b",", AMBIGUOUS),
        (b" " + b"a" * 65_536, MALFORMED),
    ],
)
def test_no_white_space_is_trimmed_from_a_parameter_of_the_query(value: bytes, read: bytes | Unusable) -> None:
    in_query = accepted([*CREDENTIAL_FORMS, "?api_key"])
    assert extract([(b"?api_key", value)], in_query) == read
    together = extract([(b"?api_key", value), (X_API_KEY, GOOD)], in_query)
    assert together == (GOOD if read in (GOOD, MISSING) else AMBIGUOUS)


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer " + GOOD,
        b"bearer " + GOOD,
        b"BEARER " + GOOD,
        b"bEaReR " + GOOD,
        b"api-key " + GOOD,
        b"API-KEY " + GOOD,
        b"Bearer     " + GOOD,
        b" Bearer " + GOOD + b" ",
        b"\tBearer " + GOOD + b"\t",
        b" \t Bearer  " + GOOD + b"\t \t",
    ],
)
def test_scheme_case_spaces_between_and_white_space_around_do_not_matter(value: bytes) -> None:
    assert extract([(AUTH, value)], ALL) == GOOD


@pytest.mark.parametrize("value", [GOOD, b" " + GOOD, GOOD + b"\t", b"\t " + GOOD + b" \t"])
def test_white_space_around_a_bare_key_does_not_matter(value: bytes) -> None:
    assert extract([(X_API_KEY, value)], ALL) == GOOD


@pytest.mark.parametrize("token", [b"a", b"-._~+/", b"abc=", b"abc==", b"a" * MAX_CREDENTIAL])
def test_a_bare_key_may_be_any_token68_up_to_the_limit(token: bytes) -> None:
    assert extract([(API_KEY, token)], ALL) == token


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(WELL_FORMED, 2)))
def test_the_same_key_in_two_headers_is_one_key_but_a_repeated_header_never_is(
    one: tuple[bytes, bytes], other: tuple[bytes, bytes]
) -> None:
    assert extract([one, other], ALL) == (AMBIGUOUS if one[0] == other[0] else GOOD)


def test_three_headers_that_agree_are_one_key() -> None:
    assert extract([(AUTH, b"Bearer " + GOOD), (API_KEY, GOOD), (X_API_KEY, b" " + GOOD)], ALL) == GOOD


@pytest.mark.parametrize("line", WELL_FORMED)
def test_a_repeated_line_is_ambiguous_even_if_both_are_equal(line: tuple[bytes, bytes]) -> None:
    assert extract([line, line], ALL) is AMBIGUOUS


@pytest.mark.parametrize("first", [b"Basic dXNlcjpwYXNz", b""])
def test_a_repeated_authorization_is_ambiguous_even_if_one_is_not_ours(first: bytes) -> None:
    assert extract([(AUTH, first), (AUTH, b"Bearer " + GOOD)], ALL) is AMBIGUOUS


@pytest.mark.parametrize("line", [(API_KEY, b"other"), (X_API_KEY, b"other"), (X_API_KEY, GOOD.upper())])
def test_two_keys_that_differ_are_ambiguous(line: tuple[bytes, bytes]) -> None:
    assert extract([(AUTH, b"Bearer " + GOOD), line], ALL) is AMBIGUOUS


@pytest.mark.parametrize("twin", [b"api_key", b"x_api_key", b"x-api_key", b"x_api-key"])
@pytest.mark.parametrize("beside", [[], [(X_API_KEY, GOOD)], [(AUTH, b"Bearer " + GOOD)]])
def test_an_underscore_twin_is_ambiguous_alone_and_beside_a_key(twin: bytes, beside: list[tuple[bytes, bytes]]) -> None:
    assert extract([(twin, GOOD), *beside], ALL) is AMBIGUOUS


@pytest.mark.parametrize(("value", "fault"), list(BAD_KEYS.values()), ids=list(BAD_KEYS))
def test_a_malformed_key_does_not_give_way_to_a_good_one(value: bytes, fault: Unusable) -> None:
    assert extract([(X_API_KEY, value), (AUTH, b"Bearer " + GOOD)], ALL) is AMBIGUOUS


def test_two_malformed_keys_are_no_better_than_one() -> None:
    assert extract([(X_API_KEY, b"a b"), (API_KEY, b"c d")], ALL) is MALFORMED


def test_only_accepted_schemes_count() -> None:
    only_api_key = accepted(["Authorization: Api-Key"])
    assert extract([(AUTH, b"Bearer " + GOOD)], only_api_key) is MISSING
    assert extract([(AUTH, b"Api-Key " + GOOD)], only_api_key) == GOOD


def test_a_door_collects_accepted_headers_and_their_underscore_twins() -> None:
    twins = {b"x_api_key", b"x-api_key", b"x_api-key"}
    assert ALL.wanted == {AUTH, API_KEY, X_API_KEY, b"api_key"} | twins
    assert accepted(["X-API-Key"]).wanted == {X_API_KEY} | twins


def test_vary_names_each_accepted_header_once_in_order() -> None:
    assert ALL.vary == ("api-key", "authorization", "x-api-key")
    assert accepted(["Authorization: Bearer", "Authorization: Api-Key"]).vary == ("authorization",)


# The grammar again, as properties. The oracle is the ABNF spelled out, not the module's own expressions.

TOKEN68 = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+/"
tokens = st.builds(
    lambda octets, padding: bytes(octets) + b"=" * padding,
    st.lists(st.sampled_from(TOKEN68), min_size=1, max_size=60),
    st.integers(0, 3),
)
white_space = st.text(" \t", max_size=5).map(str.encode)
schemes = (
    st.sampled_from(["Bearer", "Api-Key"])
    .flatmap(
        lambda word: st.tuples(*(st.sampled_from([letter.lower(), letter.upper()]) for letter in word)).map("".join)
    )
    .map(str.encode)
)
# Octets that come close: random ones alone would hardly ever get past the scheme.
near = st.lists(
    st.one_of(
        st.sampled_from(
            [b"Bearer", b"bearer ", b"Api-Key ", b" ", b"\t", b",", b"=", b"\r\n ", b"\x00", b"\xe9", b'"']
        ),
        tokens,
        st.binary(max_size=3),
    ),
    max_size=6,
).map(b"".join)
names = st.sampled_from([AUTH, API_KEY, X_API_KEY])


@given(white_space, schemes, st.integers(1, 9), tokens, white_space)
def test_well_formed_credentials_yield_exactly_the_token(
    before: bytes, scheme: bytes, spaces: int, token: bytes, after: bytes
) -> None:
    assert extract([(AUTH, before + scheme + b" " * spaces + token + after)], ALL) == token


@given(white_space, tokens, white_space, st.sampled_from([API_KEY, X_API_KEY]))
def test_well_formed_bare_keys_yield_exactly_the_token(before: bytes, token: bytes, after: bytes, name: bytes) -> None:
    assert extract([(name, before + token + after)], ALL) == token


@given(names, near)
def test_what_is_read_stands_in_the_value_as_it_is_and_is_all_of_it(name: bytes, value: bytes) -> None:
    read = extract([(name, value)], ALL)
    if isinstance(read, bytes):
        assert read.rstrip(b"=")
        assert set(read.rstrip(b"=")) <= set(TOKEN68)
        before, found, after = value.rpartition(read)
        assert found
        assert not after.strip(b" \t")
        assert before.strip(b" \t").lower() in ({b"bearer", b"api-key"} if name == AUTH else {b""})
    else:
        assert not re.fullmatch(rb"[ \t]*[\w\-.~+/]+=*[ \t]*", value, re.ASCII) or name == AUTH


@given(names, st.binary(max_size=2000))
def test_no_octets_make_it_raise(name: bytes, value: bytes) -> None:
    read = extract([(name, value)], ALL)
    assert isinstance(read, Unusable) or read in value


@given(names, near, names, tokens)
def test_a_bad_credential_beside_a_good_one_never_yields_the_good_one(
    bad_name: bytes, bad_value: bytes, good_name: bytes, token: bytes
) -> None:
    good = (good_name, b"Bearer " + token if good_name == AUTH else token)
    alone = extract([(bad_name, bad_value)], ALL)
    together = extract([(bad_name, bad_value), good], ALL)
    if bad_name == good_name:
        assert together is AMBIGUOUS
    elif alone in (MISSING, token):
        assert together == token
    else:
        assert together is AMBIGUOUS


lines = st.tuples(
    st.sampled_from([AUTH, API_KEY, X_API_KEY, b"api_key", b"x_api_key"]),
    st.one_of(near, st.sampled_from([GOOD, b"Bearer " + GOOD, b"Basic abc"])),
)


@given(st.lists(lines, max_size=5).flatmap(lambda listed: st.tuples(st.just(listed), st.permutations(listed))))
def test_the_order_of_header_lines_never_matters(
    both: tuple[list[tuple[bytes, bytes]], list[tuple[bytes, bytes]]],
) -> None:
    as_sent, shuffled = both
    assert extract(as_sent, ALL) == extract(shuffled, ALL)
