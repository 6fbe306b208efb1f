"""CORS as a real browser sees it: what the scripts of a page may send and read, on real servers of both protocols."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

from keystile import Gate, HmacHasher
from tests.selection import program
from tests.servers import serving

pytestmark = pytest.mark.services("chromium", "chromedriver")

MODULE = """
import json, os
from keystile import Gate, HmacHasher, Rule, asgi, wsgi

gate = Gate("sqlite:///keys.db", limiter="sqlite:///windows.db", prefix="acme", hasher=HmacHasher(b"p" * 16),
            cors_origins=os.environ["KEYSTILE_ORIGINS"].split(), cors_credentials="KEYSTILE_CREDENTIALS" in os.environ,
            public=["/open"], rules=[Rule("/v1/*", limits="1000/day")])
FIELDS = [("content-type", "application/json"), ("link", '</v1/things?cursor=2>; rel="next"'), ("x-own", "hidden")]


def body(method, cookie):
    return json.dumps({"method": method, "cookie": cookie}).encode()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        return
    cookie = next((value.decode() for name, value in scope["headers"] if name == b"cookie"), "")
    fields = [(name.encode(), value.encode()) for name, value in FIELDS]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body(scope["method"], cookie)})


def plain(environ, start_response):
    start_response("200 OK", list(FIELDS))
    return [body(environ["REQUEST_METHOD"], environ.get("HTTP_COOKIE", ""))]


asgi_app, wsgi_app = asgi.GateMiddleware(app, gate), wsgi.GateMiddleware(plain, gate)
"""
FETCH = """
const [url, options, done] = arguments;
fetch(url, options).then(
    async answer => done({status: answer.status, body: await answer.text(), headers: [...answer.headers.entries()]}),
    error => done({status: 0, body: String(error), headers: []}),
);
"""


class Read(NamedTuple):
    """What a script was given; the status 0 if the browser gave it nothing."""

    status: int
    body: str
    headers: dict[str, str]


class _Page(BaseHTTPRequestHandler):
    """An empty page, whatever is asked for."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class Pages(NamedTuple):
    """A browser, and two origins that it can open a page of."""

    browser: Chrome
    listed: str
    other: str

    def fetch(self, origin: str, url: str, **options: Any) -> Read:
        """Have a script of a page of this origin send a request."""
        if not self.browser.current_url.startswith(f"{origin}/"):
            self.browser.get(f"{origin}/")
        found = self.browser.execute_async_script(FETCH, url, options)
        return Read(found["status"], found["body"], dict(found["headers"]))


@pytest.fixture(scope="module")
def pages() -> Iterator[Pages]:
    chromium, driver = program("chromium"), program("chromedriver")
    assert chromium, "chromium is not installed: run .ci/install"
    assert driver, "chromedriver is not installed: run .ci/install"
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Page) for _ in range(2)]
    threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    browser = Chrome(options, Service(driver))
    try:
        browser.set_script_timeout(30)
        yield Pages(browser, *(f"http://127.0.0.1:{server.server_port}" for server in servers))
    finally:
        browser.quit()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


class Guarded(NamedTuple):
    """A service behind a gate.

    Attributes:
        url: where it is.
        secret: a key for it.
        once: another, for one request in each process.
        credentials: pages of the listed origin may send cookies.
    """

    url: str
    secret: str
    once: str
    credentials: bool


@pytest.fixture(
    scope="module",
    params=[("uvicorn-h11", False), ("gunicorn-sync", False), ("uvicorn-httptools", True), ("waitress", True)],
    ids=lambda param: f"{param[0]}-{'credentials' if param[1] else 'none'}",
)
def service(request: pytest.FixtureRequest, pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    kind, credentials = request.param
    folder: Path = tmp_path_factory.mktemp(kind)
    (folder / "browser_app.py").write_text(MODULE)
    with closing(Gate(f"sqlite:///{folder}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16))) as gate:
        secret, once = gate.keys.create("page").secret, gate.keys.create("once", limits="1/day").secret
    environ = {"KEYSTILE_ORIGINS": pages.listed, "PYTHONPATH": str(folder)}
    environ |= {"KEYSTILE_CREDENTIALS": "1"} if credentials else {}
    with serving(kind, "browser_app", folder, **environ) as server:
        yield Guarded(f"http://127.0.0.1:{server.port}", secret, once, credentials)


def test_a_page_that_is_listed_reads_answers_and_the_gates_headers_and_no_other_page_does(
    pages: Pages, service: Guarded
) -> None:
    key = {"X-API-Key": service.secret}
    answer = pages.fetch(pages.listed, f"{service.url}/v1/things", headers=key)
    assert (answer.status, answer.body) == (200, '{"method": "GET", "cookie": ""}')
    assert {"x-request-id", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "link"} <= set(
        answer.headers
    )
    assert "x-own" not in answer.headers
    answer = pages.fetch(pages.listed, f"{service.url}/v1/things")
    assert (answer.status, "missing_api_key" in answer.body, "x-request-id" in answer.headers) == (401, True, True)
    once = {"X-API-Key": service.once}
    refused = [pages.fetch(pages.listed, f"{service.url}/v1/things", headers=once) for _ in range(4)][-1]
    assert (refused.status, "rate_limited" in refused.body) == (429, True)
    assert int(refused.headers["retry-after"]) > 0
    assert refused.headers["x-ratelimit-remaining"] == "0"
    for path, headers in (("/v1/things", key), ("/v1/things", {}), ("/v1/things", once), ("/open", {})):
        assert pages.fetch(pages.other, f"{service.url}{path}", headers=headers).status == 0


@pytest.mark.parametrize("path", ["/v1/things", "/v1/a%2Fb", "/v1//things"])
def test_a_put_with_a_key_and_a_body_is_preflighted_and_works(pages: Pages, service: Guarded, path: str) -> None:
    sent = {
        "method": "PUT",
        "headers": {"X-API-Key": service.secret, "Content-Type": "application/json", "X-Trace": "1"},
        "body": "{}",
    }
    answer = pages.fetch(pages.listed, f"{service.url}{path}", **sent)
    assert (answer.status, answer.body) == (200, '{"method": "PUT", "cookie": ""}')
    assert pages.fetch(pages.other, f"{service.url}{path}", **sent).status == 0
    bearer = {"Authorization": f"Bearer {service.secret}"}
    assert pages.fetch(pages.listed, f"{service.url}{path}", method="DELETE", headers=bearer).status == 200


def test_a_page_may_send_cookies_only_if_that_is_configured(pages: Pages, service: Guarded) -> None:
    pages.fetch(pages.listed, f"{service.url}/open")
    pages.browser.add_cookie({"name": "session", "value": "7"})
    try:
        for sent in ({}, {"method": "PUT", "headers": {"X-API-Key": service.secret}}):
            answer = pages.fetch(pages.listed, f"{service.url}/open", credentials="include", **sent)
            assert answer.status == (200 if service.credentials else 0)
            assert ('"cookie": "session=7"' in answer.body) is service.credentials
            # Without being asked, a browser sends none.
            answer = pages.fetch(pages.listed, f"{service.url}/open", **sent)
            assert (answer.status, '"cookie": ""' in answer.body) == (200, True)
        assert pages.fetch(pages.other, f"{service.url}/open", credentials="include").status == 0
    finally:
        pages.browser.delete_all_cookies()
