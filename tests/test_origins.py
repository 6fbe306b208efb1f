"""Which origins a policy may list, what a preflight asks for, and which names come back."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate
from keystile.answers.headers.cors import CorsWriter
from keystile.model import Asked
from keystile.policy import Policy
from keystile.rules.requests.preflights import MOST_NAMES, MOST_TEXT, granted, listed, read_preflight

HOSTS = st.from_regex(r"\A[a-z0-9]{1,8}(\.[a-z0-9-]{1,8}){0,3}\Z")
ORIGINS = st.builds(
    lambda scheme, host, port: f"{scheme}://{host}" + (f":{port}" if port else ""),
    st.sampled_from(["https", "http", "capacitor", "chrome-extension"]),
    HOSTS,
    st.sampled_from([None, 1, 8080, 3000, 65535]),
)
TEXTS = st.text(st.characters(max_codepoint=255), max_size=40)
NEAR = st.builds(
    lambda origin, before, after: before + origin + after,
    ORIGINS,
    st.sampled_from(["", " ", "x", "https://"]),
    st.sampled_from(["", "/", " ", ".", ",", "\t", ".evil.example", ":443", "@evil.example", "#", "?", "\x00"]),
)
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example",
        "http://localhost:3000",
        "https://127.0.0.1:8443",
        "http://[::1]:8080",
        "https://xn--bcher-kva.example",
        "https://my_app.example",
        "https://app.example.",
        "capacitor://localhost",
        "chrome-extension://abcdefghijklmnop",
    ],
)
def test_an_origin_is_listed_as_browsers_send_it(origin: str) -> None:
    assert Gate(cors_origins=[origin, origin]).policy.cors_origins == (origin,)


@pytest.mark.parametrize(
    ("origins", "key", "reason"),
    [
        (["https://app.example/"], "cors_origins[0]", "did you mean 'https://app.example'?"),
        (["https://a.example", "https://App.Example"], "cors_origins[1]", "did you mean 'https://app.example'?"),
        (["https://app.example:443"], "cors_origins[0]", "did you mean 'https://app.example'?"),
        (["http://app.example:80"], "cors_origins[0]", "did you mean 'http://app.example'?"),
        (["https://app.example/path?x#y"], "cors_origins[0]", "did you mean 'https://app.example'?"),
        ([" https://app.example"], "cors_origins[0]", "did you mean 'https://app.example'?"),
        (["https://bücher.example"], "cors_origins[0]", "did you mean 'https://xn--bcher-kva.example'?"),
        (["http://[0:0::1]"], "cors_origins[0]", "did you mean 'http://[::1]'?"),
        (["https://app.example:0443"], "cors_origins[0]", "did you mean 'https://app.example'?"),
        (["app.example"], "cors_origins[0]", "is not an origin as browsers send it, like"),
        ([""], "cors_origins[0]", "is not an origin as browsers send it, like"),
        (["https://"], "cors_origins[0]", "is not an origin as browsers send it, like"),
        (["https://app.example:99999"], "cors_origins[0]", "is not an origin as browsers send it, like"),
        (["file:///home"], "cors_origins[0]", "is not an origin as browsers send it, like"),
        (["https://a.example, https://b.example"], "cors_origins[0]", "is not an origin as browsers send it, like"),
        (["null"], "cors_origins[0]", "anybody can"),
        (["https://*.example.com"], "cors_origins[0]", "there are no wildcards"),
        (["https://app.example:*"], "cors_origins[0]", "there are no wildcards"),
        (["*", "https://app.example"], "cors_origins", "'*' is every origin already"),
        ("https://app.example", "cors_origins", "expected a list of strings, got str"),
        ([7], "cors_origins", "expected a list of strings, got int in it"),
    ],
)
def test_what_no_browser_sends_is_refused_with_what_was_meant(origins: Any, key: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(cors_origins=origins)
    assert caught.value.key == key
    assert reason in caught.value.reason


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(cors_origins=["https://user:hunter2@app.example"])
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("origins", "reason"), [(["*"], r"contradicts cors_origins=\['\*'\]"), ([], "cors_origins")])
def test_credentials_need_a_list_of_origins(origins: list[str], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^cors_credentials: .*{reason}"):
        Gate(cors_origins=origins, cors_credentials=True)


@given(st.lists(ORIGINS, min_size=1, max_size=4), ORIGINS | NEAR | TEXTS | st.sampled_from(["null", "*", ""]))
@example(["https://app.example"], "https://app.example.evil.example")
@example(["https://app.example"], "null")
def test_only_what_equals_a_listed_origin_may_read(origins: list[str], origin: str) -> None:
    assert listed(origin, frozenset(origins)) is (origin in set(origins))
    written = dict(CorsWriter(Policy(cors_origins=origins), (), str).write([("vary", "accept")], origin))
    assert written.get("access-control-allow-origin") == (origin if origin in origins else None)
    assert written["vary"] == "accept, origin"


@given(ORIGINS | NEAR | TEXTS)
def test_what_is_taken_into_a_list_is_what_a_request_can_say(origin: str) -> None:
    try:
        policy = Policy(cors_origins=[origin])
    except ConfigurationError:
        return
    assert policy.cors_origins == (origin,)
    assert origin == "*" or re.fullmatch(r"[a-z][a-z0-9+.-]*://[a-z0-9._:\[\]-]+", origin)


NAMES = st.text(st.sampled_from('abcXYZ019-_!~.* \t,;:"()/\\\xe9\x00'), max_size=40)


@given(
    st.lists(NAMES | st.from_regex(TOKEN, fullmatch=True), max_size=40), NAMES | st.from_regex(TOKEN, fullmatch=True)
)
def test_no_more_comes_back_than_was_asked_for_and_nothing_but_names(names: list[str], method: str) -> None:
    sent = ",".join(names)
    found = granted(Asked("https://app.example", method, sent), ["GET"], lambda _text: False)
    if found is None:
        assert not TOKEN.fullmatch(method) or "*" in method or len(method) > 64
        return
    methods, back = found
    assert set(methods) == {"GET", method}
    assert len(back) <= MOST_NAMES
    assert len(", ".join(back)) <= MOST_TEXT + MOST_NAMES
    asked = [part.strip(" \t").lower() for part in sent.split(",")]
    assert set(back) <= set(asked)
    assert all(TOKEN.fullmatch(name) and name != "*" for name in back)
    assert back == () or set(back) == set(asked) - {""}


@given(st.dictionaries(st.sampled_from(["origin", "access-control-request-method"]), st.lists(TEXTS, max_size=2)))
def test_a_preflight_says_one_origin_and_one_method(lines: dict[str, list[str]]) -> None:
    asked = read_preflight("OPTIONS", lambda name: lines.get(name, []))
    if asked is not None:
        assert lines == {"origin": [asked.origin], "access-control-request-method": [asked.method]}
        assert not {"", ","} & {asked.origin.strip(" \t"), asked.method.strip(" \t")}
    assert read_preflight("GET", lambda name: lines.get(name, [])) is None
