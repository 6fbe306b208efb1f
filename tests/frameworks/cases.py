"""What every framework is asked. A case returns the word for what came of it: ``"ok"``, or one of the words that the
table explains. Any other outcome is an AssertionError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from keystile.answers.hosterrors import CODES
from tests.doors import Answer
from tests.frameworks.talk import ORIGIN, Talk

CALLER = {"caller": "good"}
JSON = {"content_type": "application/json"}
UPLOAD = 5 * 1024 * 1024
LIMITS = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


class Case(NamedTuple):
    """A row of the table."""

    section: str
    name: str
    run: Callable[[Talk], str]


CASES: list[Case] = []


def case(section: str, name: str) -> Callable[[Callable[[Talk], str]], Callable[[Talk], str]]:
    def add(run: Callable[[Talk], str]) -> Callable[[Talk], str]:
        CASES.append(Case(section, name, run))
        return run

    return add


def answered(answer: Answer) -> None:
    """The answer is a success in the envelope, with the caller in it."""
    assert (answer.status, answer.json.get("data")) == (200, CALLER), answer
    assert answer.json["meta"]["request_id"] == answer.header("x-request-id")


def refused(answer: Answer, status: int, code: str) -> None:
    """The answer is an error in the envelope."""
    assert (answer.status, answer.code) == (status, code), answer
    assert set(answer.json) == {"error", "meta"}
    assert answer.header("content-type") == "application/json"
    assert answer.json["meta"]["request_id"] == answer.header("x-request-id")


def challenged(answer: Answer) -> None:
    """The answer is a 401 as RFC 9110 section 15.5.2 has it."""
    refused(answer, 401, "missing_api_key")
    assert (answer.header("www-authenticate") or "").startswith("Bearer")


def handler(path: str) -> Callable[[Talk], str]:
    """The caller is known where this path is handled, if the framework has such a thing."""

    def run(talk: Talk) -> str:
        answer = talk.get(path)
        if answer.status == 404:
            refused(answer, 404, "not_found")
            return "none"
        answered(answer)
        return "ok"

    return run


WHO, MAY, ERRORS, BODIES, AROUND = "Who is calling", "Who may", "The host's errors", "Bodies", "Around a request"

case(WHO, "200 with a key, in the framework's usual handler")(handler("/v1/me"))
case(WHO, "`current()` in a plain handler")(handler("/v1/sync"))
case(WHO, "`current()` in an async handler")(handler("/v1/async"))
case(WHO, "handed over with the request")(handler("/v1/handed"))


@case(WHO, "`current()` in the framework's own middleware or hook")
def _middleware(talk: Talk) -> str:
    word = talk.get("/v1/me").header("x-seen")
    assert word == "good", word
    return "ok"


@case(WHO, "nobody on a public path")
def _public(talk: Talk) -> str:
    answer = talk.get("/health", None)
    assert (answer.status, answer.json, answer.header("x-seen")) == (200, {"status": "up"}, "nobody")
    return "ok"


@case(WHO, "401 without a key")
def _without(talk: Talk) -> str:
    challenged(talk.get("/v1/me", None))
    assert talk.get("/v1/me", None, "POST", b"{}").code == "missing_api_key"
    return "ok"


@case(WHO, "401 on a path that nobody serves")
def _unknown(talk: Talk) -> str:
    challenged(talk.get("/nowhere", None))
    challenged(talk.get("/v1/me/nowhere", None))
    return "ok"


@case(MAY, "403 by a rule's scope")
def _scope(talk: Talk) -> str:
    refused(talk.get("/v1/exports", "plain", "POST"), 403, "insufficient_scope")
    answered(talk.get("/v1/exports", "good", "POST"))
    return "ok"


@case(MAY, "403 by `require`")
def _require(talk: Talk) -> str:
    challenged(talk.get("/v1/reports", None, "POST"))
    answer = talk.get("/v1/reports", "plain", "POST")
    if answer.status == 404:
        return "by a rule"
    refused(answer, 403, "insufficient_scope")
    assert 'scope="reports:write"' in (answer.header("www-authenticate") or "")
    answered(talk.get("/v1/reports", "good", "POST"))
    return "ok"


@case(MAY, "429, and its headers")
def _limited(talk: Talk) -> str:
    for remaining in ("1", "0"):
        answer = talk.get("/v1/limited")
        answered(answer)
        assert [answer.header(name) for name in LIMITS[:2]] == ["2", remaining]
        assert answer.header("retry-after") is None
    answer = talk.get("/v1/limited")
    refused(answer, 429, "rate_limited")
    assert int(answer.header("retry-after") or 0) > 0
    assert [answer.header(name) for name in LIMITS[:2]] == ["2", "0"]
    assert int(answer.header(LIMITS[2]) or 0) > 0
    return "ok"


@case(MAY, "a sub-app or part of the app: 401, 403, 200")
def _mounted(talk: Talk) -> str:
    challenged(talk.get("/sub/things", None))
    refused(talk.get("/sub/guarded", "plain"), 403, "insufficient_scope")
    for path in ("/sub/things", "/sub/guarded"):
        answer = talk.get(path)
        if answer.status == 404:
            refused(answer, 404, "not_found")
            return "none"
        answered(answer)
    return "ok"


@case(ERRORS, "404")
def _not_found(talk: Talk) -> str:
    refused(talk.get("/nowhere"), 404, "not_found")
    return "ok"


@case(ERRORS, "405, and `Allow`")
def _method(talk: Talk) -> str:
    challenged(talk.get("/v1/me", None, "DELETE"))
    answer = talk.get("/v1/me", method="DELETE")
    if answer.status == 200:
        return "any method"
    if answer.status == 404:
        refused(answer, 404, "not_found")
        return "404"
    refused(answer, 405, "method_not_allowed")
    assert "GET" in (answer.header("allow") or "")
    return "ok"


@case(ERRORS, "422 for a body that is not valid")
def _invalid(talk: Talk) -> str:
    answer = talk.get("/v1/orders", method="POST", body=json.dumps({"count": "many"}), **JSON)
    word = "ok"
    if answer.status == 400:
        refused(answer, 400, "invalid_request")
        word = "400"
    else:
        refused(answer, 422, "validation_failed")
    told = answer.json["error"]
    if "count" in json.dumps([told["message"], told["details"]]):
        return word
    assert (word, told["message"], told["details"]) == ("ok", CODES[422][1], {})
    return "the table's message"


@case(ERRORS, "500 for an exception, and not a word of it")
def _failed(talk: Talk) -> str:
    answer = talk.get("/v1/boom")
    refused(answer, 500, "internal_error")
    assert b"hunter2" not in answer.body
    return "ok"


@case(BODIES, "a stream: the first chunk leaves before the second is made")
def _stream(talk: Talk) -> str:
    with talk.answering("/v1/stream") as response:
        assert (response.status, response.readline()) == (200, b"first\n")
        assert talk.get("/v1/next", method="POST").status == 200
        rest = response.read()
    assert rest in (b"good\n", b"nobody\n"), rest
    challenged(talk.get("/v1/stream", None))
    return "ok" if rest == b"good\n" else "reads environ"


@case(BODIES, "an upload of 5 MB")
def _upload(talk: Talk) -> str:
    answer = talk.get("/v1/upload", method="POST", body=bytes(UPLOAD), content_type="application/octet-stream")
    assert (answer.status, answer.json["data"]) == (200, {"length": UPLOAD})
    challenged(talk.get("/v1/upload", None, "POST", b"a", content_type="application/octet-stream"))
    return "ok"


@case(BODIES, "HEAD: the head of GET, and no body")
def _head(talk: Talk) -> str:
    answer = talk.get("/v1/me", method="HEAD")
    assert answer.body == b""
    missing = talk.get("/v1/me", None, "HEAD")
    assert (missing.status, missing.body) == (401, b"")
    if answer.status in (404, 405):
        return str(answer.status)
    got = talk.get("/v1/me")
    assert answer.status == 200, answer
    for name in ("content-type", "x-seen"):
        assert answer.header(name) == got.header(name)
    return "ok"


@case(BODIES, "a websocket: refused without a key, the caller with one")
def _socket(talk: Talk) -> str:
    status = _opened(talk, talk.headers())
    # Django itself takes no websocket at all, so it asks no middleware of its own.
    refusals = (401, 500) if "MIDDLEWARE" in talk.kind.around else (401,)
    assert status in (101, 404, 500), status
    assert _opened(talk, {}) in refusals
    return "ok" if status == 101 else "none"


def _opened(talk: Talk, headers: dict[str, str]) -> int:
    """The status of a handshake. Behind one that succeeds is the caller."""
    try:
        with connect(f"ws://127.0.0.1:{talk.server.port}/v1/socket", additional_headers=headers) as socket:
            socket.send("who am I?")
            assert socket.recv(30) == "good"
    except InvalidStatus as error:
        return error.response.status_code
    return 101


@case(AROUND, "a background task knows the caller")
def _task(talk: Talk) -> str:
    by = talk.get("/v1/task", method="POST").json["data"]["by"]
    told = talk.eventually("/v1/task", "told")
    assert told == ["good"], told
    return {"a task": "ok", "a thread": "a thread"}[by]


@case(AROUND, "a CORS preflight, and CORS on a refusal")
def _preflight(talk: Talk) -> str:
    asked = {"access_control_request_method": "GET", "access_control_request_headers": "x-api-key"}
    answer = talk.get("/v1/me", None, "OPTIONS", origin=ORIGIN, **asked)
    assert answer.status in (200, 204), answer
    assert answer.header("access-control-allow-origin") == ORIGIN
    assert "x-api-key" in (answer.header("access-control-allow-headers") or "").lower()
    for key, status in ((None, 401), ("good", 200)):
        answer = talk.get("/v1/me", key, origin=ORIGIN)
        assert (answer.status, answer.header("access-control-allow-origin")) == (status, ORIGIN)
        other = talk.get("/v1/me", key, origin="https://other.example")
        assert (other.status, other.header("access-control-allow-origin")) == (status, None)
    assert talk.get("/v1/me", None, "OPTIONS", origin="https://other.example", **asked).status in (400, 401)
    return "ok" if talk.kind.cors == "outside" else "by the gate"


@case(AROUND, "`override_principal` in tests: on, nested, off")
def _helper(talk: Talk) -> str:
    return talk.helped


@case(AROUND, "it starts once and ends once")
def _lifespan(talk: Talk) -> str:
    """It ends the server."""
    before = talk.noted()
    talk.end()
    assert (before, talk.noted()) in [([], []), (["start"], ["start", "end"])]
    return "ok" if before else "none"


@case(ERRORS, "the exception is in the log")
def _logged(talk: Talk) -> str:
    """Only what has ended has written all of its log."""
    talk.end()
    return "ok" if "\nRuntimeError: hunter2" in talk.log.read_text() else "not logged"
