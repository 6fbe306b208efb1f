"""sqlite-web, pages to look into a database with, made with Flask: they have a password and a session of their own."""

from __future__ import annotations

import csv
import io
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest

from tests.realapps.running import Both, Service, is_guarded, running

pytestmark = pytest.mark.stress

SERVED = """
from sqlite_web.sqlite_web import app, initialize_app

app.secret_key = "only the service knows this"
initialize_app(["data.db"], password="lovelace")
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("browser")
    with closing(sqlite3.connect(folder / "data.db")) as database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
    (folder / "served.py").write_text(SERVED)
    with running(Service("gunicorn", "served:app", "hide_credentials = true\n"), folder) as both:
        yield both


def with_key(both: Both, key: str) -> httpx.Client:
    """A browser of its own, which an extension has told the key."""
    return httpx.Client(base_url=both.gated.base_url, headers={"X-API-Key": key}, timeout=60, trust_env=False)


def test_what_needs_no_password_is_guarded(browser: Both) -> None:
    name = re.search(r"/static/[^\"?]+\.css", browser.plain.get("/login/").text)
    assert name is not None
    is_guarded(browser, name[0])


def test_unchanged_files_are_told_by_their_etag(browser: Both) -> None:
    name = re.search(r"/static/[^\"?]+\.css", browser.plain.get("/login/").text)
    assert name is not None
    etag = browser.same("GET", name[0]).headers["etag"]
    assert browser.same("GET", name[0], headers={"If-None-Match": etag}).status_code == 304


def test_its_own_password_and_session_stay(browser: Both) -> None:
    with with_key(browser, browser.key()) as client:
        sent_on = client.get("/notes/")
        assert (sent_on.status_code, sent_on.headers["location"]) == (302, "/login/")
        assert client.post("/login/", data={"password": "byron"}).status_code == 200
        let_in = client.post("/login/", data={"password": "lovelace"})
        assert (let_in.status_code, let_in.headers["location"]) == (302, f"{browser.gated.base_url}/notes/")
        assert client.get("/notes/").status_code == 200
        refused = httpx.get(f"{browser.gated.base_url}/notes/", cookies=client.cookies, trust_env=False)
        assert refused.status_code == 401  # a session is no key
        assert client.get("/logout/").headers["location"] == "/login/"
        assert client.get("/notes/").status_code == 302


def test_megabytes_are_uploaded_and_come_back(browser: Both) -> None:
    rows, key = [{"id": str(each), "text": f"{each}" * 20_000} for each in range(1, 101)], browser.key()
    file = io.StringIO()
    writer = csv.DictWriter(file, ["id", "text"])
    writer.writeheader()
    writer.writerows(rows)
    assert file.tell() > 2_000_000
    with with_key(browser, key) as client:
        client.post("/login/", data={"password": "lovelace"})
        upload = {"file": ("notes.csv", file.getvalue())}
        assert client.post("/notes/import/", files=upload).headers["location"] == "/notes/content/"
        exported = client.post("/notes/export/", data={"export_format": "json", "columns": ["id", "text"]})
        assert [{**each, "id": str(each["id"])} for each in exported.json()] == rows
        whole = client.get("/download/")
        assert (int(whole.headers["content-length"]), whole.content[:15]) == (len(whole.content), b"SQLite format 3")
        browser.revoke(key)
        assert client.get("/download/").status_code == 401  # whatever the session says
