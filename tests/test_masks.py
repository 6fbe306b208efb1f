"""A key that a client puts into a wrong place is in nothing that the gate writes."""

from __future__ import annotations

import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import current
from keystile.answers.pages import Page
from keystile.events import Event, Events
from keystile.keys.format import ID_LENGTH, Parsed, PrefixedFormat
from keystile.model import Environment
from keystile.rules.requests.masks import Mask
from tests.doors import Answer, Door


def public_part(secret: str) -> str:
    """The part of a key that may be shown."""
    return secret[: len("acme_live_") + ID_LENGTH]


def said(door: Door, *args: Any, **named: Any) -> tuple[Answer, list[Event]]:
    """An answer, and the events of its request."""
    heard: list[Event] = []
    door.gate.on_event(heard.append)
    return door.get(*args, **named), heard


def wrote(answer: Answer, heard: list[Event], caplog: pytest.LogCaptureFixture) -> str:
    """Everything that the gate wrote."""
    return repr((answer, heard)) + caplog.text + repr([vars(record) for record in caplog.records])


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("around", ["/v1/{}", "/{}/x", "/v1/x{}.json", "/a;k={}", "/v1/{}?x={}"])
def test_a_key_in_the_path_is_told_by_its_public_part(
    door: Door, caplog: pytest.LogCaptureFixture, form: str, around: str
) -> None:
    secret = door.create().secret
    door.open(event_format=form)
    with caplog.at_level(logging.INFO, "keystile"):
        answer, heard = said(door, around.replace("{}", secret))
    assert answer.status == 401
    assert secret not in wrote(answer, heard, caplog)
    assert f"{public_part(secret)}***" in heard[-1].path
    assert f"{public_part(secret)}***" in caplog.text


@pytest.mark.parametrize("around", ["/v1/{}{}", "/v1/{}{}{}", "/v1/{}x{}", "/v1/acme_live_01234567890{}"])
def test_a_key_that_is_pasted_twice_is_masked_twice(door: Door, caplog: pytest.LogCaptureFixture, around: str) -> None:
    secret = door.create().secret
    door.open()
    with caplog.at_level(logging.INFO, "keystile"):
        answer, heard = said(door, around.replace("{}", secret))
    assert secret[len(public_part(secret)) :][:8] not in wrote(answer, heard, caplog)


FORMAT = PrefixedFormat("acme")
issued = st.text("0123456789abcmelivABCMELIV", min_size=44, max_size=44).map(
    lambda drawn: FORMAT.mint("production", lambda count: drawn[:count] if count == ID_LENGTH else drawn[-count:])
)
pieces = st.sampled_from(["/", "_", "acme", "acme_", "acme_live_", "ACME_", "a", "live_", "%5F", "0123456789", "é"])


@given(st.lists(issued | pieces | st.text(max_size=5), max_size=6), issued)
def test_whatever_surrounds_or_repeats_a_key_nothing_of_its_secret_is_shown(parts: list[str], last: str) -> None:
    text = "".join([*parts, last, *parts])
    shown = Mask(FORMAT.parse, FORMAT.within).hide(text)
    secrets = [key[len("acme_live_") + ID_LENGTH :] for key in [*parts, last] if FORMAT.parse(key.encode())]
    for secret in secrets:
        runs = {secret[at : at + 8] for at in range(len(secret) - 7)}
        # Letters that stand in a public part, or outside of all keys, are no secret.
        known = [key[: len("acme_live_") + ID_LENGTH] if FORMAT.parse(key.encode()) else key for key in [*parts, last]]
        assert [run for run in runs if run in shown and not any(run in each for each in ["".join(known), *known])] == []


@pytest.mark.parametrize("shape", [str.upper, str.lower, lambda key: key.replace("_", "%255F"), lambda key: key[:-3]])
def test_what_is_nearly_a_key_is_masked_too(door: Door, caplog: pytest.LogCaptureFixture, shape: Any) -> None:
    sent = shape(door.create().secret)
    door.open()
    with caplog.at_level(logging.INFO, "keystile"):
        answer, heard = said(door, f"/v1/{sent}")
    assert sent[-30:] not in wrote(answer, heard, caplog)


@pytest.mark.parametrize("path", ["/v1/acme_live_streams", "/acme_test_drive/7", "/v1/acme_docs", "/live_/acme_"])
def test_other_paths_are_told_as_they_came(door: Door, path: str) -> None:
    door.open()
    assert said(door, path)[1][-1].path == path


def test_a_method_and_a_peer_are_looked_over_as_well(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    secret = door.create().secret
    door.open()
    with caplog.at_level(logging.INFO, "keystile"):
        answer, heard = said(door, method=secret, peer=secret)
    assert secret not in wrote(answer, heard, caplog)


@pytest.mark.parametrize("around", ["{}", "x.{}", "{}-1", "x{}"])
def test_a_request_id_that_holds_a_key_is_not_taken_over(
    door: Door, caplog: pytest.LogCaptureFixture, around: str
) -> None:
    secret = door.create().secret
    door.open(echo_request_id=True)
    with caplog.at_level(logging.INFO, "keystile"):
        for key in (secret, None):
            answer, heard = said(door, key=key, headers=[("x-request-id", around.format(secret))])
            assert secret not in wrote(answer, heard, caplog)
            assert (answer.header("x-request-id") or "").startswith("req_")
    for harmless in ("acme_live_streams", "acme-1", "acme_1"):
        assert door.get(headers=[("x-request-id", harmless)]).header("x-request-id") == harmless


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_problem_document_holds_no_key_of_the_request_id(door: Door, status: int) -> None:
    secret = door.create().secret
    door.open(echo_request_id=True, envelope=True, error_format="problem")
    door.host.status = status
    assert secret not in repr(door.get(key=secret, headers=[("x-request-id", secret)]))


@pytest.mark.parametrize("target", ["/v1/{}", "/{}/x", "/v1/x{}?a=b"])
def test_no_redirect_repeats_a_key_of_the_path(door: Door, target: str) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com")
    answer, _ = said(door, target.format(secret))
    assert (answer.status, answer.code, answer.header("location")) == (403, "https_required", None)


def test_no_redirect_repeats_a_key_within_a_value_of_the_query(door: Door) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://api.example.com")
    for piece in (f"x={secret}", secret, f"x=a,{secret}", f"x=a{quote(secret)}", f"{secret}=1", "x=" + secret.upper()):
        answer = door.get(f"/v1?a=1&{piece}&b=2")
        assert answer.header("location") == "https://api.example.com/v1?a=1&b=2"


def test_no_link_repeats_a_key(door: Door) -> None:
    secret = door.create().secret
    door.open(envelope=True)
    door.host.acts = lambda: current().paginate(Page([1], 1, True, "next"))
    assert door.get(f"/v1/{secret}", secret).header("link") is None
    link = door.get(f"/v1/x?a=1&b=x,{secret}", secret).header("link")
    assert link == '</v1/x?a=1&limit=1&cursor=next>; rel="next"'


class OldKeys:
    """Keys of a service's own making: nothing tells where they begin within a text."""

    def mint(self, environment: Environment, draw: Any) -> str:
        return f"{environment[:4]}-{draw(30)}"

    def parse(self, raw: bytes) -> Parsed | None:
        return Parsed(raw[:12].decode(), raw[-4:].decode()) if raw.startswith(b"prod-") and len(raw) == 35 else None


def test_keys_of_another_format_are_found_between_delimiters(door: Door, caplog: pytest.LogCaptureFixture) -> None:
    door.open(prefix=None, key_format=OldKeys(), echo_request_id=True)
    secret = "prod-" + "Aa1" * 10
    with caplog.at_level(logging.INFO, "keystile"):
        for target in (f"/v1/{secret}", f"/v1/{secret}/x", f"/v1;k={secret},x"):
            answer, heard = said(door, target, headers=[("x-request-id", secret)])
            assert secret not in wrote(answer, heard, caplog)
            assert "***" in heard[-1].path


def test_what_an_event_holds_of_a_request_is_bounded() -> None:
    heard: list[Event] = []
    events = Events("text")
    events.hide = Mask(PrefixedFormat("acme").parse, None).hide
    events.listen(heard.append)
    events.tell(Event("x", logging.INFO, path="/" * 1_000_000, method="A" * 100_000))
    assert len(heard[0].path) <= 8193
    assert len(heard[0].method) <= 8193


def test_a_key_is_masked_before_a_long_text_is_cut() -> None:
    mask = Mask(OldKeys().parse, None)
    heard: list[Event] = []
    events = Events("json")
    events.hide = mask.hide
    events.listen(heard.append)
    secret = "prod-" + "Aa1" * 10
    for before in (0, 8150, 8180, 20_000):
        events.tell(Event("x", logging.INFO, path="/" * before + f"/{secret}/"))
        assert secret[:24] not in heard[-1].path


def test_a_mask_leaves_other_values_of_an_event_alone() -> None:
    form = PrefixedFormat("acme")
    mask = Mask(form.parse, form.within)
    assert mask.hide("") == ""
    assert json.loads(json.dumps(mask.hide("/é\ud800"))) == "/é\ud800"
    assert not mask.holds("acme_live_" + "a" * ID_LENGTH)
    assert mask.holds("acme_live_" + "a" * (ID_LENGTH + 1))
