"""The dashboard as people meet it: in a real browser, with scripts and without, from signing in to signing out."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.expected_conditions import staleness_of
from selenium.webdriver.support.ui import Select, WebDriverWait

from keystile import Actor, Gate, HmacHasher, Plan, Rule, wsgi
from keystile.model.counts import Counted
from keystile.webhooks.outbox import Next, Outbox
from keystile.webhooks.sending import Attempt
from tests.doors import wsgi_environ
from tests.selection import program
from tests.servers import serving
from tests.test_dashboard_cli import Served

pytestmark = pytest.mark.services("chromium", "chromedriver")

SETTINGS = """
from keystile import Gate, HmacHasher, Plan, Rule

def made():
    return Gate(
        "sqlite:///keys.db", limiter="sqlite:///windows.db", prefix="acme", hasher=HmacHasher(b"p" * 16),
        peppers=[b"p" * 32], plans={"free": Plan("60/minute; 5000/day"), "pro": Plan("1000/minute")},
        default_plan="free", rules=[Rule("POST /v1/exports", limits="10/hour", scopes=["exports:write"])],
    )
"""
MODULE = """
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from gates import made
from keystile import asgi, wsgi
from keystile.manage import Authority
from keystile.webhooks.outbox import Outbox

gate = made()
outbox = Outbox("sqlite:///outbox.db", "A" * 43)
ada = Authority(id="u_ada", name="Ada Lovelace", organization_ids=frozenset({"org_acme"}),
                may=frozenset({"keys:manage", "plans:manage", "webhooks:manage", "audit:read"}))


def authorize(request):
    return ada if request.cookies.get("session") == "ada" else None


settings = {"authorize": authorize, "sign_out": "/bye", "outbox": outbox}
asgi_app = Starlette(routes=[Mount("/admin/keys", asgi.dashboard_app(gate, **settings))])
wsgi_app = DispatcherMiddleware(
    lambda environ, start: [start("404 Not Found", []), b""][1:],
    {"/admin/keys": wsgi.dashboard_app(gate, **settings)},
)
"""
AXE = (resources.files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")
RUN_AXE = """
const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(
    found => done(found.violations.map(each => each.id + ": " + each.nodes.map(node => node.html).join(" | "))),
    error => done([String(error)]),
);
"""
LISTEN = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => window.violations.push(event.violatedDirective));
"""
SIZES, SCHEMES = (360, 1280), ("light", "dark")


class Tab:
    """A browser's tab on a dashboard.

    Args:
        browser: the browser.
        base: where the dashboard is, with a slash at the end.
        scripts: whether the browser runs them.
    """

    def __init__(self, browser: Chrome, base: str, *, scripts: bool) -> None:
        self.browser, self.base, self.scripts = browser, base, scripts

    @property
    def origin(self) -> str:
        return "/".join(self.base.split("/")[:3])

    @property
    def source(self) -> str:
        return self.browser.page_source

    def open(self, path: str = "") -> None:
        self.browser.get(self.base + path)

    def click(self, name: str) -> None:
        """Press the button, or follow the link, that is called this."""
        called = f"//*[self::a or self::button][normalize-space()='{name}' or @aria-label='{name}']"
        before = self.browser.find_element(By.TAG_NAME, "html")
        self.browser.find_element(By.XPATH, called).click()
        # Between two pages the driver may answer anything.
        WebDriverWait(self.browser, 20, 0.02, [WebDriverException]).until(staleness_of(before))

    def fill(self, **fields: str) -> None:
        for name, text in fields.items():
            found = self.browser.find_element(By.NAME, name)
            if found.tag_name == "select":
                Select(found).select_by_visible_text(text)
            else:
                found.clear()
                found.send_keys(text)

    def choose(self, name: str, value: str) -> None:
        self.browser.find_element(By.CSS_SELECTOR, f"input[name='{name}'][value='{value}']").click()

    def secret(self) -> str:
        """The secret that the page shows."""
        assert 'id="secret"' in self.source, self.browser.find_element(By.TAG_NAME, "main").text
        return str(self.browser.find_element(By.ID, "secret").get_attribute("value"))

    def check(self) -> None:
        """No error, no violation of the policy, and nothing has left the origin."""
        assert self.browser.get_log("browser") == []
        messages = [json.loads(each["message"])["message"] for each in self.browser.get_log("performance")]
        urls = [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]
        assert [url for url in urls if not url.startswith((self.origin + "/", "data:"))] == []
        if self.scripts:
            assert self.browser.execute_script("return window.violations") == []


def chrome(*more: str, scripts: bool) -> Chrome:
    chromium, driver = program("chromium"), program("chromedriver")
    assert chromium, "chromium is not installed: run .ci/install"
    assert driver, "chromedriver is not installed: run .ci/install"
    options = ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", *more):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    if not scripts:
        options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
    browser = Chrome(options, Service(driver))
    browser.set_script_timeout(60)
    if scripts:
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LISTEN})
    return browser


@pytest.fixture(scope="module", params=[True, False], ids=["scripts", "plain"])
def any_browser(request: pytest.FixtureRequest) -> Iterator[tuple[Chrome, bool]]:
    browser = chrome(scripts=request.param)
    yield browser, request.param
    browser.quit()


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    found = chrome(scripts=True)
    yield found
    found.quit()


def gate_in(folder: Path) -> Gate:
    return Gate(
        f"sqlite:///{folder}/keys.db",
        limiter=f"sqlite:///{folder}/windows.db",
        prefix="acme",
        hasher=HmacHasher(b"p" * 16),
        peppers=[b"p" * 32],
        plans={"free": Plan("60/minute; 5000/day"), "pro": Plan("1000/minute")},
        default_plan="free",
        rules=[Rule("POST /v1/exports", limits="10/hour", scopes=["exports:write"])],
    )


def filled(gate: Gate) -> str:
    """A service as it may be after a month; the id of its busiest key."""
    who = Actor("session", "u_ada", "Ada Lovelace", "dashboard", "203.0.113.9")
    projects = [
        gate.projects.create(name, organization_id="org_acme", environment=environment, actor=who).project.id
        for name, environment in (("Billing", "production"), ("Mobile app", "staging"))
    ]
    keys = []
    for place, name in enumerate(("CI/CD", "Nightly invoices", "iOS app", "Partner: Globex", "Data warehouse")):
        keys.append(
            gate.keys.create(
                name,
                project_id=projects[place % 2],
                scopes=["exports:write", "reports:read"][: 1 + place % 2],
                plan=[None, "pro"][place % 2],
                ip_allowlist=None if place else ["192.0.2.0/24"],
                metadata={"team": "payments"} if not place else None,
                actor=who,
            ).key
        )
    gate.keys.rotate(keys[0].id, grace=86_400, actor=who)
    gate.keys.suspend(keys[3].id, actor=who)
    gate.keys.revoke(keys[4].id, actor=who)
    draw, hour = random.Random(4), int(time.time() // 3600)
    counts = []
    for back in range(24 * 30):
        base = int(90 + 60 * ((hour - back) % 24) / 24 + 60 * draw.random())
        outcomes = {"admitted": base, "rate_limited": draw.choice([0, 0, 0, 9, 20])}
        outcomes["insufficient_scope"] = draw.choice([0, 0, 0, 6])
        counts += [Counted(keys[0].id, hour - back, name, number) for name, number in outcomes.items() if number]
    gate._shop.store.add_usage(counts, ())
    return keys[0].id


@pytest.fixture(scope="module", params=["uvicorn-h11", "gunicorn-gthread"])
def mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Gate]]:
    """A host that has the dashboard at /admin/keys/, and its gate."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    (folder / "gates.py").write_text(SETTINGS)
    (folder / "dashboard_host.py").write_text(MODULE)
    with (
        closing(gate_in(folder)) as gate,
        serving(request.param, "dashboard_host", folder, PYTHONPATH=str(folder)) as server,
    ):
        yield f"http://127.0.0.1:{server.port}/admin/keys/", gate


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[tuple[Served, Gate]]:
    """`keystile dashboard`, and its gate."""
    (tmp_path / "gates.py").write_text(SETTINGS)
    with closing(gate_in(tmp_path)) as gate:
        served = Served(tmp_path, "--gate", "gates:made()", PYTHONPATH=str(tmp_path))
        yield served, gate
        served.stop()


def signed_in(browser: Chrome, base: str, *, scripts: bool) -> Tab:
    """A tab of somebody whom the host has signed in."""
    tab = Tab(browser, base, scripts=scripts)
    tab.open("keys/new")
    browser.add_cookie({"name": "session", "value": "ada"})
    for kind in ("browser", "performance"):  # the page before said 403
        browser.get_log(kind)
    return tab


def status(gate: Gate, key: str) -> int:
    """What the API answers to this key."""
    seen: list[str] = []

    def host(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return []

    environ = wsgi_environ("GET", "/v1/things", [("authorization", f"Bearer {key}")], "127.0.0.1")
    list(wsgi.GateMiddleware(host, gate)(environ, lambda head, *_: seen.append(head)))
    return int(seen[0].split()[0])


def story(tab: Tab, gate: Gate, organization: str | None) -> None:
    """Make a key, use it, look at it, rotate it, revoke it, and read who did all that."""
    tab.open()
    tab.click("New key")
    if organization:
        tab.fill(organization_id=organization)
    tab.fill(name="Story", scopes="exports:write", ip_allowlist="127.0.0.0/8", environment="Production")
    tab.click("Create key")
    first = tab.secret()
    assert first.startswith("acme_live_")
    if tab.scripts:
        tab.browser.find_element(By.CSS_SELECTOR, "[data-copy]").click()
        told = tab.browser.find_element(By.CSS_SELECTOR, "[data-told]")
        assert told.text == "Copied"
        read = "navigator.clipboard.readText().then(arguments[0], error => arguments[0](String(error)))"
        assert tab.browser.execute_async_script(read) == first
    else:
        assert not tab.browser.find_element(By.CSS_SELECTOR, "[data-copy]").is_displayed()
    tab.click("I have saved it")
    assert first not in tab.source
    tab.browser.back()
    tab.browser.execute_cdp_cmd("Page.getNavigationHistory", {})
    assert first not in tab.source
    assert status(gate, first) == 200
    gate.flush()
    tab.open()
    tab.click("Story")
    assert "1 admitted, 0 rate limited, 0 refused" in tab.source
    tab.click("Rotate")
    tab.choose("grace", "24")
    tab.click("Rotate key")
    second = tab.secret()
    assert [status(gate, key) for key in (first, second)] == [200, 200]
    tab.click("Details")
    assert f"…{first[-4:]}" in tab.source
    ends(tab, gate, first, second)


def ends(tab: Tab, gate: Gate, first: str, second: str) -> None:
    """The second half: from editing to revoking."""
    tab.click("Edit")
    tab.fill(name="Story, edited")
    tab.click("Save changes")
    assert "Story, edited" in tab.source
    tab.click("Suspend")
    assert status(gate, second) == 401
    tab.click("Resume")
    assert status(gate, second) == 200
    tab.click("Revoke")
    tab.fill(sure="----")
    tab.click("Revoke key")
    assert status(gate, second) == 200
    tab.fill(sure=second[-4:])
    tab.click("Revoke key")
    assert [status(gate, key) for key in (first, second)] == [401, 401]
    tab.click("Audit")
    told_of = re.findall(r"<code>key\.(\w+)</code>", tab.source)[:6]
    assert told_of == ["revoke", "resume", "suspend", "update", "rotate", "create"]
    tab.click("Projects")
    assert not {first, second} & set(re.findall(r"acme_\w+", tab.source))


def test_the_whole_story_under_a_hosts_own_login(mounted: tuple[str, Gate], any_browser: tuple[Chrome, bool]) -> None:
    (base, gate), (browser, scripts) = mounted, any_browser
    tab = signed_in(browser, base, scripts=scripts)
    origin = {"origin": tab.origin, "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    browser.execute_cdp_cmd("Browser.grantPermissions", origin)
    story(tab, gate, None)
    errors = [each for each in browser.get_log("browser") if "422" not in each["message"]]
    assert errors == []  # but for the confirmation that was wrong on purpose
    tab.open()
    tab.check()


def test_the_whole_story_on_this_computer_alone(alone: tuple[Served, Gate], any_browser: tuple[Chrome, bool]) -> None:
    (served, gate), (browser, scripts) = alone, any_browser
    link = served.link()
    tab = Tab(browser, f"http://127.0.0.1:{served.port}/", scripts=scripts)
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    browser.execute_cdp_cmd("Browser.grantPermissions", {"origin": tab.origin, "permissions": permissions})
    tab.open(link[1:])
    if not scripts:
        tab.fill(token=link.partition("#")[2])
        tab.click("Sign in")
    for _ in range(200):
        if "No keys yet" in tab.source:
            break
        time.sleep(0.05)
    assert link.partition("#")[2] not in browser.current_url
    story(tab, gate, "org_acme")
    tab.open()
    seen = browser.current_url
    tab.click("Sign out")
    assert "Signed out" in tab.source
    browser.back()
    browser.get(seen)
    assert browser.current_url.endswith("/login")
    assert "Story" not in tab.source


def hooked(folder: Path) -> dict[str, str]:
    """The ids of an endpoint with deliveries of each state, and of one of them."""
    outbox = Outbox(f"sqlite:///{folder}/outbox.db", "A" * 43)
    types, headers = ["invoice.paid", "invoice.sent"], {"X-Team": "a"}
    given: Any = {"organization_id": "org_acme", "event_types": types, "headers": headers, "description": "Billing"}
    endpoint = outbox.endpoints.create("https://hooks.example.com/a/rather/long/path/of/a/customer", **given).endpoint
    for each in (*types, *types):
        outbox.add(each, {"id": 1}, organization_id="org_acme")
    now = time.time()
    first, second, third, *_ = outbox.claim("worker", 4, now=now)
    outbox.finish(first, Attempt(204), Next.done(), now=now)
    outbox.finish(second, Attempt(None, "blocked"), Next.failed(), now=now)
    outbox.finish(third, Attempt(500), Next.retry(now + 300), now=now)
    off = outbox.endpoints.create("https://old.example.com/", organization_id="org_acme").endpoint
    outbox.endpoints.disable(off.id)
    outbox.close()
    return {"endpoint": endpoint.id, "delivery": third.delivery_id}


PAGES = {
    "keys": "",
    "new-key": "keys/new",
    "key": "keys/{id}",
    "month": "keys/{id}?span=month",
    "edit": "keys/{id}/edit",
    "rotate": "keys/{id}/rotate",
    "revoke": "keys/{id}/revoke",
    "projects": "projects",
    "new-project": "projects/new",
    "project": "projects/{project}",
    "delete": "projects/{project}/delete",
    "audit": "audit",
    "webhooks": "webhooks",
    "new-webhook": "webhooks/new",
    "webhook": "webhooks/{endpoint}",
    "edit-webhook": "webhooks/{endpoint}/edit",
    "rotate-webhook": "webhooks/{endpoint}/rotate",
    "delete-webhook": "webhooks/{endpoint}/delete",
    "delivery": "webhooks/{endpoint}/deliveries/{delivery}",
    "nothing": "?search=nothing+has+this+name",
    "not-found": "nope",
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, str]]]:
    """A host whose pages are full, and the ids of what is there."""
    folder: Path = tmp_path_factory.mktemp("full")
    (folder / "gates.py").write_text(SETTINGS)
    (folder / "dashboard_host.py").write_text(MODULE)
    with closing(gate_in(folder)) as gate:
        ids = {"id": filled(gate), "project": gate.projects.list()[0].id, **hooked(folder)}
    with serving("uvicorn-h11", "dashboard_host", folder, PYTHONPATH=str(folder)) as server:
        yield f"http://127.0.0.1:{server.port}/admin/keys/", ids


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_is_shut_out_by_how_the_pages_are_made(
    full: tuple[str, dict[str, str]], browser: Chrome, scheme: str
) -> None:
    """axe-core finds nothing, no page is wider than its window, and none breaks its own policy."""
    base, ids = full
    tab = signed_in(browser, base, scripts=True)
    media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
    found: list[str] = []
    for name, path in PAGES.items():
        for width in (320, 360, 1280):
            size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            tab.open(path.format(**ids))
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            found += [f"{name} at {width}: {wide} wide"] if wide > width else []
            if width > 320:
                shoot(browser, f"{name}-{width}-{scheme}", width)
        browser.execute_script("for (const each of document.querySelectorAll('details')) each.open = true")
        browser.execute_cdp_cmd("Runtime.evaluate", {"expression": AXE})
        found += [f"{name}: {each}" for each in browser.execute_async_script(RUN_AXE)]
        assert browser.execute_script("return window.violations") == []
    assert found == []
    assert [each for each in browser.get_log("browser") if "404" not in each["message"]] == []
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def shoot(browser: Chrome, name: str, width: int) -> None:
    """Keep a picture of the page where KEYSTILE_SCREENSHOTS says, for people to look at."""
    folder = os.environ.get("KEYSTILE_SCREENSHOTS")
    if not folder:
        return
    height = min(browser.execute_script("return document.documentElement.scrollHeight"), 2000)
    clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    Path(folder, f"dashboard-{name}.png").write_bytes(base64.b64decode(shot["data"]))


class _Attack(BaseHTTPRequestHandler):
    """A page of somebody else's, on another port of the same host: another origin, but the same site."""

    target = ""

    def do_GET(self) -> None:
        body = f"""<!doctype html><title>attack</title>
<form id="form" method="post" action="{self.target}/suspend"></form><img id="image" src="{self.target}">
<iframe src="{self.target}"></iframe>""".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def test_a_page_on_another_port_gets_nowhere(mounted: tuple[str, Gate], browser: Chrome) -> None:
    base, gate = mounted
    key = gate.keys.create("victim", organization_id="org_acme").key
    tab = signed_in(browser, base, scripts=True)
    tab.open(f"keys/{key.id}")
    assert "victim" in tab.source
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Attack)
    _Attack.target = f"{base}keys/{key.id}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        attack = f"http://127.0.0.1:{server.server_port}/"
        browser.get(attack)
        assert browser.execute_script("return document.getElementById('image').naturalWidth") == 0
        fetch = """
            const [url, done] = arguments;
            fetch(url + "/suspend", {method: "POST", credentials: "include", mode: "no-cors",
                                     body: new URLSearchParams({a: "1"})})
                .then(() => fetch(url, {credentials: "include"})).then(answer => answer.text())
                .then(done, error => done(String(error)));
        """
        assert "victim" not in browser.execute_async_script(fetch, _Attack.target)
        browser.execute_script("document.getElementById('form').submit()")
        for _ in range(200):
            if browser.current_url != attack and "another site" in browser.page_source:
                break
            time.sleep(0.05)
        assert "sent by another site" in browser.page_source
        assert not gate.keys.get(key.id).is_suspended
        # A link is followed as ever.
        browser.get(attack)
        browser.execute_script("location.href = arguments[0]", _Attack.target)
        for _ in range(200):
            if "victim" in browser.page_source:
                break
            time.sleep(0.05)
        assert "victim" in browser.page_source
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
