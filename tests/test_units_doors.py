"""Units and charges through both doors: reserved with the request, charged by the app, settled when its output ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from keystile import Current, Plan, Rule, current
from keystile.events import Event
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.redis import RedisLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window
from tests.doors import Answer, Door

PLANS = {"free": Plan("10/minute", units={"tokens": "100/minute; 500/day", "images": "3/hour"}), "none": Plan(None)}
CHAT = Rule("/v1/chat", reserve={"tokens": 40})
MINUTE, DAY = Window(100, 60, "", "tokens"), Window(500, 86_400, "", "tokens")


class RedisInThreads(RedisLimiter):
    """Without its twin for asyncio: here each request has an event loop of its own. Real servers test the twin."""

    for_asyncio = None  # type: ignore[assignment]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def limiter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        found: Any = MemoryLimiter()
    elif request.param == "sqlite":
        found = SQLiteLimiter(tmp_path / "windows.db")
    else:
        url = request.getfixturevalue("redis_url")
        found = RedisInThreads(url, socket_timeout=10, socket_connect_timeout=10)
    yield found
    found.close()


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def opened(door: Door, events: list[Event]) -> Callable[..., str]:
    """Opens a gate; gives the secret of a key of the plan "free"."""

    def open_gate(**settings: Any) -> str:
        given = {"plans": PLANS, "default_plan": "free", "rules": [CHAT], "limiter": MemoryLimiter()} | settings
        door.open(**given).on_event(events.append)
        secret: str = door.create().secret
        return secret

    return open_gate


def charging(**used: int) -> Callable[[], None]:
    return lambda: current().charge(**used)


def tokens(answer: Answer) -> tuple[str | None, str | None]:
    return answer.header("x-ratelimit-limit-tokens"), answer.header("x-ratelimit-remaining-tokens")


def left(door: Door, secret: str, path: str = "/v1/chat") -> int:
    """What a request finds that reserves and uses nothing itself: what is left, with its own reservation on top."""
    door.host.acts = charging(tokens=0)
    return int(door.get(path, secret).header("x-ratelimit-remaining-tokens") or -1) + 40


def codes(events: list[Event]) -> list[str]:
    return [event.code for event in events if event.code not in ("first_use", "credential_over_http")]


def test_a_reservation_that_is_never_charged_stands(door: Door, opened: Callable[..., str], limiter: Any) -> None:
    secret = opened(limiter=limiter)
    assert [tokens(door.get("/v1/chat", secret)) for _ in range(2)] == [("100", "60"), ("100", "20")]
    answer = door.get("/v1/chat", secret)
    assert (answer.status, answer.code) == (429, "rate_limited")
    assert answer.json["error"]["message"] == "Too many tokens."
    details = answer.json["error"]["details"]
    assert (details["unit"], details["limit"], details["window_seconds"]) == ("tokens", 100, 60)
    assert 1 <= int(answer.header("retry-after") or 0) <= 60
    assert tokens(answer) == ("100", "20")
    assert answer.header("x-ratelimit-remaining") == "8", "a refused request spends nothing"
    assert len(door.host.calls) == 2


def test_what_was_not_used_goes_back_and_what_was_used_beyond_is_counted(
    door: Door, opened: Callable[..., str], limiter: Any, events: list[Event]
) -> None:
    secret = opened(limiter=limiter)
    door.host.acts = charging(tokens=10)
    assert tokens(door.get("/v1/chat", secret)) == ("100", "60")
    assert left(door, secret) == 90
    door.host.acts = charging(tokens=85)
    assert tokens(door.get("/v1/chat", secret)) == ("100", "50")
    assert "overdrawn" not in codes(events)
    door.host.acts = None
    assert tokens(door.get("/v1/chat", secret)) == ("100", "5")
    assert door.get("/v1/chat", secret).status == 429


def test_using_more_than_the_limit_is_counted_all_the_same_and_told(
    door: Door, opened: Callable[..., str], limiter: Any, events: list[Event]
) -> None:
    secret = opened(limiter=limiter)
    door.host.acts = charging(tokens=1000)
    assert door.get("/v1/chat", secret).status == 200
    [overdrawn] = [event for event in events if event.code == "overdrawn"]
    assert overdrawn.reason == "used more than 100 tokens in 60 seconds, 500 tokens in 86400 seconds"
    assert overdrawn.key_id == door.host.calls[-1].principal.id
    assert overdrawn.request_id == door.host.calls[-1].request_id
    answer = door.get("/v1/chat", secret)
    assert (answer.status, tokens(answer)) == (429, ("500", "0"))
    assert int(answer.header("retry-after") or 0) > 3600, "the day is what it waits for"


def test_charges_add_up_over_threads_and_calls(door: Door, opened: Callable[..., str], limiter: Any) -> None:
    secret = opened(limiter=limiter)

    def act() -> None:
        here: Current = current()
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda _: here.charge(tokens=1), range(20)))
        here.charge(tokens=2)
        here.charge()

    door.host.acts = act
    door.get("/v1/chat", secret)
    assert left(door, secret) == 78


def test_each_unit_is_settled_by_itself(door: Door, opened: Callable[..., str], limiter: Any) -> None:
    secret = opened(limiter=limiter, rules=[Rule("/v1/chat", reserve={"tokens": 40, "images": 1})])
    door.host.acts = charging(tokens=15)
    answer = door.get("/v1/chat", secret)
    assert (answer.header("x-ratelimit-limit-images"), answer.header("x-ratelimit-remaining-images")) == ("3", "2")
    door.host.acts = charging(tokens=0, images=0)
    answer = door.get("/v1/chat", secret)
    assert answer.header("x-ratelimit-remaining-images") == "1", "never charged, so its reservation stands"
    assert tokens(answer) == ("100", "45")
    assert door.get("/v1/chat", secret).header("x-ratelimit-remaining-images") == "1"


def test_0_asks_only_that_one_is_free(door: Door, opened: Callable[..., str], limiter: Any) -> None:
    secret = opened(limiter=limiter, rules=[Rule("/v1/chat", reserve={"tokens": 0})])
    door.host.acts = charging(tokens=99)
    assert [tokens(door.get("/v1/chat", secret)) for _ in range(2)] == [("100", "100"), ("100", "1")]
    assert door.get("/v1/chat", secret).status == 429


def test_requests_and_units_are_decided_in_one_step(door: Door, opened: Callable[..., str], limiter: Any) -> None:
    secret = opened(limiter=limiter, plans={"free": Plan("1/minute", units={"tokens": "100/minute"})})
    assert door.get("/v1/chat", secret).status == 200
    answer = door.get("/v1/chat", secret)
    assert (answer.status, answer.json["error"]["message"]) == (429, "Too many requests.")
    assert "unit" not in answer.json["error"]["details"]
    assert tokens(answer) == ("100", "60"), "what is refused for its requests takes no tokens"


def test_retry_after_is_the_longest_wait_of_all(door: Door, opened: Callable[..., str]) -> None:
    plan = Plan("1/hour", units={"tokens": "50/minute", "images": "1/day"})
    secret = opened(plans={"free": plan}, rules=[Rule("/v1/chat", reserve={"tokens": 40, "images": 1})])
    door.get("/v1/chat", secret)
    answer = door.get("/v1/chat", secret)
    assert (answer.status, answer.json["error"]["details"]["unit"]) == (429, "images")
    assert int(answer.header("retry-after") or 0) > 86_000
    resets = [int(answer.header(f"x-ratelimit-reset{unit}") or 0) for unit in ("-tokens", "", "-images")]
    assert resets == sorted(resets)
    assert resets[1] - resets[0] > 3000


def test_who_reserves_nothing_is_not_asked_for_units(door: Door, opened: Callable[..., str]) -> None:
    secret = opened()
    for _ in range(3):
        door.get("/v1/chat", secret)
    answer = door.get("/v1/other", secret)
    assert (answer.status, tokens(answer)) == (200, (None, None))


def test_a_plan_without_the_unit_does_not_limit_it(door: Door, opened: Callable[..., str]) -> None:
    opened()
    secret = door.create(plan="none").secret
    door.host.acts = charging(tokens=1000)
    answers = [door.get("/v1/chat", secret) for _ in range(5)]
    assert [(answer.status, tokens(answer)) for answer in answers] == [(200, (None, None))] * 5


def test_limits_of_a_keys_own_concern_requests_alone(door: Door, opened: Callable[..., str]) -> None:
    opened()
    secret = door.create(limits="2/minute").secret
    answer = door.get("/v1/chat", secret)
    assert (answer.header("x-ratelimit-limit"), tokens(answer)) == ("2", ("100", "60"))


def test_a_cost_of_0_counts_no_request_and_still_reserves(door: Door, opened: Callable[..., str]) -> None:
    secret = opened(rules=[Rule("/v1/chat", reserve={"tokens": 40}, cost=0)])
    answer = door.get("/v1/chat", secret)
    assert (answer.header("x-ratelimit-limit"), tokens(answer)) == (None, ("100", "60"))


def test_of_several_rules_the_highest_reservation_holds(door: Door, opened: Callable[..., str]) -> None:
    rules = [Rule("/v1/*", reserve={"tokens": 10, "images": 1}), Rule("/v1/chat", reserve={"tokens": 40})]
    secret = opened(rules=rules)
    answer = door.get("/v1/chat", secret)
    assert (tokens(answer), answer.header("x-ratelimit-remaining-images")) == (("100", "60"), "2")
    assert tokens(door.get("/v1/other", secret)) == ("100", "50")


def test_a_rule_that_reserves_asks_for_a_key(door: Door, opened: Callable[..., str]) -> None:
    opened(rules=[Rule("/open/*", public=True), Rule("/open/chat", reserve={"tokens": 1})])
    assert door.get("/open/chat").code == "missing_api_key"
    assert door.get("/open/other").status == 200


def test_the_apps_own_fields_of_these_names_are_replaced(door: Door, opened: Callable[..., str]) -> None:
    secret = opened()
    door.host.headers = [("X-RateLimit-Limit-Tokens", "7"), ("content-type", "application/json")]
    assert tokens(door.get("/v1/chat", secret)) == ("100", "60")


def test_the_drafts_fields_name_the_unit(door: Door, opened: Callable[..., str]) -> None:
    secret = opened(ietf_headers=True)
    answer = door.get("/v1/chat", secret)
    assert answer.header("ratelimit-policy") == (
        '"60s";q=10;w=60, "60s tokens";q=100;w=60;qu="tokens", "86400s tokens";q=500;w=86400;qu="tokens"'
    )
    assert (answer.header("ratelimit") or "").startswith('"60s";r=9;t=')
    assert '"60s tokens";r=60;t=' in (answer.header("ratelimit") or "")


@pytest.mark.parametrize(
    ("path", "used", "error", "message"),
    [
        ("/v1/chat", {"tokns": 1}, LookupError, "no rule that holds for this request reserves 'tokns'; did you mean"),
        ("/v1/chat", {"images": 1}, LookupError, "reserves 'images'; there are tokens"),
        ("/v1/other", {"tokens": 1}, LookupError, "reserves 'tokens'; there are none"),
        ("/v1/chat", {"tokens": -1}, ValueError, "tokens: expected a whole number from 0"),
        ("/v1/chat", {"tokens": 2**53 + 1}, ValueError, "tokens: expected"),
        ("/v1/chat", {"tokens": 1.0}, TypeError, "tokens: expected a whole number, got float"),
        ("/v1/chat", {"tokens": True}, TypeError, "got bool"),
    ],
)
def test_what_cannot_be_charged_is_an_error_and_charges_nothing(
    door: Door, opened: Callable[..., str], path: str, used: dict[str, Any], error: type[Exception], message: str
) -> None:
    secret = opened()

    def act() -> None:
        with pytest.raises(error, match=message):
            current().charge(**{"tokens": 5} | used if path == "/v1/chat" else used)

    door.host.acts = act
    assert tokens(door.get(path, secret))[1] in ("60", None)
    assert left(door, secret) in (60, 100)


def test_what_is_charged_after_the_settlement_is_told(
    door: Door, opened: Callable[..., str], events: list[Event]
) -> None:
    secret = opened()
    door.host.acts = charging(tokens=3)
    door.get("/v1/chat", secret)
    door.host.calls[-1].charge(tokens=12)
    [late] = [event for event in events if event.code == "charged_late"]
    assert late.reason == "not counted, because the answer had ended: 12 tokens"
    assert (late.key_id, late.request_id) == (door.host.calls[-1].principal.id, door.host.calls[-1].request_id)
    assert left(door, secret) == 97


@pytest.mark.parametrize("where", ["call", "head", "body"])
@pytest.mark.parametrize("settings", [{}, {"envelope": True}, {"recheck_in_flight": True}])
def test_an_app_that_fails_is_settled_once(
    door: Door, opened: Callable[..., str], events: list[Event], where: str, settings: dict[str, Any]
) -> None:
    secret = opened(**settings)
    door.host.acts, door.host.fails = charging(tokens=30), (RuntimeError("boom"), where)
    with contextlib.suppress(RuntimeError):
        door.get("/v1/chat", secret)
    door.host.fails, door.raised = None, None
    assert left(door, secret) == 70
    assert codes(events) == ["key.create"]


@pytest.mark.parametrize("settings", [{}, {"envelope": True}, {"recheck_in_flight": True}])
def test_what_is_charged_while_the_body_goes_out_is_settled(
    door: Door, opened: Callable[..., str], settings: dict[str, Any]
) -> None:
    """The end of a stream charges: a generator under WSGI, the last message under ASGI."""
    secret = opened(**settings)
    seen: list[Current] = []

    def wsgi_app(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Content-Type", "application/json")])
        seen.append(environ["keystile.admitted"])

        def stream() -> Iterator[bytes]:
            yield b'{"a":'
            seen[-1].charge(tokens=5)
            yield b" 1}"
            seen[-1].charge(tokens=6)

        return stream()

    async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["keystile"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": b'{"a":', "more_body": True})
        seen[-1].charge(tokens=5)
        await send({"type": "http.response.body", "body": b" 1}"})
        await anyio.lowlevel.checkpoint()
        seen[-1].charge(tokens=6)  # as a background task of Starlette does

    plain = door.asgi.app, getattr(door, "wsgi", None) and door.wsgi.app
    door.asgi.app = asgi_app
    if door.kind == "wsgi":
        door.wsgi.app = wsgi_app
    answer = door.get("/v1/chat", secret)
    assert answer.json == {"a": 1} or answer.json["data"] == {"a": 1}
    door.asgi.app = plain[0]
    if door.kind == "wsgi":
        door.wsgi.app = plain[1]
    assert left(door, secret) == 89


def test_a_key_that_ends_in_flight_is_settled_too(door: Door, opened: Callable[..., str], events: list[Event]) -> None:
    secret = opened(recheck_in_flight=True, limit_by="organization")
    one, other = (door.create(organization_id="org") for _ in range(2))
    assert secret

    def act() -> None:
        current().charge(tokens=30)
        revoke(one.key.id)

    def revoke(key_id: str) -> None:
        if door.kind == "wsgi":
            door.gate.keys.revoke(key_id)
            return
        thread = threading.Thread(target=lambda: anyio.run(door.gate.keys.arevoke, key_id))
        thread.start()
        thread.join()

    door.host.acts = act
    answer = door.get("/v1/chat", one.secret)
    assert (answer.status, answer.code, tokens(answer)) == (401, "revoked_api_key", ("100", "60"))
    assert left(door, other.secret) == 70


def test_a_body_that_is_not_json_keeps_its_reservation(door: Door, opened: Callable[..., str]) -> None:
    secret = opened(rules=[Rule("/v1/chat", reserve={"tokens": 40}, require_json=True)])
    headers = [("content-type", "application/json"), ("content-length", "1")]
    assert door.get("/v1/chat", secret, method="POST", headers=headers, body=[b"{"]).code == "invalid_request"
    assert left(door, secret) == 60


class Failing(SQLiteLimiter):
    """A limiter that goes down when the test says so."""

    down = False

    def hit(self, *args: Any) -> Any:
        return self._or_down(super().hit, *args)

    def refund(self, *args: Any) -> Any:
        return self._or_down(super().refund, *args)

    def _or_down(self, call: Callable[..., Any], *args: Any) -> Any:
        if self.down:
            raise ConnectionError("redis://user:hunter2@host")
        return call(*args)


@pytest.mark.parametrize("used", [10, 90])
def test_a_limiter_that_is_down_at_the_settlement_harms_no_answer(
    door: Door, opened: Callable[..., str], events: list[Event], tmp_path: Path, used: int
) -> None:
    limiter = Failing(tmp_path / "failing.db")
    secret = opened(limiter=limiter)

    def act() -> None:
        current().charge(tokens=used)
        limiter.down = True

    door.host.acts = act
    answer = door.get("/v1/chat", secret)
    assert (answer.status, answer.json, tokens(answer)) == (200, {"ok": True}, ("100", "60"))
    assert door.get("/v1/chat", secret).status == 200
    assert codes(events).count("not_settled") == 1
    [lost] = [event for event in events if event.code == "not_settled"]
    assert lost.reason.startswith("the limiter is down, so what was")
    assert "hunter2" not in str(events)


def test_what_was_reserved_in_this_process_is_settled_there(
    door: Door, opened: Callable[..., str], tmp_path: Path
) -> None:
    limiter = Failing(tmp_path / "failing.db")
    secret = opened(limiter=limiter)
    limiter.down = True

    def act() -> None:
        current().charge(tokens=1)
        limiter.down = False

    door.host.acts = act
    assert tokens(door.get("/v1/chat", secret)) == ("100", "60")
    subject = door.gate.quotas.subject(door.host.calls[-1].principal)
    assert [usage.remaining for usage in door.gate.limits._local.peek(subject, (MINUTE, DAY))] == [99, 499]
    assert [usage.remaining for usage in limiter.peek(subject, (MINUTE, DAY))] == [100, 500]


def test_where_nothing_is_reserved_nothing_is_wrapped(door: Door, opened: Callable[..., str]) -> None:
    secret = opened()
    door.get("/v1/other", secret)
    assert door.host.calls[-1].charged is None
    opened(rules=[])
    assert not door.gate.charges


def test_fifty_requests_at_once_never_get_more_than_the_limit(
    door: Door, opened: Callable[..., str], limiter: Any
) -> None:
    plan = Plan("1000/minute", units={"tokens": "100/minute"})
    secret = opened(limiter=limiter, plans={"free": plan}, rules=[Rule("/v1/chat", reserve={"tokens": 10})])
    door.get("/other", secret)
    most = [0]
    inside: list[int] = []
    lock = threading.Lock()

    def act() -> None:
        with lock:
            inside.append(1)
            most[0] = max(most[0], len(inside))

    door.host.acts = act
    if door.kind == "wsgi":
        with ThreadPoolExecutor(16) as threads:
            statuses = list(threads.map(lambda _: door.get("/v1/chat", secret).status, range(50)))
    else:
        statuses = door.run(all_at_once, door, secret)
    assert sorted(statuses) == [200] * 10 + [429] * 40
    assert most == [10]


async def all_at_once(door: Door, secret: str) -> list[int]:
    found: list[int] = []
    headers = [("authorization", f"Bearer {secret}")]

    async def one() -> None:
        found.append((await door.asgi_call("GET", "/v1/chat", headers, "127.0.0.1")).status)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(one)
    return found
