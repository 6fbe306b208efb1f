"""What the app refuses with `require` is answered as the gate answers the same: through every door, in every shape."""

from __future__ import annotations

import json
from typing import Any

import pytest

from keystile import ConfigurationError, Rule, current
from keystile.integrations.refusing import Refusal, caller_of, check_scopes, reply_to, wanted_scopes
from tests.doors import Answer, Door
from tests.test_doors import TIMES

SCOPES = wanted_scopes(["b", "a"])
SHAPES = [
    {},
    {"envelope": True},
    {"error_format": "problem"},
    {"envelope": True, "error_format": "problem"},
    {"accept": ["Authorization: Token", "X-Key"], "realm": "mine"},
    {"recheck_in_flight": True},
]


def requires(door: Door, accept: str = "") -> None:
    """Have the host's app require `SCOPES`, as a framework would."""
    host = door.host

    def acts() -> None:
        try:
            check_scopes(current(), SCOPES, "GET", "/v1/things")
        except Refusal as refusal:
            reply = reply_to(refusal, accept)
            host.status, host.headers, host.chunks = reply.status, reply.headers, [reply.body]

    host.acts = acts


def masked(answer: Answer) -> Any:
    vary = (
        "vary",
        sorted(name for line in answer.all("vary") for name in line.lower().split(", ") if name != "accept"),
    )
    others = {(name, value) for name, value in answer.headers if name not in {"vary", "x-request-id", "cache-control"}}
    assert {"no-store"} <= {part for line in answer.all("cache-control") for part in line.split(", ")}
    assert len({name for name, _ in answer.headers}) == len(answer.headers), "a header stands twice"
    return answer.status, vary, others, TIMES.sub(b'"..."', answer.body)


@pytest.mark.parametrize("accept", ["", "application/problem+json"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_scope_is_missed_in_the_words_of_the_gate(door: Door, shape: dict[str, Any], accept: str) -> None:
    form = shape.get("accept", ["X-API-Key"])[-1]
    issued = door.create(scopes=["a"])
    headers = [(form, issued.secret), *([("accept", accept)] if accept else [])]
    door.open(rules=[Rule("/v1/*", scopes=["b", "a"])], **shape)
    by_the_gate = door.get(headers=headers)
    assert (by_the_gate.status, door.host.calls) == (403, [])
    door.open(**shape)
    requires(door, accept)
    by_the_app = door.get(headers=headers)
    assert len(door.host.calls) == 1
    assert masked(by_the_app) == masked(by_the_gate)
    assert by_the_app.header("x-request-id") == json.loads(by_the_app.body).get("meta", by_the_app.json)["request_id"]


def test_who_holds_the_scopes_is_let_through(door: Door) -> None:
    requires(door)
    assert door.get(key=door.create(scopes=["c", "b", "a"]).secret).status == 200


def test_a_caller_who_may_stay_out_is_asked_for_a_key(door: Door) -> None:
    door.open(rules=[Rule("/*", public="optional")])
    requires(door)
    answer = door.get()
    assert (answer.status, answer.code) == (401, "missing_api_key")
    assert answer.header("www-authenticate") == 'Bearer realm="api"'


def test_a_public_path_has_no_caller_to_ask(door: Door) -> None:
    door.open(public=["/v1/*"])
    door.host.acts = lambda: caller_of(current(), "GET", "/v1/things")
    with pytest.raises(RuntimeError, match="public path"):
        door.get()
    requires(door)
    with pytest.raises(RuntimeError, match="public path"):
        door.get()


def test_it_is_told_as_any_refusal_is(door: Door) -> None:
    told = []
    door.gate.on_event(lambda event: told.append((event.code, event.key_id, event.status, event.path)))
    requires(door)
    issued = door.create()
    assert door.get(key=issued.secret).status == 403
    assert ("insufficient_scope", issued.key.id, 403, "/v1/things") in told


def test_in_dry_run_of_the_gate_a_scope_is_only_told_of_but_a_caller_cannot_be_made_up(door: Door) -> None:
    gate = door.open(enforce=False)
    told = []
    gate.on_event(lambda event: told.append((event.code, event.reason)))
    requires(door)
    assert door.get(key=door.create().secret).status == 200
    assert door.get().status == 200
    assert [reason for code, reason in told if code == "would_refuse"] == [
        "insufficient_scope",
        "missing_api_key",
        "missing_api_key",
    ]
    door.host.acts = lambda: caller_of(current(), "GET", "/v1/things")
    with pytest.raises(Refusal):
        door.get()


@pytest.mark.parametrize("scopes", [[], "a", ["a b"], [1]])
def test_what_are_no_scopes_is_refused_at_once(scopes: Any) -> None:
    with pytest.raises(ConfigurationError):
        wanted_scopes(scopes)
