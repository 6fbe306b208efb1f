"""The page of the dashboard that shows what the gate refuses: the table, and the stream that its script reads."""

from __future__ import annotations

import pytest

from keystile import ConfigurationError, Gate, HmacHasher, Rule, _sync, asgi, wsgi
from keystile.manage import ALL, Authority
from keystile.manage.live import serving
from keystile.manage.live.hub import hub_of
from keystile.manage.live.stream import Pace
from keystile.model import Refused, Request
from tests.dashboards import Dash, ada
from tests.doors import Door
from tests.streams import came, told

NASTY = "/admin/<script>alert(1)</script>\"'&"


@pytest.fixture
def dash() -> Dash:
    gate = Gate(hasher=HmacHasher(b"p" * 16), peppers=[b"p" * 32], rules=[Rule("/admin/*", scopes=["x"])])
    return Dash(gate, live=True)


def refuse(gate: Gate, secret: str, path: str = "/admin") -> None:
    request = Request("GET", path, b"", [(b"x-api-key", secret.encode())], "192.0.2.1")
    assert isinstance(_sync.run_now(gate.check(request, _sync.inline)), Refused)


def key(dash: Dash, organization: str) -> tuple[str, str]:
    issued = dash.gate.keys.create("key", organization_id=organization)
    return issued.key.id, issued.secret


def test_without_scripts_the_page_shows_what_came_since_the_last_look(dash: Dash) -> None:
    (own, secret), (foreign, other) = key(dash, "org_1"), key(dash, "org_2")
    first = dash.get("/live")
    assert first.status == 200
    assert "Nothing since" in first.text
    refuse(dash.gate, other)
    refuse(dash.gate, secret, NASTY)
    page = dash.get("/live")
    assert page.text.count('<tr role="row">') == 3  # the head, the event, and the blank row of the script
    assert "insufficient_scope" in page.text
    assert foreign not in page.text
    assert [tag for tag, _ in page.read.tags].count("script") == 1
    assert f"http://testserver/keys/{own}" in page.links
    assert dash.get(f"/keys/{own}").status == 200


def test_the_newest_stands_on_top_and_several_organizations_are_named(dash: Dash) -> None:
    keys = [key(dash, name) for name in ("org_1", "org_2")]
    dash.who = ada("org_1", "org_2")
    assert dash.get("/live").status == 200
    for _, secret in keys:
        refuse(dash.gate, secret)
    text = dash.get("/live").text
    assert 0 < text.index(keys[1][0]) < text.index(keys[0][0])
    assert "org_2" in text


def test_the_page_is_there_only_where_it_is_asked_for() -> None:
    gate = Gate(peppers=[b"p" * 32])
    dash = Dash(gate)
    assert [dash.get(path).status for path in ("/live", "/live/events")] == [404, 404]
    assert "./live" not in dash.get("/").text
    assert "./live" in Dash(gate, live=True).get("/").text
    with pytest.raises(ConfigurationError, match="live"):
        asgi.dashboard_app(gate, authorize=lambda _request: None, live="yes")  # type: ignore[arg-type]


def test_a_page_of_another_site_opens_no_stream(dash: Dash) -> None:
    headers = [("sec-fetch-site", "cross-site"), ("sec-fetch-dest", "empty")]
    assert dash.get("/live/events", headers).status == 403
    assert hub_of(dash.gate).count == hub_of(dash.gate).kept == 0


def test_the_stream_goes_on_from_the_page_and_ends_with_the_session(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "USUAL", Pace(look=0.001, beat=3600))
    gate = door.open(rules=[Rule("/admin", scopes=["x"])], cursor_secrets=["c" * 16])
    secret = door.create(organization_id="org_1").secret
    who: list[Authority | None] = [ada("org_1")]
    module = wsgi if door.kind == "wsgi" else asgi
    app = module.dashboard_app(gate, authorize=lambda _request: who[0], live=True)  # type: ignore[attr-defined]
    after = hub_of(gate).recent(frozenset(["org_1"])).last_id

    async def refused() -> None:
        if door.kind == "wsgi":
            door.through_wsgi("GET", "/admin", [("x-api-key", secret)], None, None)
        else:
            await door.asgi_call("GET", "/admin", [("x-api-key", secret)], None)

    async def signed_out() -> None:
        who[0] = None
        await refused()

    door.run(refused)
    status, headers, found, ended = came(door, app, f"/live/events?after={after}", [], [refused, refused, signed_out])
    assert (status, headers["content-type"], ended) == (200, "text/event-stream", True)
    assert headers["x-content-type-options"] == "nosniff"
    assert [each["code"] for octets in found for each in told(octets)] == ["insufficient_scope"] * 3
    assert hub_of(gate).count == 0


def test_who_sees_every_organization_sees_what_belongs_to_none(dash: Dash) -> None:
    dash.who = Authority(id="root", name="Root", organization_ids=ALL, may=frozenset(["keys:read"]))
    assert dash.get("/live").status == 200
    refuse(dash.gate, "no key")
    assert "invalid_api_key" in dash.get("/live").text
