"""The gate over a limiter that goes down and comes back: a real Redis, through both doors."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import redis
from anyio.from_thread import start_blocking_portal

from keystile import Argon2Hasher, ConfigurationError, Gate, Plan, Usage, Window
from keystile._ground import health
from keystile._sync import inline, run_now
from keystile.events import Events
from keystile.exceptions import StoreBusy, StoreUnavailable
from keystile.limiters import NotCounted, failsafe
from keystile.limiters.failsafe import Failsafe, LimiterDown
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.redis import RedisLimiter
from keystile.limiters.storages import StorageLimiter
from keystile.rules.limits.charges import charged
from keystile.stores.sqlite import SQLiteStore
from tests.doors import Answer, Door
from tests.redis_server import Server
from tests.selection import some

LIMIT, REMAINING = "x-ratelimit-limit", "x-ratelimit-remaining"
WINDOWS = (Window(3, 60),)
Logged = Callable[[], list[str]]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe at each chance, so that no test waits for the next one."""
    monkeypatch.setattr(health, "FIRST_PROBE", 0.0)
    monkeypatch.setattr(health, "LAST_PROBE", 0.0)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Logged:
    """What keystile logged, by its level."""
    return lambda: [each.levelname for each in caplog.records if each.name == "keystile"]


class LastingDoor(Door):
    """One event loop for all requests, as a host has it: connections belong to their loop."""

    portal: Any

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self.portal.call(partial(function, *args, **named))


@pytest.fixture(params=["asyncio", "trio", "wsgi"])
def door(request: pytest.FixtureRequest, cheap_hasher: Argon2Hasher) -> Iterator[Door]:
    opened: list[Gate] = []

    def make(**settings: Any) -> Gate:
        opened.append(Gate(**{"prefix": "acme", "hasher": cheap_hasher} | settings))
        return opened[-1]

    with start_blocking_portal("trio" if request.param == "trio" else "asyncio") as LastingDoor.portal:
        made = LastingDoor(make, request.param)
        yield made
        for gate in opened:
            if request.param == "asyncio":
                made.run(gate.aclose)
            else:
                gate.close()


def open_on(door: Door, server: Server, **settings: Any) -> str:
    """A gate over this server; a key with 5 a minute that has proved itself once, and so used one of them."""
    door.open(limiter=server.url, plans={"free": Plan("5/minute")}, default_plan="free", **settings)
    secret: str = door.create().secret
    assert told(door.get(key=secret)) == (200, "4")
    return secret


def told(answer: Answer) -> tuple[int, str | None]:
    return answer.status, answer.header(REMAINING)


# --- What holds while it is down ---------------------------------------------------------------------------------


def test_local_holds_the_same_windows_in_this_process(door: Door, redis_server: Server, logged: Logged) -> None:
    secret = open_on(door, redis_server)
    redis_server.kill()
    answers = [door.get(key=secret) for _ in range(7)]
    assert [told(each) for each in answers] == [*((200, str(4 - n)) for n in range(5)), (429, "0"), (429, "0")]
    redis_server.restart()
    assert [told(door.get(key=secret)) for _ in range(2)] == [(200, "4"), (200, "3")]
    assert logged() == ["ERROR", "WARNING"]


def test_allow_admits_without_headers(door: Door, redis_server: Server, logged: Logged) -> None:
    secret = open_on(door, redis_server, on_limiter_error="allow")
    redis_server.kill()
    for _ in range(7):
        answer = door.get(key=secret)
        assert answer.status == 200
        assert not [name for name, _ in answer.headers if "ratelimit" in name]
    redis_server.restart()
    assert told(door.get(key=secret)) == (200, "4")
    assert logged() == ["ERROR", "WARNING"]


def test_deny_refuses_with_503_also_a_key_that_was_never_seen(door: Door, redis_server: Server, logged: Logged) -> None:
    secret = open_on(door, redis_server, on_limiter_error="deny")
    unseen = door.create().secret
    redis_server.kill()
    for each in (secret, unseen, secret, unseen):
        answer = door.get(key=each)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert int(answer.header("retry-after") or 0) >= 1
        assert answer.header(LIMIT) is None
    redis_server.restart()
    assert told(door.get(key=secret)) == (200, "4")
    assert told(door.get(key=unseen)) == (200, "4")
    assert logged() == ["ERROR", "WARNING"]


@pytest.mark.parametrize("choice", ["local", "allow", "deny"])
def test_a_server_that_was_down_at_the_start_is_used_once_it_is_there(
    door: Door, redis_server: Server, logged: Logged, choice: str
) -> None:
    redis_server.kill()
    door.open(limiter=redis_server.url, plans={"free": Plan("5/minute")}, default_plan="free", on_limiter_error=choice)
    secret = door.create().secret
    assert door.get(key=secret).status == (503 if choice == "deny" else 200)
    redis_server.restart()
    assert told(door.get(key=secret)) == (200, "4")
    assert logged() == ["ERROR", "WARNING"]


def test_a_server_that_lost_its_scripts_is_not_down(door: Door, redis_server: Server, logged: Logged) -> None:
    secret = open_on(door, redis_server, on_limiter_error="deny")
    with redis.Redis.from_url(redis_server.url) as raw:
        raw.script_flush()
    assert told(door.get(key=secret)) == (200, "3")
    assert logged() == []


def test_a_value_of_somebody_else_concerns_its_caller_alone(door: Door, redis_server: Server, logged: Logged) -> None:
    secret, other = open_on(door, redis_server), door.create().secret
    with redis.Redis.from_url(redis_server.url) as raw:
        (key,) = raw.keys("*")
        for value in ("junk", "more junk"):
            raw.set(key, value)
            assert told(door.get(key=secret)) == (200, "4")
            assert door.get(key=other).status == 200
        raw.delete(key)
        raw.lpush(key, "x")
        assert told(door.get(key=secret)) == (200, "4")
    assert told(door.get(key=other)) == (200, "2")
    assert logged() == ["WARNING"]


def test_a_stopped_server_is_sent_each_request_at_most_once(door: Door, redis_server: Server, logged: Logged) -> None:
    secret = open_on(door, redis_server, on_limiter_error="allow")
    redis_server.pause()
    statuses = [door.get(key=secret).status for _ in range(3)]
    redis_server.resume()
    assert statuses == [200] * 3
    (left,) = [int(told(door.get(key=secret))[1] or 0)]
    assert 0 <= left <= 3
    assert told(door.get(key=secret)) == ((200, str(left - 1)) if left else (429, "0"))
    assert logged() == ["ERROR", "WARNING"]


# --- Many under way while it goes and comes ----------------------------------------------------------------------


def many(door: Door, secret: str, meanwhile: Callable[[], None], count: int = 60) -> list[int]:
    """The statuses of many requests that are under way at once, while something happens."""
    sent = threading.Barrier(count + 1)

    def one(_number: int) -> list[int]:
        sent.wait()
        return [door.get(key=secret).status for _ in range(3)]

    with ThreadPoolExecutor(count) as pool:
        found = [pool.submit(one, number) for number in range(count)]
        sent.wait()
        meanwhile()
        return [status for each in found for status in each.result()]


@pytest.mark.parametrize(
    ("choice", "how"),
    some(
        [(choice, how) for choice in ("local", "allow", "deny") for how in ("kill", "pause")],
        ("local", "pause"),
        ("deny", "kill"),
    ),
)
def test_mid_traffic_every_request_is_answered(
    door: Door, redis_server: Server, logged: Logged, choice: str, how: str
) -> None:
    secret = open_on(door, redis_server, on_limiter_error=choice)
    statuses = many(door, secret, getattr(redis_server, how))
    assert len(statuses) == 180
    assert set(statuses) <= {"local": {200, 429}, "allow": {200, 429}, "deny": {503, 200, 429}}[choice]
    if choice == "local":
        assert statuses.count(200) <= 4 + 5  # what was left there, and the same windows here
    assert door.get(key=secret).status in ({503} if choice == "deny" else {200, 429})
    if how == "kill":
        redis_server.restart()
    else:
        redis_server.resume()
    many(door, secret, lambda: None, 10)
    assert logged() == ["ERROR", "WARNING"]


# --- The state machine, on a limiter that the test controls --------------------------------------------------------


class Told:
    """A limiter that answers, or raises, as the test says; and counts how often it was asked."""

    blocking = False

    def __init__(self) -> None:
        self.asked, self.refunds, self.error = 0, 0, None

    def hit(self, subject: str, charges: Any) -> tuple[Usage, ...]:
        self.asked, self.charges = self.asked + 1, charges
        if self.error is not None:
            raise self.error
        return tuple(Usage(window, 77, 0.0, 0.0) for window, _ in charges)

    peek = reset = None

    def refund(self, subject: str, charges: Any, at: int) -> None:
        self.refunds += 1
        if self.error is not None:
            raise self.error

    def close(self) -> None: ...


def hit(limits: Failsafe, subject: str = "a") -> Any:
    return run_now(limits.hit(inline, subject, charged(WINDOWS)))


def left(usages: Any) -> list[int]:
    return [usage.remaining for usage in usages]


@pytest.mark.parametrize(
    "error", [OSError(), ValueError(), StoreUnavailable("x", "y"), KeyError(), StoreBusy("x", "y")]
)
def test_whatever_it_raises_it_is_down(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failsafe, "PATIENCE", 0.0)
    limiter = Told()
    limits = Failsafe(limiter, "local")
    limiter.error = error
    assert left(hit(limits)) == [2]
    limiter.error = None
    assert left(hit(limits)) == [77]


@pytest.mark.parametrize("answer", [None, (), 5])
def test_an_answer_that_is_none_is_down(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    monkeypatch.setattr(Told, "hit", lambda *_: answer)
    assert left(hit(Failsafe(Told(), "local"))) == [2]


def test_it_is_asked_again_at_growing_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "FIRST_PROBE", 1.0)
    monkeypatch.setattr(health, "LAST_PROBE", 5.0)
    monkeypatch.setattr(health.random, "uniform", lambda *_: 1.0)
    now = [100.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    limiter = Told()
    limits = Failsafe(limiter, "allow")
    limiter.error = OSError()
    asked_at = []
    for second in range(100, 120):
        now[0], before = float(second), limiter.asked
        for _ in range(3):
            assert hit(limits) == ()
        asked_at += [second] * (limiter.asked - before)
    assert asked_at == [100, 101, 103, 107, 112, 117]
    limiter.error = None
    now[0] = 122.0
    assert left(hit(limits)) == [77]
    now[0] = 126.0
    limiter.error = OSError()
    hit(limits)
    now[0] = 130.0
    assert hit(limits) == ()  # it was back for a moment only
    now[0] = 131.0
    limiter.error = None
    assert left(hit(limits)) == [77]
    now[0] = 136.0
    limiter.error = OSError()
    hit(limits)
    now[0] = 137.0
    limiter.error = None
    assert left(hit(limits)) == [77]  # the intervals start anew


def test_a_limiter_that_comes_and_goes_is_told_of_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    now = [100.0]
    monkeypatch.setattr(health.time, "monotonic", lambda: now[0])
    limiter = Told()
    limits = Failsafe(limiter, "allow")
    for second in range(100, 220):
        now[0] = float(second)
        limiter.error = OSError() if second % 2 == 0 or second > 215 else None
        hit(limits)
    assert logged() == ["ERROR", "WARNING", "ERROR", "WARNING"]
    now[0] = 220.0  # what was held back is reported in the end
    hit(limits)
    assert logged() == ["ERROR", "WARNING", "ERROR", "WARNING", "ERROR"]


class Slow(Told):
    """Each call waits until the test decides its outcome."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.entered, self.go = threading.Semaphore(0), threading.Event()

    def hit(self, subject: str, charges: Any) -> tuple[Usage, ...]:
        self.entered.release()
        assert self.go.wait(30)
        return super().hit(subject, charges)


def test_only_one_request_probes_at_a_time() -> None:
    limiter = Slow()
    limits = Failsafe(limiter, "allow")
    limiter.error = OSError()
    limiter.go.set()
    hit(limits)
    limiter.go.clear()
    limiter.entered.acquire()
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(hit, limits)
        limiter.entered.acquire()
        assert [hit(limits) for _ in range(5)] == [()] * 5
        limiter.error = None
        limiter.go.set()
        assert left(probe.result()) == [77]
    assert limiter.asked == 2


def test_a_call_from_before_a_change_changes_nothing(logged: Logged) -> None:
    limiter = Slow()
    limits = Failsafe(limiter, "allow")
    with ThreadPoolExecutor(3) as pool:
        late = [pool.submit(hit, limits) for _ in range(3)]
        for _ in late:
            limiter.entered.acquire()
        limits._health.failed(0, OSError())  # another request's connection broke
        limits._health.answered(1)  # and a probe found it well again
        limiter.error = OSError()
        limiter.go.set()
        assert [each.result() for each in late] == [()] * 3
    limiter.error = None
    assert left(hit(limits)) == [77]
    assert logged() == ["ERROR", "WARNING"]


def test_a_probe_that_is_cancelled_makes_room_for_the_next() -> None:
    class Hanging:
        error: Exception | None = OSError()

        async def hit(self, subject: str, charges: Any) -> tuple[Usage, ...]:
            if self.error is not None:
                raise self.error
            if self.hang:
                await asyncio.Event().wait()
            return tuple(Usage(window, 77, 0.0, 0.0) for window, _ in charges)

        peek = refund = hit
        hang = True

    async def work() -> None:
        limiter: Any = Hanging()
        limits = Failsafe(limiter, "allow")
        assert limits.needs_await
        assert await limits.hit(inline, "a", charged(WINDOWS)) == ()
        limiter.error = None
        probe = asyncio.create_task(limits.hit(inline, "a", charged(WINDOWS)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        probe.cancel()
        with pytest.raises(asyncio.CancelledError):
            await probe
        limiter.hang = False
        assert left(await limits.hit(inline, "a", charged(WINDOWS))) == [77]

    asyncio.run(work())


def test_an_async_limiter_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failsafe, "ANSWER_WITHIN", 0.01)

    class Silent:
        async def hit(self, subject: str, charges: Any) -> Any:
            await asyncio.Event().wait()

        peek = refund = hit

    async def work() -> None:
        limits = Failsafe(Silent(), "local")  # type: ignore[arg-type]
        assert left(await limits.hit(inline, "a", charged(WINDOWS))) == [2]

    asyncio.run(work())


def test_a_call_that_waited_for_a_thread_until_the_limiter_was_down_is_not_made(
    monkeypatch: pytest.MonkeyPatch, logged: Logged
) -> None:
    monkeypatch.setattr(failsafe, "SLOTS", 1)
    monkeypatch.setattr(health, "FIRST_PROBE", 60.0)
    limiter = Slow()
    limits = Failsafe(limiter, "allow")
    limiter.error = OSError()
    with ThreadPoolExecutor(5) as pool:
        first = pool.submit(hit, limits)
        limiter.entered.acquire()
        waiting = [pool.submit(hit, limits) for _ in range(4)]
        while limits._pool._inside < 5:
            time.sleep(0.001)
        limiter.go.set()
        assert [each.result() for each in (first, *waiting)] == [()] * 5
    assert limiter.asked == 1
    assert logged() == ["ERROR"]


def test_a_queue_that_is_full_says_nothing_of_the_limiter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failsafe, "SLOTS", 1)
    monkeypatch.setattr(failsafe, "QUEUE", 0)
    limiter, told = Slow(), []
    events = Events("text")
    events.listen(told.append)
    limits = Failsafe(limiter, "allow", events)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(hit, limits)
        limiter.entered.acquire()
        assert [hit(limits) for _ in range(3)] == [()] * 3
        limiter.go.set()
        assert left(first.result()) == [77]
    assert left(hit(limits)) == [77]
    assert [each.code for each in told] == ["limiter_refused"]


def test_an_error_about_one_call_concerns_that_call_alone() -> None:
    limiter, told = Told(), []
    events = Events("text")
    events.listen(told.append)
    limits = Failsafe(limiter, "local", events)
    limiter.error = NotCounted("redis://x", "ResponseError")
    assert [left(hit(limits)) for _ in range(2)] == [[2], [1]]
    limiter.error = None
    assert left(hit(limits, "b")) == [77]
    assert [(each.code, each.reason) for each in told] == [
        ("limiter_refused", "on_limiter_error='local' holds for one call: redis://x: ResponseError")
    ]


def test_a_probe_that_is_refused_found_it_up() -> None:
    limiter = Told()
    limits = Failsafe(limiter, "local")
    limiter.error = OSError()
    hit(limits)
    limiter.error = NotCounted("x", "y")
    assert left(hit(limits)) == [1]
    assert limits._health.changes == 2


def test_a_child_is_not_kept_from_probing_by_its_parents_probe() -> None:
    limits = Failsafe(Told(), "allow")
    limits._health.failed(0, OSError())
    assert limits._health.may_probe()
    assert not limits._health.may_probe()
    limits._health.reset()  # what a fork does
    assert limits._health.may_probe()


def test_a_refund_goes_where_the_hit_was_counted() -> None:
    limiter = Told()
    limits = Failsafe(limiter, "local")
    there = hit(limits)
    limiter.error = OSError()
    here = hit(limits)
    hit(limits)
    limiter.error = None
    run_now(limits.refund(inline, "a", charged(WINDOWS), there))  # it is down: lost
    assert limiter.refunds == 0
    assert left(limits._local.peek("a", WINDOWS)) == [1]
    hit(limits)
    run_now(limits.refund(inline, "a", charged(WINDOWS), here))
    assert limiter.refunds == 0
    assert left(limits._local.peek("a", WINDOWS)) == [2]
    run_now(limits.refund(inline, "a", charged(WINDOWS), there))
    assert limiter.refunds == 1


def test_what_was_used_beyond_a_reservation_counts_where_that_was_counted() -> None:
    limiter = Told()
    limits = Failsafe(limiter, "local")
    there = hit(limits)
    limiter.error = OSError()
    here = hit(limits)
    limiter.error = None
    assert limiter.asked == 2
    assert not run_now(limits.overdraw(inline, "a", charged(WINDOWS, 5), there))  # it is down: lost
    assert limiter.asked == 2
    hit(limits)  # finds that it is back
    assert run_now(limits.overdraw(inline, "a", charged(WINDOWS, 5), here))
    assert limiter.asked == 3
    assert left(limits._local.peek("a", WINDOWS)) == [0]
    assert run_now(limits.overdraw(inline, "a", charged(WINDOWS, 5), there))
    assert list(limiter.charges) == [(WINDOWS[0]._replace(watching=True), 5)]
    assert run_now(limits.overdraw(inline, "a", charged(WINDOWS), ())) == ()  # "allow" took nothing
    assert limiter.asked == 4


def test_what_is_settled_while_the_limiter_fails_fails_nobody_and_is_told(logged: Logged) -> None:
    limiter = Told()
    limits = Failsafe(limiter, "deny")
    usages = hit(limits)
    limiter.error = OSError()
    assert not run_now(limits.overdraw(inline, "a", charged(WINDOWS), usages))
    assert logged() == ["ERROR"]
    assert not run_now(limits.refund(inline, "a", charged(WINDOWS), usages))


def test_a_limiter_says_whether_it_decides_units_in_one_step() -> None:
    assert Failsafe(Told(), "local").one_step
    assert not Failsafe(StorageLimiter("memcached://127.0.0.1:1"), "local").one_step


def test_a_refund_that_fails_fails_nobody(logged: Logged) -> None:
    limiter = Told()
    limits = Failsafe(limiter, "deny")
    usages = hit(limits)
    limiter.error = OSError()
    run_now(limits.refund(inline, "a", charged(WINDOWS), usages))
    assert logged() == ["ERROR"]
    with pytest.raises(LimiterDown):
        hit(limits)


def test_without_the_asyncio_driver_its_calls_go_to_threads(logged: Logged) -> None:
    class Lacking(Told):
        blocking = True

        def for_asyncio(self) -> Any:
            raise ConfigurationError("its driver is missing", key="limiter")

    limits = Failsafe(Lacking(), "deny")
    assert limits.limiters() == [limits.limiter]
    assert left(hit(limits)) == [77]
    assert logged() == ["WARNING"]


def test_windows_in_memory_are_counted_without_a_coroutine() -> None:
    limiter = MemoryLimiter()
    assert Failsafe(limiter, "local").hit_now == limiter.hit
    assert Failsafe(Told(), "local").hit_now is None


def test_the_log_repeats_no_driver(caplog: pytest.LogCaptureFixture) -> None:
    limiter = Told()
    limiter.error = OSError("redis://:secret@host")
    hit(Failsafe(limiter, "local"))
    assert "secret" not in caplog.text
    assert re.search(r"limiter_down.*'local'.*OSError", caplog.text)


# --- Commands, and processes --------------------------------------------------------------------------------------


def test_a_warm_request_is_one_command(door: Door, redis_server: Server) -> None:
    door.open(limiter=redis_server.url, plans={"free": Plan("50/minute; 500/day; 5000/month")}, default_plan="free")
    secret = door.create().secret
    door.get(key=secret)

    def calls(raw: redis.Redis) -> dict[str, int]:
        found = raw.info("commandstats")
        return {name: found[name]["calls"] for name in found if name not in ("cmdstat_info", "cmdstat_time")}

    with redis.Redis.from_url(redis_server.url) as raw:
        before = calls(raw)
        for _ in range(5):
            assert door.get(key=secret).status == 200
        after = calls(raw)
    sent = {name: count - before.get(name, 0) for name, count in after.items()}
    # What the script does itself is no command of ours; ASGI requests of this test each open a connection of their own.
    inside = {"cmdstat_get", "cmdstat_set"}
    opening = {"cmdstat_hello", "cmdstat_client|setinfo", "cmdstat_client", "cmdstat_select"}
    assert {name: n for name, n in sent.items() if n and name not in inside | opening} == {"cmdstat_evalsha": 5}


def fifty(kind: str, url: str, path: str, secret: str, ready: Any) -> list[int]:
    """The statuses of 50 requests at once, in a process of its own."""

    def make(**settings: Any) -> Gate:
        limiter = RedisLimiter.from_url(url, socket_timeout=20, socket_connect_timeout=20)
        return Gate(
            SQLiteStore(path),
            prefix="acme",
            hasher=Argon2Hasher(memory_kib=8, time_cost=1),
            limiter=limiter,
            plans={"free": Plan("50/minute; 1000/hour")},
            default_plan="free",
            **settings,
        )

    failsafe.ANSWER_WITHIN = 20.0
    door = Door(make, kind)
    ready.wait()
    if kind == "asyncio":

        async def at_once() -> list[Answer]:
            headers = [("authorization", f"Bearer {secret}")]
            calls = (door.asgi_call("GET", "/", headers, "127.0.0.1") for _ in range(50))
            answers = await asyncio.gather(*calls)
            await door.gate.aclose()
            return answers

        return [answer.status for answer in asyncio.run(at_once())]
    with ThreadPoolExecutor(50) as pool:
        statuses = [answer.status for answer in pool.map(lambda _: door.get(key=secret), range(50))]
    door.gate.close()
    return statuses


@pytest.mark.parametrize("kind", ["asyncio", "wsgi"])
def test_of_200_at_once_in_4_processes_exactly_the_limit_gets_through(
    kind: str, redis_server: Server, tmp_path: Any, cheap_hasher: Argon2Hasher
) -> None:
    path = str(tmp_path / "keys.db")
    gate = Gate(SQLiteStore(path), prefix="acme", hasher=cheap_hasher, plans={"free": Plan(None)}, default_plan="free")
    secret = gate.keys.create("crowd").secret
    gate.close()
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(4) as pool:
        ready = manager.Barrier(4)
        found = pool.starmap(fifty, [(kind, redis_server.url, path, secret, ready)] * 4, chunksize=1)
    statuses = [status for each in found for status in each]
    assert (statuses.count(200), statuses.count(429)) == (50, 150)
