"""The live view in a real browser: what is refused appears by itself, as text, and breaks no policy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from keystile import Gate, HmacHasher
from tests.selection import program
from tests.servers import COMMANDS, serving

COMMANDS |= {
    "one-gthread": ["gunicorn", "-w", "1", "--threads", "16", "-b", "127.0.0.1:{port}", "{module}:wsgi_app"],
}
pytestmark = pytest.mark.services("chromium", "chromedriver")

MODULE = """
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from keystile import Gate, HmacHasher, Rule, asgi, wsgi
from keystile.manage import Authority

gate = Gate("sqlite:///keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), peppers=[b"p" * 32], wsgi_threads=16,
            rules=[Rule("/api/*", scopes=["x"])])
ada = Authority(id="u_ada", name="Ada", organization_ids=frozenset({"org"}), may=frozenset({"keys:read"}))
named = {"authorize": lambda _request: ada, "live": True}


async def host(scope, receive, send):
    raise RuntimeError("nobody comes this far")


def plain(environ, start_response):
    raise RuntimeError("nobody comes this far")


asgi_app = Starlette(routes=[Mount("/admin", asgi.dashboard_app(gate, **named)),
                             Mount("/", asgi.GateMiddleware(host, gate))])
wsgi_app = DispatcherMiddleware(wsgi.GateMiddleware(plain, gate), {"/admin": wsgi.dashboard_app(gate, **named)})
"""
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => window.violations.push(event.violatedDirective));
"""
AXE = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
    found => done(found.violations.map(each => each.id + ": " + each.nodes.map(node => node.html).join(" | "))),
    error => done([String(error)]),
);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = Chrome(options, Service(program("chromedriver")))
    found.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
    yield found
    found.quit()


def rows(browser: Chrome) -> list[str]:
    return [row.text for row in browser.find_elements(By.CSS_SELECTOR, "[data-live] tbody tr")]


def until(browser: Chrome, state: Callable[[], object]) -> None:
    WebDriverWait(browser, 20, 0.05).until(lambda _: state())


@pytest.mark.parametrize("kind", ["uvicorn-httptools", "one-gthread"])
def test_what_is_refused_appears_by_itself(kind: str, browser: Chrome, tmp_path: Path) -> None:
    (tmp_path / "hosts.py").write_text(MODULE)
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", prefix="acme", hasher=HmacHasher(b"p" * 16), peppers=[b"p" * 32])
    own, other = (gate.keys.create("key", organization_id=name).secret for name in ("org", "other"))
    with serving(kind, "hosts", tmp_path) as server:
        browser.get(f"http://127.0.0.1:{server.port}/admin/live")
        told = browser.find_element(By.CSS_SELECTOR, "[data-live-told]")
        until(browser, lambda: told.text == "New events appear by themselves.")
        for number, secret in enumerate((other, own, own), 1):
            status = server.get(f"/api/%3Cimg%20src=x%20onerror=alert(1)%3E{number}", {"x-api-key": secret}).status
            assert status == 403
        until(browser, lambda: len(rows(browser)) == 2)
        newest, before = rows(browser)
        assert "insufficient_scope" in newest
        assert "<img src=x onerror=alert(1)>3" in newest
        assert "onerror=alert(1)>2" in before
        browser.execute_script(AXE)
        assert browser.execute_async_script(RUN_AXE) == []
        assert browser.execute_script("return window.violations") == []
        browser.refresh()
        assert len(rows(browser)) == 2  # from the server now
        until(browser, lambda: "New events" in browser.find_element(By.CSS_SELECTOR, "[data-live-told]").text)
        assert server.get("/api/again", {"x-api-key": own}).status == 403
        until(browser, lambda: len(rows(browser)) == 3)
        assert "/api/again" in rows(browser)[0]
        assert browser.get_log("browser") == []
        browser.get("about:blank")
    gate.close()
