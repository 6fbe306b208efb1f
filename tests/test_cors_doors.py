"""CORS by the gate, through every door: which pages may read which answers, and what a preflight gets."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from keystile import Gate, HmacHasher, Rule, asgi
from keystile.events import Event
from keystile.stores.memory import MemoryStore
from tests.doors import Answer, Door
from tests.test_leaks import break_store
from tests.test_network_doors import revoking

PAGE, OTHER = "https://app.example", "https://evil.example"
FROM_PAGE = [("origin", PAGE)]
ALLOW, CREDENTIALS = "access-control-allow-origin", "access-control-allow-credentials"
EXPOSE, METHODS, NAMES = (
    "access-control-expose-headers",
    "access-control-allow-methods",
    "access-control-allow-headers",
)
EXPOSED = [
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "Retry-After", "X-Request-ID", "Link",
    "API-Key-Expires",
]  # fmt: skip
PREFLIGHT = [("origin", PAGE), ("access-control-request-method", "PUT")]


def heard(door: Door) -> list[Event]:
    events: list[Event] = []
    door.gate.on_event(events.append)
    return events


def listed(value: str | None) -> list[str]:
    return [] if value is None else [part.strip() for part in value.split(",")]


def is_readable(answer: Answer, origin: str = PAGE) -> bool:
    """Whether a browser lets a script of this origin read the answer, and the gate's headers in it."""
    assert "origin" in [name.lower() for name in listed(answer.header("vary"))]
    if answer.header(ALLOW) != origin:
        assert [answer.all(name) for name in (ALLOW, EXPOSE, CREDENTIALS)] == [[]] * 3
        return False
    assert listed(answer.header(EXPOSE)) == EXPOSED
    return True


def preflight(door: Door, path: str = "/v1/x", *headers: tuple[str, str], **more: Any) -> Answer:
    return door.get(path, method="OPTIONS", headers=[*PREFLIGHT, *headers], **more)


def test_a_listed_origin_may_read_every_answer_and_no_other_may(door: Door) -> None:
    rules = [Rule("/v1/exports", scopes=["x"]), Rule("/v1/some", limits="1/day"), Rule("/v1/json", require_json=True)]
    door.open(cors_origins=["https://a.example", PAGE], rules=rules, public=["/open"], deny=["192.0.2.0/24"])
    secret = door.create().secret
    cases: dict[str, tuple[int, dict[str, Any]]] = {
        "the app's": (200, {"key": secret}),
        "on a public path": (200, {"path": "/open"}),
        "no key": (401, {}),
        "a wrong key": (401, {"key": "acme_live_nonsense"}),
        "two keys": (400, {"key": secret, "more": [("x-api-key", "other")]}),
        "a scope": (403, {"key": secret, "path": "/v1/exports"}),
        "an address": (403, {"key": secret, "peer": "192.0.2.7"}),
        "a window": (429, {"key": secret, "path": "/v1/some"}),
        "no JSON": (415, {"key": secret, "path": "/v1/json", "method": "POST", "more": [("content-length", "9")]}),
        "HEAD": (200, {"key": secret, "method": "HEAD"}),
    }
    assert door.get("/v1/some", secret).status == 200
    for name, (status, sent) in cases.items():
        more = sent.pop("more", [])
        for origin in (PAGE, OTHER, "null", "HTTPS://APP.EXAMPLE", PAGE + "/", f"{PAGE}.evil.example", None):
            headers = more + ([] if origin is None else [("origin", origin)])
            answer = door.get(headers=headers, **sent)
            assert answer.status == status, name
            assert is_readable(answer) is (origin == PAGE), (name, origin)


def test_what_is_answered_before_and_after_the_gates_own_checks_is_readable_too(door: Door) -> None:
    door.open(cors_origins=[PAGE], https="redirect", public_url="https://api.example.com")
    answer = door.get(headers=FROM_PAGE)
    assert (answer.status, is_readable(answer)) == (301, True)
    door.open(cors_origins=[PAGE], https="require")
    assert is_readable(door.get(headers=FROM_PAGE))
    door.open(cors_origins=[PAGE], envelope=True)
    secret = door.create().secret
    answer = door.get(key=secret, headers=FROM_PAGE)
    assert (answer.status, is_readable(answer)) == (200, True)
    for status in (304, 404, 422):
        door.host.status = status
        answer = door.get(key=secret, headers=FROM_PAGE)
        assert (answer.status, is_readable(answer)) == (status, True)
    door.host.status, door.host.fails = 200, (ValueError("bug"), "call")
    answer = door.get(key=secret, headers=FROM_PAGE)
    assert (answer.status, is_readable(answer)) == (500, True)


def test_the_answer_of_a_gate_whose_store_is_down_is_readable(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    door.open(cors_origins=[PAGE])
    secret = door.create().secret
    break_store(door.gate, monkeypatch)
    answer = door.get(key=secret, headers=FROM_PAGE)
    assert (answer.status, is_readable(answer)) == (503, True)


@pytest.mark.parametrize("envelope", [False, True])
def test_a_caller_who_is_refused_in_flight_may_read_why(door: Door, envelope: bool) -> None:
    door.open(cors_origins=[PAGE], recheck_in_flight=True, envelope=envelope)
    issued = door.create()
    assert is_readable(door.get(key=issued.secret, headers=FROM_PAGE))
    door.host.acts = revoking(door, issued.key.id)
    answer = door.get(key=issued.secret, headers=FROM_PAGE)
    assert (answer.status, answer.code, is_readable(answer)) == (401, "revoked_api_key", True)


def test_without_origins_nothing_is_said_of_cors(door: Door) -> None:
    secret = door.create().secret
    for key in (None, secret):
        answer = door.get(key=key, headers=FROM_PAGE)
        assert "origin" not in (answer.header("vary") or "")
        assert [name for name, _ in answer.headers if name.startswith("access-control")] == []
    assert preflight(door).status == 401


def test_every_origin_may_read_what_an_asterisk_shows(door: Door) -> None:
    door.open(cors_origins=["*"])
    secret = door.create().secret
    for headers in (FROM_PAGE, [("origin", "null")], []):
        for key in (None, secret):
            answer = door.get(key=key, headers=headers)
            assert answer.header(ALLOW) == "*"
            assert listed(answer.header(EXPOSE)) == EXPOSED
            assert answer.header(CREDENTIALS) is None
            # What does not vary must not say so: caches would keep a copy for each origin.
            assert "origin" not in (answer.header("vary") or "")
    assert preflight(door).header(ALLOW) == "*"


def test_credentials_are_as_configured(door: Door) -> None:
    for configured in (False, True):
        door.open(cors_origins=[PAGE], cors_credentials=configured)
        for answer in (door.get(headers=FROM_PAGE), preflight(door)):
            assert answer.header(CREDENTIALS) == ("true" if configured else None)
        assert door.get(headers=[("origin", OTHER)]).header(CREDENTIALS) is None


def test_the_names_of_all_fields_that_the_gate_writes_are_exposed(door: Door) -> None:
    door.open(cors_origins=[PAGE], ietf_headers=True)
    exposed = listed(door.get(headers=FROM_PAGE).header(EXPOSE))
    assert exposed == [*EXPOSED[:3], "RateLimit-Policy", "RateLimit", *EXPOSED[3:]]


@pytest.mark.parametrize("envelope", [False, True])
def test_an_answer_in_which_the_app_says_who_may_read_it_stays_as_it_is(door: Door, envelope: bool) -> None:
    door.open(cors_origins=[PAGE], envelope=envelope)
    secret = door.create().secret
    own = [("Access-Control-Allow-Origin", OTHER), ("Access-Control-Allow-Credentials", "true")]
    door.host.headers = [("Content-Type", "application/json"), *own, ("Vary", "Accept, Origin")]
    answer = door.get(key=secret, headers=FROM_PAGE)
    assert [answer.all(name) for name in (ALLOW, CREDENTIALS, EXPOSE)] == [[OTHER], ["true"], []]
    assert listed(answer.header("vary")).count("Origin") == 1
    assert "origin" not in listed(answer.header("vary"))


def test_where_the_app_names_no_origin_its_word_on_credentials_is_not_lent_to_ours(door: Door) -> None:
    door.open(cors_origins=[PAGE])
    secret = door.create().secret
    # What a CORS layer inside the gate says to origins that it does not know.
    door.host.headers = [("Access-Control-Allow-Credentials", "true"), ("Access-Control-Expose-Headers", "X-Total")]
    answer = door.get(key=secret, headers=FROM_PAGE)
    assert (answer.header(ALLOW), answer.header(CREDENTIALS)) == (PAGE, None)
    assert listed(answer.header(EXPOSE)) == [*EXPOSED, "X-Total"]
    answer = door.get(key=secret, headers=[("origin", OTHER)])
    assert (answer.all(ALLOW), answer.header(CREDENTIALS), answer.header(EXPOSE)) == ([], "true", "X-Total")


@pytest.mark.parametrize("sent", ["*", "Accept, *"])
def test_what_varies_with_everything_is_left_so(door: Door, sent: str) -> None:
    door.open(cors_origins=[PAGE], public=["/open"])
    door.host.headers = [("Vary", sent)]
    assert door.get("/open", headers=FROM_PAGE).header("vary") == "*"


def test_a_preflight_is_answered_and_told_and_nothing_runs_or_counts(door: Door) -> None:
    rules = [Rule("GET,PUT /v1/users/{id}", scopes=["users"]), Rule("DELETE /v1/*"), Rule("/v1/users/7", cost=0)]
    door.open(cors_origins=[PAGE], rules=rules, public=["/open"], anonymous_limits="1/day", envelope=True, hsts=60)
    events = heard(door)
    for _ in range(3):
        answer = preflight(door, "/v1/users/7", ("access-control-request-headers", "x-api-key,content-type"))
        assert (answer.status, answer.body, answer.header("access-control-max-age")) == (204, b"", "600")
        assert answer.header(METHODS) == "DELETE, GET, PUT"
        assert answer.header(NAMES) == "x-api-key, content-type"
        assert answer.header(ALLOW) == PAGE
        assert [name.lower() for name in listed(answer.header("vary"))] == [
            "access-control-request-method", "access-control-request-headers", "origin",
        ]  # fmt: skip
        absent = (
            "content-length",
            "content-type",
            "www-authenticate",
            "x-ratelimit-limit",
            "strict-transport-security",
        )
        assert [answer.all(name) for name in absent] == [[]] * len(absent)
    assert door.host.calls == []
    assert {(event.code, event.status, event.key_id) for event in events} == {("preflight", 204, None)}
    assert (events[0].method, events[0].path, events[0].client) == ("OPTIONS", "/v1/users/7", "127.0.0.1")
    assert events[2].request_id == answer.header("x-request-id")
    assert [preflight(door, "/open").status for _ in range(2)] == [204, 204]
    assert [door.get("/open").status for _ in range(2)] == [200, 429]
    secure = preflight(door, scheme="https")
    assert (secure.status, secure.header("strict-transport-security")) == (204, "max-age=60")


@pytest.mark.parametrize(
    ("asked", "methods"),
    [("PUT", "POST, PUT"), ("POST", "POST"), ("PROPFIND", "POST, PROPFIND"), ("patch", "POST, patch")],
)
def test_the_method_that_is_asked_for_is_among_those_that_the_rules_of_the_path_know(
    door: Door, asked: str, methods: str
) -> None:
    door.open(cors_origins=[PAGE], rules=[Rule("POST /v1/x", cost=5), Rule("TRACE /v1/y")])
    headers = [("origin", PAGE), ("access-control-request-method", asked)]
    assert door.get("/v1/x", method="OPTIONS", headers=headers).header(METHODS) == methods
    assert door.get("/other", method="OPTIONS", headers=headers).header(METHODS) == asked
    # What no rule can read: nothing runs, so this too is answered, and nothing of the rules is said.
    assert door.get("/odd//v1/x", method="OPTIONS", headers=headers).header(METHODS) == asked


NAMES_32 = ",".join(f"x-{number}" for number in range(32))


@pytest.mark.parametrize(
    ("sent", "back"),
    [
        ("x-api-key", "x-api-key"),
        ("X-API-Key , Content-Type\t,,x-api-key", "x-api-key, content-type"),
        (NAMES_32, NAMES_32.replace(",", ", ")),
        (NAMES_32 + ",x-32", None),
        (("x" * 62 + ",") * 32 + "x" * 33, None),
        ("x" * 64, "x" * 64),
        ("x" * 65, None),
        ("", None),
        (", ,", None),
        ("*", None),
        ("authorization,*", None),
        ("x-api-key, not a name", None),
        ("x-\xe9", None),
        ("x-a: y", None),
    ],
)
def test_the_names_that_are_asked_for_come_back_or_none_does(door: Door, sent: str, back: str | None) -> None:
    door.open(cors_origins=[PAGE])
    answer = preflight(door, "/v1/x", ("access-control-request-headers", sent))
    assert (answer.status, answer.header(NAMES)) == (204, back)


def test_a_key_where_a_name_belongs_does_not_come_back(door: Door) -> None:
    door.open(cors_origins=[PAGE])
    secret = door.create().secret
    assert preflight(door, "/v1/x", ("access-control-request-headers", secret)).header(NAMES) is None
    headers = [("origin", PAGE), ("access-control-request-method", secret)]
    answer = door.get(method="OPTIONS", headers=headers)
    assert (answer.status, answer.header(METHODS)) == (401, None)


def test_a_preflight_needs_no_key_and_none_that_it_has_is_looked_at(door: Door) -> None:
    door.open(cors_origins=[PAGE], accept=["?api_key"])
    revoked, secret = door.create(), door.create().secret
    door.run(door.gate.keys.arevoke, revoked.key.id)
    for key in (secret, revoked.secret, "acme_live_nonsense"):
        # A page that sends its key in the query has it in the query of the preflight too.
        assert preflight(door, f"/v1/x?api_key={key}").status == 204
        assert preflight(door, key=key).status == 204
    assert door.host.calls == []


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("OPTIONS", PREFLIGHT[:1]),
        ("OPTIONS", PREFLIGHT[1:]),
        ("OPTIONS", [PREFLIGHT[0], *PREFLIGHT]),
        ("OPTIONS", [("origin", OTHER), *PREFLIGHT]),
        ("OPTIONS", [*PREFLIGHT, ("origin", "")]),
        ("OPTIONS", [*PREFLIGHT, PREFLIGHT[1]]),
        ("OPTIONS", [PREFLIGHT[0], ("access-control-request-method", "")]),
        ("OPTIONS", [PREFLIGHT[0], ("access-control-request-method", "*")]),
        ("OPTIONS", [PREFLIGHT[0], ("access-control-request-method", "G T")]),
        ("OPTIONS", [PREFLIGHT[0], ("access-control-request-method", "X" * 65)]),
        ("OPTIONS", [*PREFLIGHT, ("x-http-method-override", "DELETE")]),
        ("options", PREFLIGHT),
        ("GET", PREFLIGHT),
    ],
)
def test_what_only_looks_like_a_preflight_is_a_request_like_any_other(
    door: Door, method: str, headers: list[tuple[str, str]]
) -> None:
    door.open(cors_origins=[PAGE])
    events = heard(door)
    assert door.get(method=method, headers=headers).status == 401
    assert [event.code for event in events] == ["missing_api_key"]


def test_two_lines_of_origin_name_nobody(door: Door) -> None:
    door.open(cors_origins=[PAGE])
    assert not is_readable(door.get(headers=[("origin", PAGE), ("origin", PAGE)]))
    assert not is_readable(door.get(headers=[("origin", PAGE), ("origin", OTHER)]))


def test_a_preflight_of_another_origin_is_refused_or_passed_as_configured(door: Door) -> None:
    headers = [("origin", OTHER), PREFLIGHT[1]]
    door.open(cors_origins=[PAGE])
    answer = door.get(method="OPTIONS", headers=headers)
    assert (answer.status, answer.header(ALLOW), answer.header(METHODS)) == (401, None, None)
    door.open(cors_origins=[PAGE], preflight="pass", anonymous_limits="1/day")
    events = heard(door)
    passed = [door.get(method="OPTIONS", headers=headers).status for _ in range(2)]
    assert passed == [200, 429]
    assert len(door.host.calls) == 1
    assert preflight(door).status == 204
    assert [(event.code, event.status) for event in events] == [
        ("preflight", None), ("rate_limited", 429), ("preflight", 204),
    ]  # fmt: skip


def test_https_and_the_lists_of_addresses_come_before_a_preflight(door: Door) -> None:
    door.open(cors_origins=[PAGE], https="require", rules=[Rule("/v1/*", allow=["10.0.0.0/8"])], deny=["10.0.0.1"])
    assert preflight(door, peer="10.0.0.2").code == "https_required"
    for peer in ("127.0.0.1", "10.0.0.1", None):
        answer = preflight(door, peer=peer, scheme="https")
        assert (answer.code, is_readable(answer)) == ("ip_not_allowed", True)
    assert preflight(door, peer="10.0.0.2", scheme="https").status == 204


def test_a_request_into_a_private_network_is_never_granted(door: Door) -> None:
    for origins in ([PAGE], ["*"]):
        door.open(cors_origins=origins)
        for name in ("access-control-request-private-network", "access-control-request-local-network"):
            answer = preflight(door, "/v1/x", (name, "true"))
            assert answer.status == 204
            assert [found for found, _ in answer.headers if "network" in found] == []


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
def test_a_websocket_that_is_denied_says_who_may_read_it_and_one_that_is_accepted_says_nothing(
    extensions: dict[str, Any],
) -> None:
    gate = Gate(MemoryStore(), prefix="acme", hasher=HmacHasher(b"p" * 16), cors_origins=[PAGE], public=["/open"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def call(path: str) -> Any:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "websocket", "path": path, "headers": [(b"origin", PAGE.encode())], "extensions": extensions}
        await asgi.GateMiddleware(app, gate)(scope, receive, send)
        return sent[0]

    denied, accepted = anyio.run(call, "/v1"), anyio.run(call, "/open")
    if extensions:
        assert (ALLOW.encode(), PAGE.encode()) in denied["headers"]
    else:
        assert denied["type"] == "websocket.close"
    assert [name for name, _ in accepted["headers"] if name.startswith(b"access-control")] == []
