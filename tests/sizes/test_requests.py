"""No request takes the gate longer than it may, whatever is too long in it: whole requests, through both doors."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest

from keystile import Argon2Hasher, Gate, Rule, asgi, current, wsgi
from keystile.answers.pages import Page
from keystile.exceptions import InvalidRequest
from keystile.policy import CREDENTIAL_FORMS
from tests.doors import asgi_scope, wsgi_environ
from tests.selection import often
from tests.sizes.shapes import UNITS, USUAL, shape

MOST, SLACK = 0.005, 3.0
PARTS = range(often(1, 2))
PEER, PAGE = "10.0.0.1", "https://app.example"
HEADERS = (
    *("authorization", "x-api-key", "x_api_key", "x-forwarded-for", "x-forwarded-proto", "x-real-ip", "forwarded"),
    *("accept", "x-request-id", "content-type", "content-length", "content-encoding", "transfer-encoding", "origin"),
    *("access-control-request-method", "access-control-request-headers", "cookie", "host", "user-agent", "referer"),
    *("idempotency-key", "x-http-method-override", "accept-encoding", "if-none-match", "upgrade", "te", "x-other"),
)
Sent = dict[str, Any]


def _in_header(name: str) -> Callable[[str], Sent]:
    method = "OPTIONS" if name.startswith(("origin", "access-")) else "POST"
    return lambda text: {"method": method, "headers": [(name, text)]}


def _many(text: str) -> list[str]:
    return [text[at : at + 8] for at in range(0, len(text), 32)]  # a name, a colon and a line's end take the rest


def _preflight(method: str, names: str) -> Sent:
    asked = {"origin": PAGE, "access-control-request-method": method, "access-control-request-headers": names}
    return {"method": "OPTIONS", "headers": list(asked.items())}


PLACES: dict[str, Callable[[str], Sent]] = {
    "path": lambda text: {"path": "/" + text},
    "public path": lambda text: {"path": "/open/" + text},
    "query": lambda text: {"query": text},
    "query of a public path": lambda text: {"path": "/open/x", "query": text},
    "method": lambda text: {"method": text},
    "peer": lambda text: {"peer": text},
    "body": lambda text: {"method": "POST", "body": b"[" + text.encode("latin-1") + b"1]"},
    "lines": lambda text: {"headers": [("x-forwarded-for", each) for each in _many(text)]},
    "keys": lambda text: {"headers": [("x-api-key", each) for each in _many(text)]},
    "headers": lambda text: {"headers": [(f"x-{at}", each) for at, each in enumerate(_many(text))]},
    "names of a preflight": lambda text: _preflight("PUT", text),
    "method of a preflight": lambda text: _preflight(text, ""),
    "answer": lambda text: {"path": "/echo", "query": "x", "headers": [("x-echo", text)]},
    **{name: _in_header(name) for name in HEADERS},
}
LOOKED_INTO = ("path", "query", "peer", "lines", "x-forwarded-proto", "cookie", "origin")
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "hidden": {"accept": [*CREDENTIAL_FORMS, "?api_key", "Authorization: Basic"], "hide_credentials": True},
    "forwarded": {"client_header": "Forwarded", "trusted_hops": 3, "trusted_proxies": ()},
    "dry run": {"enforce": False, "require_json": True},
    "redirect": {"https": "redirect"},
    "glances": {"accept": list(CREDENTIAL_FORMS)},
    "glances behind proxies": {"accept": list(CREDENTIAL_FORMS), "trusted_hops": 2, "trusted_proxies": ()},
    "cors": {"cors_origins": [PAGE], "allow": ["0.0.0.0/0"], "deny": ["10.0.0.2"]},
}

OF_SETTINGS = {"cors": ("origin", "names of a preflight", "method of a preflight", "answer")}


def gate_with(**settings: Any) -> Gate:
    usual = {
        "hasher": Argon2Hasher(memory_kib=8, time_cost=1),
        "public": ["/open/*"],
        "rules": [Rule("/a/*", limits="1000000/day"), Rule("POST /v1/*", require_json=True)],
        "anonymous_limits": "1000000/day",
        "failure_limits": None,
        "trusted_proxies": ["10.0.0.0/8"],
        "accept": [*CREDENTIAL_FORMS, "?api_key"],
        "public_url": "https://api.example.com",
        "cursor_secrets": [b"a secret for cursors"],
        "envelope": True,
        "echo_request_id": True,
    }
    gate = Gate(**{**usual, **settings})
    gate.on_event(lambda event: None)
    return gate


def answer_of(seen: Any, echo: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """What the app does: it pages, and repeats a header in all that the gate merges."""
    with suppress(InvalidRequest, LookupError):
        current().page_params()
        current().paginate(Page([1], 1, True, "next"))
    if not echo:
        return 200, [("content-type", "application/json")], b"[1]"
    fields = [("content-type", "application/json"), ("vary", echo), ("cache-control", echo), ("etag", echo)]
    quoted = echo.replace("\\", "").replace('"', "")
    return 422, fields, f'{{"detail": "{quoted[:60_000]}"}}'.encode("ascii", "replace")


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    echo = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-echo"), "")
    status, headers, body = answer_of(scope, echo)
    fields = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


def wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    status, headers, body = answer_of(environ, environ.get("HTTP_X_ECHO", ""))
    start_response(f"{status} Whatever", headers)
    return [body]


def requests(place: str, unit: bytes, size: int, key: str | None) -> Sent:
    sent = {"method": "GET", "path": "/v1/x", "query": "", "headers": [], "peer": PEER, "body": b""}
    sent |= PLACES[place](shape(unit, size).decode("latin-1"))
    if sent["body"]:
        sent["headers"] = [("content-type", "application/json"), ("content-length", str(len(sent["body"])))]
    if key is not None:
        sent["headers"] = [*sent["headers"], ("api-key", key)]
    return sent


def asgi_costs(gate: Gate, sent: Iterator[Sent]) -> list[float]:
    app = asgi.GateMiddleware(asgi_app, gate=gate)

    async def receive() -> Any:
        return waiting.pop()

    async def send(message: Any) -> None: ...

    async def run() -> None:
        for each in sent:
            scope = asgi_scope(each["method"], "/", each["headers"], each["peer"])
            path = each["path"].encode("latin-1")
            scope |= {"path": path.decode("utf-8", "replace"), "raw_path": path}
            scope["query_string"] = each["query"].encode("latin-1")
            waiting[:] = [{"type": "http.request", "body": each["body"]}]
            begun = time.thread_time()
            await app(scope, receive, send)
            taken.append(time.thread_time() - begun)

    taken: list[float] = []
    waiting: list[Any] = []
    anyio.run(run)
    return taken


def wsgi_costs(gate: Gate, sent: Iterator[Sent]) -> list[float]:
    app, taken = wsgi.GateMiddleware(wsgi_app, gate=gate), []
    for each in sent:
        environ = wsgi_environ(each["method"], "/", each["headers"], each["peer"])
        environ |= {"PATH_INFO": each["path"], "QUERY_STRING": each["query"], "wsgi.input": io.BytesIO(each["body"])}
        environ["RAW_URI"] = f"{each['path']}?{each['query']}"
        begun = time.thread_time()
        b"".join(app(environ, lambda *head: lambda data: None))
        taken.append(time.thread_time() - begun)
    return taken


@pytest.mark.parametrize("costs", [asgi_costs, wsgi_costs], ids=["asgi", "wsgi"])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("known", [True, False], ids=["key", "nobody"])
def test_a_request_with_too_much_of_anything_costs_little(
    costs: Callable[[Gate, Iterator[Sent]], list[float]], settings: str, known: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # What the tests' own handlers make of a record is no cost of ours.
    caplog.set_level(logging.CRITICAL, "keystile")
    gate = gate_with(**SETTINGS[settings])
    key = gate.keys.create(name="test").secret if known else None
    # A bound has its worst just before it.
    cases = [(place, unit, size) for size in (8000, USUAL) for place in PLACES for unit in UNITS]
    if settings != "plain":
        usual = {"path", "query", "peer", "lines", "x-forwarded-proto", "cookie", "origin"}
        told = usual | {*OF_SETTINGS.get(settings, (settings,))}
        cases = [case for case in cases if case[0] in told]
    # Usually each goes through both doors, but through one with a key and through the other without.
    cases = [case for part in PARTS for case in cases[part ^ (costs is wsgi_costs) ^ known :: 2]]
    costs(gate, iter([requests("accept", b"a", 10, key)]))  # the first use of a key is for other tests
    for _ in range(6):
        taken = costs(gate, (requests(*case, key) for case in cases))
        slow = [(case, each) for case, each in zip(cases, taken, strict=True) if each > MOST * SLACK]
        cases = [case for case, _ in slow]
        if not cases:
            break
    assert [f"{size} of {unit!r} as {place}: {each * 1000:.1f} ms" for (place, unit, size), each in slow] == []
