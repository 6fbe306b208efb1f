"""Signed messages on both doors: what is signed reaches the app as it was sent, and nothing else does."""

from __future__ import annotations

import gzip
import io
import logging
import sys
import time
from typing import Any

import anyio
import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, asgi, wsgi
from keystile.events import Event
from keystile.model import Request
from keystile.policy.matches import parse_match
from keystile.webhooks import Received, Receiver, Scheme, Secret, sign
from keystile.webhooks.receiving import asgi as asgi_door
from keystile.webhooks.receiving.ids import DONE, LEASE, NEW, UNDER_WAY
from keystile.webhooks.receiving.memory import MemoryIds
from keystile.webhooks.receiving.order import LATE, UNCLEAR
from keystile.webhooks.receiving.paths import Paths
from keystile.webhooks.receiving.sqlite import SQLiteIds
from tests.doors import Answer, Fields, asgi_scope, wsgi_environ
from tests.hookdoor import HookDoor
from tests.leaks import WATCH, shown_here
from tests.selection import often
from tests.test_blocking import declare

NOW = 1_800_000_000
PATH = "/hooks/billing"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "an anthyx secret of enough bytes"
BODY = b'{"event": "post.published",\r\n "id": "p_1"}'
STANDARD = Receiver(PATH, secrets=[WHSEC])
ANTHYX = Receiver("/hooks/anthyx", secrets=[TEXT], scheme="hex_body", header="X-Anthyx-Signature")
STRIPE = Receiver("/hooks/stripe", secrets=[TEXT], scheme="timestamped", header="Stripe-Signature")


def signed(receiver: Receiver = STANDARD, body: bytes = BODY, *, now: int = NOW, id: str = "msg_1") -> Fields:
    secrets = [Secret(each) for each in receiver.secrets]
    return sign(Scheme.of(receiver), secrets, body, now=now, id=id)


class Told:
    """A gate to stand beside, with the clock in the test's hand, and what it told."""

    def __init__(self, **more: Any) -> None:
        self.now: float = NOW
        self.events: list[Event] = []
        self.gate = Gate(clock=lambda: self.now, **more)
        self.gate.on_event(self.events.append)

    @property
    def last(self) -> Event:
        return self.events[-1]


@pytest.fixture(params=["asyncio", "trio", "wsgi"])
def door(request: pytest.FixtureRequest) -> HookDoor:
    return HookDoor(request.param)


@pytest.fixture
def told() -> Told:
    return Told()


def is_refused(answer: Answer, door: HookDoor) -> bool:
    assert door.host.bodies == []
    assert answer.json["error"] == {
        "code": "invalid_signature",
        "message": "The message is not signed as it should be.",
        "details": {},
    }
    assert answer.header("cache-control") == "no-store"
    assert answer.json["meta"]["request_id"] == answer.header("x-request-id")
    return answer.status == 400


@pytest.mark.parametrize("receiver", [STANDARD, ANTHYX, STRIPE], ids=lambda each: each.scheme)
def test_what_is_signed_reaches_the_app_as_it_was_sent(door: HookDoor, told: Told, receiver: Receiver) -> None:
    door.open(STANDARD, ANTHYX, STRIPE, gate=told.gate)
    answer = door.send(receiver.match, signed(receiver), BODY[:7], BODY[7:])
    assert (answer.status, answer.body, answer.header("x-app")) == (200, b"ok", "1")
    assert door.host.bodies == [BODY]
    timestamp = None if receiver is ANTHYX else NOW
    assert door.host.received == [Received("msg_1" if receiver is STANDARD else None, timestamp, 0)]
    assert told.events == []


def test_contract_e7_only_verified_requests_are_worked_on(door: HookDoor) -> None:
    door.open(ANTHYX)
    assert door.send(ANTHYX.match, signed(ANTHYX), BODY).status == 200
    assert door.host.bodies == [BODY]
    door.host.bodies.clear()
    assert is_refused(door.send(ANTHYX.match, signed(ANTHYX), BODY + b"\n"), door)
    assert is_refused(door.send(ANTHYX.match, [], BODY), door)
    assert is_refused(door.send(ANTHYX.match, [("X-Anthyx-Signature", "sha256=" + "0" * 64)], BODY), door)


def without(fields: Fields, lost: str) -> Fields:
    return [each for each in fields if each[0] != lost]


@pytest.mark.parametrize(
    ("headers", "body", "reason"),
    [
        ([], BODY, "webhook-id is missing"),
        (signed(), BODY + b" ", "no signature matches"),
        (signed(), b"", "no signature matches"),
        (signed(now=NOW - 301), BODY, "it was signed 301 seconds ago: too far from now"),
        (signed(now=NOW + 301), BODY, "it was signed -301 seconds ago: too far from now"),
        (without(signed(), "webhook-signature"), BODY, "webhook-signature is missing"),
        (without(signed(), "webhook-timestamp"), BODY, "webhook-timestamp is missing"),
        ([*without(signed(), "webhook-signature"), ("webhook-signature", "v9,AAAA")], BODY, None),
        ([*without(signed(), "webhook-signature"), ("webhook-signature", "nonsense")], BODY, None),
        ([*signed(), ("webhook-id", "msg_1")], BODY, None),
        ([*signed(), ("webhook-timestamp", str(NOW))], BODY, None),
        ([*signed(), signed()[2]], BODY, None),
        (signed(Receiver(PATH, secrets=["whsec_" + "A" * 32])), BODY, "no signature matches"),
    ],
)
def test_whatever_is_wrong_the_answer_is_the_same_and_only_the_event_says_what(
    door: HookDoor, told: Told, headers: Fields, body: bytes, reason: str | None
) -> None:
    door.open(STANDARD, gate=told.gate)
    assert is_refused(door.send(PATH, headers, body), door)
    event = told.last
    assert (event.code, event.status, event.path, event.method) == ("invalid_signature", 400, PATH, "POST")
    assert event.client == "192.0.2.1"
    assert event.reason == reason or (reason is None and event.reason)


def test_two_secrets_hold_while_one_is_replaced(door: HookDoor, told: Told) -> None:
    new = "whsec_" + "B" * 32
    door.open(Receiver(PATH, secrets=[new, WHSEC]), gate=told.gate)
    assert door.send(PATH, signed(), BODY).status == 200
    assert door.send(PATH, signed(Receiver(PATH, secrets=[new])), BODY).status == 200
    assert [each.secret_index for each in door.host.received if each] == [1, 0]


def test_other_paths_go_to_the_app_unlooked(door: HookDoor) -> None:
    door.open(STANDARD, Receiver("POST /only/post", secrets=[WHSEC]))
    for path, method in [("/", "GET"), ("/hooks", "POST"), (PATH + "/more", "POST"), ("/only/post", "GET")]:
        assert door.send(path, [], BODY, method=method).status == 200
    assert door.send("/a//b;c/%2e%2e/x", [], BODY).status == 200
    assert door.host.received == [None] * 5
    assert door.host.bodies == [BODY] * 5


@pytest.mark.parametrize(
    "path",
    [
        PATH,
        PATH + "/",
        "/Hooks/BILLING",
        "//hooks/billing",
        "/hooks//billing",
        "/hooks/./billing",
        "/x/../hooks/billing",
        "/hooks/billing;x=1",
        "/hooks%2fbilling",
        "/hooks/%2562illing",
        "/hooks/bill%00ing",
        "/hooks/bill%09ing",
        "/hooks/billing%00.txt",
        "/hooks\\billing",
        "/hooks/billing%5c",
        "/" * 9000,
    ],
)
def test_another_spelling_of_the_path_leads_round_no_check(door: HookDoor, path: str) -> None:
    door.open(STANDARD)
    assert is_refused(door.send(path, [], BODY), door)


@pytest.mark.parametrize("method", ["GET", "PUT", "OPTIONS", "post", "HEAD", "BREW"])
def test_every_method_must_be_signed(door: HookDoor, method: str) -> None:
    door.open(STANDARD)
    assert door.send(PATH, [], BODY, method=method).status == 400
    assert door.host.bodies == []


def test_a_header_that_names_another_method_leads_round_no_check(door: HookDoor) -> None:
    door.open(Receiver(f"POST {PATH}", secrets=[WHSEC]))
    assert door.send(PATH, [], BODY, method="GET").status == 200
    door.host.bodies.clear()
    assert is_refused(door.send(PATH, [("X-HTTP-Method-Override", "POST")], BODY, method="GET"), door)


def test_what_may_be_for_several_receivers_is_refused_even_if_it_is_signed(door: HookDoor, told: Told) -> None:
    two = [Receiver("POST /hooks/billing", secrets=[WHSEC]), Receiver("PUT /hooks/billing", secrets=[WHSEC])]
    door.open(*two, gate=told.gate)
    assert door.send(PATH, signed(), BODY).status == 200
    door.host.bodies.clear()
    assert is_refused(door.send("/hooks//billing", signed(), BODY), door)
    assert told.last.reason == UNCLEAR


def test_where_there_is_one_receiver_an_odd_spelling_that_is_signed_reaches_the_app(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate)
    assert door.send("/hooks//billing", signed(), BODY).status == 200
    assert door.host.received[0] is not None


def test_a_websocket_is_no_message(told: Told) -> None:
    door = HookDoor("asyncio")
    door.open(STANDARD, gate=told.gate)
    sent: list[Any] = []

    async def call(path: str) -> None:
        async def receive() -> Any:
            return {"type": "websocket.connect"}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        scope = asgi_scope("GET", path, signed(body=b""), "192.0.2.1") | {"type": "websocket", "scheme": "ws"}
        await door.app(scope, receive, send)

    anyio.run(call, PATH)
    assert (sent, told.last.reason) == (["websocket.close"], "a websocket is no message")
    anyio.run(call, "/elsewhere")
    assert sent[1:] == ["websocket.accept"]


def test_a_body_may_be_as_long_as_is_said_and_no_longer(door: HookDoor, told: Told) -> None:
    receiver = Receiver(PATH, secrets=[WHSEC], max_body=1000)
    door.open(receiver, gate=told.gate)
    exact = b"x" * 1000
    assert door.send(PATH, signed(body=exact), exact[:500], exact[500:]).status == 200
    door.host.bodies.clear()
    longer = exact + b"x"
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked"} if door.kind == "wsgi" else {}
    for headers in (signed(body=longer), [*signed(body=longer), ("content-length", "1001")]):
        answer = door.send(PATH, headers, longer[:1000], longer[1000:], extra=chunked)
        assert (answer.status, answer.code) == (413, "payload_too_large")
    assert door.host.bodies == []


def test_of_a_body_that_is_announced_too_long_nothing_is_read(told: Told) -> None:
    class Unread:
        def read(self, *_: int) -> bytes:
            raise AssertionError

    async def receive() -> Any:
        raise AssertionError

    statuses: list[Any] = []
    headers = [*signed(), ("content-length", "262145")]
    middleware = wsgi.WebhookMiddleware(HookDoor("wsgi").host.wsgi, [STANDARD], gate=told.gate)
    environ = wsgi_environ("POST", PATH, headers, None) | {"wsgi.input": Unread()}
    middleware(environ, lambda status, fields, exc_info=None: statuses.append(status) or print)

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    other = asgi.WebhookMiddleware(HookDoor("asyncio").host.asgi, [STANDARD], gate=told.gate)
    anyio.run(other, asgi_scope("POST", PATH, headers, None), receive, send)
    assert [str(each)[:3] for each in statuses[:2]] == ["413", "413"]


def test_of_a_body_without_a_length_no_more_is_read_than_shows_that_it_is_too_long(told: Told) -> None:
    receiver, headers = Receiver(PATH, secrets=[WHSEC], max_body=1000), [*signed(), ("transfer-encoding", "chunked")]
    taken: list[int] = []

    class Endless:
        def read(self, most: int) -> bytes:
            taken.append(min(most, 100))
            assert sum(taken) <= 1100
            return b"x" * taken[-1]

    async def receive() -> Any:
        return {"type": "http.request", "body": Endless().read(100), "more_body": True}

    statuses: list[Any] = []
    middleware = wsgi.WebhookMiddleware(HookDoor("wsgi").host.wsgi, [receiver], gate=told.gate)
    environ = wsgi_environ("POST", PATH, headers, None)
    environ |= {"wsgi.input": Endless(), "HTTP_TRANSFER_ENCODING": "chunked"}
    middleware(environ, lambda status, fields, exc_info=None: statuses.append(status) or print)
    assert (statuses[0][:3], sum(taken)) == ("413", 1001)
    taken.clear()

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    other = asgi.WebhookMiddleware(HookDoor("asyncio").host.asgi, [receiver], gate=told.gate)
    anyio.run(other, asgi_scope("POST", PATH, headers, None), receive, send)
    assert (statuses[1], sum(taken)) == (413, 1100)


def test_a_body_without_a_length_comes_as_it_was_sent(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate)
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked"} if door.kind == "wsgi" else {}
    headers = [*signed(), ("transfer-encoding", "chunked")]
    assert door.send(PATH, headers, *[BODY[at : at + 1] for at in range(len(BODY))], extra=chunked).status == 200
    assert door.send(PATH, signed(body=b""), extra=chunked).status == 200
    assert door.host.bodies == [BODY, b""]


def test_an_encoded_body_is_octets_like_any_other(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate)
    packed = gzip.compress(BODY)
    headers = [*signed(body=packed), ("content-encoding", "gzip")]
    assert door.send(PATH, headers, packed).status == 200
    assert door.host.bodies == [packed]


def test_a_client_that_leaves_in_the_middle_runs_nothing(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate)
    door.left = True
    answer = door.send(PATH, signed(), BODY)
    assert answer.status == (400 if door.kind == "wsgi" else 0)
    assert door.host.bodies == []


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_body_that_never_ends_is_given_up(backend: str, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi_door, "READ_SECONDS", 0.05)
    door = HookDoor(backend)
    door.open(STANDARD, gate=told.gate)
    sent: list[Any] = []

    async def call() -> None:
        async def receive() -> Any:
            await anyio.sleep(0.01)
            return {"type": "http.request", "body": b"", "more_body": True}

        async def send(message: Any) -> None:
            sent.append(message)

        await door.app(asgi_scope("POST", PATH, signed(), None), receive, send)

    anyio.run(call, backend=backend)
    assert (sent[0]["status"], told.last.reason) == (400, LATE)
    assert door.host.bodies == []


def test_after_the_body_the_app_reads_from_the_server_again(told: Told) -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.extend([await receive(), await receive()])

    async def call() -> None:
        waiting = [{"type": "http.request", "body": BODY}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return waiting.pop(0)

        async def send(message: Any) -> None:
            raise AssertionError

        await asgi.WebhookMiddleware(app, [STANDARD], gate=told.gate)(
            asgi_scope("POST", PATH, signed(), None), receive, send
        )

    anyio.run(call)
    assert seen == [{"type": "http.request", "body": BODY, "more_body": False}, {"type": "http.disconnect"}]


def test_other_scopes_pass() -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    async def call() -> None:
        await asgi.WebhookMiddleware(app, [STANDARD])({"type": "lifespan"}, None, None)  # type: ignore[arg-type]

    anyio.run(call)
    assert seen == ["lifespan"]


def around(door: HookDoor, gate: Gate) -> Any:
    kind = wsgi if door.kind == "wsgi" else asgi
    return lambda app: kind.GateMiddleware(app, gate)


def test_beside_a_gate_both_hold_and_name_the_request_alike(door: HookDoor) -> None:
    told = Told(public=[PATH], envelope=True, accept=["?api_key"])
    door.open(STANDARD, gate=told.gate, around=around(door, told.gate))
    assert door.send(PATH, signed(), BODY).status == 200
    answer = door.send(PATH, [], BODY)
    assert (answer.status, answer.code) == (400, "invalid_signature")
    assert told.last.request_id == answer.header("x-request-id") == answer.json["meta"]["request_id"]
    assert door.send("/v1", [], BODY).status == 401
    key = told.gate.keys.create("key").secret
    assert door.send(f"/v1?api_key={key}", [], BODY).status == 200
    assert len(door.host.bodies) == 2


def test_outside_of_a_gate_the_key_in_the_query_is_left_for_it(door: HookDoor) -> None:
    told = Told(accept=["?api_key"], root_path="/api")
    key = told.gate.keys.create("key").secret
    inner = around(door, told.gate)(door.host.wsgi if door.kind == "wsgi" else door.host.asgi)
    kind = wsgi if door.kind == "wsgi" else asgi
    door.app = kind.WebhookMiddleware(inner, receive=[STANDARD], gate=told.gate)
    assert door.send(f"/v1?api_key={key}", [], BODY).status == 200
    assert door.send(PATH, [], BODY).code == "invalid_signature"
    assert door.send(f"/api{PATH}", [], BODY).code == "invalid_signature"


def test_a_problem_document_for_who_asks_for_one(door: HookDoor) -> None:
    door.open(STANDARD, gate=Told(error_format="problem").gate)
    answer = door.send(PATH, [], BODY)
    assert (answer.header("content-type"), answer.json["code"]) == ("application/problem+json", "invalid_signature")


class ShopError(Exception):
    """What a host's own store of ids may raise."""


class Failing(MemoryIds):
    """A store whose error is logged with all local variables, as error trackers do."""

    def begin(self, *args: Any) -> Any:
        logging.getLogger("keystile").error("it fails", stack_info=True)
        WATCH.look("a local variable", " ".join(text for _, text in shown_here(sys._getframe())))
        raise ShopError


def test_no_secret_and_no_body_stands_where_error_trackers_look(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate, ids=Failing())
    assert door.send(PATH, signed(), BODY).status == 503


def test_the_watch_would_see_a_secret(told: Told) -> None:
    middleware = wsgi.WebhookMiddleware(HookDoor("wsgi").host.wsgi, [ANTHYX], gate=told.gate)
    assert middleware._receiving._hooks[0].keys
    with WATCH.aside() as found:
        WATCH.look("here", f"the text {TEXT}")
        assert found != []


# Ids


@pytest.fixture(params=["memory", "sqlite"])
def ids(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    store = MemoryIds() if request.param == "memory" else SQLiteIds(tmp_path / "ids.db")
    yield store
    store.close()


def test_a_message_that_comes_again_is_answered_and_does_not_run(door: HookDoor, told: Told, ids: Any) -> None:
    door.open(STANDARD, gate=told.gate, ids=ids, keep_ids=1000)
    assert door.send(PATH, signed(), BODY).body == b"ok"
    again = door.send(PATH, signed(now=NOW + 5), BODY)
    assert (again.status, again.body, again.header("content-length")) == (200, b"", "0")
    assert again.header("x-request-id") == told.last.request_id
    assert (told.last.code, told.last.status) == ("repeated_message", 200)
    assert door.send(PATH, signed(id="msg_2"), BODY).body == b"ok"
    told.now = NOW + 999
    assert door.send(PATH, signed(now=NOW + 999), BODY).body == b""
    told.now = NOW + 1000
    assert door.send(PATH, signed(now=NOW + 1000), BODY).body == b"ok"
    assert len(door.host.bodies) == 3


def test_only_what_is_signed_is_noted(door: HookDoor, told: Told, ids: Any) -> None:
    door.open(STANDARD, gate=told.gate, ids=ids)
    assert door.send(PATH, signed(), BODY + b" ").status == 400
    assert door.send(PATH, signed(), BODY).body == b"ok"
    assert door.send(PATH, signed(), BODY + b" ").status == 400


@pytest.mark.parametrize("fails", ["call", "body", "500", "404", "302"])
def test_an_app_that_fails_gets_the_message_again(door: HookDoor, told: Told, ids: Any, fails: str) -> None:
    door.open(STANDARD, gate=told.gate, ids=ids)
    if fails.isdigit():
        door.host.status = int(fails)
        assert door.send(PATH, signed(), BODY).status == int(fails)
    else:
        door.host.fails = fails
        with pytest.raises(ZeroDivisionError):
            door.send(PATH, signed(), BODY)
    door.host.status, door.host.fails = 204, ""
    assert door.send(PATH, signed(), BODY).status == 204
    assert door.send(PATH, signed(), BODY).status == 200
    assert len(door.host.bodies) == 2


def test_while_the_app_works_on_it_a_second_one_is_told_so(door: HookDoor, told: Told, ids: Any) -> None:
    door.open(STANDARD, gate=told.gate, ids=ids)
    answers: list[Answer] = []

    def meanwhile() -> None:
        door.host.acts = None
        answers.append(door.through_wsgi("POST", PATH, signed(), [BODY], {}))

    async def meanwhile_async() -> None:
        door.host.acts = None
        answers.append(await door.through_asgi("POST", PATH, signed(), [BODY], {}))

    door.host.acts = meanwhile if door.kind == "wsgi" else meanwhile_async
    assert door.send(PATH, signed(), BODY).status == 200
    assert [(each.status, each.code) for each in answers] == [(409, "already_under_way")]
    assert door.host.bodies == [BODY]
    assert door.send(PATH, signed(), BODY).body == b""


def test_what_became_of_it_is_noted_before_the_client_has_the_last_octets(told: Told) -> None:
    noted: list[Any] = []

    class Noting(MemoryIds):
        def end(self, id: str, token: str, until: float | None) -> None:
            noted.append(until)

    door = HookDoor("wsgi")
    door.open(STANDARD, gate=told.gate, ids=Noting(), keep_ids=1000)
    environ = wsgi_environ("POST", PATH, [*signed(), ("content-length", str(len(BODY)))], None)
    environ["wsgi.input"] = io.BytesIO(BODY)
    octets = door.app(environ, lambda status, fields, exc_info=None: print)
    for chunk in octets:
        assert (chunk, noted) in [(b"o", []), (b"k", [NOW + 1000])]
    octets.close()
    assert noted == [NOW + 1000]
    assert door.host.closed == 1


def test_a_server_that_leaves_in_the_middle_of_an_answer_has_the_message_sent_again(told: Told) -> None:
    door = HookDoor("wsgi")
    door.open(STANDARD, gate=told.gate, ids="memory://")
    for _ in range(2):
        environ = wsgi_environ("POST", PATH, [*signed(), ("content-length", str(len(BODY)))], None)
        environ["wsgi.input"] = io.BytesIO(BODY)
        octets = door.app(environ, lambda status, fields, exc_info=None: print)
        assert next(iter(octets)) == b"o"
        octets.close()
    assert (len(door.host.bodies), door.host.closed) == (2, 2)


def test_two_receivers_have_ids_of_their_own(door: HookDoor, told: Told, ids: Any) -> None:
    other = Receiver("/hooks/other", secrets=[WHSEC])
    door.open(STANDARD, other, STRIPE, gate=told.gate, ids=ids)
    for path in (PATH, other.match):
        assert door.send(path, signed(), BODY).body == b"ok"
    for _ in range(2):
        assert door.send(STRIPE.match, signed(STRIPE), BODY).body == b"ok"


class Broken(MemoryIds):
    """A store that is down, or not."""

    down = True

    def begin(self, *args: Any) -> Any:
        if self.down:
            raise OSError("secret-of-the-driver")
        return super().begin(*args)

    def end(self, *args: Any) -> None:
        if self.down:
            raise OSError("secret-of-the-driver")
        super().end(*args)


def test_while_the_ids_are_down_senders_are_asked_to_come_again(door: HookDoor, told: Told) -> None:
    ids = Broken()
    door.open(STANDARD, gate=told.gate, ids=ids)
    answer = door.send(PATH, signed(), BODY)
    assert (answer.status, answer.code, answer.header("retry-after")) == (503, "unavailable", "5")
    assert [each.code for each in told.events] == ["webhook_ids_down", "unavailable"]
    assert "secret" not in told.events[0].reason
    assert door.host.bodies == []
    ids.down = False
    assert door.send(PATH, signed(), BODY).status == 200
    assert told.last.code == "webhook_ids_up"


def test_an_answer_stands_even_if_it_cannot_be_noted(door: HookDoor, told: Told) -> None:
    ids = Broken()
    ids.down = False
    door.open(STANDARD, gate=told.gate, ids=ids)

    def breaks() -> None:
        ids.down = True

    async def breaks_async() -> None:
        ids.down = True

    door.host.acts = breaks if door.kind == "wsgi" else breaks_async
    assert door.send(PATH, signed(), BODY).status == 200
    assert told.last.code == "webhook_ids_down"


class AsyncIds:
    """The same with coroutines, as a driver that is async has them."""

    def __init__(self) -> None:
        self._inner = MemoryIds()

    async def begin(self, *args: Any) -> Any:
        return self._inner.begin(*args)

    async def end(self, *args: Any) -> None:
        self._inner.end(*args)

    async def close(self) -> None: ...


def test_ids_may_be_async_under_asgi_alone(door: HookDoor, told: Told) -> None:
    if door.kind == "wsgi":
        with pytest.raises(ConfigurationError, match="ids"):
            door.open(STANDARD, gate=told.gate, ids=AsyncIds())
        return
    door.open(STANDARD, gate=told.gate, ids=AsyncIds())
    assert [door.send(PATH, signed(), BODY).body for _ in range(2)] == [b"ok", b""]


class BlockingIds(MemoryIds):
    """The same in the worker pool, as a synchronous driver is called."""

    blocking = True


def test_ids_that_block_leave_the_event_loop(door: HookDoor, told: Told) -> None:
    door.open(STANDARD, gate=told.gate, ids=BlockingIds())
    assert [door.send(PATH, signed(), BODY).body for _ in range(2)] == [b"ok", b""]


def test_the_contract_of_ids(ids: Any) -> None:
    assert ids.begin("a", "one", 100.0, 100.0 + LEASE) == NEW
    assert ids.begin("a", "two", 101.0, 101.0 + LEASE) == UNDER_WAY
    assert ids.begin("b", "two", 101.0, 101.0 + LEASE) == NEW
    ids.end("a", "two", 500.0)  # another's
    assert ids.begin("a", "two", 102.0, 500.0) == UNDER_WAY
    ids.end("a", "one", 1000.0)
    assert ids.begin("a", "two", 999.0, 1300.0) == DONE
    assert ids.begin("a", "two", 1000.0, 1300.0) == NEW
    ids.end("a", "one", None)  # of an attempt that slept through its lease
    assert ids.begin("a", "three", 1001.0, 1300.0) == UNDER_WAY
    ids.end("a", "two", None)
    assert ids.begin("a", "three", 1001.0, 1300.0) == NEW
    assert ids.begin("a", "four", 1300.0, 1600.0) == NEW
    ids.end("unknown", "one", 5000.0)
    assert ids.begin("unknown", "one", 0.0, 1.0) == NEW


def test_a_file_of_ids_does_not_grow_for_ever(tmp_path: Any) -> None:
    ids = SQLiteIds(tmp_path / "ids.db")
    for number in range(500):
        ids.begin(str(number), "t", float(number), number + 10.0)
    rows = ids._file.row("SELECT count(*) FROM keystile_webhook_ids", ())
    assert rows[0] <= 11
    assert repr(ids) == f"SQLiteIds({str(tmp_path / 'ids.db')!r})"
    ids.close()


def test_memory_keeps_the_newest_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystile.webhooks.receiving.memory.MOST_IDS", 3)
    ids = MemoryIds()
    for name in "abcd":
        ids.begin(name, "t", 0.0, 10.0)
    assert ids.begin("a", "t", 0.0, 10.0) == NEW
    assert ids.begin("d", "t", 0.0, 10.0) == UNDER_WAY


# Settings


@pytest.mark.parametrize(
    ("receive", "settings_", "key"),
    [
        ([], {}, "receive"),
        (["/hooks"], {}, "receive"),
        ([Receiver("/a", secrets=["whsec_AA=="])], {}, r"receive\[0\].secrets"),
        ([STANDARD, Receiver("/a", secrets=["short"], scheme="hex_body", header="X")], {}, r"receive\[1\].secrets"),
        ([STANDARD, Receiver("/HOOKS/billing/", secrets=[WHSEC])], {}, "two receivers"),
        ([STANDARD, Receiver("POST /hooks/billing", secrets=[WHSEC])], {}, "two receivers"),
        ([ANTHYX], {"ids": "memory://"}, "standard"),
        ([STANDARD], {"ids": "redis://:hunter2@h"}, "redis://h"),
        ([STANDARD], {"ids": 1}, "ids"),
        ([STANDARD], {"ids": "memory://", "keep_ids": 599}, "keep_ids"),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_built(
    door: HookDoor, receive: Any, settings_: dict[str, Any], key: str
) -> None:
    with pytest.raises(ConfigurationError, match=key) as caught:
        door.open(*receive, **settings_)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("given_", "key"),
    [
        ({"match": "/a/{id}"}, "match"),
        ({"match": "/a/*"}, "match"),
        ({"match": "hooks"}, "match"),
        ({"match": 1}, "match"),
        ({"secrets": []}, "secrets"),
        ({"secrets": WHSEC}, "secrets"),
        ({"scheme": "md5"}, "scheme"),
        ({"header": "X-Y"}, "header"),
        ({"scheme": "hex_body"}, "header"),
        ({"scheme": "timestamped", "header": "X_Y"}, "header"),
        ({"scheme": "timestamped", "header": "X", "prefix": "v1="}, "prefix"),
        ({"scheme": "hex_body", "header": "X", "prefix": "é"}, "prefix"),
        ({"tolerance": -1}, "tolerance"),
        ({"max_body": 0}, "max_body"),
        ({"path": "/a"}, "path"),
    ],
)
def test_settings_of_a_receiver_that_are_none(given_: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Receiver(**({"match": PATH, "secrets": [WHSEC]} | given_))
    assert caught.value.key == key
    assert WHSEC not in str(caught.value)


def test_a_receiver_and_a_middleware_show_no_secret(told: Told) -> None:
    middleware = wsgi.WebhookMiddleware(HookDoor("wsgi").host.wsgi, [STANDARD, ANTHYX], gate=told.gate)
    shown = repr([STANDARD, ANTHYX, middleware._receiving._hooks])
    assert WHSEC not in shown
    assert TEXT not in shown


def test_each_door_refuses_the_others_apps() -> None:
    host = HookDoor("wsgi").host
    with pytest.raises(ConfigurationError, match="app"):
        asgi.WebhookMiddleware(host.wsgi, [STANDARD])  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="app"):
        wsgi.WebhookMiddleware(host.asgi, [STANDARD])  # type: ignore[arg-type]


ODD = st.text(st.sampled_from("abilng/.%25;\\\x00\tHOK"), max_size=30)


def most_tolerant(path: str) -> str:
    """Written independently of the rule: what is left when everything odd is resolved in the way that finds most."""
    from urllib.parse import unquote

    for _ in range(2):
        path = unquote(path)
    parts: list[str] = []
    for part in path.replace("\\", "/").replace("\t", "").split("\x00")[0].split("/"):
        name = part.partition(";")[0]
        if name == "..":
            parts = parts[:-1]
        elif name not in ("", "."):
            parts.append(name)
    return "/" + "/".join(parts).lower()


@given(ODD)
@example("/hooks/x/../billing")
@example("/hooks/billing;/")
@example("/hooks/%62illing")
@settings(max_examples=often(75, 300), suppress_health_check=list(HealthCheck))
def test_whatever_a_tolerant_router_takes_for_the_path_concerns_the_receiver(path: str) -> None:
    paths = Paths([parse_match("/hok/bil")])
    for each in (path, f"/hok/{path}", f"/hok/bil{path}", f"/{path}/hok/bil", f"/hok/{path}/../bil"):
        concerned = paths.find(Request("POST", each, b"", (), None)) != ()
        assert concerned or most_tolerant(each) != "/hok/bil"


VALUES = {name: [value, "", "x", value + " ", f"{value},{value}", "é"] for name, value in signed()}
LINES = st.lists(
    st.one_of([st.tuples(st.just(name), st.sampled_from(values)) for name, values in VALUES.items()]), max_size=4
)
SENT_PATHS = st.sampled_from([PATH, PATH + "/", "/hooks//billing", "/other", "/Hooks/billing", "/x/%2e%2e" + PATH])


@given(st.permutations(signed()), LINES, st.sampled_from([BODY, b"", BODY + b" "]), SENT_PATHS)
@example(signed(), [], BODY, PATH)
@settings(max_examples=often(75, 300), deadline=None, suppress_health_check=list(HealthCheck))
def test_the_doors_agree_and_the_app_runs_only_for_what_is_signed(
    good: Fields, more: Fields, body: bytes, path: str
) -> None:
    answers = []
    for door in (HookDoor("asyncio"), HookDoor("wsgi")):
        door.open(STANDARD, gate=Told().gate)
        answer = door.send(path, [*good, *more], body)
        ran = len(door.host.bodies) == 1
        right = path == "/other" or (body == BODY and not more)
        assert (answer.status, ran) == ((200, True) if right else (400, False))
        answers.append((answer.status, door.host.bodies, door.host.received))
    assert answers[0] == answers[1]


def test_ids_in_a_file_are_kept_in_place(told: Told, tmp_path: Any) -> None:
    """A tool that looks for blocking calls on an event loop agrees, as far as it is told what is meant."""
    ids = SQLiteIds(tmp_path / "ids.db")
    door = HookDoor("asyncio")
    door.open(STANDARD, gate=told.gate, ids=ids)
    with blockbuster_ctx() as tool:
        declare(tool)
        assert [door.send(PATH, signed(), BODY).body for _ in range(3)] == [b"ok", b"", b""]
    ids.close()


def test_the_clock_is_the_systems_where_there_is_no_gate(door: HookDoor) -> None:
    door.open(STANDARD)
    assert door.send(PATH, signed(now=int(time.time())), BODY).status == 200
    assert door.send(PATH, signed(now=int(time.time()) - 600), BODY).status == 400
