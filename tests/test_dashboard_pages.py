"""The pages of the dashboard, through both doors: what people do with keys, and what nobody may do."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from keystile import ConfigurationError, Gate, HmacHasher, Plan, Rule, asgi, wsgi
from keystile.manage import ALL, Authority
from keystile.manage.dashboard import Redirect
from keystile.manage.dashboard.routes import PAGES
from keystile.manage.dashboard.rules.links import segment
from tests.dashboards import OURS, Dash, Page, ada
from tests.doors import wsgi_environ

NOW = datetime(2026, 11, 21, 12, 30, tzinfo=UTC).timestamp()
NASTY = [
    '"><img src=x onerror=alert(1)>',
    "<script>alert(1)</script>",
    "{{ 7*7 }}{% raw %}",
    "\N{ARABIC LETTER ALEF}\N{HEBREW LETTER ALEF} mixed",
    "W" * 200,
    "\N{GRINNING FACE}" * 20,
    "a\N{COMBINING ACUTE ACCENT}'&lt;\\",
]


def gate_with(**settings: Any) -> Gate:
    given = {
        "prefix": "acme",
        "hasher": HmacHasher(b"p" * 16),
        "peppers": [b"p" * 32],
        "plans": {"free": Plan("60/minute; 5000/day", max_keys=80), "pro": Plan("1000/minute")},
        "default_plan": "free",
        "rules": [Rule("POST /v1/exports", limits="10/hour", scopes=["exports:write"])],
        "clock": lambda: NOW,
    }
    return Gate(**(given | settings))


@pytest.fixture(params=["wsgi", "asyncio", "trio"])
def dash(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Dash]:
    gate = gate_with(store="memory://" if request.param == "trio" else f"sqlite:///{tmp_path}/keys.db")
    yield Dash(gate, request.param)
    gate.close()


@pytest.fixture
def one() -> Iterator[Dash]:
    """On one door: for what depends on none."""
    gate = gate_with()
    yield Dash(gate)
    gate.close()


def filled(dash: Dash) -> str:
    """A key in a project, changed in several ways; its id."""
    project = dash.gate.projects.create("Billing", organization_id="org_1", id="proj_1").project
    key = dash.gate.keys.create(
        "CI", project_id=project.id, scopes=["read"], ip_allowlist=["192.0.2.0/24"], metadata={"team": "</pre>"}
    ).key
    dash.gate.keys.rotate(key.id, grace=3600)
    return key.id


# What people do


def test_a_key_is_made_shown_once_and_found_again(dash: Dash) -> None:
    made = dash.create("Invoices", scopes="read  exports:write", ip_allowlist="192.0.2.0/24\r\n2001:db8::/32")
    assert made.status == 200
    assert made.secret is not None
    assert made.secret.startswith("acme_live_")
    assert made.header("cache-control") == "no-store"
    assert made.text.count(made.secret) == 1
    key = dash.gate.keys.get(dash.key_id(made))
    assert (key.name, key.organization_id, key.scopes) == ("Invoices", "org_1", ("read", "exports:write"))
    assert key.ip_allowlist == ("192.0.2.0/24", "2001:db8::/32")
    assert "Invoices" in dash.get("/").text
    shown = dash.get(f"/keys/{key.id}").text
    assert "exports:write" in shown
    assert made.secret not in shown
    (entry,) = dash.gate.audit(target=key.id)
    assert (entry.actor.type, entry.actor.id, entry.actor.via) == ("session", "u_ada", "dashboard")


def test_a_form_that_is_sent_twice_makes_one_key_and_shows_its_secret_once(dash: Dash) -> None:
    fields = {"form_id": dash.get("/keys/new").hidden("form_id"), "name": "CI"}
    first, second = dash.post("/keys", fields), dash.post("/keys", fields)
    assert first.secret is not None
    assert (second.status, second.secret) == (200, None)
    assert "Already created" in second.text
    assert len(dash.gate.keys.list()) == 1
    changed = dash.post("/keys", fields | {"name": "Another"})
    assert (changed.status, changed.secret) == (409, None)
    assert changed.hidden("form_id") != fields["form_id"]
    again = dash.post("/keys", fields | {"name": "Another", "form_id": changed.hidden("form_id")})
    assert again.secret is not None
    assert len(dash.gate.keys.list()) == 2


def test_keys_whose_ids_follow_from_their_secrets_are_made_once_too() -> None:
    dash = Dash(Gate(key_format="opaque", peppers=[b"p" * 32]))
    fields = {"form_id": dash.get("/keys/new").hidden("form_id"), "name": ""}
    assert dash.post("/keys", fields | {"name": "a\x00b"}).status == 422
    made = dash.post("/keys", fields | {"name": "CI"})
    assert (made.status, bool(made.secret)) == (200, True)
    again = dash.post("/keys", fields | {"name": "CI"})
    assert (again.status, again.secret) == (409, None)
    project = {"form_id": "0" * 32, "name": "P", "environment": "production", "key_name": "first"}
    assert [dash.post("/projects", project).status for _ in range(2)] == [200, 409]
    assert len(dash.gate.keys.list()) == 2


def test_forms_that_are_sent_at_once_make_one_key(one: Dash) -> None:
    fields = {"form_id": one.get("/keys/new").hidden("form_id"), "name": "CI"}
    pages: list[Page] = []
    threads = [threading.Thread(target=lambda: pages.append(one.post("/keys", fields))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [page.status for page in pages] == [200] * 8
    assert len([page for page in pages if page.secret]) == 1
    assert len(one.gate.keys.list()) == 1


def test_a_key_is_rotated_once_by_a_form_and_its_old_secret_stays_for_the_grace(dash: Dash) -> None:
    key = dash.gate.keys.create("CI", organization_id="org_1").key
    form = dash.get(f"/keys/{key.id}/rotate")
    fields = {"revision": form.hidden("revision"), "grace": "24", "hours": ""}
    made = dash.post(f"/keys/{key.id}/rotate", fields)
    assert made.secret is not None
    newest, older = dash.gate.keys.get(key.id).hashes
    assert newest.hint == made.secret[-4:]
    assert older.expires_at is not None
    assert older.expires_at.timestamp() == NOW + 86_400
    again = dash.post(f"/keys/{key.id}/rotate", fields)
    assert (again.status, again.secret) == (409, None)
    assert dash.gate.keys.get(key.id).hashes == (newest, older)
    shown = dash.get(f"/keys/{key.id}").text
    assert f"…{newest.hint}" in shown
    assert f"…{older.hint}" in shown


@pytest.mark.parametrize(
    ("grace", "hours", "seconds"), [("0", "", None), ("1", "", 3600), ("other", "0.5", 1800), ("other", "36", 129_600)]
)
def test_a_grace_is_chosen_or_written(one: Dash, grace: str, hours: str, seconds: int | None) -> None:
    key = one.gate.keys.create("CI", organization_id="org_1").key
    revision = one.get(f"/keys/{key.id}/rotate").hidden("revision")
    one.post(f"/keys/{key.id}/rotate", {"revision": revision, "grace": grace, "hours": hours})
    older = one.gate.keys.get(key.id).hashes[1:]
    assert [each.expires_at.timestamp() - NOW for each in older if each.expires_at] == ([seconds] if seconds else [])


@pytest.mark.parametrize(
    ("grace", "hours"), [("other", ""), ("other", "1_0"), ("other", "-1"), ("other", "nan"), ("other", "1e3"), ("", "")]
)
def test_a_grace_that_is_none_rotates_nothing(one: Dash, grace: str, hours: str) -> None:
    key = one.gate.keys.create("CI", organization_id="org_1").key
    revision = one.get(f"/keys/{key.id}/rotate").hidden("revision")
    page = one.post(f"/keys/{key.id}/rotate", {"revision": revision, "grace": grace, "hours": hours})
    assert page.status == 422
    assert 'aria-invalid="true"' in page.text
    assert len(one.gate.keys.get(key.id).hashes) == 1


def test_a_record_is_edited_and_only_what_differs_is_written(dash: Dash) -> None:
    key = dash.gate.keys.create(
        "CI", organization_id="org_1", scopes=["read"], expires_at=datetime(2030, 1, 1, 12, 0, 59, tzinfo=UTC)
    ).key
    form = dash.get(f"/keys/{key.id}/edit")
    fields = form.read.forms[-1][2] | {"name": "Nightly", "environment": "production", "may": "", "ip_allowlist": ""}
    fields |= {"project_id": "", "metadata": '{"team": "billing"}', "plan": ""}
    page = dash.post(f"/keys/{key.id}/edit", fields)
    assert (page.status, page.header("location")) == (303, f"../../keys/{key.id}")
    changed = dash.gate.keys.get(key.id)
    assert (changed.name, changed.metadata, changed.scopes) == ("Nightly", {"team": "billing"}, ("read",))
    assert changed.expires_at == key.expires_at
    (entry,) = dash.gate.audit(target=key.id, event="key.update")
    assert sorted(entry.after or ()) == ["metadata", "name"]
    stale = dash.post(f"/keys/{key.id}/edit", fields | {"name": "Late"})
    assert stale.status == 409
    assert dash.gate.keys.get(key.id).name == "Nightly"


def test_what_is_not_among_the_choices_any_more_stays_as_it_is(tmp_path: Path) -> None:
    """A plan that the settings have no more, and a project of one of many organizations."""
    store = f"sqlite:///{tmp_path}/keys.db"
    with closing(gate_with(store=store)) as gate:
        gate.projects.create("Last", organization_id="org_29", id="proj_1")
        key_id = gate.keys.create("CI", project_id="proj_1", plan="pro").key.id
    with closing(gate_with(store=store, plans={"free": Plan("60/minute")})) as gate:
        dash = Dash(gate)
        dash.who = ada(*(f"org_{each:02}" for each in range(30)))
        sent = dash.get(f"/keys/{key_id}/edit").form("revision")
        assert (sent["project_id"], sent["plan"]) == ("proj_1", "pro")
        fields = {name: sent[name] for name in ("revision", "project_id", "plan", "environment")}
        assert dash.post(f"/keys/{key_id}/edit", fields | {"name": "Renamed"}).status == 303
        key = gate.keys.get(key_id)
        assert (key.name, key.project_id, key.plan) == ("Renamed", "proj_1", "pro")
        # The link to a new key in a project that is not among the choices: not a key in none.
        assert dash.get("/keys/new?project=proj_1").form("form_id")["project_id"] == "proj_1"


def test_a_record_of_many_scopes_can_be_edited(one: Dash) -> None:
    scopes = [f"{each:03}" + "s" * 197 for each in range(99)]
    key_id = one.gate.keys.create("CI", organization_id="org_1", scopes=scopes).key.id
    page = one.get(f"/keys/{key_id}/edit")
    (field,) = [named for tag, named in page.read.tags if tag == "input" and named.get("name") == "scopes"]
    assert len(str(field["value"])) < int(str(field["maxlength"])) - 200
    sent = page.form("revision")
    assert (
        one.post(f"/keys/{key_id}/edit", {"revision": sent["revision"], "scopes": sent["scopes"] + " new"}).status
        == 303
    )
    assert len(one.gate.keys.get(key_id).scopes) == 100


def test_a_stale_form_never_undoes_what_somebody_else_changed(one: Dash) -> None:
    project = one.gate.projects.create("Billing", organization_id="org_1").project
    sent = one.get(f"/projects/{project.id}").form("revision")
    one.gate.projects.update(project.id, environment="staging")
    for _ in range(2):  # nor does sending again the form that came back
        page = one.post(f"/projects/{project.id}", sent | {"name": "Mine"})
        assert (page.status, "changed in the meantime" in page.text) == (409, True)
        sent = page.form("revision")
    assert one.gate.projects.get(project.id).environment == "staging"


def test_a_plan_is_refused_and_not_forgotten_where_the_right_to_it_is_gone(one: Dash) -> None:
    form_id = one.get("/keys/new").hidden("form_id")
    one.who = ada("org_1", may=frozenset({"keys:manage"}))
    page = one.post("/keys", {"form_id": form_id, "name": "CI", "plan": "pro"})
    assert (page.status, "plans:manage" in page.text) == (422, True)
    assert one.gate.keys.list() == []


def test_the_last_address_is_not_removed_by_a_slip(one: Dash) -> None:
    key = one.gate.keys.create("CI", organization_id="org_1", ip_allowlist=["192.0.2.1"], may=["GET /v1/*"]).key
    revision = one.get(f"/keys/{key.id}/edit").hidden("revision")
    page = one.post(f"/keys/{key.id}/edit", {"revision": revision, "ip_allowlist": " ", "may": ""})
    assert page.status == 422
    assert one.gate.keys.get(key.id).ip_allowlist == ("192.0.2.1/32",)
    boxes = {"anywhere": "yes", "every_request": "yes"}
    assert one.post(f"/keys/{key.id}/edit", {"revision": revision, "ip_allowlist": "", "may": ""} | boxes).status == 303
    changed = one.gate.keys.get(key.id)
    assert (changed.ip_allowlist, changed.may) == (None, None)


def test_a_key_is_suspended_and_resumed(dash: Dash) -> None:
    key = dash.gate.keys.create("CI", organization_id="org_1").key
    assert dash.post(f"/keys/{key.id}/suspend").status == 303
    assert dash.gate.keys.get(key.id).is_suspended
    assert "Resume" in dash.get(f"/keys/{key.id}").text
    assert dash.post(f"/keys/{key.id}/resume").status == 303
    assert not dash.gate.keys.get(key.id).is_suspended


def test_a_production_key_is_revoked_by_whoever_types_its_end(dash: Dash) -> None:
    key = dash.gate.keys.create("CI", organization_id="org_1").key
    wrong = dash.post(f"/keys/{key.id}/revoke", {"sure": "nope"})
    assert wrong.status == 422
    assert dash.gate.keys.get(key.id).revoked_at is None
    assert dash.post(f"/keys/{key.id}/revoke", {"sure": key.hashes[0].hint}).status == 303
    assert dash.gate.keys.get(key.id).revoked_at is not None
    shown = dash.get(f"/keys/{key.id}").text
    assert "Revoked" in shown
    assert "/rotate" not in shown
    assert dash.post(f"/keys/{key.id}/resume").status == 409
    staging = dash.gate.keys.create("Staging", organization_id="org_1", environment="staging").key
    assert dash.post(f"/keys/{staging.id}/revoke").status == 303


def test_projects_are_made_changed_and_deleted_with_their_keys(dash: Dash) -> None:
    form = dash.get("/projects/new")
    fields = {"form_id": form.hidden("form_id"), "name": "Mobile", "environment": "staging", "key_name": "first"}
    made = dash.post("/projects", fields)
    assert made.secret is not None
    assert made.secret.startswith("acme_stage_")
    again = dash.post("/projects", fields)
    assert (again.status, again.secret) == (200, None)
    (project,) = dash.gate.projects.list()
    one = dash.get(f"/projects/{project.id}")
    sent = {"revision": one.hidden("revision"), "name": "App", "environment": "production"}
    assert dash.post(f"/projects/{project.id}", sent).status == 303
    assert dash.post(f"/projects/{project.id}", sent | {"name": "Late"}).status == 409
    assert dash.post(f"/projects/{project.id}/suspend").status == 303
    assert dash.gate.projects.get(project.id).suspended_at is not None
    assert "Suspended" in dash.get("/projects").text
    (key,) = dash.gate.keys.list()
    assert dash.post(f"/projects/{project.id}/resume").status == 303
    assert dash.post(f"/projects/{project.id}/delete", {"sure": "Mobile"}).status == 422
    assert dash.post(f"/projects/{project.id}/delete", {"sure": "App"}).status == 303
    assert dash.gate.projects.list() == []
    assert dash.gate.keys.get(key.id).revoked_at is not None


def test_the_list_is_filtered_and_goes_on_page_by_page(one: Dash) -> None:
    project = one.gate.projects.create("Billing", organization_id="org_1").project
    for number in range(55):
        one.gate.keys.create(f"key {number:02}", organization_id="org_1")
    key = one.gate.keys.create("only here", project_id=project.id).key
    one.gate.keys.suspend(key.id)
    first = one.get("/")
    onward = next(link for link in first.links if "after=" in link).removeprefix("http://testserver")
    names = [re.findall(r"<bdi>(key \d\d|only here|default)</bdi></a>", one.get(each).text) for each in ("/", onward)]
    assert [len(each) for each in names] == [50, 7]
    assert len({*names[0], *names[1]}) == 57
    for query in ("search=only", "state=suspended", f"project={project.id}&search=ONLY"):
        found = one.get(f"/?{query}").text
        assert ("only here" in found, "key 01" in found) == (True, False), query
    assert "Nothing matches" in one.get("/?search=nothing").text
    assert one.get("/?state=nonsense&search=%00").text.count("<tr") == 51
    # A cursor is good for the list that it was made for, and for whom; anything else begins at the beginning.
    for bad in (onward[:-2] + "xx", onward.replace("after=", "search=e&after="), "/?after=" + key.id):
        assert one.get(bad).text.count("<tr") == 51
    assert one.get(onward).text.count("<tr") == 8
    one.who = Authority(id="u_bob", name="Bob", organization_ids=frozenset({"org_1"}), may=frozenset({"keys:read"}))
    assert one.get(onward).text.count("<tr") == 51


def test_usage_is_drawn_and_told_and_limits_show_where_the_key_stands(dash: Dash) -> None:
    issued = dash.gate.keys.create("CI", organization_id="org_1", scopes=["exports:write"])
    door = wsgi.GateMiddleware(_host, gate=dash.gate)
    for _ in range(12):
        list(door(_environ("POST", "/v1/exports", issued.secret), lambda *_: None))
    dash.gate.flush()
    for span, bars in (("day", 24), ("month", 30)):
        page = dash.get(f"/keys/{issued.key.id}?span={span}").text
        assert "10 admitted, 2 rate limited, 0 refused" in page
        assert page.count('<th scope="row">') == bars
    assert "10 requests per hour · POST /v1/exports" in page
    assert 'high="8" value="10"' in page


def test_the_audit_is_shown_and_kept_as_a_file_without_formulas(dash: Dash) -> None:
    key = dash.gate.keys.create("=HYPERLINK(1)", organization_id="org_1").key
    dash.gate.keys.create("elsewhere", organization_id="org_2")
    dash.gate.keys.revoke(key.id)
    page = dash.get("/audit").text
    assert "key.revoke" in page
    assert "elsewhere" not in page
    answer = dash.get("/audit.csv")
    assert answer.header("content-disposition") == 'attachment; filename="audit.csv"'
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert sorted(row[2] for row in rows[1:]) == ["key.create", "key.revoke"]
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t"))]


# What nobody may do


def test_every_page_is_locked_down_and_has_nothing_inline(one: Dash) -> None:
    key_id = filled(one)
    pages = [*one.crawl("/", f"/keys/{key_id}", "/nope", "/keys/unknown"), one.create()]
    pages += [one.post("/keys", {"form_id": "x"}), one.post("/keys", b"", headers=[]), one.get("/", method="PATCH")]
    shown = [page for page in pages if page.header("content-type") == "text/html; charset=utf-8"]
    assert len(shown) > 12
    for page in shown:
        assert page.header("content-security-policy") == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )
        assert page.header("cache-control") == "no-store"
        assert page.header("x-content-type-options") == "nosniff"
        assert page.header("referrer-policy") == "same-origin"
        assert page.header("cross-origin-opener-policy") == "same-origin"
        assert page.header("cross-origin-resource-policy") == "same-origin"
        for tag, attributes in page.read.tags:
            assert tag != "style", page.url
            assert tag != "script" or attributes.get("src"), page.url
            assert not [name for name in attributes if name == "style" or name.startswith("on")], page.url
            assert not str(attributes.get("href", "")).startswith(("http", "//", "javascript:")), page.url
        assert [tag for tag, _ in page.read.tags].count("h1") == 1, page.url


@pytest.mark.parametrize("name", NASTY)
def test_names_are_shown_and_never_run(one: Dash, name: str) -> None:
    project = one.gate.projects.create(name, organization_id="org_1", key={"name": name}).project
    (key,) = one.gate.keys.list()
    one.gate.keys.update(key.id, metadata={"note": name + "</script></pre>"})
    one.who = ada("org_1", name=name)
    targets = ["/", f"/keys/{key.id}", f"/keys/{key.id}/edit", f"/keys/{key.id}/revoke", f"/keys/{key.id}/rotate"]
    for target in [*targets, "/projects", f"/projects/{project.id}", f"/projects/{project.id}/delete", "/audit"]:
        page = one.get(target)
        assert page.status == 200
        for tag, attributes in page.read.tags:
            assert tag != "img" or attributes == {"src": attributes["src"], "alt": "", "width": "28", "height": "28"}
            assert not [each for each in attributes if each.startswith("on")]
        assert page.text.count("<script") == 1
        assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", page.text)
        assert _unescaped(page, name), target


def test_two_organizations_learn_nothing_of_each_other(dash: Dash) -> None:
    own, foreign = dash.gate.keys.create("own", organization_id="org_1").key, filled_elsewhere(dash.gate)
    before = [_all(dash.gate)]
    for template, pages in PAGES.items():
        if "{id}" not in template:
            continue
        ids = foreign if template.startswith("/projects") else foreign[::-1]
        for method in pages:
            known, unknown = (
                _asked(dash, method, template.replace("{id}", segment(each))) for each in (ids[0], "X" * len(ids[0]))
            )
            assert known.status == 404, (method, template)
            assert known.plain() == unknown.plain(), (method, template)
    assert [_all(dash.gate)] == before
    for target in ("/", "/projects", "/audit", "/audit.csv", "/?search=secret", f"/keys/{own.id}", "/keys/new"):
        assert "secret plans" not in dash.get(target).text
    for query in ("organization=org_2", f"project={foreign[0]}"):
        assert dash.get(f"/?{query}").status == 404
    assert dash.get("/audit?organization=org_2").status == 404


def test_forms_cannot_name_what_belongs_to_others(one: Dash) -> None:
    own, foreign = one.gate.keys.create("own", organization_id="org_1").key, filled_elsewhere(one.gate)
    assert one.create("thief", project_id=foreign[0]).status == 422
    assert one.create("thief", organization_id="org_2").status in (403, 404, 422)
    revision = one.get(f"/keys/{own.id}/edit").hidden("revision")
    moved = one.post(f"/keys/{own.id}/edit", {"revision": revision, "project_id": foreign[0]})
    assert moved.status == 422
    smuggled = {"revision": revision, "name": "own", "organization_id": "org_2", "owner_id": "eve", "hashes": "x"}
    assert one.post(f"/keys/{own.id}/edit", smuggled).status == 303
    assert one.gate.keys.get(own.id).organization_id == "org_1"
    assert one.gate.keys.get(own.id).owner_id is None
    assert [key.name for key in one.gate.keys.list(organization_id="org_2")] == ["secret plans"]


@pytest.mark.parametrize("may", [frozenset(), frozenset({"keys:read"}), frozenset({"keys:manage"})])
def test_nobody_does_more_than_they_may(one: Dash, may: frozenset[str]) -> None:
    key_id = filled(one)
    before = _all(one.gate)
    one.who = ada("org_1", may=may)
    assert one.get("/").status == (200 if may else 403)
    assert one.get("/audit").status == 403
    assert one.get("/audit.csv").status == 403
    assert ("History" in one.get(f"/keys/{key_id}").text) is False
    if "keys:manage" in may:
        assert one.create("pro", plan="pro", limits="9/second").status == 422
        assert one.create("usual").secret
        assert one.gate.keys.list(search="usual")[0].plan is None
        return
    for template, pages in PAGES.items():
        target = template.replace("{id}", key_id if template.startswith("/keys") else "proj_1")
        for method in pages:
            if method == "POST" or target.endswith(("/new", "/edit", "/rotate", "/revoke", "/delete")):
                assert _asked(one, method, target).status == 403, (method, target)
    assert _all(one.gate) == before


def test_what_other_sites_send_changes_nothing(dash: Dash) -> None:
    key = dash.gate.keys.create("CI", organization_id="org_1").key
    before = _all(dash.gate)
    senders = [
        [("sec-fetch-site", "cross-site")],
        [("sec-fetch-site", "same-site"), ("origin", "http://testserver")],
        [("origin", "http://testserver:8000")],
        [("origin", "null")],
        [],
    ]
    for headers in senders:
        for target in ("/keys", f"/keys/{key.id}/suspend", f"/keys/{key.id}/revoke", "/projects", "/nope"):
            assert dash.post(target, {"sure": key.hashes[0].hint}, headers=headers).status == 403
    assert _all(dash.gate) == before
    image = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "image")]
    assert dash.get("/", headers=image).status == 403
    link = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "document")]
    assert dash.get("/", headers=link).status == 200
    assert dash.post(f"/keys/{key.id}/suspend", headers=[("origin", "http://testserver")]).status == 303


def test_where_tls_ends_before_us_the_public_url_says_who_we_are(one: Dash) -> None:
    behind = Dash(one.gate, public_url="https://keys.example.com/admin/")
    form = {"form_id": "0" * 32, "name": "CI"}
    assert behind.post("/keys", form, headers=[("origin", "https://keys.example.com")]).status == 200
    assert behind.post("/keys", form, headers=[("origin", "http://testserver")]).status == 403


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"name=a&name=b", "application/x-www-form-urlencoded", 400),
        (b"name=%ff", "application/x-www-form-urlencoded", 400),
        (b"name=\xff", "application/x-www-form-urlencoded", 400),
        (b"&".join(b"f%d=1" % number for number in range(101)), "application/x-www-form-urlencoded", 400),
        (b"name=" + b"a" * 65_536, "application/x-www-form-urlencoded", 413),
        (b"{}", "application/json", 415),
        (b"", "multipart/form-data; boundary=x", 415),
        (b"", "", 415),
        (b"name=CI", "application/x-www-form-urlencoded", 400),  # without the form's id
        (b"name=CI&form_id=" + b"!" * 32, "application/x-www-form-urlencoded", 400),
        (b"form_id=" + b"0" * 32, "application/x-www-form-urlencoded", 422),
    ],
)
def test_a_form_that_is_none_is_refused(dash: Dash, body: bytes, kind: str, status: int) -> None:
    assert dash.post("/keys", body, kind=kind).status == status
    assert dash.gate.keys.list() == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(template for template, pages in PAGES.items() if "POST" in pages)),
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(
                ["form_id", "revision", "name", "expires_at", "metadata", "scopes", "may", "hours", "grace"]
            ),
            st.text(max_size=40),
        ),
    ),
)
def test_whatever_is_sent_is_answered_with_a_page(one: Dash, template: str, sent: Any) -> None:
    if not one.gate.keys.list():
        one.gate.keys.create("CI", organization_id="org_1", environment="staging")
    target = template.replace("{id}", one.gate.keys.list()[0].id)
    fields = {name: text.encode("utf-8", "replace") for name, text in sent.items()} if isinstance(sent, dict) else sent
    page = one.post(target, fields)
    assert page.status < 500
    assert page.header("content-type").startswith("text/html") or page.status == 303


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), max_size=30), st.text(max_size=20))
def test_whatever_is_asked_for_is_answered_alike_by_both_doors(one: Dash, path: str, query: str) -> None:
    page = one.get("/" + quote(path.lstrip("/")) + "?search=" + quote(query, errors="replace"))
    assert page.status in (200, 404)


@pytest.mark.parametrize(
    "bad", ["expires_at=tomorrow", "metadata=[1]", "metadata={", "limits=often", "may=GET", "plan=x"]
)
def test_a_bad_field_is_named_and_what_was_written_stays(one: Dash, bad: str) -> None:
    name, _, text = bad.partition("=")
    page = one.create("CI", **{name: text})
    assert page.status == 422
    assert f'id="{name}-error"' in page.text
    assert f'href="#{name}"' in page.text
    assert 'value="CI"' in page.text
    assert one.gate.keys.list() == []


# How it is mounted, and who enters


@pytest.mark.parametrize("mount", ["", "/admin/keys", "/a%b/\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_every_link_leads_to_a_page_wherever_it_is_mounted(mount: str) -> None:
    gate = gate_with()
    gate.projects.create("odd", organization_id="org_1", id="a/../b %2F?#\N{GREEK SMALL LETTER ALPHA}")
    gate.projects.create("new", organization_id="org_1", id="new")
    dash = Dash(gate, mount=mount)
    pages = {page.url: page.status for page in dash.crawl("/", f"/keys/{filled(dash)}")}
    assert len(pages) > 25
    assert {url: status for url, status in pages.items() if status != 200} == {}
    bare = dash.get("") if mount else None
    if bare is not None:
        assert bare.status == 308
        assert urljoin(bare.url, bare.header("location")) == f"{dash.url}/"


def test_nobody_enters_unless_the_host_says_so(one: Dash) -> None:
    one.who = None
    for target in ("/", "/keys/new", "/nope"):
        assert one.get(target).status == 403
    assert one.post("/keys", {"name": "CI"}).status == 403
    one.who = Redirect("/login?next=%2Fadmin")
    assert (one.get("/").status, one.get("/").header("location")) == (303, "/login?next=%2Fadmin")
    sent = one.post("/keys", {"name": "CI"})
    assert (sent.status, sent.header("location")) == (403, "")
    assert "url='/login?next=%2Fadmin'" in sent.text
    one.who = Redirect("https://sso.example.com/?a='&b=\"><script>")
    assert "url='https://sso.example.com/?a=%27&amp;b=&#34;&gt;&lt;script&gt;'" in one.post("/keys").text
    one.who = "Ada"
    assert one.get("/").status == 500
    assert one.gate.keys.list() == []


@pytest.mark.parametrize("app", [asgi.dashboard_app, wsgi.dashboard_app])
@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"authorize": None}, "authorize"),
        ({"public_url": "keys.example.com"}, "public_url"),
        ({"public_url": "https://b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example"}, "public_url"),
        ({"public_url": "https://keys example.com"}, "public_url"),
        ({"embed_in": None}, "embed_in"),
        ({"embed_in": [1]}, "embed_in"),
        ({"embed_in": "https://console.example.com"}, "embed_in"),
        ({"embed_in": ["*"]}, "embed_in"),
        ({"embed_in": ["https://console.example.com/"]}, "embed_in[0]"),
        ({"sign_out": "https://a b"}, "location"),
    ],
)
def test_a_wrong_set_up_is_refused(app: Callable[..., Any], wrong: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app(gate_with(), **({"authorize": lambda _: None} | wrong))
    assert caught.value.key == key
    with pytest.raises(ConfigurationError):
        app("gate", authorize=lambda _: None)
    with pytest.raises(TypeError):
        app(gate_with())


def test_an_async_host_is_asked_on_asgi_alone() -> None:
    async def authorize(request: Any) -> Authority:
        return ada("org_1", name=request.url.path[1:])

    gate = gate_with()
    with pytest.raises(ConfigurationError, match="async"):
        wsgi.dashboard_app(gate, authorize=authorize)
    dash = Dash(gate)
    dash.asgi = asgi.dashboard_app(gate, authorize=authorize)
    assert b"keys" in dash._send("asyncio", "GET", "/keys/new", [("host", "h")], None).body


def test_a_managing_key_that_sees_one_organization_needs_not_name_it(one: Dash) -> None:
    one.who = Authority(
        id="k", name="robot", type="key", organization_ids=frozenset({"org_1"}), may=frozenset({"keys:manage"})
    )
    assert one.create("made").secret
    assert "made" in one.get("/").text


def test_somebody_with_several_organizations_chooses_one(one: Dash) -> None:
    one.who = ada("org_1", "org_2")
    for organization in ("org_1", "org_2"):
        assert one.create(f"in {organization}", organization_id=organization).secret
    assert "in org_2" not in one.get("/").text
    assert "in org_2" in one.get("/?organization=org_2").text
    assert "key.create" in one.get("/audit?organization=org_2").text
    one.who = Authority(id="root", name="root", organization_ids=ALL, may=frozenset({"keys:manage", "audit:read"}))
    both = one.get("/").text
    assert "in org_1" in both
    assert "in org_2" in both
    assert one.create("of nobody").secret
    assert one.get("/projects").status == 200


@pytest.mark.parametrize("kind", ["wsgi", "asyncio"])
def test_behind_the_gate_the_pages_say_what_is_wrong(kind: str) -> None:
    gate = gate_with(public=["/open/*"])
    dash = Dash(gate)
    routes = [Mount(path, dash.asgi) for path in ("/guarded", "/open")]
    dash.asgi = asgi.GateMiddleware(Starlette(routes=routes), gate)
    nowhere = Response(status=404)
    dash.wsgi = wsgi.GateMiddleware(
        DispatcherMiddleware(nowhere, dict.fromkeys(("/guarded", "/open"), dash.wsgi)), gate
    )
    key = [("authorization", f"Bearer {gate.keys.create('CI').secret}")]
    for target, headers, status in (
        ("/guarded/", key, 403),
        ("/guarded/keys/new", key, 403),
        ("/guarded/", [], 401),
        ("/open/", [], 200),
        ("/open/", key, 200),
    ):
        page = dash._send(kind, "GET", target, [("host", "testserver"), *headers], None)
        assert page.status == status
        assert ("adds &#39;/guarded/*&#39; to `public`" in page.text) is (status == 403)


def test_frames_and_signing_out_are_as_the_host_says() -> None:
    dash = Dash(gate_with(), embed_in=["https://console.example.com"], sign_out="/bye")
    page = dash.get("/")
    assert page.header("content-security-policy").endswith("frame-ancestors https://console.example.com")
    assert "Sign out" in page.text
    framed = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "iframe")]
    assert dash.get("/", headers=framed).status == 200
    out = dash.post("/logout")
    # No redirect: browsers forbid it where the host's own page leads on to another origin.
    assert (out.status, out.header("location"), out.links[-1]) == (200, "", "http://testserver/bye")
    assert 'http-equiv="refresh" content="0;url=\'/bye\'"' in out.text
    assert out.header("clear-site-data") == '"cache", "storage"'
    assert "Sign out" not in Dash(gate_with()).get("/").text


def test_methods_that_a_page_does_not_know_are_told(one: Dash) -> None:
    for target, allowed in (("/", "GET, HEAD"), ("/keys", "POST"), ("/projects", "GET, HEAD, POST")):
        page = one.get(target, method="DELETE", headers=OURS)
        assert (page.status, page.header("allow")) == (405, allowed)
    head = one.get("/", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert one.get("/?search=1&search=2").status == 400


def test_files_are_kept_for_ever_under_the_name_of_what_is_in_them(one: Dash) -> None:
    one.who = None
    files = [link for link in one.get("/").links if "/static/" in link]
    assert len(set(files)) == 3
    for url in files:
        target = url.removeprefix("http://testserver")
        page = one.get(target)
        assert (page.status, page.header("cache-control")) == (200, "public, max-age=31536000, immutable")
        assert page.header("etag") == f'"{target.split(".")[1]}"'
        other = one.get(re.sub(r"\.[0-9a-f]{16}\.", f".{'0' * 16}.", target))
        assert (other.body, other.header("cache-control")) == (page.body, "no-store")
    for wrong in ("/static/none.0000000000000000.css", "/static/../texts.py", "/static/style.css"):
        assert one.get(wrong).status == 403


def test_a_store_that_is_down_is_told_and_nothing_else(one: Dash) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("password=hunter2")

    one.gate._shop.store.list = broken
    gate = gate_with(store=one.gate._shop.store)
    page = Dash(gate).get("/")
    assert page.status in (500, 503)
    assert "hunter2" not in page.text


# Helpers


def filled_elsewhere(gate: Gate) -> tuple[str, str]:
    """The ids of a project and a key of another organization."""
    project = gate.projects.create("secret plans", organization_id="org_2", key={"name": "secret plans"}).project
    return project.id, gate.keys.list(organization_id="org_2")[0].id


def _asked(dash: Dash, method: str, target: str) -> Page:
    sent = {"form_id": "0" * 32, "revision": "0", "grace": "0", "sure": "secret plans", "name": "x", "key_name": "y"}
    return dash.get(target) if method == "GET" else dash.post(target, sent | {"environment": "production"})


def _all(gate: Gate) -> Any:
    return gate.keys.list(), gate.projects.list(), len(gate.audit(limit=1000))


def _unescaped(page: Page, name: str) -> bool:
    return name in html.unescape(page.text)


def _host(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [])
    return [json.dumps({}).encode()]


def _environ(method: str, path: str, key: str) -> dict[str, Any]:
    return wsgi_environ(method, path, [("authorization", f"Bearer {key}")], "127.0.0.1")
