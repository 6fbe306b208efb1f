"""The pages about webhooks, through both doors: what people do with endpoints, and what nobody may do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from keystile.manage import ALL, Authority
from keystile.manage.dashboard.routes import PAGES, WEBHOOK_PAGES
from keystile.webhooks.outbox import Next
from keystile.webhooks.sending import Attempt
from tests.dashboards import Dash, Page, ada
from tests.outboxes import START, Box, outbox_of
from tests.postgres_server import postgres_url  # noqa: F401
from tests.test_dashboard_pages import NASTY, gate_with

URL = "https://hooks.example/in"
MAY = frozenset(("keys:read", "webhooks:manage"))
POSTED = [template for template, pages in WEBHOOK_PAGES.items() if "POST" in pages]


class Hooks(Dash):
    """A dashboard with an outbox, and the outbox."""

    def __init__(self, box: Box, kind: str = "wsgi", **settings: Any) -> None:
        super().__init__(gate_with(clock=lambda: START), kind, outbox=box.inner, **settings)
        self.box, self.who = box, ada("org_1", may=MAY)

    def make(self, url: str = URL, **fields: str) -> Page:
        """Fill in the form for an endpoint and send it."""
        form = self.get("/webhooks/new")
        return self.post("/webhooks", {"form_id": form.hidden("form_id"), "url": url, **fields})

    def endpoint_of(self, page: Page) -> str:
        """The endpoint that a page leads to."""
        found = next(link for link in page.links if "/webhooks/ep_" in link)
        return urlsplit(found).path.rpartition("/")[2]


@pytest.fixture(params=[("sqlite", "wsgi"), ("postgresql", "asyncio"), ("sqlite", "trio")], ids="-".join)
def hooks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hooks]:
    store, kind = request.param
    with outbox_of(store, request, tmp_path) as box:
        yield Hooks(box, kind)


@pytest.fixture
def one(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hooks]:
    with outbox_of("sqlite", request, tmp_path) as box:
        yield Hooks(box)


def filled(hooks: Hooks, organization: str = "org_1", **fields: Any) -> tuple[str, str]:
    """The ids of an endpoint and of a delivery to it that failed."""
    endpoint = hooks.box.endpoint(organization, **fields)
    hooks.box.send("invoice.paid", organization_id=organization)
    for claimed in hooks.box.take():
        hooks.box.end(claimed, Next.failed(), Attempt(None, "blocked", seconds=0.5, shown="a word of the inside"))
    return endpoint.id, hooks.box.deliveries(endpoint.id)[0].id


def path_of(template: str, ids: tuple[str, str]) -> str:
    return template.replace("{id}", ids[0], 1).replace("{id}", ids[1])


def asked(hooks: Hooks, method: str, target: str) -> Page:
    return hooks.get(target) if method == "GET" else hooks.post(target, {"revision": "1", "hours": "24"})


def state_of(hooks: Hooks) -> list[Any]:
    return hooks.box.rows("SELECT * FROM keystile_endpoints") + hooks.box.rows("SELECT * FROM keystile_deliveries")


# What people do


def test_an_endpoint_is_made_its_secret_is_shown_once_and_it_is_found_again(hooks: Hooks) -> None:
    assert "No endpoints yet" in hooks.get("/webhooks").text
    made = hooks.make(description="Billing", event_types="invoice.paid\r\ninvoice.sent", headers="X-Team: the blue one")
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    page = hooks.get(f"/webhooks/{hooks.endpoint_of(made)}")
    for text in ("Billing", URL, "invoice.paid", "invoice.sent", "X-Team", "Standard Webhooks", "Enabled"):
        assert text in page.text
    for shown in (page, hooks.get("/webhooks"), hooks.get(f"/webhooks/{hooks.endpoint_of(made)}/edit")):
        assert made.secret not in shown.text
        assert "the blue one" not in shown.text
        assert shown.header("cache-control") == "no-store"


def test_a_form_that_is_sent_twice_makes_one_endpoint(hooks: Hooks) -> None:
    sent = {"form_id": hooks.get("/webhooks/new").hidden("form_id"), "url": URL}
    assert hooks.post("/webhooks", sent).status == 200
    again = hooks.post("/webhooks", sent)
    assert (again.status, again.secret) == (409, None)
    assert len(hooks.box.endpoints.list()) == 1


def test_an_endpoint_is_edited_and_headers_stay_unless_they_are_removed(hooks: Hooks) -> None:
    endpoint_id = hooks.endpoint_of(hooks.make(headers="X-Team: a", event_types="a"))
    path = f"/webhooks/{endpoint_id}/edit"
    revision = hooks.get(path).hidden("revision")
    sent = {"revision": revision, "url": "https://other.example/", "description": "d", "event_types": ""}
    assert hooks.post(path, sent).status == 303
    found = hooks.box.endpoints.get(endpoint_id)
    assert (found.url, found.description, found.event_types) == ("https://other.example/", "d", None)
    assert found.header_names == ("X-Team",)
    assert hooks.post(path, sent).status == 409
    fresh = {**sent, "revision": hooks.get(path).hidden("revision"), "no_headers": "yes"}
    assert hooks.post(path, fresh).status == 303
    assert hooks.box.endpoints.get(endpoint_id).header_names == ()


def test_a_secret_is_rotated_once_by_a_form(hooks: Hooks) -> None:
    first = hooks.make()
    path = f"/webhooks/{hooks.endpoint_of(first)}/rotate"
    sent = {"revision": hooks.get(path).hidden("revision"), "grace": "24", "hours": ""}
    rotated = hooks.post(path, sent)
    assert rotated.secret not in (None, first.secret)
    again = hooks.post(path, sent)
    assert (again.status, again.secret) == (409, None)
    hooks.box.send(organization_id="org_1")
    (claimed,) = hooks.box.take()
    assert len(claimed.endpoint.secrets) == 2


def test_a_scheme_with_room_for_one_signature_ends_the_old_secret_at_once(one: Hooks) -> None:
    path = f"/webhooks/{one.endpoint_of(one.make(scheme='hex_body', signature_header='X-Signature'))}/rotate"
    page = one.get(path)
    checked = [tag for tag in page.read.tags if tag[0] == "input" and "checked" in tag[1]]
    assert [tag[1]["value"] for tag in checked] == ["0"]
    assert one.post(path, {"revision": page.hidden("revision"), "grace": "24"}).status == 422
    assert one.post(path, {"revision": page.hidden("revision"), "grace": "0"}).secret


def test_an_endpoint_is_tested_disabled_enabled_and_deleted(hooks: Hooks) -> None:
    path = f"/webhooks/{hooks.endpoint_of(hooks.make())}"
    assert hooks.post(f"{path}/test").status == 303
    assert "webhook.test" in hooks.get(path).text
    assert hooks.post(f"{path}/disable").status == 303
    disabled = hooks.get(path).text
    assert "Disabled" in disabled
    assert "by hand" in disabled
    assert hooks.post(f"{path}/test").status == 409
    assert hooks.post(f"{path}/enable").status == 303
    assert "by hand" not in hooks.get(path).text
    assert "cannot be undone" in hooks.get(f"{path}/delete").text
    assert hooks.post(f"{path}/delete").status == 303
    assert hooks.get(path).status == 404
    assert "No endpoints yet" in hooks.get("/webhooks").text


def test_deliveries_are_shown_and_sent_again_and_not_what_was_answered(hooks: Hooks) -> None:
    ids = filled(hooks)
    page, delivery = f"/webhooks/{ids[0]}", f"/webhooks/{ids[0]}/deliveries/{ids[1]}"
    assert "Given up" in hooks.get(f"{page}?state=failed").text
    assert "invoice.paid" not in hooks.get(f"{page}?state=done").text
    shown = hooks.get(delivery)
    assert "the address is not public" in shown.text
    assert "inside" not in shown.text + hooks.get(page).text
    assert hooks.post(f"{delivery}/retry").status == 303
    assert hooks.box.states(ids[0]) == ["due"]
    other = filled(hooks)
    assert hooks.post(f"/webhooks/{other[0]}/retry", {"hours": "24"}).status == 303
    assert set(hooks.box.states(other[0])) == {"due"}
    assert hooks.post(f"{page}/retry", {"hours": "1"}).status == 400


def test_lists_go_on_page_by_page(one: Hooks) -> None:
    endpoint = one.box.endpoint("org_1")
    for number in range(60):
        one.box.clock.now += 1
        one.box.send("a", {"n": number}, "org_1")
    first = one.get(f"/webhooks/{endpoint.id}?state=due")
    after = next(link for link in first.links if "after=" in link)
    second = one.get(after.removeprefix(one.url))
    seen = [set(re.findall(r"msg_\w{22}", page.text)) for page in (first, second)]
    assert [len(each) for each in seen] == [50, 10]
    assert not seen[0] & seen[1]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("url", "https://10.0.0.1/"),
        ("url", ""),
        ("event_types", "A B"),
        ("headers", "no colon"),
        ("headers", "X-A: 1\nX-A: 2"),
        ("headers", "Host: x"),
        ("scheme", "none"),
        ("signature_header", "X-A"),
        ("description", "x" * 300),
    ],
)
def test_a_bad_field_is_named_and_what_was_written_stays(one: Hooks, field: str, text: str) -> None:
    page = one.make(**{"url": URL, "description": "Billing"} | {field: text})
    assert page.status == 422
    assert f'href="#{field}"' in page.text
    assert f'id="{field}-error"' in page.text
    assert "Billing" in page.text or field == "description"
    assert one.box.endpoints.list() == []


# What nobody may do


def test_without_an_outbox_there_are_no_pages_about_webhooks() -> None:
    dash = Dash(gate_with())
    dash.who = ada("org_1", may=frozenset(("keys:manage", "webhooks:manage")))
    assert "Webhooks" not in dash.get("/").text
    for template, pages in WEBHOOK_PAGES.items():
        for method in pages:
            target = path_of(template, ("ep_1", "dlv_1"))
            assert (dash.get(target) if method == "GET" else dash.post(target)).status == 404


def test_two_organizations_learn_nothing_of_each_other(hooks: Hooks) -> None:
    own, foreign = filled(hooks), filled(hooks, "org_2", description="secret plans", event_types=["invoice.paid"])
    never = ("ep_" + "0" * 22, "dlv_" + "0" * 22)
    before = state_of(hooks)
    for template, pages in WEBHOOK_PAGES.items():
        if "{id}" not in template:
            continue
        tried = [(foreign, never)]
        if "deliveries" in template:
            tried += [((own[0], foreign[1]), (own[0], never[1])), (("x" * 300, "x"), never)]
        for method in pages:
            for ids in tried:
                known, unknown = (asked(hooks, method, path_of(template, each)) for each in ids)
                assert known.status == 404, (method, template)
                assert known.plain() == unknown.plain(), (method, template)
    assert state_of(hooks) == before
    for target in ("/webhooks", f"/webhooks/{own[0]}", "/webhooks/new"):
        assert "secret plans" not in hooks.get(target).text
    assert hooks.get("/webhooks?organization=org_2").status == 404
    assert hooks.make(organization_id="org_2").status == 422


@pytest.mark.parametrize("may", [("keys:manage",), ("keys:read", "webhooks:read"), ("webhooks:read",)])
def test_nobody_does_more_than_they_may(one: Hooks, may: tuple[str, ...]) -> None:
    ids = filled(one)
    one.who = ada("org_1", may=frozenset(may))
    reads = "webhooks:read" in may
    before = state_of(one)
    for template, pages in WEBHOOK_PAGES.items():
        target = path_of(template, ids)
        for method in pages:
            changes = method == "POST" or target.endswith(("/new", "/edit", "/rotate", "/delete"))
            assert (asked(one, method, target).status == 403) is (changes or not reads), (method, target)
    assert state_of(one) == before
    assert one.get("/").status == (200 if may != ("webhooks:read",) else 403)
    if reads:
        text = one.get(f"/webhooks/{ids[0]}").text + one.get("/webhooks").text
        assert not [word for word in ("New endpoint", "/delete", "/rotate", "<form") if word in text]


def test_what_other_sites_send_changes_nothing(one: Hooks) -> None:
    ids = filled(one)
    before = state_of(one)
    for headers in ([("sec-fetch-site", "cross-site")], [("origin", "http://evil.example")], []):
        for template in POSTED:
            fields = {"form_id": "0" * 32, "url": URL, "revision": "1", "hours": "24", "grace": "0"}
            assert one.post(path_of(template, ids), fields, headers=headers).status == 403
    assert state_of(one) == before


@pytest.mark.parametrize("name", NASTY)
def test_names_are_shown_and_never_run(one: Hooks, name: str) -> None:
    ids = filled(one, description=name[:200])
    for template, pages in WEBHOOK_PAGES.items():
        if "GET" not in pages:
            continue
        page = one.get(path_of(template, ids))
        assert page.status == 200
        assert page.text.count("<script") == 1
        assert not [tag for tag, attributes in page.read.tags if [each for each in attributes if each.startswith("on")]]
        assert [tag for tag, _ in page.read.tags].count("h1") == 1
        assert "49" not in re.findall(r"<bdi>(.*?)</bdi>", page.text)


def test_every_link_leads_to_a_page_wherever_it_is_mounted(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of("sqlite", request, tmp_path) as box:
        hooks = Hooks(box, mount="/admin/keys")
        ids = filled(hooks)
        pages = list(hooks.crawl("/webhooks", f"/webhooks/{ids[0]}", f"/webhooks/{ids[0]}/deliveries/{ids[1]}"))
        assert {page.status for page in pages} == {200}
        assert len({page.url for page in pages}) > 10


def test_somebody_who_sees_several_organizations_or_all_says_which(one: Hooks) -> None:
    first, second = one.box.endpoint("org_1"), one.box.endpoint("org_2")
    one.who = ada("org_1", "org_2", may=MAY)
    assert first.id in one.get("/webhooks").text
    assert second.id in one.get("/webhooks?organization=org_2").text
    assert one.get(f"/webhooks/{second.id}").status == 200
    assert one.make(organization_id="org_2").secret
    one.who = Authority(id="r", name="Root", organization_ids=ALL, may=MAY)
    text = one.get("/webhooks").text
    assert first.id in text
    assert second.id in text
    assert one.make().status == 422
    assert one.make(organization_id="org_9").secret


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(POSTED),
    st.one_of(
        st.binary(max_size=200),
        st.dictionaries(
            st.sampled_from(["form_id", "revision", "url", "headers", "event_types", "hours", "grace", "scheme"]),
            st.text(max_size=40),
        ),
    ),
)
def test_whatever_is_sent_is_answered_with_a_page(one: Hooks, template: str, sent: Any) -> None:
    found = one.box.endpoints.list() or [one.box.endpoint("org_1")]
    fields = {name: text.encode("utf-8", "replace") for name, text in sent.items()} if isinstance(sent, dict) else sent
    page = one.post(path_of(template, (found[0].id, "dlv_1")), fields)
    assert page.status < 500
    assert page.header("content-type").startswith("text/html") or page.status == 303


def test_the_pages_of_keys_and_of_webhooks_are_apart() -> None:
    assert not set(PAGES) & set(WEBHOOK_PAGES)
