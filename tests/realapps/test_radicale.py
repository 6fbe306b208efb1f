"""Radicale, a calendar: its own names and passwords are asked for inside of the gate, with methods that few know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.realapps.running import Both, Service, is_guarded, running

pytestmark = pytest.mark.stress

CONFIG = """
[auth]
type = htpasswd
htpasswd_filename = users
htpasswd_encryption = plain
delay = 0
[storage]
filesystem_folder = collections
"""
SETTINGS = """
hide_credentials = true
[[rules]]
match = "/ada/*"
scopes = ["calendar"]
"""
EVENT = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//tests//
BEGIN:VEVENT
UID:%s
DTSTAMP:20260101T000000Z
DTSTART:20260101T000000Z
SUMMARY:%s
END:VEVENT
END:VCALENDAR
"""
QUERY = """<C:calendar-query xmlns:D="DAV:" xmlns:C="urn:ietf:params:xml:ns:caldav">
<D:prop><D:getetag/></D:prop>
<C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"/></C:comp-filter></C:filter>
</C:calendar-query>"""
ADA = ("ada", "lovelace")


@pytest.fixture(scope="module")
def calendar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("calendar")
    (folder / "config").write_text(CONFIG)
    (folder / "users").write_text(":".join(ADA))
    with running(Service("gunicorn", "radicale:application", SETTINGS, {"RADICALE_CONFIG": "config"}), folder) as both:
        assert both.plain.request("MKCALENDAR", "/ada/plain/", auth=ADA).status_code == 201
        yield both


def test_the_front_page_is_guarded(calendar: Both) -> None:
    is_guarded(calendar, "/.web/")
    assert calendar.same("GET", "/").headers["location"] == "/.web"


def test_the_calendars_own_logins_stay(calendar: Both) -> None:
    key = calendar.key(scopes=("calendar",))
    for auth, status in ((None, 401), (("ada", "byron"), 401), (ADA, 207)):
        answer = calendar.same("PROPFIND", "/ada/", key, auth=auth)
        assert answer.status_code == status
        assert ("www-authenticate" in answer.headers) == (status == 401)


def test_a_name_and_a_password_are_no_key(calendar: Both) -> None:
    answer = calendar.gated.request("PROPFIND", "/ada/", auth=ADA)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")


def test_events_are_kept_moved_found_and_deleted(calendar: Both) -> None:
    headers = {"X-API-Key": calendar.key(scopes=("calendar",))}

    def ask(method: str, path: str, **sent: Any) -> httpx.Response:
        more = sent.pop("headers", {})
        return calendar.gated.request(method, f"/ada{path}", auth=ADA, headers=headers | more, **sent)

    assert ask("MKCALENDAR", "/mine/").status_code == 201
    made = ask("PUT", "/mine/tea.ics", content=EVENT % ("tea", "Tea" * 100_000))
    assert made.status_code == 201
    for etag, status in (('"another"', 412), (made.headers["etag"], 204)):
        again = ask("PUT", "/mine/tea.ics", content=EVENT % ("tea", "Coffee"), headers={"If-Match": etag})
        assert again.status_code == status
    target = f"{calendar.gated.base_url}/ada/mine/coffee.ics"
    assert ask("MOVE", "/mine/tea.ics", headers={"Destination": target}).status_code == 201
    found = calendar.same("REPORT", "/ada/mine/", headers["X-API-Key"], auth=ADA, content=QUERY, headers={"Depth": "1"})
    assert (found.status_code, b"/ada/mine/coffee.ics" in found.content) == (207, True)
    assert b"SUMMARY:Coffee" in calendar.same("GET", "/ada/mine/coffee.ics", headers["X-API-Key"], auth=ADA).content
    assert ask("DELETE", "/mine/coffee.ics").status_code == 200
    assert ask("GET", "/mine/coffee.ics").status_code == 404


@pytest.mark.parametrize("method", ["PROPFIND", "REPORT", "MKCALENDAR", "MOVE", "PUT", "DELETE", "GET", "OPTIONS"])
def test_a_rule_holds_for_methods_that_few_know(calendar: Both, method: str) -> None:
    answer = calendar.gated.request(method, "/ada/plain/", auth=ADA, headers={"X-API-Key": calendar.key()})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")
