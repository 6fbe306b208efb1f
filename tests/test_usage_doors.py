"""How often a key was used: counted through every door, written off the path of requests, read by the service."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError, Gate, HmacHasher, KeyNotFound, Plan, Rule, StoreUnavailable, _sync
from keystile.events import Event
from keystile.keys.format import crc_check
from keystile.keys.usage import counting
from keystile.model import Request
from keystile.model.counts import HOUR
from keystile.stores.memory import MemoryStore
from tests.doors import Door

NOW = 1_768_473_000.0  # 2026-01-15 10:30 UTC
TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)


@pytest.fixture
def clock(door: Door) -> list[float]:
    now = [NOW]
    door.open(clock=lambda: now[0])
    return now


def used(door: Door, key_id: str, **wanted: Any) -> dict[datetime, dict[str, int]]:
    """What was counted, by the start of each period in which something was."""
    periods = door.run(door.gate.keys.ausage, key_id, **wanted)
    shown = {each.start: {"admitted": each.admitted, **each.refused} for each in periods}
    return {
        start: {name: each[name] for name in each if each[name]} for start, each in shown.items() if any(each.values())
    }


# What is counted


def test_each_outcome_of_a_proved_key_is_counted_in_its_hour(door: Door, clock: list[float]) -> None:
    gate = door.open(
        clock=lambda: clock[0],
        plans={"p": Plan("2/hour"), "none": Plan(None, access=False)},
        default_plan="p",
        rules=[Rule("/admin", scopes=["admin"]), Rule("/free", cost=0)],
    )
    issued = door.create(ip_allowlist=["127.0.0.1"], may=["GET /*"])
    asked: list[dict[str, Any]] = [
        *({"path": "/v1"},) * 3,
        *({"path": "/free"},) * 4,
        {"path": "/admin"},
        {"path": "/v1", "peer": "192.0.2.1"},
        {"path": "/v1", "method": "POST"},
    ]
    codes = [door.get(key=issued.secret, **each).code or "admitted" for each in asked]
    door.run(gate.keys.aupdate, issued.key.id, plan="none")
    codes.append(str(door.get(key=issued.secret).code))
    door.run(gate.keys.asuspend, issued.key.id)
    codes.append(str(door.get(key=issued.secret).code))
    door.run(gate.keys.arevoke, issued.key.id)
    codes.append(str(door.get(key=issued.secret).code))
    expected = {
        "admitted": 6,
        "rate_limited": 1,
        "insufficient_scope": 2,
        "ip_not_allowed": 1,
        "plan_required": 1,
        "suspended_api_key": 1,
        "revoked_api_key": 1,
    }
    assert {code: codes.count(code) for code in codes} == expected
    assert used(door, issued.key.id) == {TEN: expected}


def test_what_no_key_has_proved_is_counted_for_none(door: Door, clock: list[float]) -> None:
    door.open(clock=lambda: clock[0], public=["/health"], failure_limits=None)
    issued = door.create()
    bodies = [issued.secret[:-38] + "0" * 32, f"acme_live_{'0' * 44}"]
    for key in (*(body + crc_check(body.encode()) for body in bodies), issued.secret[:-1], None):
        assert door.get(key=key).status == 401
    assert door.get("/health", key=issued.secret).status == 200
    assert used(door, issued.key.id) == {}
    door.flush()
    assert door.gate._counting.counts == {}


def test_in_dry_run_of_the_gate_a_known_key_is_counted_and_nobody_is_not(door: Door, clock: list[float]) -> None:
    door.open(clock=lambda: clock[0], enforce=False, rules=[Rule("/admin", scopes=["admin"])])
    known, ended = door.create(ip_allowlist=["192.0.2.1"]), door.create()
    door.run(door.gate.keys.arevoke, ended.key.id)
    for path in ("/v1", "/admin"):
        assert door.get(path, key=known.secret).status == door.get(path, key=ended.secret).status == 200
    assert used(door, known.key.id) == {TEN: {"admitted": 2}}
    assert used(door, ended.key.id) == {}


def test_a_request_that_is_judged_twice_is_counted_once(door: Door, clock: list[float]) -> None:
    door.open(clock=lambda: clock[0], recheck_in_flight=True)
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    # The second time it is judged it would be refused; it was admitted, and its windows were counted.
    door.host.acts = lambda: clock.__setitem__(0, NOW + HOUR)
    door.run(door.gate.keys.aupdate, issued.key.id, expires_at=datetime.fromtimestamp(NOW + 60, UTC))
    assert door.get(key=issued.secret).code == "expired_api_key"
    assert used(door, issued.key.id) == {TEN: {"admitted": 2}}


def test_requests_are_counted_in_the_hour_in_which_they_come(door: Door, clock: list[float]) -> None:
    issued, ended = door.create(), door.create()
    door.run(door.gate.keys.arevoke, ended.key.id)
    expected: dict[datetime, int] = {}
    for at in (0, 29 * 60, 1799.999, 1800, 1801, 1859, 1861, 1800 + HOUR - 0.001, 1800 + HOUR, 9 * HOUR):
        clock[0] = NOW + at
        assert door.get(key=issued.secret).status == 200
        assert door.get(key=ended.secret).status == 401
        hour = datetime.fromtimestamp(clock[0] // HOUR * HOUR, UTC)
        expected[hour] = expected.get(hour, 0) + 1
    assert used(door, issued.key.id) == {hour: {"admitted": number} for hour, number in expected.items()}
    assert used(door, ended.key.id) == {hour: {"revoked_api_key": number} for hour, number in expected.items()}


def test_days_are_those_of_utc(door: Door, clock: list[float]) -> None:
    issued = door.create()
    midnight = datetime(2026, 1, 16, tzinfo=UTC)
    for seconds in (-1, 0, 86_399, 86_400):
        clock[0] = midnight.timestamp() + seconds
        assert door.get(key=issued.secret).status == 200
    found = used(door, issued.key.id, step="day")
    assert found == {midnight + timedelta(days=day): {"admitted": number} for day, number in ((-1, 1), (0, 2), (1, 1))}
    assert len(door.run(door.gate.keys.ausage, issued.key.id, step="day")) == 30


def test_an_hour_that_is_kept_no_longer_is_forgotten(door: Door, clock: list[float]) -> None:
    door.open(clock=lambda: clock[0], usage_retention=2 * HOUR)
    issued = door.create()
    for _ in range(6):
        assert door.get(key=issued.secret).status == 200
        door.flush()
        clock[0] += 1.3 * HOUR  # longer than it may take until it is looked for what is old
    clock[0] -= 1.3 * HOUR
    found = used(door, issued.key.id)
    # What is younger than that is kept whole, and with it the hour that has begun before.
    assert list(found) == [TEN + timedelta(hours=hours) for hours in (5, 7)]


def test_nothing_is_counted_where_nothing_is_to_be_kept(door: Door, clock: list[float]) -> None:
    door.open(clock=lambda: clock[0], usage_retention=0)
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    assert used(door, issued.key.id) == {}
    assert door.run(door.gate.keys.aget, issued.key.id).last_used_at == datetime.fromtimestamp(NOW, UTC)


def test_counting_costs_a_warm_request_no_call() -> None:
    plans = {"p": Plan("1000/minute; 5000/day")}

    def calls(**settings: Any) -> list[str]:
        gate = Gate(plans=plans, default_plan="p", hasher=HmacHasher(b"p" * 16), **settings)
        secret = gate.keys.create("key").secret
        request, found = Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], "127.0.0.1"), list[str]()

        def note(_frame: Any, event: str, _called: Any) -> None:
            found.append(event)

        for _ in range(3):
            sys.setprofile(None)
            found.clear()
            sys.setprofile(note)
            _sync.run_now(gate.check(request, _sync.inline))
        sys.setprofile(None)
        return found

    assert calls() == calls(usage_retention=0)


# When it is written


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "it does not come"
        time.sleep(0.005)


def test_it_is_written_by_itself_and_again_when_more_has_come(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "EVERY", 0.02)
    gate = door.open()
    issued = door.create()
    store = getattr(gate._shop.store, "inner", gate._shop.store)

    def kept() -> int:
        return sum(each.number for each in store.usage(issued.key.id, 0, 10**6, 24))

    async def use() -> None:
        # On one event loop, as on a server: it is the loop that writes to an async store.
        for number in range(1, 4):
            if door.kind == "wsgi":
                door.through_wsgi("GET", "/v1", [("x-api-key", issued.secret)], None, None)
            else:
                await door.asgi_call("GET", "/v1", [("x-api-key", issued.secret)], None)
            with anyio.fail_after(30):
                # In a thread: a connection that the writer has leaves none to take on a loop, where none is opened.
                while await anyio.to_thread.run_sync(kept) < number:  # noqa: ASYNC110 - nothing else tells
                    await anyio.sleep(0.005)
            assert await anyio.to_thread.run_sync(kept) == number

    door.run(use)
    assert store.last_used(issued.key.id) is not None


def test_an_event_loop_that_ends_takes_nothing_along(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "EVERY", 0.02)
    door.open()
    issued = door.create()
    for _ in range(5):
        assert door.get(key=issued.secret).status == 200  # each on a loop of its own
    assert sum(each["admitted"] for each in used(door, issued.key.id).values()) == 5


def test_closing_a_gate_writes_what_it_has_counted(door: Door) -> None:
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    door.run(door.gate.aclose)
    door.open()
    assert [each["admitted"] for each in used(door, issued.key.id).values()] == [1]


@pytest.mark.parametrize("message", ["lifespan.shutdown.complete", "lifespan.shutdown.failed"])
def test_the_end_of_a_lifespan_writes_it_before_the_server_is_told(door: Door, message: str) -> None:
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    left: list[int] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for each in ("lifespan.startup.complete", message):
            await send({"type": each})

    async def send(sent: Any) -> None:
        left.append(len(door.gate._counting.counts))
        told.append(sent)

    async def serve() -> None:
        from keystile import asgi

        await asgi.GateMiddleware(app, door.gate)({"type": "lifespan"}, None, send)

    told: list[Any] = []
    door.run(serve)
    assert told == [{"type": "lifespan.startup.complete"}, {"type": message}]
    assert left == [1, 0]


# While the store is down


class Broken:
    """Counts can be written to a store, or not."""

    def __init__(self, door: Door, patch: pytest.MonkeyPatch, error: Exception) -> None:
        store = getattr(door.gate._shop.store, "inner", door.gate._shop.store)
        works, self.down, self.calls = type(store).add_usage, True, 0

        def add_usage(store: Any, counts: Any, uses: Any) -> None:
            self.calls += 1
            if self.down:
                raise error
            works(store, counts, uses)

        patch.setattr(type(store), "add_usage", add_usage)


@pytest.mark.parametrize("error", [StoreUnavailable("db", "gone"), RuntimeError("password=hunter2")], ids=repr)
def test_while_the_store_is_down_counts_wait_and_it_is_told_once(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    broken = Broken(door, monkeypatch, error)
    gate = door.open()
    told: list[Event] = []
    gate.on_event(told.append)
    issued = door.create()
    told.clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert door.get(key=issued.secret).status == 200
            door.flush()
    assert broken.calls == 3
    assert [(each.code, each.level) for each in told if each.level > logging.INFO] == [
        ("usage_delayed", logging.WARNING)
    ]
    assert "hunter2" not in caplog.text
    broken.down = False
    assert [each["admitted"] for each in used(door, issued.key.id).values()] == [3]
    assert door.run(gate.keys.aget, issued.key.id).last_used_at is not None
    broken.down = True
    assert door.get(key=issued.secret).status == 200
    door.flush()
    assert [each.code for each in told if each.level > logging.INFO] == ["usage_delayed"] * 2
    broken.down = False


def test_what_waits_is_bounded_and_what_is_lost_is_told(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST", 3)
    broken = Broken(door, monkeypatch, StoreUnavailable("db", "gone"))
    gate = door.open()
    told: list[Event] = []
    gate.on_event(told.append)
    keys = [door.create() for _ in range(5)]
    for each in keys * 2:
        assert door.get(key=each.secret).status == 200
    door.flush()
    assert len(gate._counting.counts) == len(gate._counting._uses) == 3
    broken.down = False
    door.flush()
    kept = sum(period["admitted"] for each in keys for period in used(door, each.key.id).values())
    [lost] = [each for each in told if each.code == "usage_lost"]
    assert (kept, lost.level, lost.reason.split()[-1]) == (6, logging.WARNING, "4")


def test_a_gate_that_is_closed_while_the_store_is_down_tells_what_is_lost(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = Broken(door, monkeypatch, StoreUnavailable("db", "gone"))
    gate = door.open()
    told: list[Event] = []
    gate.on_event(told.append)
    issued = door.create()
    for _ in range(2):
        assert door.get(key=issued.secret).status == 200
    door.run(gate.aclose)
    assert [each.reason.split()[-1] for each in told if each.code == "usage_lost"] == ["2"]
    broken.down = False
    assert used(door, issued.key.id) == {}


# What a service asks


def test_a_service_is_given_every_period_that_it_asks_for(door: Door, clock: list[float]) -> None:
    issued = door.create()
    assert door.get(key=issued.secret).status == 200

    def starts(**wanted: Any) -> list[datetime]:
        return [each.start for each in door.run(door.gate.keys.ausage, issued.key.id, **wanted)]

    hour = timedelta(hours=1)
    assert starts() == [TEN + hour * number for number in range(-23, 1)]
    assert starts(start=TEN) == [TEN]
    assert starts(start=TEN - 0.5 * hour) == [TEN - hour, TEN]
    assert starts(end=TEN) == [TEN + hour * number for number in range(-24, 0)]
    assert starts(start=TEN, end=TEN) == []
    day = TEN.replace(hour=0)
    assert starts(step="day", start=TEN) == [day]
    assert starts(step="day", start=day - hour, end=TEN + 24 * hour) == [
        day + 24 * hour * number for number in (-1, 0, 1)
    ]


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        ({"step": "minute"}, "step"),
        ({"start": "today"}, "start"),
        ({"start": datetime(2026, 1, 15)}, "start"),
        ({"end": 5}, "end"),
        ({"start": TEN + timedelta(hours=2)}, "start"),
        ({"start": TEN - timedelta(hours=10_000)}, "start"),
        ({"start": datetime.min.replace(tzinfo=UTC)}, "start"),
        ({"end": datetime.max.replace(tzinfo=UTC), "start": TEN}, "start"),
    ],
)
def test_what_nobody_can_give_is_refused(door: Door, clock: list[float], wanted: dict[str, Any], key: str) -> None:
    issued = door.create()
    with pytest.raises(ConfigurationError) as caught:
        door.run(door.gate.keys.ausage, issued.key.id, **wanted)
    assert caught.value.key == key


@pytest.mark.parametrize("moment", [datetime.min, datetime.max])
def test_the_ends_of_time_are_moments_too(door: Door, clock: list[float], moment: datetime) -> None:
    issued = door.create()
    at = moment.replace(tzinfo=UTC)
    start = at if moment is datetime.min else at - timedelta(hours=3)
    found = door.run(door.gate.keys.ausage, issued.key.id, start=start, end=start + timedelta(hours=3))
    assert sum(each.admitted for each in found) == 0


def test_an_unknown_key_has_no_usage(door: Door) -> None:
    with pytest.raises(KeyNotFound):
        door.run(door.gate.keys.ausage, "0123456789AB")


# Stores that only find keys


class Finder:
    """A host's own table: it finds keys, and may note when they were used."""

    blocking = False

    def __init__(self, inner: MemoryStore) -> None:
        self.find, self.touched = inner.find, list[tuple[Any, ...]]()


class TouchedFinder(Finder):
    def touch(self, *args: Any) -> None:
        self.touched.append(args)


@pytest.mark.parametrize("kind", [Finder, TouchedFinder])
def test_a_store_that_only_finds_keys_counts_nothing(door: Door, kind: type[Finder]) -> None:
    inner = MemoryStore()
    issued = door.open(store=inner).keys.create("key")
    finder = kind(inner)
    gate = door.open(store=finder, clock=lambda: NOW)
    for _ in range(3):
        assert door.get(key=issued.secret).status == 200
    door.flush()
    at = datetime.fromtimestamp(NOW, UTC)
    assert finder.touched == ([(issued.key.id, at, False)] if kind is TouchedFinder else [])
    assert gate._counting.counts == {}
    with pytest.raises(ConfigurationError, match="only finds keys"):
        door.run(gate.keys.ausage, issued.key.id)


def test_an_async_store_is_flushed_by_the_awaited_name(door: Door) -> None:
    if door.gate.keys.needs_await:
        for plain in (door.gate.flush, lambda: door.gate.keys.usage("0123456789AB")):
            with pytest.raises(ConfigurationError, match="async"):
                plain()
    else:
        door.gate.flush()


def test_many_keys_are_written_in_small_steps(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    sizes: list[int] = []
    works = MemoryStore.add_usage

    def add_usage(store: Any, counts: Any, uses: Any) -> None:
        assert counts == sorted(counts)
        assert uses == sorted(uses)
        sizes.append(max(len(counts), len(uses)))
        works(store, counts, uses)

    monkeypatch.setattr(MemoryStore, "add_usage", add_usage)
    gate = Gate(store, clock=lambda: 5.0 * HOUR)
    places = [(f"key{number:05}", 5, outcome) for number in range(600) for outcome in ("admitted", "rate_limited")]
    for place in places:
        gate._counting.counts[place] += 2
        gate._counting.use(place[0], TEN)
    gate.flush()
    assert (sizes[:2], sum(sizes), max(sizes)) == ([100, 100], 1200, 100)
    assert all(store.usage(key_id, 5, 6, 1)[0].number == 2 for key_id, _, _ in places)
