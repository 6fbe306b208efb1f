"""Sends each request through both doors of a management app, and holds them to one answer."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import anyio

from tests.doors import Answer, Fields, asgi_scope, wsgi_environ
from tests.leaks import WATCH

# What counts requests counts each of the two.
_COUNTS = rb'"(?:remaining|reset_at|resetAt|admitted|rate_limited|last_used_at|lastUsedAt|grace_used_at)": ?[^,}]*'
_CHANGING = re.compile(rb'req_[0-9A-Za-z]{24}|"timestamp": ?"[^"]*"|' + _COUNTS)
_RAW = re.compile(rb'"(?:api_key|apiKey)":"[^"]*"')
_MAKES = re.compile(r"/(?:projects|api-keys|rotate)(?:\?|\Z)")
_COUNTS_IN = re.compile(_COUNTS)
_COUNTED = ("x-request-id", "x-ratelimit-remaining", "x-ratelimit-reset")


def plain(answer: Answer) -> tuple[int, Fields, bytes]:
    """An answer without what differs each time: the request's id, the date, and how much is used."""
    length = answer.header("content-length")
    assert length is None or not answer.body or int(length) == len(answer.body)
    left_out = (*_COUNTED, "content-length") if _COUNTS_IN.search(answer.body) else _COUNTED
    headers = sorted((name, "-" if name in left_out else value) for name, value in answer.headers)
    return answer.status, headers, _CHANGING.sub(b"-", answer.body)


class Shown(Answer):
    """An answer that shows a secret, this once: nothing else in it may be one."""

    def __post_init__(self) -> None:
        WATCH.answer(self.status, self.headers, _RAW.sub(b"", self.body))


def answer_of(sent: Sent, status: int, fields: Fields, body: bytes) -> Answer:
    """The answer; one that may show a secret, if the request makes one."""
    makes = sent.method == "POST" and _MAKES.search(sent.target) is not None and status in (200, 201)
    return (Shown if makes else Answer)(status, fields, body)


@dataclass
class Sent:
    """One request, as it comes over the wire."""

    method: str
    target: str
    headers: Fields = field(default_factory=list)
    body: bytes | None = None
    mount: str = ""
    peer: str | None = "127.0.0.1"

    @property
    def lines(self) -> Fields:
        return self.headers if self.body is None else [*self.headers, ("content-length", str(len(self.body)))]


def through_asgi(app: Callable[..., Any], sent: Sent, backend: str = "asyncio") -> Answer:
    """The answer of an ASGI app."""
    return anyio.run(_asgi, app, sent, backend=backend)


async def _asgi(app: Callable[..., Any], sent: Sent) -> Answer:
    scope = asgi_scope(sent.method, sent.target, sent.lines, sent.peer) | {"root_path": sent.mount}
    scope["path"] = sent.mount + scope["path"]
    waiting = [{"type": "http.request", "body": sent.body or b""}]
    messages: list[Any] = []

    async def receive() -> Any:
        return waiting.pop() if waiting else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
    assert not rest[-1].get("more_body", False)
    return answer_of(sent, start["status"], fields, b"".join(message.get("body", b"") for message in rest))


def through_wsgi(app: Callable[..., Any], sent: Sent) -> Answer:
    """The answer of a WSGI app."""
    environ = wsgi_environ(sent.method, sent.target, sent.lines, sent.peer) | {"SCRIPT_NAME": sent.mount}
    environ["wsgi.input"] = io.BytesIO(sent.body or b"")
    started: list[Any] = []

    def start_response(status: str, fields: Fields, exc_info: Any = None) -> None:
        started[:] = [status, fields]

    iterable = app(environ, start_response)
    body = b"".join(iterable)
    getattr(iterable, "close", lambda: None)()
    fields = [(name.lower(), value) for name, value in started[1]]
    return answer_of(sent, int(started[0].split()[0]), fields, body)


def wsgi_host(_environ: Any, _start_response: Any) -> Any:
    """A host that no request may reach."""
    raise AssertionError("the app was called")


async def asgi_host(_scope: Any, _receive: Any, _send: Any) -> None:
    """The same."""
    raise AssertionError("the app was called")


@dataclass
class Both:
    """An app on both doors.

    Attributes:
        asgi, wsgi: the apps.
        key: the raw key that requests present, unless they say otherwise.
        mount: where the apps are mounted.
    """

    asgi: Callable[..., Any]
    wsgi: Callable[..., Any]
    key: str | None = field(default=None, repr=False)
    mount: str = ""
    turn: int = 0

    def get(
        self,
        target: str,
        *,
        method: str = "GET",
        key: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        json_body: Any = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request. One that changes nothing goes through both doors, which must answer alike."""
        sent = self.made(target, method=method, key=key, headers=headers, json_body=json_body, body=body)
        if method in ("GET", "HEAD", "OPTIONS"):
            first, second = through_asgi(self.asgi, sent), through_wsgi(self.wsgi, sent)
            assert plain(first) == plain(second), sent
            return first
        self.turn += 1
        return through_asgi(self.asgi, sent) if self.turn % 2 else through_wsgi(self.wsgi, sent)

    def made(
        self,
        target: str,
        *,
        method: str = "GET",
        key: str | None = None,
        headers: Sequence[tuple[str, str]] = (),
        json_body: Any = None,
        body: bytes | None = None,
    ) -> Sent:
        lines = list(headers)
        key = self.key if key is None else key  # an empty one is none
        if key:
            lines.append(("authorization", f"Bearer {key}"))
        if json_body is not None:
            body = json.dumps(json_body).encode()
            if all(name != "content-type" for name, _ in lines):
                lines.append(("content-type", "application/json"))
        return Sent(method, target, lines, body, self.mount)

    def post(self, target: str, json_body: Any = None, **more: Any) -> Answer:
        return self.get(target, method="POST", json_body={} if json_body is None else json_body, **more)

    def as_key(self, key: str) -> Both:
        """The same, for another key."""
        return replace(self, key=key)
