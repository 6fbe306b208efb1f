"""Management: what feeds the parsers of its API, part by part and as whole requests through both doors."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import anyio

from keystile import Gate, asgi, wsgi
from keystile.manage import ALL, Authority
from keystile.manage.api import fields, members
from keystile.manage.api.bodies import read_object
from keystile.manage.api.faults import Refusal, invalid_fields
from keystile.manage.api.names import camel, cased
from keystile.manage.api.routes import find
from keystile.manage.crosssite import may_change, may_show, origin_of
from keystile.manage.requests import ManagementRequest, folded, parameters
from keystile.rules.requests.querykeys import is_long
from tests.doors import asgi_scope, wsgi_environ

GATE = Gate(prefix="key", hasher="hmac-sha256", peppers=["a pepper of this table"], clock=lambda: 1_800_000_000.0)
ROOT = Authority(id="root", name="root", organization_ids=ALL, may=frozenset(("keys:manage", "audit:read")))
HERE = ("sec-fetch-site", "same-origin")
JSON = ("content-type", "application/json")
APPS = [door.management_app(GATE, authorize=lambda _request: ROOT) for door in (asgi, wsgi)]
READING = fields.Reading(camel, True, GATE.mask.holds)
NOW = datetime(2027, 1, 1, tzinfo=UTC)
# As its bound says: more never reaches a parser.
MOST = 65_536


def sent_as(place: str, octets: bytes) -> tuple[str, str, list[tuple[str, str]], bytes]:
    """A request with these octets in one place."""
    text = octets.decode("latin-1")
    line = "".join(letter for letter in text if letter not in "\r\n\0")
    if place == "path":
        return "GET", "/api-keys/" + text.replace("?", ""), [HERE], b""
    if place == "query":
        return "GET", "/api-keys?search=" + text, [HERE], b""
    if place == "body":
        return "POST", "/projects", [HERE, JSON], octets
    if place == "json":
        return "POST", "/projects", [HERE, JSON], json.dumps({text[: len(text) // 2]: text[len(text) // 2 :]}).encode()
    return "POST", "/projects", [(place, line), JSON], b"{}"


def through(place: str) -> Callable[[bytes], Callable[[], object]]:
    """A whole request through both doors."""

    def feed(octets: bytes) -> Callable[[], object]:
        method, path, lines, body = sent_as(place, octets)
        lines = [*lines, ("content-length", str(len(body)))]
        # Before the clock runs: what a server makes of the octets is not ours.
        scope = asgi_scope(method, path, lines, "192.0.2.1")
        environ = wsgi_environ(method, path, lines, "192.0.2.1") | {"wsgi.input": io.BytesIO(body)}

        def run() -> None:
            b"".join(APPS[1](environ, lambda *_: None))
            anyio.run(_asgi, scope, body)

        return run

    return feed


async def _asgi(scope: Any, body: bytes) -> None:
    async def receive() -> Any:
        return {"type": "http.request", "body": body}

    async def send(_message: Any) -> None:
        pass

    await APPS[0](scope, receive, send)


def read_body(octets: bytes) -> None:
    """One body, read as JSON, its fields, and what is said of them."""
    request = ManagementRequest(
        "POST", "/", b"", (JSON,), octets[:MOST], "http", "", "", False, None, "", native=None, admitted=None
    )
    with suppress(Refusal):
        _, faults = fields.read_fields(members.NEW_KEY, read_object(request, typed=True), NOW, READING)
        invalid_fields(faults, GATE.mask.hide)


def read_values(text: str) -> None:
    """The same octets as each field's value."""
    for value in (text, [text], {text: text}):
        given = dict.fromkeys(map(camel, ("name", "limits", "scopes", "may", "ip_allowlist", "expires_at")), value)
        fields.read_fields(members.NEW_KEY, given | {"metadata": value}, NOW, READING)
    fields.pointer(text)
    with suppress(ValueError):
        fields.moment(text)


def read_parts(text: str) -> None:
    """What is read of a request's head."""
    find("GET", "/" + text)
    lines = folded([("x-a", part) for part in text.split(",")[:1000]])
    may_change(lines, "https://a.example")
    may_change([("origin", text), ("sec-fetch-site", text)], "https://a.example")
    may_show([("sec-fetch-dest", text), ("sec-fetch-site", text)])
    origin_of(text)
    cased({"metadata": {text: text}, "name": text}, camel)


def read_query(octets: bytes) -> None:
    """The parameters of a query; one that is longer, or has more of them, is not read."""
    if not is_long(octets := octets[:8192]):
        parameters(octets)
