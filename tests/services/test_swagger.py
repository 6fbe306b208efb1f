"""Swagger UI in a real browser: Authorize takes a key, and Execute sends it. Its files are local."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import fastapi_offline
import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import element_to_be_clickable, visibility_of_element_located
from selenium.webdriver.support.ui import WebDriverWait

from keystile import Gate
from tests.selection import program
from tests.servers import Server, serving

pytestmark = pytest.mark.services("chromium", "chromedriver")

STATIC = Path(fastapi_offline.__file__).parent / "static"
MODULE = f"""
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.staticfiles import StaticFiles
from keystile import Gate, Rule
from keystile.integrations.fastapi import CurrentPrincipal, install, require

gate = Gate("sqlite:///keys.db", prefix="acme", hasher="hmac-sha256", peppers=[b"p" * 32],
            public=["/docs", "/openapi.json", "/static/*"], rules=[Rule("/me", scopes=["me"])])
asgi_app = FastAPI(docs_url=None, redoc_url=None)
asgi_app.mount("/static", StaticFiles(directory={str(STATIC)!r}))
install(asgi_app, gate)


@asgi_app.get("/docs", include_in_schema=False)
def docs():
    return get_swagger_ui_html(openapi_url="/openapi.json", title="t", swagger_js_url="/static/swagger-ui-bundle.js",
                               swagger_css_url="/static/swagger-ui.css", swagger_favicon_url="/static/favicon.png")


@asgi_app.get("/me", dependencies=[require("me")])
def me(principal: CurrentPrincipal) -> dict[str, str]:
    return {{"name": principal.name}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("swagger")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    (folder / "documented.py").write_text(MODULE)
    with serving("uvicorn-h11", "documented", folder, PYTHONPATH=str(folder)) as found:
        yield found


@pytest.fixture(scope="module")
def chrome() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = program("chromium") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,1600"):
        options.add_argument(argument)
    driver = Chrome(options=options, service=Service(program("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The page of Swagger UI."""

    def __init__(self, chrome: Chrome, url: str) -> None:
        self._chrome, self._wait = chrome, WebDriverWait(chrome, 60)
        chrome.get(f"{url}/docs")

    def see(self, css: str) -> WebElement:
        return self._wait.until(visibility_of_element_located((By.CSS_SELECTOR, css)))

    def click(self, css: str) -> None:
        self._wait.until(element_to_be_clickable((By.CSS_SELECTOR, css))).click()

    def status(self) -> str:
        """What the answer to Execute is."""
        self.click(".execute-wrapper .execute, .btn-group .execute")
        return self.see(".live-responses-table .response .response-col_status").text.split()[0]


@pytest.mark.parametrize("scheme", ["bearerKey", "apiKeyHeader", "keyHeader"])
def test_authorize_takes_a_key_in_each_place(chrome: Chrome, server: Server, folder: Path, scheme: str) -> None:
    gate = Gate(f"sqlite:///{folder}/keys.db", prefix="acme", hasher="hmac-sha256", peppers=[b"p" * 32])
    key = gate.keys.create("ada", scopes=["me"]).secret
    gate.close()
    page = Page(chrome, f"http://127.0.0.1:{server.port}")
    page.click("#operations-default-me_me_get .opblock-summary-control")
    page.click("#operations-default-me_me_get .try-out__btn")
    assert page.status() == "401"
    page.click(".auth-wrapper .authorize")
    forms = chrome.find_elements(By.CSS_SELECTOR, ".modal-ux .auth-container")
    [form] = [form for form in forms if form.find_element(By.CSS_SELECTOR, "h4").text.startswith(scheme)]
    form.find_element(By.CSS_SELECTOR, "input").send_keys(key)
    form.find_element(By.CSS_SELECTOR, ".auth.authorize").click()
    page.click(".modal-ux .btn-done")
    page.click("#operations-default-me_me_get .btn-clear")
    assert page.status() == "200"
    assert (
        '"ada"' in page.see(".live-responses-table .response .highlight-code, .live-responses-table .microlight").text
    )
