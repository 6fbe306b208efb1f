"""Keys in every place that there is, through both doors: who is let in, who is not, and what the app sees of it."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, Rule, current
from keystile.policy import CREDENTIAL_FORMS
from tests.doors import Answer, Door, asgi_scope, wsgi_environ

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl"
BASIC = "Authorization: Basic"


def basic(user: str, password: str = "") -> tuple[str, str]:
    return "authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def bearer(token: str) -> tuple[str, str]:
    return "authorization", f"Bearer {token}"


def said(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.code


# Any place


@pytest.mark.parametrize(
    ("place", "headers", "query"),
    [
        ("X-Acme-Token", [("x-acme-token", "{}")], ""),
        ("x-acme-token", [("X-ACME-Token", " {} ")], ""),
        ("Authorization: Token", [("authorization", "token {}")], ""),
        (BASIC, [basic("{}")], ""),
        (BASIC, [basic("api", "{}")], ""),
        ("?key", [], "?a=1&key={}"),
    ],
)
def test_a_key_is_read_from_any_place_that_is_accepted_and_from_no_other(
    door: Door, place: str, headers: list[tuple[str, str]], query: str
) -> None:
    secret = door.create("caller").secret

    def filled(text: str) -> str:
        if not text.startswith("Basic"):
            return text.replace("{}", secret)
        return basic(*("api", secret) if text == basic("api", "{}")[1] else (secret, ""))[1]

    sent = [(name, filled(value)) for name, value in headers]
    door.open(accept=[place])
    assert door.get(f"/v1{query.replace('{}', secret)}", headers=sent).status == 200
    assert door.host.calls[-1].principal.name == "caller"
    assert said(door.get("/v1", headers=[("x-api-key", secret)])) == (401, "missing_api_key")
    door.open()
    assert said(door.get(f"/v1{query.replace('{}', secret)}", headers=sent)) == (401, "missing_api_key")


def test_a_rule_says_where_keys_are_read_from_on_its_paths(door: Door) -> None:
    secret = door.create().secret
    door.open(rules=[Rule("/hooks/*", accept=["X-Hook", "?token"]), Rule("/hooks/*", limits="100/minute")])
    hook, plain = [("x-hook", secret)], [("x-api-key", secret)]
    assert door.get("/hooks/a", headers=hook).status == 200
    assert door.get(f"/hooks/a?token={secret}").status == 200
    assert door.get("/v1", headers=plain).status == 200
    for path, headers in (("/hooks/a", plain), ("/v1", hook), (f"/v1?token={secret}", [])):
        assert said(door.get(path, headers=headers)) == (401, "missing_api_key")
    assert len(door.host.calls) == 3


def test_every_place_is_looked_at_on_every_path_and_all_hold_one_key(door: Door) -> None:
    secret, other = door.create().secret, door.create().secret
    door.open(rules=[Rule("/hooks/*", accept=["X-Hook", "?token"])])
    hook = ("x-hook", other)
    assert said(door.get("/v1", secret, headers=[hook])) == (400, "invalid_request")
    assert said(door.get(f"/v1?token={other}", secret)) == (400, "invalid_request")
    assert said(door.get("/v1", headers=[("x-hook", secret), ("x-hook", secret)])) == (400, "invalid_request")
    assert said(door.get("/v1", headers=[("x-hook", f"{secret},{secret}")])) == (400, "invalid_request")
    # The same key in two places is one key, and one of the two is accepted here.
    assert door.get("/v1", secret, headers=[("x-hook", secret)]).status == 200
    assert door.get("/v1?token=", secret, headers=[("x-hook", "")]).status == 200
    assert len(door.host.calls) == 2


def test_a_request_that_no_rule_can_read_has_its_key_where_all_rules_accept_it(door: Door) -> None:
    secret = door.create().secret
    door.open(rules=[Rule("/a/*", accept=["X-API-Key", "X-A"]), Rule("/b/*", accept=["X-API-Key", "X-B"])])
    for method, path in (("GET", "//a/x"), ("GET", "/a/%2e%2e/x")):
        for name, status in (("x-api-key", 200), ("x-a", 401), ("x-b", 401), ("api-key", 401)):
            assert door.get(path, method=method, headers=[(name, secret)]).status == status, (path, name)
    override = ("x-http-method-override", "DELETE")
    assert door.get("/a/x", headers=[("x-a", secret), override]).status == 401
    assert door.get("/a/x", headers=[("x-api-key", secret), override]).status == 200
    for name, status in (("x-api-key", 200), ("x-a", 200), ("x-b", 401)):
        assert door.get("/a/x", method="BREW", headers=[(name, secret)]).status == status, name


def test_what_is_accepted_nowhere_opens_nothing(door: Door) -> None:
    secret = door.create().secret
    door.open(accept=["X-API-Key"], rules=[Rule("/a", public="optional")])
    for sent in ([bearer(secret)], [("api-key", secret)], [("cookie", f"key={secret}")], [basic(secret)]):
        assert said(door.get("/v1", headers=sent)) == (401, "missing_api_key")
        assert door.get("/a", headers=sent).status == 200
        assert door.host.calls[-1].principal is None


# Challenges


@pytest.mark.parametrize(
    ("accept", "challenge"),
    [
        (CREDENTIAL_FORMS, 'Bearer realm="api"'),
        (["Authorization: Api-Key"], 'Api-Key realm="api"'),
        (["Authorization: Token", "X-API-Key"], 'Token realm="api"'),
        (["X-API-Key"], 'Api-Key realm="api"'),
        ([BASIC], 'Basic realm="api", charset="UTF-8"'),
        ([*CREDENTIAL_FORMS, BASIC], 'Bearer realm="api", Basic realm="api", charset="UTF-8"'),
    ],
)
def test_the_challenge_names_what_is_accepted_on_this_path(door: Door, accept: list[str], challenge: str) -> None:
    door.open(rules=[Rule("/a", accept=accept)])
    assert door.get("/a").header("www-authenticate") == challenge
    assert door.get("/elsewhere").header("www-authenticate") == 'Bearer realm="api"'
    door.open(accept=accept)
    assert door.get("/a").header("www-authenticate") == challenge


def test_a_challenge_for_basic_knows_no_errors_and_goes_to_no_script(door: Door) -> None:
    secret = door.create(scopes=[]).secret
    door.open(accept=["Authorization: Bearer", BASIC], rules=[Rule("/a", scopes=["a"])])
    wrong = door.get("/v1", "acme_nonsense").header("www-authenticate")
    assert wrong == 'Bearer realm="api", error="invalid_token", Basic realm="api", charset="UTF-8"'
    lacking = door.get("/a", secret)
    assert lacking.status == 403
    assert lacking.header("www-authenticate") == 'Bearer realm="api", error="insufficient_scope", scope="a"'
    for script in ([("sec-fetch-mode", "cors")], [("origin", "https://a.example")]):
        assert door.get("/v1", headers=script).header("www-authenticate") == 'Bearer realm="api"'
    person = [("sec-fetch-mode", "navigate"), ("origin", "https://a.example")]
    assert "Basic" in (door.get("/v1", headers=person).header("www-authenticate") or "")


# Basic


def test_a_browser_cannot_be_made_to_send_basic_for_another_site(door: Door) -> None:
    secret = door.create().secret
    door.open(accept=[*CREDENTIAL_FORMS, BASIC])
    heard: list[Any] = []
    door.gate.on_event(heard.append)
    for site in ("cross-site", "same-site"):
        answer = door.get("/v1", headers=[basic(secret), ("sec-fetch-site", site)])
        assert said(answer) == (403, "cross_site")
        assert answer.header("www-authenticate") is None
    assert [(event.code, event.key_id) for event in heard] == [("cross_site", None)] * 2
    assert secret not in repr(heard)
    for site in ("same-origin", "none"):
        assert door.get("/v1", headers=[basic(secret), ("sec-fetch-site", site)]).status == 200
    # A page that knows the key sends it itself.
    assert door.get("/v1", secret, headers=[("sec-fetch-site", "cross-site")]).status == 200
    both = [basic(secret), ("x-api-key", secret), ("sec-fetch-site", "cross-site")]
    assert door.get("/v1", headers=both).status == 200
    answer = door.get("/v1", headers=[basic(secret)])
    assert "sec-fetch-site" in (answer.header("vary") or "")


def test_two_keys_in_one_pair_are_two(door: Door) -> None:
    secret, other = door.create().secret, door.create().secret
    door.open(accept=[BASIC])
    assert said(door.get("/v1", headers=[basic(secret, other)])) == (400, "invalid_request")
    assert door.get("/v1", headers=[basic(secret, secret)]).status == 200
    assert said(door.get("/v1", headers=[basic("user", "word")])) == (401, "invalid_api_key")
    assert said(door.get("/v1", headers=[basic("")])) == (401, "missing_api_key")


# Optional


def test_where_a_key_is_optional_there_are_callers_and_anonymous_ones(door: Door) -> None:
    key = door.create("caller", scopes=[])
    rules = [Rule("/v1/*", scopes=["v1"]), Rule("/v1/feed", public="optional"), Rule("/v1/feed/hot", scopes=["hot"])]
    door.open(rules=rules)
    callers: list[str | None] = []

    def ask() -> None:
        try:
            callers.append(current().caller.name)
        except LookupError:
            callers.append(None)

    door.host.acts = ask
    anonymous, known = door.get("/v1/feed"), door.get("/v1/feed", key.secret)
    assert (anonymous.status, known.status, callers) == (200, 200, [None, "caller"])
    assert [call.principal and call.principal.id for call in door.host.calls] == [None, key.key.id]
    for answer in (anonymous, known):  # it depends on the key either way
        assert answer.header("vary") == "api-key, authorization, x-api-key"
        assert answer.header("cache-control") == "private"
    for wrong in ("nonsense", key.secret[:-1] + "!"):
        assert said(door.get("/v1/feed", wrong)) == (401, "invalid_api_key")
    door.run(door.gate.keys.arevoke, key.key.id)
    assert said(door.get("/v1/feed", key.secret)) == (401, "revoked_api_key")
    assert door.get("/v1/feed").status == 200
    for path in ("/v1/feed/hot", "/v1/feed/", "/v1/other", "/v1//feed"):
        assert said(door.get(path)) == (401, "missing_api_key")


def test_an_optional_key_is_judged_as_everywhere_else(door: Door) -> None:
    bound = door.create(ip_allowlist=["192.0.2.1"]).secret
    door.open(rules=[Rule("/feed", public="optional")])
    assert said(door.get("/feed", bound)) == (403, "ip_not_allowed")
    assert door.get("/feed", bound, peer="192.0.2.1").status == 200
    two = [("x-api-key", bound), bearer("another")]
    assert said(door.get("/feed", headers=two)) == (400, "invalid_request")


def test_optional_callers_count_in_their_own_windows_and_anonymous_ones_by_address(door: Door) -> None:
    secret = door.create(limits="3/hour").secret
    door.open(anonymous_limits="1/hour", rules=[Rule("/feed", public="optional", limits="100/day")])
    assert [door.get("/feed").status for _ in range(2)] == [200, 429]
    assert [door.get("/feed", secret).status for _ in range(4)] == [200, 200, 200, 429]
    assert door.get("/feed", peer="192.0.2.9").status == 200


def test_a_key_in_a_place_that_is_not_accepted_here_is_not_taken_for_none(door: Door) -> None:
    secret = door.create().secret
    door.open(rules=[Rule("/feed", public="optional", accept=["X-Feed"])])
    assert door.get("/feed", headers=[("x-feed", secret)]).status == 200
    assert said(door.get("/feed", secret)) == (401, "missing_api_key")
    assert door.get("/feed").status == 200


def test_an_optional_path_may_have_the_envelope(door: Door) -> None:
    secret = door.create().secret
    door.open(envelope=True, recheck_in_flight=True, rules=[Rule("/feed", public="optional")], public=["/open"])
    for key in (None, secret):
        answer = door.get("/feed", key)
        assert answer.json["data"] == {"ok": True}
        assert answer.header("cache-control") == "private"
    assert door.get("/open").json == {"ok": True}


# Foreign credentials


def test_what_has_not_our_form_is_left_to_the_app(door: Door) -> None:
    secret = door.create().secret
    rules = [Rule("/feed", public="optional")]
    door.open(foreign="ignore", rules=rules, accept=[*CREDENTIAL_FORMS, BASIC])
    logins = [bearer(JWT), bearer(JWT * 50), bearer("!"), basic("user", "word"), ("x-api-key", "of-the-app")]
    for foreign in logins:
        assert door.get("/feed", headers=[foreign]).status == 200, foreign
        assert door.host.calls[-1].principal is None
        assert foreign[1] in repr(door.host.seen)
        assert said(door.get("/v1", headers=[foreign])) == (401, "missing_api_key")
    assert said(door.get("/feed", headers=[bearer(JWT), ("x-api-key", secret)])) == (400, "invalid_request")
    for wrong in ("acme_x", "ACME_live_x", secret[:-1] + "!", secret[:-6] + "000000"):
        assert said(door.get("/feed", wrong)) == (401, "invalid_api_key")
        assert said(door.get("/feed", wrong, headers=[("x-api-key", secret)])) == (401, "invalid_api_key")
        assert said(door.get("/feed", wrong, headers=[("x-api-key", "of-the-app")])) == (401, "invalid_api_key")
    assert said(door.get("/feed", headers=[("x-api-key", "a"), ("x-api-key", "b")])) == (400, "invalid_request")
    door.open(rules=rules)
    assert said(door.get("/feed", JWT)) == (401, "invalid_api_key")


def test_a_login_of_the_apps_own_over_http_is_no_key_in_the_clear(door: Door) -> None:
    secret = door.create().secret
    door.open(foreign="ignore", https="redirect", public_url="https://a.example")
    heard: list[Any] = []
    door.gate.on_event(heard.append)
    door.get("/v1", JWT)
    assert "credential_over_http" not in [event.code for event in heard]
    door.get("/v1", secret)
    assert "credential_over_http" in [event.code for event in heard]


# What the app sees


def test_a_key_in_the_query_is_taken_out_and_what_is_the_apps_own_stays(door: Door) -> None:
    secret = door.create().secret
    door.open(foreign="ignore", accept=["X-API-Key", "?token"], public=["/open"], rules=[Rule("/f", public="optional")])

    def query() -> str:
        seen = door.host.seen
        if "QUERY_STRING" not in seen:
            return str(seen["query_string"].decode())
        assert seen["RAW_URI"].partition("?")[2] == seen["QUERY_STRING"]
        return str(seen["QUERY_STRING"])

    for path, left in (
        (f"/v1?a=1&token={secret}", "a=1"),
        (f"/f?token={secret}&a=1", "a=1"),
        (f"/open?a=1&token={secret}", "a=1"),
        ("/open?token=acme_cut&a=1", "a=1"),
        ("/open?a=1&token=of-the-app", "a=1&token=of-the-app"),
        ("/f?token=of-the-app", "token=of-the-app"),
    ):
        assert door.get(path).status == 200, path
        assert query() == left


def places_with(secret: str) -> list[tuple[str, str]]:
    return [
        ("x-other", secret),
        ("referer", f"https://a.example/?key={secret}"),
        ("cookie", f"a=1; key={secret}; acme_session=2"),
        ("x-forwarded-uri", f"/v1?key={secret}"),
    ]


@pytest.mark.parametrize("presented", ["header", "bearer", "basic", "query", "none"])
@pytest.mark.parametrize("path", ["/v1", "/open", "/feed"])
def test_an_app_sees_nothing_that_looks_like_a_key_where_keys_are_hidden(door: Door, path: str, presented: str) -> None:
    secret = door.create().secret
    accept = [*CREDENTIAL_FORMS, BASIC, "?token"]
    door.open(accept=accept, hide_credentials=True, public=["/open"], rules=[Rule("/feed", public="optional")])
    ways = {
        "header": [("x-api-key", secret)],
        "bearer": [bearer(secret)],
        "basic": [basic("api", secret)],
        "query": [],
        "none": [],
    }
    target = f"{path}?a=1&other={secret}" + (f"&token={secret}" if presented == "query" else "")
    if door.kind == "wsgi":
        door.extra = {
            "REQUEST_URI": f"https://a.example{target}#{secret}",
            "REDIRECT_HTTP_AUTHORIZATION": f"Bearer {secret}",
            "REDIRECT_QUERY_STRING": f"a=1&other={secret}",
            "REMOTE_USER": secret,
            "SCRIPT_URI": f"https://a.example{target}",
        }
    answer = door.get(target, headers=[*ways[presented], *places_with(secret), ("x-mine", "stays")])
    assert answer.status == (401 if presented == "none" and path == "/v1" else 200)
    if answer.status == 200:
        assert secret not in repr(door.host.seen)
        shown = repr(door.host.seen)
        assert "stays" in shown
        assert "acme_session=2" in shown
        assert b64encode(f"api:{secret}".encode()).decode() not in shown
        if door.kind == "wsgi":
            assert door.host.seen["QUERY_STRING"] == door.host.seen["REDIRECT_QUERY_STRING"] == "a=1"
            assert door.host.seen["RAW_URI"] == f"{path}?a=1"
            assert door.host.seen["REQUEST_URI"] == f"https://a.example{path}?a=1"
            assert "SCRIPT_URI" not in door.host.seen
        else:
            assert door.host.seen["query_string"] == b"a=1"
        assert (door.host.calls[-1].principal is not None) is (presented != "none" and path != "/open")


LENIENT = {
    "without its padding": lambda pair: "Basic " + b64encode(pair).decode().rstrip("="),
    "without a colon": lambda pair: "Basic " + b64encode(pair.rstrip(b":")).decode(),
    "with a sign that decoders skip": lambda pair: (
        f"Basic {b64encode(pair).decode()[:5]}!{b64encode(pair).decode()[5:]}"
    ),
    "in two pieces": lambda pair: f"Basic {b64encode(pair).decode()[:9]} {b64encode(pair).decode()[9:]}",
    "with a comma": lambda pair: f"Basic {b64encode(pair).decode()[:9]},{b64encode(pair).decode()[9:]}",
    "for URLs": lambda pair: "Basic " + urlsafe_b64encode(pair + b"\xff\xfe\xff").decode(),
    "after another": lambda pair: "Basic eDp5, Basic " + b64encode(pair).decode(),
    "after a token": lambda pair: "Bearer x Basic " + b64encode(pair).decode(),
}


@pytest.mark.parametrize("how", LENIENT)
def test_a_pair_that_only_a_tolerant_reader_can_read_is_hidden_as_well(door: Door, how: str) -> None:
    secret = door.create().secret
    door.open(hide_credentials=True, public=["/open"])
    assert door.get("/open", headers=[("authorization", LENIENT[how](f"{secret}:".encode()))]).status == 200
    assert not sent_on(door)
    door.get("/open", headers=[("authorization", LENIENT[how](b"user:password-of-the-app"))])
    assert sent_on(door)


@pytest.mark.parametrize("how", ["without its padding", "without a colon", "with a sign that decoders skip"])
def test_a_pair_of_our_form_that_cannot_be_read_is_never_the_apps_affair(door: Door, how: str) -> None:
    secret = door.create().secret
    door.open(foreign="ignore", accept=[BASIC, "X-API-Key"], rules=[Rule("/feed", public="optional")])
    for pair in (f"{secret}:".encode(), f"{secret}:{'x' * 3000}".encode()):
        sent = [("authorization", LENIENT[how](pair))]
        for more in ([], [("x-api-key", secret)]):
            assert said(door.get("/feed", headers=[*sent, *more])) == (401, "invalid_api_key")
    assert door.get("/feed", headers=[("authorization", LENIENT[how](b"user:of-the-app"))]).status == 200
    assert door.host.calls[-1].principal is None


def sent_on(door: Door) -> bool:
    """Whether the app sees any Authorization."""
    seen = door.host.seen
    return "HTTP_AUTHORIZATION" in seen if door.kind == "wsgi" else b"authorization" in dict(seen["headers"])


@pytest.mark.parametrize("before", ["%20", "+", "%0a", "%00", "%22", "Bearer+", "%C2%A0"])
def test_a_key_in_its_parameter_is_taken_out_whatever_stands_around_it(door: Door, before: str) -> None:
    secret = door.create().secret
    rules = [Rule("/open", public=True), Rule("/feed", public="optional")]
    door.open(accept=["?api_key"], foreign="ignore", rules=rules)
    for path in ("/open", "/feed"):
        answer = door.get(f"{path}?a=1&api_key={before}{secret}{before}")
        assert answer.status in ((200,) if path == "/open" else (200, 401))
        assert secret not in repr(door.host.seen)
    assert door.get("/open?api_key=of-the-app").status == 200
    assert "of-the-app" in repr(door.host.seen)


OPAQUE: dict[str, Any] = {"key_format": "opaque", "hasher": "argon2id", "peppers": [b"p" * 16], "prefix": None}


def test_what_only_begins_like_an_opaque_key_stays_too(door: Door) -> None:
    raw = "acme_ab/cd+ef~0123456789=="
    door.open(**OPAQUE | {"prefix": "acme"}, hide_credentials=True, public=["/open"])
    sent = [
        ("cookie", f"acme_session=1; a={raw}; b=acme%5Fab/cd+ef~0123456789"),
        ("x-a", "acme_x"),
        ("x-b", f"is {raw}"),
    ]
    assert door.get(f"/open?acme_ref=1&a={raw.replace('+', '%2B')}", headers=sent).status == 200
    shown = repr(door.host.seen)
    assert all(stays in shown for stays in ("acme_session=1", "acme_x", "acme_ref=1"))
    assert "0123456789" not in shown


def test_keys_that_any_long_word_may_be_cannot_be_hidden() -> None:
    with pytest.raises(ConfigurationError, match="key_format takes any long word for a key") as caught:
        Gate(**OPAQUE, hide_credentials=True)
    assert caught.value.key == "hide_credentials"


def test_without_that_setting_the_app_sees_headers_as_they_were_sent(door: Door) -> None:
    secret = door.create().secret
    assert door.get("/v1", secret).status == 200
    assert f"Bearer {secret}" in repr(door.host.seen)


def test_a_redirect_repeats_no_key(door: Door) -> None:
    secret = door.create().secret
    door.open(https="redirect", public_url="https://a.example", hide_credentials=True, accept=["X-API-Key", "?token"])
    answer = door.get(f"/v1?a=1&token={secret}&other={secret}", headers=[("x-api-key", secret)])
    assert (answer.status, answer.header("location")) == (301, "https://a.example/v1?a=1")
    assert door.host.calls == []


def test_a_redirect_does_not_lead_to_a_request_without_what_is_the_apps_own(door: Door) -> None:
    secret = door.create().secret
    door.open(foreign="ignore", https="redirect", public_url="https://a.example", accept=["X-API-Key", "?token"])
    answer = door.get("/v1?a=1&token=of-the-app")
    assert said(answer) == (403, "https_required")
    assert answer.header("location") is None
    for query, left in ((f"a=1&token={secret}", "?a=1"), ("a=1&token=", "?a=1"), ("a=1", "?a=1"), ("", "")):
        answer = door.get(f"/v1?{query}")
        assert (answer.status, answer.header("location")) == (301, f"https://a.example/v1{left}")
    assert door.host.calls == []


@pytest.mark.parametrize("settings", [{}, {"hide_credentials": True}], ids=["shown", "hidden"])
def test_a_refused_request_leaves_no_key_in_the_query_for_the_servers_log(door: Door, settings: dict[str, Any]) -> None:
    secret = door.create().secret
    door.open(accept=["X-API-Key", "?token"], rules=[Rule("/a", accept=["X-API-Key"])], **settings)
    for query in (f"token={secret}", "token=nonsense", f"token={secret}&token={secret}"):
        left = refused_query(door, f"/a?x=1&{query}")
        assert left == "x=1"


def refused_query(door: Door, path: str) -> str:
    """The query as it stands in the scope or the environ when the answer has gone out."""
    if door.kind == "wsgi":
        environ = wsgi_environ("GET", path, [], "127.0.0.1")
        b"".join(door.wsgi(environ, lambda *head: lambda data: None))
        assert environ["RAW_URI"].partition("?")[2] == environ["QUERY_STRING"]
        return str(environ["QUERY_STRING"])
    scope = asgi_scope("GET", path, [], "127.0.0.1")
    messages: list[Any] = []

    async def call() -> None:
        async def send(message: Any) -> None:
            messages.append(message)

        await door.asgi(scope, None, send)

    door.run(call)
    assert messages[0]["status"] in (400, 401)
    return str(scope["query_string"].decode())


def test_recheck_reads_the_key_again_though_it_is_hidden_from_the_app(door: Door) -> None:
    key = door.create()
    door.open(hide_credentials=True, recheck_in_flight=True, accept=["?token", BASIC])
    assert door.get(f"/v1?token={key.secret}").status == 200
    assert door.get("/v1", headers=[basic(key.secret)]).status == 200
    assert key.secret not in repr(door.host.seen)
