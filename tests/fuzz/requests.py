"""Whole requests as hypothesis strategies, and both doors of one gate to send them through.

An abstract request is what a client sends; here it becomes an ASGI scope and a WSGI environ as real servers deliver it
(docs/reference/servers.md has where they differ).
"""

from __future__ import annotations

import io
import re
from base64 import b64encode
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

import anyio
from hypothesis import strategies as st

from keystile import Gate, asgi, wsgi

TIMES = re.compile(rb'"timestamp": ?"[^"]*"|"request_id": ?"[^"]*"')
PATHS = [
    "/",
    "/health",
    "/health/",
    "/v1/things",
    "/v1/exports",
    "/v1/exports/",
    "/v1/feed",
    "/v1/feed/",
    "/hooks/a",
    "/hooks//a",
    "/public/a",
    "/public/../v1/exports",
    "/public/%2e%2e/v1/exports",
    "/public/%2E%2E%2Fv1/exports",
    "/public/..%5cv1%5cexports",
    "//v1/exports",
    "/v1//exports",
    "/v1/./exports",
    "/v1/exports;x=1",
    "/v1/exports%00",
    "/v1/exports%2f",
    "/V1/Exports",
    "/v1/%65xports",
    "/public",
    "/publicity",
    "/caf%C3%A9",
    "/%ff",
    "/public/%C0%AE",
    "/v1/exports%3b",
    "*",
    "/" + "a" * 3000,
]
NAMES = [
    "Authorization",
    "authorization",
    "API-KEY",
    "X-API-Key",
    "Origin",
    "Access-Control-Request-Method",
    "Access-Control-Request-Headers",
    "Access-Control-Request-Private-Network",
    "X-HTTP-Method-Override",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "Forwarded",
    "X-Request-ID",
    "X-Hook",
    "Sec-Fetch-Site",
    "Sec-Fetch-Mode",
    "Cookie",
    "Accept",
    "Accept-Encoding",
    "Host",
]
PEERS = ["10.0.0.1", "8.8.8.8", "::1", "::ffff:10.0.0.1", "2001:db8::1%eth0", "unknown", "", None]
VALUES = [
    "",
    " ",
    "https",
    "http",
    "https, http",
    "9.9.9.9",
    "1.1.1.1, 9.9.9.9",
    "9.9.9.9, 10.0.0.2",
    "unknown",
    "for=9.9.9.9;proto=https",
    'for="[2001:db8::5]:4711"',
    "POST",
    "https://app.example",
    "https://app.example.evil.example",
    "null",
    "*",
    "x-api-key,content-type",
    "true",
    "application/problem+json",
    "gzip",
    "Basic dXNlcjpwYXNz",
    "Bearer eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl",
    "cross-site",
    "cors",
    "a,b",
    "\xe9\xff",
    "x" * 5000,
]


@dataclass(frozen=True)
class Sent:
    """What a client sends, and from where. The target is as on the wire."""

    method: str = "GET"
    target: str = "/v1/things"
    headers: tuple[tuple[str, str], ...] = ()
    peer: str | None = "8.8.8.8"
    scheme: str = "http"
    body: bytes = b""


@dataclass
class Got:
    """What came back, and what the app saw."""

    status: int
    headers: dict[str, str]
    body: bytes
    seen: list[Any] = field(default_factory=list)


def credentials(keys: list[str]) -> st.SearchStrategy[tuple[str, str]]:
    """A header that presents one of these keys, or almost does."""
    near = st.sampled_from(keys) | st.sampled_from(keys).map(lambda key: key[:-1]) | st.sampled_from(VALUES)
    forms = st.sampled_from(
        ["{}", "Bearer {}", "bearer  {} ", "Api-Key {}", "Bearer\t{}", "{},{}", "Bearer {}, Bearer {}"]
    )
    names = st.sampled_from(["Authorization", "AUTHORIZATION", "Api-Key", "api-key", "X-API-Key", "x-api-key"])
    plain = st.tuples(names, st.builds(lambda form, key: form.replace("{}", key), forms, near))
    words = st.sampled_from([*keys, "user", ""])
    pairs = st.tuples(st.just("Authorization"), st.builds(basic, words, words))
    elsewhere = st.tuples(st.sampled_from(["X-Hook", "Cookie", "X-Other"]), st.sampled_from(keys))
    return plain | plain | pairs | elsewhere


def basic(user: str, password: str) -> str:
    """The value of ``Authorization`` for a user and a password."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def repeats(keys: list[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """Lines of one place that presents a key, some of them empty or nearly so."""
    empty = st.sampled_from(["", " ", "Bearer", "Bearer ", ",", "Basic x"])
    values = st.lists(empty | st.sampled_from(keys).flatmap(lambda key: st.sampled_from([key, f"Bearer {key}"])))
    names = st.sampled_from(["Authorization", "Api-Key", "X-API-Key"])
    return st.tuples(names, values).map(lambda drawn: [(drawn[0], value) for value in drawn[1][:3]])


def preflights(keys: list[str]) -> st.SearchStrategy[list[tuple[str, str]]]:
    """The headers of a preflight, or almost."""
    names = st.lists(st.sampled_from(["x-api-key", "X-A", "*", "", "no name", "x" * 70, *keys]), max_size=40)
    return st.builds(
        lambda origin, method, names: [
            ("Origin", origin),
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", ",".join(names)),
        ],
        st.sampled_from(
            ["https://app.example", "https://other.example", "null", "https://app.example,https://b.example"]
        ),
        st.sampled_from(["PUT", "GET", "patch", "*", "G T", "", *keys]),
        names,
    )


def requests(keys: list[str]) -> st.SearchStrategy[Sent]:
    """Requests that both protocols can express: no underscores in names."""
    letters = st.text(st.characters(max_codepoint=255, categories=("L", "N", "P", "S")), max_size=12)
    others = st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | letters)
    headers = st.builds(
        lambda *parts: tuple(line for part in parts for line in part),
        st.lists(credentials(keys), max_size=2),
        st.just([]) | repeats(keys) | preflights(keys),
        st.lists(others, max_size=4),
    )
    plain = st.sampled_from(["", "?", "?a=1&b=%20", "?api_key=nonsense", "?api_key=", "?api_key"])
    forms = [
        "?token={}",
        "?a=1&token={}&token={}",
        "?api_key={}",
        "?x&api%5Fkey={}&y=2",
        "?api_key={}&api_key={}",
        "?api_key=%20{}",
        "?api_key=&api_key={}",
    ]
    with_key = st.builds(lambda form, key: form.replace("{}", key), st.sampled_from(forms), st.sampled_from(keys))
    query = plain | with_key
    odd = st.text("/.%25cefEF;\\:a0", min_size=1, max_size=12).map(lambda text: "/" + text)
    return st.builds(
        Sent,
        method=st.sampled_from(["GET", "HEAD", "POST", "OPTIONS", "options", "PUT", "DELETE", "FOO", "post"]),
        target=st.tuples(st.sampled_from(PATHS) | odd, query).map("".join),
        headers=headers,
        peer=st.sampled_from(PEERS),
        scheme=st.sampled_from(["http", "https"]),
        body=st.sampled_from([b"", b"{}", b"{", b"[1]" * 40, b"\xff"]),
    )


def host(seen: list[Any], shown: list[str]) -> tuple[Any, Any]:
    """An app for each door that answers in JSON and notes what it saw, and apart from that all that it was shown."""

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        body = (await receive())["body"]
        path, query = scope["path"], scope["query_string"]
        shown.append(repr({name: value for name, value in scope.items() if name != "keystile"}))
        seen.append((_name(scope["keystile"]), path, query, body))
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"{}"})

    def wsgi_app(environ: Any, start_response: Any) -> Any:
        body = environ["wsgi.input"].read()
        path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
        shown.append(repr({name: value for name, value in environ.items() if name != "keystile.admitted"}))
        seen.append((_name(environ["keystile.admitted"]), path, environ["QUERY_STRING"].encode("latin-1"), body))
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else b"{}"]

    return asgi_app, wsgi_app


def _name(admitted: Any) -> str | None:
    # Not the whole principal: when a key was last used may be noted between one door and the other.
    return admitted.principal and str(admitted.principal.name)


class Doors:
    """Both doors of one gate."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.seen: list[Any] = []
        self.shown: list[str] = []
        """The whole scopes and environs that the app saw, of all requests so far."""
        asgi_app, wsgi_app = host(self.seen, self.shown)
        self._asgi, self._wsgi = asgi.GateMiddleware(asgi_app, gate), wsgi.GateMiddleware(wsgi_app, gate)

    def through_asgi(self, sent: Sent) -> Got:
        raw, _, query = sent.target.encode("latin-1").partition(b"?")
        headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in _all_headers(sent)]
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": sent.method,
            "scheme": sent.scheme,
            "path": unquote_to_bytes(raw).decode("utf-8", "replace"),
            "raw_path": raw,
            "query_string": query,
            "root_path": "",
            "headers": headers,
            "client": None if sent.peer is None else (sent.peer, 50_000),
        }
        messages: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": sent.body, "more_body": False}

        async def send(message: Any) -> None:
            messages.append(message)

        self.seen.clear()
        anyio.run(self._asgi, scope, receive, send)
        fields = [(name.decode(), value.decode("latin-1")) for name, value in messages[0]["headers"]]
        body = b"".join(message["body"] for message in messages[1:])
        return Got(messages[0]["status"], dict(fields), body, list(self.seen))

    def through_wsgi(self, sent: Sent) -> Got:
        raw, _, query = sent.target.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": sent.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(raw.encode("latin-1")).decode("latin-1"),
            "RAW_URI": sent.target,
            "QUERY_STRING": query,
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.url_scheme": sent.scheme,
            "wsgi.input": io.BytesIO(sent.body),
        }
        if sent.peer is not None:
            environ["REMOTE_ADDR"] = sent.peer
        for name, value in _all_headers(sent):
            variable = name.upper().replace("-", "_")
            variable = variable if variable in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{variable}"
            environ[variable] = f"{environ[variable]}, {value}" if variable in environ else value
        started: list[Any] = []

        def start_response(status: str, fields: Any, exc_info: Any = None) -> Any:
            started[:] = [int(status[:3]), fields]

        self.seen.clear()
        iterable = self._wsgi(environ, start_response)  # type: ignore[arg-type]
        body = b"".join(iterable)
        return Got(started[0], {name.lower(): value for name, value in started[1]}, body, list(self.seen))


def _all_headers(sent: Sent) -> list[tuple[str, str]]:
    length = [("Content-Length", str(len(sent.body))), ("Content-Type", "application/json")] if sent.body else []
    return [*sent.headers, *length]


def masked(got: Got) -> tuple[Any, ...]:
    """Everything in an answer except its request id and its moment."""
    headers = {name: value for name, value in got.headers.items() if name not in ("x-request-id", "x-ratelimit-reset")}
    return got.status, headers, TIMES.sub(b'"..."', got.body), got.seen
