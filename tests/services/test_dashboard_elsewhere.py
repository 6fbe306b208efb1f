"""The dashboard in a real browser on another computer: over plain http, and where people sign in on another origin."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from selenium.webdriver import Chrome
from werkzeug.serving import BaseWSGIServer, make_server

from keystile import wsgi
from keystile.manage.dashboard import Redirect
from tests.dashboards import ada
from tests.services.test_dashboard_browser import Tab, chrome
from tests.test_dashboard_pages import gate_with

pytestmark = pytest.mark.services("chromium", "chromedriver")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    found = chrome("--host-resolver-rules=MAP *.test 127.0.0.1", scripts=True)
    yield found
    found.quit()


def _served(app: Any) -> BaseWSGIServer:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _arrives(browser: Chrome, url: str) -> bool:
    for _ in range(200):
        if browser.current_url == url:
            return True
        time.sleep(0.05)
    return False


def test_forms_work_over_plain_http_and_lead_on_to_another_origin(browser: Chrome) -> None:
    """Over plain http, browsers tell of a form by ``Origin`` alone. And they forbid a form to be redirected away."""

    def sso(_environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"Somebody else's page"]

    gate, other = gate_with(), _served(sso)
    away = f"http://sso.test:{other.port}"
    who: list[Any] = [ada("org_1")]
    host = _served(wsgi.dashboard_app(gate, authorize=lambda _request: who[-1], sign_out=f"{away}/bye"))
    try:
        tab = Tab(browser, f"http://keys.test:{host.port}/", scripts=True)
        tab.open("keys/new")
        tab.fill(name="CI")
        tab.click("Create key")
        assert tab.secret()
        assert len(gate.keys.list()) == 1
        tab.open()
        tab.click("Sign out")
        assert _arrives(browser, f"{away}/bye"), browser.current_url
        tab.open("keys/new")
        tab.fill(name="Another")
        who.append(Redirect(f"{away}/login"))
        tab.click("Create key")
        assert _arrives(browser, f"{away}/login"), browser.current_url
        assert len(gate.keys.list()) == 1
    finally:
        for server in (host, other):
            server.shutdown()
            server.server_close()
        gate.close()
