"""The Redis limiter, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import random
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

import pytest
import redis
import trio

from keystile.exceptions import ConfigurationError, StoreUnavailable
from keystile.limiters.redis import AsyncRedisLimiter, RedisLimiter
from keystile.limiters.script import HIT, arguments, is_unreadable, key_of, usages
from keystile.model import Charges, Usage, Window
from keystile.rules.limits.charges import asking, charged, split
from keystile.rules.limits.packed import forget, slot_of
from keystile.rules.limits.usages import refuses
from keystile.rules.limits.windows import decide, look, refund
from tests.clocked_redis import with_clock_as_argument
from tests.redis_server import Server, free_port, valkey_binary
from tests.selection import often, some
from tests.test_limiters import damaged

MINUTE, DAY = Window(50, 60), Window(5000, 86400)
BOTH = (MINUTE, DAY)
SECRET = "correct-horse"


def admitted(answer: tuple[Usage, ...]) -> bool:
    return all(usage.retry_after == 0.0 for usage in answer)


def used(answer: tuple[Usage, ...]) -> list[int]:
    return [usage.window.limit - usage.remaining for usage in answer]


@pytest.fixture(params=some(["redis_url", "redis62_url"], "redis_url"))
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))


@pytest.fixture
def raw(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url) as client:
        client.flushdb()
        yield client


@pytest.fixture
def limiter(url: str, raw: redis.Redis) -> Iterator[RedisLimiter]:
    made = RedisLimiter.from_url(url)
    yield made
    made.close()


def in_loop(limiter: RedisLimiter, work: Callable[[AsyncRedisLimiter], Any]) -> Any:
    """Run asyncio work with the limiter's twin and close the twin in that loop."""

    async def run() -> Any:
        twin = limiter.for_asyncio()
        try:
            return await work(twin)
        finally:
            await twin.close()

    return asyncio.run(run())


# --- The script is the twin of rules/windows.py -------------------------------------------------------------------


LENGTHS = (1, 7, 60, 3600, 86400, 30 * 86400)
LIMITS = (0, 1, 2, 5, 10, 60, 100, 1000, 10**9)
UNITS = ("", "tokens")
Call = tuple[str, Charges, int, int]


def story(rng: random.Random, decisions: int) -> list[Call]:
    """What one caller does: with a few windows, near the moments that matter, on a clock that is sometimes set."""
    known = [(seconds, scope, unit) for seconds in LENGTHS for scope in ("", "/a", "POST /b/*") for unit in UNITS]
    slots = rng.sample(known, rng.randint(1, 3))
    lengths = [seconds * 1_000_000 for seconds, *_ in slots]
    watching = rng.choice([0, 0, 0, 0.1, 0.9])
    limits = [rng.choice(LIMITS) for _ in slots]
    heavy = rng.random() < 0.2
    calls: list[Call] = []
    now = 1_700_000_000_000_000 + rng.randrange(10**12)
    for _ in range(decisions):
        length = rng.choice(lengths)
        step = rng.choice([0, 1, length // 60, length // 60 + 1, length // 60 - 1, length, length - 1, length + 1])
        kind = rng.random()
        if kind < 0.6:
            now += rng.randrange(length // 30)
        elif kind < 0.97:
            now += step
        elif kind < 0.985:
            now -= step
        else:
            now += rng.choice([-1, 1]) * rng.randrange(3 * length)
        if rng.random() < 0.01:
            limits = [rng.choice(LIMITS) for _ in slots]  # a plan changes
        asked = [Window(limit, *slot) for slot, limit in zip(slots, limits, strict=True) if rng.random() < 0.9]
        asked = [each._replace(watching=rng.random() < watching) for each in asked or [Window(limits[0], *slots[0])]]
        act = rng.choices(["hit", "refund", "peek", "reset"], [87, 7, 5.5, 0.5])[0]
        same = cost_of(rng, heavy)
        costs = [same] * 3 if rng.random() < 0.7 else [rng.choice([0, 1, cost_of(rng, heavy)]) for _ in range(3)]
        # A refund is of some earlier call, or of a moment just at the end of a window.
        earlier = [call[2] for call in calls[-8:]] or [now]
        at = rng.choice([*earlier, now - length, now - length + 1, now + length, 0])
        calls.append((act, tuple(zip(asked, costs, strict=False)), now, at))
    return calls


def cost_of(rng: random.Random, heavy: bool) -> int:
    if heavy and rng.random() < 0.3:
        return rng.choice([rng.randrange(1, 2**25), rng.randrange(2**53), 2**53])
    return rng.choice([1, 1, 1, 2, 3, 7])


class ByTheRules:
    """What a caller has used, by rules/windows.py."""

    def __init__(self) -> None:
        self.packed: bytes | None = None

    def answer(self, call: Call) -> tuple[Usage, ...] | None:
        act, charges, now, at = call
        windows, costs = split(charges)
        if act == "reset":
            self.packed = forget(self.packed, [slot_of(window) for window in windows])
            return None
        if act == "refund":
            self.packed = None if self.packed is None else refund(self.packed, charges, at, now)
            return None
        if act == "peek":
            return look(self.packed, windows, now)
        after, answer = decide(self.packed, charges, now)
        assert (after is not None) == (any(costs) and not refuses(answer))
        self.packed = self.packed if after is None else after
        return answer


def command_for(sha: str, subject: str, call: Call) -> tuple[Any, ...]:
    act, charges, now, at = call
    code = {"peek": 0, "hit": 1, "reset": 2, "refund": 3}[act]
    asked = asking(split(charges)[0]) if act == "peek" else charges
    return ("EVALSHA", sha, *arguments(code, subject, asked, at)[2:], now)


def agrees(raw: redis.Redis, seed: int, decisions: int, callers: int) -> int:
    """Play stories to the server and to the rules and compare every answer; how many hits were admitted."""
    rng = random.Random(seed)
    sha = raw.script_load(with_clock_as_argument())
    total = 0
    for caller in range(callers):
        subject, calls = f"{seed}/{caller}", story(rng, decisions // callers)
        with raw.pipeline(transaction=False) as pipeline:
            for call in calls:
                pipeline.execute_command(*command_for(sha, subject, call))
            replies = pipeline.execute()
        rules = ByTheRules()
        for call, reply in zip(calls, replies, strict=True):
            expected = rules.answer(call)
            if expected is not None:
                assert usages(reply, call[1]) == expected, (seed, caller, call)
                total += call[0] == "hit" and not refuses(expected)
        raw.delete(key_of(subject))
    return total


def test_the_script_decides_as_the_rules_do(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as raw:
        count = sum(agrees(raw, seed, 10_000, callers=100) for seed in range(often(4, 10)))
    assert often(8_000, 20_000) < count < often(32_000, 80_000)  # both verdicts were compared


def test_an_old_server_decides_as_the_rules_do(redis62_url: str) -> None:
    with redis.Redis.from_url(redis62_url) as raw:
        assert agrees(raw, 99, 20_000, callers=200)


def test_a_batch_of_many_millions_and_a_lower_limit_later_are_kept_exactly(raw: redis.Redis) -> None:
    sha = raw.script_load(with_clock_as_argument())
    large, small, rules, now = Window(2**40, 60), Window(10, 60), ByTheRules(), 1_700_000_000_000_000
    costs = [1, 2, 2**24 - 1, 2**24, 3, 2**33, 1]
    calls: list[Call] = [("hit", ((large, cost),), now + 2_000_000 * n, 0) for n, cost in enumerate(costs)]
    calls += [("refund", ((large, 2**24 + 7),), now + 14_000_000, now + 12_000_000)]
    calls += [("peek", ((large, 0),), now + 14_000_001, 0)]
    calls += [("hit", ((small, 1),), now + 50_000_000 + 1_000_000 * n, 0) for n in range(40)]
    calls += [
        ("refund", ((small, 3),), now + 95_000_000, now + 80_000_000),
        ("peek", ((large, 0),), now + 69_000_000, 0),
    ]
    for call in calls:
        reply = raw.execute_command(*command_for(sha, "x", call))
        assert rules.answer(call) in (usages(reply, call[1]), None)


def test_limits_and_costs_beyond_exact_numbers_are_taken_as_the_largest_exact_one(limiter: RedisLimiter) -> None:
    assert admitted(limiter.hit("x", charged((Window(10**30, 60),), 10**20)))
    assert limiter.hit("y", charged((Window(5, 60),), 10**20))[0].retry_after is None


# --- All or none, and what a key is ------------------------------------------------------------------------------


def test_a_refused_request_spends_nothing_in_any_window(limiter: RedisLimiter) -> None:
    windows = (Window(12, 60), Window(200, 2_592_000))
    answers = [limiter.hit("k", charged(windows)) for _ in range(15)]
    assert [admitted(each) for each in answers] == [True] * 12 + [False] * 3
    assert [usage.remaining for usage in limiter.peek("k", windows)] == [0, 188]


def test_a_refused_request_writes_nothing(limiter: RedisLimiter, raw: redis.Redis) -> None:
    windows = (Window(1, 60), Window(0, 3600))
    assert not admitted(limiter.hit("k", charged(windows)))
    assert not raw.exists(key_of("k"))


def test_a_plan_change_keeps_the_count(limiter: RedisLimiter) -> None:
    for _ in range(8):
        limiter.hit("k", charged((Window(10, 60),)))
    assert used(limiter.peek("k", [Window(100, 60)])) == [8]
    assert limiter.peek("k", [Window(5, 60)])[0].remaining == 0


def test_scopes_and_subjects_never_share_a_count(limiter: RedisLimiter) -> None:
    names = ["a", "b", "a}", "{a}", "a}b", "}", "{", "", "%7D", "a%7D", "/x", "é", "\udcff", "a\x00b"]
    assert len({key_of(name) for name in names}) == len(names)
    for name in names:
        for scope in ("", "/x", "POST /x", "é"):
            assert used(limiter.hit(name, charged((Window(10, 60, scope),)))) == [1]


def test_every_subject_is_its_own_hash_tag() -> None:
    for name in ("a", "a}b", "{a}b", "}"):
        tag = key_of(name).partition(b"{")[2].partition(b"}")[0]
        assert tag
        assert key_of(name).endswith(b"{" + tag + b"}")


def test_windows_not_asked_for_are_kept(limiter: RedisLimiter) -> None:
    rule = Window(3, 3600, "/x")
    limiter.hit("k", charged((MINUTE, rule), 2))
    limiter.hit("k", charged((MINUTE,)))
    assert used(limiter.peek("k", [MINUTE, rule])) == [3, 2]


def test_one_window_with_two_limits_is_a_wrong_setting(limiter: RedisLimiter) -> None:
    with pytest.raises(ConfigurationError):
        limiter.hit("k", charged((Window(10, 60), Window(20, 60))))


def test_reset_forgets_the_named_windows_only(limiter: RedisLimiter, raw: redis.Redis) -> None:
    limiter.hit("k", charged(BOTH, 3))
    limiter.reset("k", [MINUTE])
    assert used(limiter.peek("k", BOTH)) == [0, 3]
    limiter.reset("k", [DAY])
    assert not raw.exists(key_of("k"))


def test_a_refund_is_one_command_and_keeps_when_the_key_ends(limiter: RedisLimiter, raw: redis.Redis) -> None:
    at = limiter.hit("k", charged((DAY,), 2))[0].at
    limiter.hit("k", charged((MINUTE,), 2))
    assert sent_while(raw, lambda: limiter.refund("k", charged((MINUTE,)), at)) == ["EVALSHA"]
    limiter.refund("k", charged((DAY,)), at)
    assert used(limiter.peek("k", BOTH)) == [1, 1]
    assert 60_001 < raw.pttl(key_of("k")) <= 86_400_001
    limiter.refund("k", charged((DAY,)), at)
    assert 0 < raw.pttl(key_of("k")) <= 60_001
    limiter.refund("k", charged(BOTH), at)
    limiter.refund("unknown", charged(BOTH), at)
    assert not raw.keys("*")


def test_every_key_ends_with_its_longest_window(limiter: RedisLimiter, raw: redis.Redis) -> None:
    limiter.hit("k", charged((MINUTE,)))
    assert 0 < raw.pttl(key_of("k")) <= 60_001
    limiter.hit("k", charged((DAY,)))
    assert 60_001 < raw.pttl(key_of("k")) <= 86_400_001
    limiter.hit("k", charged((MINUTE,)))
    assert 60_001 < raw.pttl(key_of("k")) <= 86_400_001
    limiter.reset("k", [DAY])
    assert 0 < raw.pttl(key_of("k")) <= 60_001


# --- One command a request ---------------------------------------------------------------------------------------


def sent_while(raw: redis.Redis, work: Callable[[], object]) -> list[str]:
    """The names of the commands that clients sent meanwhile."""
    with raw.monitor() as monitor:
        work()
        raw.echo("done")
        names = []
        for seen in monitor.listen():
            name = seen["command"].split()[0].upper()
            if name == "ECHO":
                return names
            if seen["client_type"] != "lua" and name not in ("CLIENT", "HELLO"):  # those open a connection
                names.append(name)
    raise AssertionError("the monitor ended")


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_request_is_one_command_however_many_windows(limiter: RedisLimiter, raw: redis.Redis, count: int) -> None:
    windows = tuple(Window(3, 60 * (n + 1), "/x" * n) for n in range(count))
    limiter.hit("k", charged(windows))
    assert sent_while(raw, lambda: [limiter.hit("k", charged(windows)) for _ in range(5)]) == ["EVALSHA"] * 5


def test_a_server_that_lost_the_script_is_sent_it_once(limiter: RedisLimiter, raw: redis.Redis) -> None:
    limiter.hit("k", charged(BOTH))
    raw.script_flush()
    names = sent_while(raw, lambda: [limiter.hit("k", charged(BOTH)) for _ in range(3)])
    assert names == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]
    assert used(limiter.peek("k", BOTH)) == [4, 4]


def test_under_asyncio_too(limiter: RedisLimiter, raw: redis.Redis) -> None:
    raw.script_flush()

    async def work(twin: AsyncRedisLimiter) -> list[str]:
        loop = asyncio.get_running_loop()
        await twin.peek("k", BOTH)
        raw.script_flush()

        def hits() -> None:
            for _ in range(3):
                asyncio.run_coroutine_threadsafe(twin.hit("k", charged(BOTH)), loop).result()

        return await asyncio.to_thread(sent_while, raw, hits)

    assert in_loop(limiter, work) == ["EVALSHA", "EVAL", "EVALSHA", "EVALSHA"]


# --- Many at once ------------------------------------------------------------------------------------------------


def hits_in_threads(url: str, count: int) -> int:
    limiter = RedisLimiter.from_url(url, socket_timeout=10, socket_connect_timeout=10)
    gate = threading.Barrier(count)

    def hit(_number: int) -> bool:
        gate.wait()
        return admitted(limiter.hit("crowd", charged(BOTH)))

    with ThreadPoolExecutor(count) as pool:
        total = sum(pool.map(hit, range(count)))
    limiter.close()
    return total


def test_exactly_the_limit_gets_through_200_threads(limiter: RedisLimiter, url: str) -> None:
    assert hits_in_threads(url, 200) == MINUTE.limit


def test_exactly_the_limit_gets_through_4_processes(limiter: RedisLimiter, url: str) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert sum(pool.starmap(hits_in_threads, [(url, 50)] * 4)) == MINUTE.limit


def test_exactly_the_limit_gets_through_200_tasks(limiter: RedisLimiter, url: str) -> None:
    async def work(twin: AsyncRedisLimiter) -> int:
        answers = await asyncio.gather(*(twin.hit("crowd", charged(BOTH)) for _ in range(200)))
        return sum(map(admitted, answers))

    patient = RedisLimiter.from_url(url, socket_timeout=10, socket_connect_timeout=10)
    assert in_loop(patient, work) == MINUTE.limit
    patient.close()


def test_several_loops_may_use_one_limiter_at_once(limiter: RedisLimiter) -> None:
    async def work(twin: AsyncRedisLimiter) -> None:
        for _ in range(10):
            await twin.hit("k", charged(BOTH))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _n: in_loop(limiter, work), range(4)))
    assert used(limiter.peek("k", BOTH)) == [40, 40]
    assert limiter.for_asyncio() is limiter.for_asyncio()


def test_a_trio_host_uses_it_in_worker_threads(limiter: RedisLimiter) -> None:
    async def work() -> int:
        answers = []

        async def hit() -> None:
            answers.append(await trio.to_thread.run_sync(limiter.hit, "k", charged(BOTH)))

        async with trio.open_nursery() as nursery:
            for _ in range(60):
                nursery.start_soon(hit)
        return sum(map(admitted, answers))

    assert trio.run(work) == MINUTE.limit


def hit_and_tell(limiter: RedisLimiter, results: Any) -> None:
    results.put([admitted(limiter.hit("k", charged(BOTH))) for _ in range(10)])


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_forked_processes_share_no_connection(limiter: RedisLimiter, raw: redis.Redis) -> None:
    limiter.hit("k", charged(BOTH))  # so that there is a connection to inherit
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=hit_and_tell, args=(limiter, results)) for _ in range(3)]
    for child in children:
        child.start()
    mine = [admitted(limiter.hit("k", charged(BOTH))) for _ in range(10)]
    assert all(sum((results.get() for _ in children), mine))
    for child in children:
        child.join()
    assert used(limiter.peek("k", BOTH)) == [41, 41]


# --- When it is down ---------------------------------------------------------------------------------------------


def test_a_killed_server_is_unavailable_and_then_back(redis_server: Server) -> None:
    limiter = RedisLimiter.from_url(redis_server.url)
    assert admitted(limiter.hit("k", charged(BOTH)))
    redis_server.kill()
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as caught:
            limiter.hit("k", charged(BOTH))
        assert str(caught.value).startswith(f"redis://127.0.0.1:{redis_server.port}: ")
    redis_server.restart()
    assert used(limiter.hit("k", charged(BOTH))) == [1, 1]
    limiter.close()
    assert admitted(limiter.hit("k", charged(BOTH)))
    limiter.close()


def test_a_killed_server_is_unavailable_and_then_back_under_asyncio(redis_server: Server) -> None:
    async def work(twin: AsyncRedisLimiter) -> None:
        assert admitted(await twin.hit("k", charged(BOTH)))
        redis_server.kill()
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await twin.hit("k", charged(BOTH))
        redis_server.restart()
        assert used(await twin.hit("k", charged(BOTH))) == [1, 1]

    in_loop(RedisLimiter.from_url(redis_server.url), work)


def test_a_stopped_server_is_unavailable_and_counts_each_call_at_most_once(redis_server: Server) -> None:
    limiter = RedisLimiter.from_url(redis_server.url)
    limiter.hit("k", charged(BOTH))
    redis_server.pause()
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            limiter.hit("k", charged(BOTH))
    redis_server.resume()
    patient = RedisLimiter.from_url(redis_server.url, socket_timeout=10)
    # The answer that came too late is never taken for another call's.
    (first,) = used(patient.hit("k", charged((MINUTE,))))
    assert first <= 5
    assert used(limiter.hit("k", charged((MINUTE,)))) == [first + 1]
    limiter.close()
    patient.close()


def test_a_stopped_server_is_unavailable_under_asyncio(redis_server: Server) -> None:
    async def work(twin: AsyncRedisLimiter) -> list[int]:
        await twin.hit("k", charged(BOTH))
        redis_server.pause()
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                await twin.hit("k", charged(BOTH))
        redis_server.resume()
        return used(await twin.hit("k", charged(BOTH)))

    first, second = in_loop(RedisLimiter.from_url(redis_server.url), work)
    assert first == second <= 5


class Impostor(socketserver.ThreadingTCPServer):
    """Greets like Redis, then answers the script's call with some octets, or with none and hangs up."""

    daemon_threads, allow_reuse_address = True, True

    def __init__(self, answer: bytes) -> None:
        self.answer, self.calls = answer, 0
        super().__init__(("127.0.0.1", 0), _Conversation)


class _Conversation(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := self.rfile.readline():
                words = [self._word() for _ in range(int(line[1:]))]
                if words[0] != b"EVALSHA":
                    self.wfile.write(b"+OK\r\n")
                    continue
                self.server.calls += 1  # type: ignore[attr-defined]
                if not self.server.answer:  # type: ignore[attr-defined]
                    return
                self.wfile.write(self.server.answer)  # type: ignore[attr-defined]

    def _word(self) -> bytes:
        return self.rfile.read(int(self.rfile.readline()[1:]) + 2)[:-2]


@pytest.fixture(
    params=[b"", b"$3\r\nabc\r\n", b"*1\r\n:5\r\n", b"?what\r\n", b"-ERR no\r\n", b"-LOADING\r\n", b"-READONLY no\r\n"]
)
def impostor(request: pytest.FixtureRequest) -> Iterator[Impostor]:
    with Impostor(request.param) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("options", [{}, {"retry_on_timeout": True, "retry_on_error": [redis.ConnectionError]}])
def test_nothing_is_sent_again_after_a_hang_up_or_a_strange_reply(impostor: Impostor, options: dict[str, Any]) -> None:
    limiter = RedisLimiter.from_url(f"redis://:{SECRET}@127.0.0.1:{impostor.server_address[1]}", **options)
    with pytest.raises(StoreUnavailable):
        limiter.hit("k", charged(BOTH))
    assert impostor.calls == 1

    async def work(twin: AsyncRedisLimiter) -> None:
        with pytest.raises(StoreUnavailable):
            await twin.hit("k", charged(BOTH))

    in_loop(limiter, work)
    assert impostor.calls == 2
    limiter.close()


# --- What is not ours under a subject's key ------------------------------------------------------------------------


def put(raw: redis.Redis, kind: str) -> None:
    """Something that the script never wrote."""
    key = key_of("k")
    if kind in ("list", "hash"):
        raw.delete(key)
    if kind == "list":
        raw.lpush(key, "x")
    elif kind == "hash":
        raw.hset(key, "x", "y")
    elif kind == "cut short":
        value = raw.get(key)
        assert isinstance(value, bytes)
        raw.set(key, value[:-1])
    elif kind == "with more behind it":
        raw.append(key, "x")
    else:
        raw.set(key, {"text": b"x" * 50, "nothing": b"", "zeros": bytes(2**20), "large": b"\xff" * 2**20}[kind])


KINDS = ["list", "hash", "cut short", "with more behind it", "text", "zeros", "large"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_ours_is_replaced_and_told(limiter: RedisLimiter, raw: redis.Redis, kind: str) -> None:
    told: list[str] = []
    limiter.on_unreadable = told.append
    limiter.hit("k", charged(BOTH, 3))
    put(raw, kind)
    assert used(limiter.peek("k", BOTH)) == [0, 0]
    assert used(limiter.hit("k", charged(BOTH))) == [1, 1]
    assert told == ["k", "k"]
    assert used(limiter.hit("k", charged(BOTH))) == [2, 2]
    assert 60_001 < raw.pttl(key_of("k")) <= 86_400_001
    assert told == ["k", "k"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("act", ["refused hit", "refund", "reset"])
def test_what_is_not_ours_goes_also_where_nothing_takes_its_place(
    limiter: RedisLimiter, raw: redis.Redis, kind: str, act: str
) -> None:
    limiter.hit("k", charged(BOTH, 3))
    put(raw, kind)
    if act == "refused hit":
        assert not admitted(limiter.hit("k", charged((Window(0, 60),))))
    elif act == "refund":
        limiter.refund("k", charged(BOTH), 5)
    else:
        limiter.reset("k", BOTH)
    assert not raw.exists(key_of("k"))


def test_a_key_without_an_end_gets_one(limiter: RedisLimiter, raw: redis.Redis) -> None:
    limiter.hit("k", charged(BOTH))
    raw.persist(key_of("k"))
    assert used(limiter.hit("k", charged(BOTH))) == [2, 2]
    assert raw.pttl(key_of("k")) > 0


@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("act", ["hit", "refund", "reset"])
def test_a_window_whose_seconds_were_damaged_keeps_the_key_no_longer(
    limiter: RedisLimiter, raw: redis.Redis, act: str, ends: bool
) -> None:
    rule = charged((Window(5, 30, "/x"), Window(5, 20, "/y")))
    limiter.hit("k", (*charged((MINUTE,)), *rule))
    value = raw.get(key_of("k"))
    assert isinstance(value, bytes)
    damaged = value.replace((30).to_bytes(4, "big"), (2**31).to_bytes(4, "big"))
    assert damaged != value
    raw.set(key_of("k"), damaged, keepttl=ends)
    getattr(limiter, act)("k", *{"hit": [rule], "refund": [rule[1:], 0], "reset": [(rule[1][0],)]}[act])
    assert raw.pttl(key_of("k")) <= 60_001


def test_a_refund_under_a_key_without_an_end_forgets_nothing_that_it_knows(
    limiter: RedisLimiter, raw: redis.Redis
) -> None:
    at = limiter.hit("k", charged(BOTH, 3))[0].at
    raw.persist(key_of("k"))
    limiter.refund("k", charged(BOTH), at)
    assert used(limiter.peek("k", BOTH)) == [2, 2]
    assert 60_001 < raw.pttl(key_of("k")) <= 86_400_001


def test_no_octets_under_a_key_are_an_error_and_none_last_longer_than_two_windows(raw: redis.Redis) -> None:
    rng, sha = random.Random(11), raw.script_load(with_clock_as_argument())
    key, charges, now = key_of("k"), charged((Window(5, 60), Window(40, 3600, "/x"))), 1_700_000_000_000_000
    watching = tuple((window._replace(watching=True), 2) for window, _ in charges)
    acts = [("hit", charges), ("hit", watching), ("peek", charges), ("refund", watching), ("reset", charges)]
    fresh = {("hit", charges): [1, 1], ("hit", watching): [2, 2]}
    for _ in range(1500):
        raw.delete(key)
        for _ in range(rng.randrange(1, 30)):
            now += rng.randrange(4_000_000)
            raw.execute_command(*command_for(sha, "k", ("hit", charges[: rng.randrange(1, 3)], now, 0)))
        raw.set(key, damaged(rng, raw.get(key)))  # type: ignore[arg-type]
        act = rng.choice(acts)
        reply = raw.execute_command(*command_for(sha, "k", (*act, now, now)))
        if is_unreadable(reply):
            assert used(usages(reply, charges)) == fresh.get(act, [0, 0])
        for usage in usages(raw.execute_command(*command_for(sha, "k", ("hit", charges, now, 0))), charges):
            assert usage.retry_after is not None
            assert usage.remaining <= usage.window.limit
        later = now + 2 * 3_600_000_000 + 1
        assert admitted(usages(raw.execute_command(*command_for(sha, "k", ("hit", charges, later, 0))), charges))


# --- Cluster, Sentinel, passwords, wrong settings ----------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster_node() -> Iterator[Server]:
    bus = str(free_port())
    with Server(valkey_binary(), "--cluster-enabled", "yes", "--cluster-port", bus) as server:
        with redis.Redis(port=server.port) as raw:
            raw.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            deadline = time.monotonic() + 30
            while raw.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < deadline
                time.sleep(0.01)
        yield server


def test_a_cluster(cluster_node: Server) -> None:
    limiter = RedisLimiter.from_url(f"redis+cluster://127.0.0.1:{cluster_node.port}", socket_timeout=10)
    for subject in ("a", "a}b", "{", ""):
        assert used(limiter.hit(subject, charged((*BOTH, Window(5, 60, "/x"))))) == [1, 1, 1]

    async def work(twin: AsyncRedisLimiter) -> list[int]:
        return used(await twin.hit("a", charged(BOTH)))

    assert in_loop(limiter, work) == [2, 2]
    limiter.close()


def test_a_cluster_that_is_stopped_counts_each_call_at_most_once(cluster_node: Server) -> None:
    limiter = RedisLimiter.from_url(f"redis+cluster://127.0.0.1:{cluster_node.port}")
    limiter.hit("stopped", charged(BOTH))

    async def work(twin: AsyncRedisLimiter) -> None:
        await twin.peek("stopped", BOTH)
        cluster_node.pause()
        try:
            with pytest.raises(StoreUnavailable):
                limiter.hit("stopped", charged(BOTH))
            with pytest.raises(StoreUnavailable):
                await twin.hit("stopped", charged(BOTH))
        finally:
            cluster_node.resume()

    in_loop(limiter, work)
    assert max(used(limiter.peek("stopped", BOTH))) <= 3
    limiter.close()


def test_a_cluster_that_is_down_when_it_is_built_is_found_later() -> None:
    limiter = RedisLimiter.from_url(f"redis+cluster://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable):
        limiter.hit("k", charged(BOTH))


def test_a_sentinel_and_its_master(redis_server: Server) -> None:
    config = f"sentinel monitor main 127.0.0.1 {redis_server.port} 1\n"
    with Server(valkey_binary(), "--sentinel", config=config) as sentinel:
        limiter = RedisLimiter.from_url(f"redis+sentinel://127.0.0.1:{sentinel.port}/main", socket_timeout=10)
        assert used(limiter.hit("k", charged(BOTH))) == [1, 1]

        async def work(twin: AsyncRedisLimiter) -> list[int]:
            return used(await twin.hit("k", charged(BOTH)))

        assert in_loop(limiter, work) == [2, 2]
        limiter.close()
        sentinel.pause()
        hasty = RedisLimiter.from_url(f"redis+sentinel://127.0.0.1:{sentinel.port}/main")
        with pytest.raises(StoreUnavailable):
            hasty.hit("k", charged(BOTH))
        sentinel.resume()


@pytest.mark.parametrize("userinfo", [f":{SECRET}", f"user:{SECRET}", f":a/{SECRET}", f":a@{SECRET}"])
def test_a_password_is_in_no_message(userinfo: str) -> None:
    with Server(valkey_binary(), "--requirepass", "another") as server:
        for scheme in ("redis", "redis+cluster"):
            text = ""
            try:
                limiter = RedisLimiter.from_url(f"{scheme}://{userinfo}@127.0.0.1:{server.port}?x={SECRET}")
                text = repr(limiter) + repr(limiter.for_asyncio())
                limiter.hit("k", charged(BOTH))
            except (StoreUnavailable, ConfigurationError) as error:
                text += f"{error!r} {error} {error.__dict__}"
            assert scheme in text
            assert SECRET not in text


def test_a_password_opens_the_server() -> None:
    with Server(valkey_binary(), "--requirepass", SECRET) as server:
        limiter = RedisLimiter.from_url(f"redis://:{SECRET}@127.0.0.1:{server.port}")
        assert admitted(limiter.hit("k", charged(BOTH)))
        limiter.close()


@pytest.mark.parametrize(
    "url",
    ["redis", "http://localhost", "redis+what://h", "redis://h:port", "redis+sentinel://h:1", "redis+cluster://h", ""],
)
def test_a_wrong_url_fails_when_built(url: str) -> None:
    with pytest.raises(ConfigurationError, match="limiter"):
        RedisLimiter.from_url(url)


def test_a_wrong_option_fails_when_built() -> None:
    with pytest.raises(ConfigurationError, match="colour"):
        RedisLimiter.from_url("redis://127.0.0.1", colour="red")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    monkeypatch.setitem(sys.modules, f"{scheme}.exceptions", None)
    with pytest.raises(ConfigurationError) as caught:
        RedisLimiter.from_url(f"{scheme}://127.0.0.1")
    assert f"needs the driver {scheme}: pip install 'keystile[redis]'" in str(caught.value)
    drivers = [each for each in metadata.requires("keystile") or () if "extra == 'redis'" in each]
    assert any(each.startswith(scheme) for each in drivers)


def test_importing_the_module_imports_no_driver() -> None:
    check = "import sys, keystile.limiters.redis; assert not {'redis', 'valkey', 'limits'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


def test_the_valkey_driver_serves_too(redis_url: str) -> None:
    limiter = RedisLimiter.from_url(redis_url.replace("redis://", "valkey://"))
    limiter.reset("v", BOTH)
    assert used(limiter.hit("v", charged(BOTH))) == [1, 1]

    async def work(twin: AsyncRedisLimiter) -> list[int]:
        return used(await twin.hit("v", charged(BOTH)))

    assert in_loop(limiter, work) == [2, 2]
    limiter.close()


def test_the_command_is_the_same_octets_for_every_kind_of_sequence() -> None:
    assert arguments(HIT, "k", list(charged(BOTH))) == arguments(HIT, "k", charged(BOTH))
