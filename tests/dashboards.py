"""The dashboard through both doors: a request goes to each, and they must give the same page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import anyio

from keystile import Gate, asgi, wsgi
from keystile.manage import Authority
from tests.doors import Fields, asgi_scope, wsgi_environ
from tests.leaks import WATCH

OURS = [("sec-fetch-site", "same-origin")]
_DIFFERS = re.compile(rb'req_[0-9A-Za-z]{24}|(?<=name="form_id" value=")[0-9a-f]{32}')
# The only answers that may hold a secret.
_SHOWS_ONCE = re.compile(r"/keys|/projects|/keys/[^/]+/rotate")
ALL_RIGHTS = frozenset(("keys:manage", "plans:manage", "audit:read"))


def ada(*organizations: str, may: frozenset[str] = ALL_RIGHTS, name: str = "Ada Lovelace") -> Authority:
    """Somebody who is signed in."""
    return Authority(id="u_ada", name=name, organization_ids=frozenset(organizations), may=may)


class _Reader(HTMLParser):
    """Notes what a page links to, and its forms."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, str, dict[str, str]]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._choosing = self._chosen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.append((tag, named))
        if tag == "form":
            self.forms.append((named.get("method") or "get", named["action"] or "", {}))
        if tag in ("input", "select", "textarea") and self.forms and named.get("name"):
            self.forms[-1][2][str(named["name"])] = named.get("value") or ""
            self._choosing = str(named["name"]) if tag == "select" else ""
        if tag == "option" and (self._choosing or "selected" in named):  # without a choice, browsers take the first
            self._chosen = self._choosing or self._chosen
            self.forms[-1][2][self._chosen], self._choosing = named.get("value") or "", ""
        for name in ("href", "src"):
            if named.get(name) and not str(named[name]).startswith("#"):
                self.links.append(str(named[name]))


@dataclass
class Page:
    """What came back."""

    url: str
    status: int
    headers: Fields
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        return self.body.decode()

    def header(self, name: str) -> str:
        return ", ".join(value for found, value in self.headers if found == name)

    @property
    def read(self) -> _Reader:
        reader = _Reader()
        reader.feed(self.text)
        return reader

    @property
    def links(self) -> list[str]:
        """Where it leads, as a browser resolves it."""
        return [urljoin(self.url, link) for link in self.read.links]

    def hidden(self, name: str) -> str:
        """The value of a field of its forms."""
        return next(fields[name] for _, _, fields in self.read.forms if name in fields)

    def form(self, name: str) -> dict[str, str]:
        """What a browser sends for the form that has this field, but for its boxes and areas of text."""
        return next(fields for _, _, fields in self.read.forms if name in fields)

    @property
    def secret(self) -> str | None:
        found = re.search(r'id="secret" readonly value="([^"]+)"', self.text)
        return None if found is None else found[1]

    def plain(self) -> tuple[int, Fields, bytes]:
        """Without what differs each time."""
        headers = sorted((name, "-" if name == "x-request-id" else value) for name, value in self.headers)
        return self.status, headers, _DIFFERS.sub(b"-", self.body)


class Dash:
    """A dashboard on both doors.

    Args:
        gate: whose keys these are.
        kind: which door gets what changes something: ``"wsgi"``, ``"asyncio"``, ``"trio"``.
        mount: where it is mounted.
        settings: of the dashboard.
    """

    def __init__(self, gate: Gate, kind: str = "wsgi", mount: str = "", **settings: Any) -> None:
        self.gate, self.kind, self.mount = gate, kind, mount
        self.who: Any = ada("org_1")
        given = {"authorize": lambda _request: self.who} | settings
        self.asgi = asgi.dashboard_app(gate, **given)
        self.wsgi = wsgi.dashboard_app(gate, **given)

    @property
    def url(self) -> str:
        """Where it is mounted, as a browser knows it."""
        return "http://testserver" + quote(self.mount)

    def get(self, target: str = "/", headers: Fields | None = None, method: str = "GET") -> Page:
        """Ask both doors; the answers must be the same."""
        sent = [("host", "testserver"), *(headers or [])]
        pages = [self._send(kind, method, target, sent, None) for kind in ("wsgi", "asyncio")]
        assert pages[0].plain() == pages[1].plain(), target
        return pages[0]

    def post(
        self,
        target: str,
        fields: Mapping[str, str] | bytes = b"",
        headers: Fields | None = None,
        kind: str = "application/x-www-form-urlencoded",
    ) -> Page:
        """Send a form to one door."""
        body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
        sent = [("host", "testserver"), ("content-type", kind), ("content-length", str(len(body)))]
        return self._send(self.kind, "POST", target, [*sent, *(OURS if headers is None else headers)], body)

    def create(self, name: str = "CI", **fields: str) -> Page:
        """Fill in the form for a key and send it."""
        form = self.get("/keys/new")
        return self.post("/keys", {"form_id": form.hidden("form_id"), "name": name, **fields})

    def key_id(self, page: Page) -> str:
        """The key that a page with a secret is about."""
        found = next(link for link in page.links if "/keys/" in link)
        return urlsplit(found).path.rpartition("/")[2]

    def crawl(self, *starts: str) -> Iterator[Page]:
        """Every page that can be come to by links."""
        waiting, seen = [self.url + each for each in starts], set()
        while waiting:
            url = waiting.pop()
            if url in seen:
                continue
            seen.add(url)
            assert url.startswith(f"{self.url}/"), url
            page = self.get(url.removeprefix(self.url))
            yield page
            if page.header("content-type").startswith("text/html"):
                waiting += page.links

    def _send(self, kind: str, method: str, target: str, headers: Fields, body: bytes | None) -> Page:
        through = self._through_wsgi if kind == "wsgi" else self._through_asgi
        status, fields, octets = through(kind, method, target, headers, body)
        page = Page(self.url + target, status, fields, octets)
        if not (method == "POST" and status == 200 and _SHOWS_ONCE.fullmatch(target)):
            WATCH.answer(status, fields, octets)
        return page

    def _through_asgi(self, kind: str, method: str, target: str, headers: Fields, body: bytes | None) -> Any:
        scope = asgi_scope(method, target, headers, "127.0.0.1") | {"root_path": self.mount}
        scope["path"] = self.mount + scope["path"]
        waiting = [{"type": "http.request", "body": body or b""}]
        messages: list[Any] = []

        async def receive() -> Any:
            return waiting.pop() if waiting else {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            messages.append(message)

        async def run() -> None:
            await self.asgi(scope, receive, send)

        anyio.run(run, backend="trio" if kind == "trio" else "asyncio")
        start, *rest = messages
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        return start["status"], fields, b"".join(message.get("body", b"") for message in rest)

    def _through_wsgi(self, _kind: str, method: str, target: str, headers: Fields, body: bytes | None) -> Any:
        environ = wsgi_environ(method, target, headers, "127.0.0.1") | {
            "SCRIPT_NAME": self.mount.encode().decode("latin-1")
        }
        environ["wsgi.input"] = io.BytesIO(body or b"")
        started: list[Any] = []

        def start_response(status: str, fields: Fields, _exc_info: Any = None) -> Callable[[bytes], object]:
            started[:] = [status, fields]
            return lambda _: None

        octets = b"".join(self.wsgi(environ, start_response))
        return int(started[0].split()[0]), [(name.lower(), value) for name, value in started[1]], octets
