"""What happens in the middle: schedules that a proxy, barriers and a stopped loop make certain, over a real server."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
import redis
import trio
import trio.lowlevel
import uvloop

from keystile import Gate, Plan, Window, asgi, wsgi
from keystile._ground import health
from keystile._ground.redis import cluster
from keystile._sync import in_time, inline, pooled, run_now
from keystile.events import Event, Events
from keystile.limiters.failsafe import Failsafe
from keystile.limiters.redis import AsyncRedisLimiter, RedisLimiter
from keystile.limiters.script import key_of
from keystile.rules.limits.charges import charged
from tests.redis_server import Cluster, Server, valkey_binary
from tests.selection import often, some
from tests.tcp_proxy import Proxy

WINDOWS = (Window(50, 60),)
LATE = 0.75  # longer than any deadline of a call, so that a loop that is blocked for so long is late


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Probe at each chance, so that no test waits for the next one."""
    monkeypatch.setattr(health, "FIRST_PROBE", 0.0)
    monkeypatch.setattr(health, "LAST_PROBE", 0.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(valkey_binary()) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with redis.Redis.from_url(server.url) as raw:
        raw.flushdb()
    with Proxy(server.port) as proxy:
        yield proxy


class Told:
    """A limiter's failsafe, and the events that it told."""

    def __init__(self, limiter: Any, on_error: str = "local") -> None:
        self.events: list[Event] = []
        events = Events("text")
        events.listen(self.events.append)
        self.limiter, self.limits = limiter, Failsafe(limiter, on_error, events)

    @property
    def codes(self) -> list[str]:
        return [event.code for event in self.events]

    async def hit(self, subject: str = "k") -> int:
        """How many remain."""
        (usage,) = await self.limits.hit(pooled, subject, charged(WINDOWS))
        return usage.remaining

    def hit_now(self, subject: str = "k") -> int:
        (usage,) = run_now(self.limits.hit(inline, subject, charged(WINDOWS)))
        return usage.remaining

    def in_loop(self, work: Callable[[], Any], loop: Callable[[], Any] | None = None) -> Any:
        async def run() -> Any:
            try:
                return await work()
            finally:
                for each in self.limits.limiters()[1:]:
                    await each.close()

        with asyncio.Runner(loop_factory=loop) as runner:
            found = runner.run(run())
        self.limiter.close()
        return found


def counted(server: Server, subject: str = "k") -> int:
    """What the server itself holds of the subject."""
    limiter = RedisLimiter.from_url(server.url)
    (usage,) = limiter.peek(subject, WINDOWS)
    limiter.close()
    return usage.window.limit - usage.remaining


# --- A late loop --------------------------------------------------------------------------------------------------


def be_late() -> None:
    """Hold up the loop for longer than any deadline."""
    time.sleep(LATE)


def block_until_answered(proxy: Proxy) -> None:
    """Hold up the calling thread, which is the loop's, until the answer lies there and every deadline has passed."""
    proxy.release()
    assert proxy.answered.acquire(timeout=30)
    time.sleep(LATE)


# They differ in whether timers or connections come first in a turn.
LOOPS = pytest.mark.parametrize("loop", some([asyncio.new_event_loop, uvloop.new_event_loop], uvloop.new_event_loop))


@LOOPS
@pytest.mark.parametrize("calls", [1, 40])
def test_an_answer_that_is_there_is_taken_however_late_the_loop_is(
    proxy: Proxy, server: Server, calls: int, loop: Callable[[], Any]
) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        await asyncio.gather(*(told.hit() for _ in range(calls)))  # so that each has a connection
        proxy.hold()
        sent = [asyncio.create_task(told.hit()) for _ in range(calls)]
        for _ in sent:
            assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        block_until_answered(proxy)
        return sorted(await asyncio.gather(*sent), reverse=True)

    told_of = told.in_loop(work, loop)
    assert told_of == [max(0, 50 - calls - n) for n in range(1, calls + 1)]
    assert counted(server) == min(50, 2 * calls)
    assert told.codes == []


@LOOPS
def test_a_handler_that_blocks_again_and_again_makes_nobody_late(proxy: Proxy, loop: Callable[[], Any]) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        found = []
        await told.hit()
        for _ in range(3):
            task = asyncio.create_task(told.hit())
            for _ in range(3):
                await asyncio.sleep(0)
                be_late()
            found.append(await task)
        return found

    assert told.in_loop(work, loop) == [48, 47, 46]
    assert told.codes == []


def test_a_late_loop_does_not_make_worker_threads_late(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        found: list[int] = []

        async def hit() -> None:
            found.append(await told.hit())

        async with trio.open_nursery() as nursery:
            for _ in range(40):
                nursery.start_soon(hit)
            await trio.lowlevel.checkpoint()
            be_late()
        return sorted(found)

    assert trio.run(work) == list(range(10, 50))
    assert told.codes == []
    told.limiter.close()


def test_two_loops_of_which_one_is_late(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))
    blocked, go_on = threading.Event(), threading.Event()

    async def late() -> int:
        await told.hit("late")
        task = asyncio.create_task(told.hit("late"))
        await asyncio.sleep(0)
        blocked.set()
        assert go_on.wait(30)
        be_late()
        left = await task
        await told.limits.limiters()[1].close()
        return left

    async def other() -> list[int]:
        found = [await told.hit("other") for _ in range(10)]
        await told.limits.limiters()[1].close()
        return found

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(asyncio.run, late())
        assert blocked.wait(30)
        assert asyncio.run(other()) == list(range(49, 39, -1))
        go_on.set()
        assert first.result() == 48
    assert told.codes == []
    told.limiter.close()


def test_a_server_that_gives_no_answer_is_given_up_also_by_a_late_loop(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> tuple[int, int]:
        await told.hit()
        proxy.hold()
        task = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        be_late()
        here = await task
        proxy.release()
        return here, await told.hit()

    assert told.in_loop(work) == (49, 47)  # counted here; then there, where the one without an answer was counted too
    assert told.codes == ["limiter_down", "limiter_up"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_work_that_takes_too_long_is_cancelled(backend: str) -> None:
    ended = []

    async def hang() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    async def work() -> None:
        with pytest.raises(TimeoutError):
            await in_time(0.01, hang())

    anyio.run(work, backend=backend)
    assert ended == [True]


# --- In the middle of a call --------------------------------------------------------------------------------------


def test_a_connection_that_breaks_during_a_hit_is_not_followed_by_another(proxy: Proxy, server: Server) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        await told.hit()
        proxy.hold()
        task = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        proxy.cut()
        here = await task
        proxy.release()
        return [here, await told.hit(), await told.hit()]

    assert told.in_loop(work) == [49, 47, 46]  # sent once: two are counted before the third
    assert told.codes == ["limiter_down", "limiter_up"]
    assert counted(server) == 4


def test_a_request_that_is_cancelled_in_a_hit_leaves_its_answer_to_nobody(proxy: Proxy, server: Server) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        await told.hit("mine")
        proxy.hold()
        task = asyncio.create_task(told.hit("mine"))
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        proxy.release()
        return [await told.hit("yours"), await told.hit("mine")]

    assert told.in_loop(work) == [49, 47]
    assert told.codes == []


def test_it_comes_back_during_a_probe_while_others_are_counted_here(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))

    async def work() -> list[int]:
        await told.hit()
        proxy.cut()
        found = [await told.hit()]
        proxy.hold()
        probe = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        found += [await told.hit(), await told.hit()]
        proxy.release()
        return [*found, await probe, await told.hit()]

    found = told.in_loop(work)
    assert found[:3] == [49, 48, 47]
    assert found[3:] == [48, 47]
    assert told.codes == ["limiter_down", "limiter_up"]


def test_a_failure_of_an_older_call_does_not_end_a_probe(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url, socket_timeout=20))

    async def work() -> list[int]:
        await asyncio.gather(*(told.hit() for _ in range(2)))
        proxy.hold()
        older = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        told.limits._health.failed(0, OSError())  # another one's connection broke
        probe = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        older.cancel()
        proxy.release()
        return [await probe, await told.hit()]

    assert told.in_loop(work) == [46, 45]
    assert told.codes == ["limiter_down", "limiter_up"]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_during_a_hit_leaves_both_with_their_own_answers(proxy: Proxy, server: Server) -> None:
    told = Told(RedisLimiter.from_url(proxy.url, socket_timeout=20))
    told.hit_now()
    proxy.hold()
    with ThreadPoolExecutor(1) as pool:
        mine = pool.submit(told.hit_now)
        assert proxy.asked.acquire(timeout=30)
        child = os.fork()
        if child == 0:
            # Through the proxy, which belongs to the parent and passes on when that says so.
            left = told.hit_now("child")
            os._exit(left)
        proxy.release()
        assert mine.result() == 48
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 49
    assert told.codes == []
    told.limiter.close()


# --- Connections are made at the start ----------------------------------------------------------------------------


def gate_over(url: str, **settings: Any) -> Gate:
    return Gate(prefix="acme", limiter=url, plans={"free": Plan("50/minute")}, default_plan="free", **settings)


async def run_lifespan(app: Any) -> list[str]:
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[str] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    return sent


async def lifespan_app(scope: Any, receive: Any, send: Any) -> None:
    for name in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{name}.complete"})


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_asgi_door_connects_before_the_app_starts(proxy: Proxy, server: Server, backend: str) -> None:
    gate = gate_over(proxy.url)

    async def work() -> None:
        assert await run_lifespan(asgi.GateMiddleware(lifespan_app, gate=gate)) == [
            "lifespan.startup.complete",
            "lifespan.shutdown.complete",
        ]
        assert proxy.accepted == 1
        with redis.Redis.from_url(server.url) as raw:
            before = raw.info("commandstats")
            await gate.limits.hit(pooled, "k", charged(WINDOWS))
            after = raw.info("commandstats")
        names = [name for name in after if after[name]["calls"] != before.get(name, {"calls": 0})["calls"]]
        assert set(names) - {"cmdstat_get", "cmdstat_set", "cmdstat_time", "cmdstat_info"} == {"cmdstat_evalsha"}
        assert proxy.accepted == 1
        await gate.aclose()

    anyio.run(work, backend=backend)
    gate.limits.limiter.close()


def test_the_wsgi_door_connects_when_it_is_built(proxy: Proxy) -> None:
    gate = gate_over(proxy.url)
    assert proxy.accepted == 0
    wsgi.GateMiddleware(lambda *_: [], gate=gate)
    assert proxy.accepted == 1
    run_now(gate.limits.hit(inline, "k", charged(WINDOWS)))
    assert proxy.accepted == 1
    gate.close()


def test_a_limiter_that_is_down_at_the_start_is_down_before_the_first_request() -> None:
    with socket.socket() as held:  # nobody listens there, and nobody else comes to
        held.bind(("127.0.0.1", 0))
        told = Told(RedisLimiter.from_url(f"redis://127.0.0.1:{held.getsockname()[1]}"))
        run_now(told.limits.open(inline))
        assert told.codes == ["limiter_down"]
        assert told.hit_now() == 49


def test_a_first_connection_in_a_request_may_take_longer_than_an_answer(proxy: Proxy) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))
    proxy.hold()

    async def work() -> int:
        task = asyncio.create_task(told.hit())
        assert await asyncio.to_thread(proxy.asked.acquire, timeout=30)
        await asyncio.sleep(0.4)  # longer than an answer may take
        proxy.release()
        return await task

    assert told.in_loop(work) == 49
    assert told.codes == []


# --- Errors that a server replies ----------------------------------------------------------------------------------


def test_a_foreign_value_concerns_its_subject_alone_and_is_told_once(proxy: Proxy, server: Server) -> None:
    told = Told(RedisLimiter.from_url(proxy.url))
    rng = random.Random(3)

    async def work() -> None:
        with redis.Redis.from_url(server.url) as raw:
            for number in range(60):
                if number % 2:
                    raw.set(key_of("k"), rng.randbytes(300))
                else:
                    raw.delete(key_of("k"))
                    raw.lpush(key_of("k"), "x")
                assert await told.hit("k") == 49
                if number < 50:
                    assert await told.hit("other") == 49 - number

    told.in_loop(work)
    assert told.codes == ["limiter_unreadable"]
    assert "k" in told.events[0].reason


def with_replies(server: Server, *words: str) -> None:
    answer = server.command(*words)
    assert answer.startswith("+OK"), answer


@pytest.mark.parametrize("name", ["redis_url", "redis62_url"])
@pytest.mark.parametrize("kind", ["a full memory", "a replica", "a lock-out"])
def test_a_server_that_answers_nobody_is_down(request: pytest.FixtureRequest, name: str, kind: str) -> None:
    url = request.getfixturevalue(name)
    told = Told(RedisLimiter.from_url(url))
    acts: dict[str, tuple[Callable[[redis.Redis], Any], Callable[[redis.Redis], Any]]] = {
        "a full memory": (lambda raw: raw.config_set("maxmemory", 1), lambda raw: raw.config_set("maxmemory", 0)),
        "a replica": (lambda raw: raw.replicaof("127.0.0.1", 1), lambda raw: raw.replicaof("NO", "ONE")),
        "a lock-out": (
            lambda raw: raw.execute_command("ACL", "SETUSER", "default", "-evalsha"),
            lambda raw: raw.execute_command("ACL", "SETUSER", "default", "+evalsha"),
        ),
    }
    with redis.Redis.from_url(url) as raw:
        raw.flushdb()
        assert told.hit_now() == 49
        begin, end = acts[kind]
        begin(raw)
        try:
            assert [told.hit_now("a"), told.hit_now("b")] == [49, 49]
        finally:
            end(raw)
        assert told.codes == ["limiter_down"]
        assert told.hit_now() == 48
    assert told.codes == ["limiter_down", "limiter_up"]
    told.limiter.close()


# --- A Cluster: each node for itself --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with Cluster(3) as nodes:
        yield nodes


def subjects_of(nodes: Cluster) -> list[str]:
    """A subject for each of three nodes."""
    found: dict[int, str] = {}
    for number in range(1000):
        name = f"subject {number}"
        found.setdefault(cluster.slot_of(key_of(name)) * len(nodes.nodes) // cluster.SLOTS, name)
    return [found[index] for index in range(len(nodes.nodes))]


@pytest.mark.parametrize(
    ("kind", "how"),
    some(
        [("threads", "kill"), ("threads", "pause"), ("asyncio", "kill"), ("asyncio", "pause")],
        ("asyncio", "pause"),
        ("threads", "kill"),
    ),
)
def test_a_node_that_is_down_concerns_its_own_subjects(kind: str, how: str) -> None:
    with Cluster(3) as nodes:
        told = Told(RedisLimiter.from_url(nodes.url))
        subjects = subjects_of(nodes)

        async def all_hit() -> list[int]:
            if kind == "asyncio":
                return [await told.hit(each) for each in subjects]
            return [told.hit_now(each) for each in subjects]

        async def work() -> None:
            await told.limits.open(pooled if kind == "asyncio" else inline)
            assert await all_hit() == [49, 49, 49]
            getattr(nodes.nodes[0], how)()
            try:
                for count in range(1, 9):
                    assert await all_hit() == [50 - count, 49 - count, 49 - count]
                assert told.codes == ["limiter_down"]
                assert f"127.0.0.1:{nodes.nodes[0].port}" in told.events[0].reason
            finally:
                nodes.nodes[0].restart() if how == "kill" else nodes.nodes[0].resume()
            nodes._wait()
            found = await all_hit()
            assert found[1:] == [40, 40]
            assert told.codes == ["limiter_down", "limiter_up"]

        told.in_loop(work)


def calls_at(node: Server) -> int:
    with redis.Redis(port=node.port) as raw:
        found = raw.info("commandstats").get("cmdstat_evalsha", {"calls": 0})
        return int(found["calls"])


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_a_slot_that_moves_is_followed_and_counts_once(three: Cluster, kind: str) -> None:
    told = Told(RedisLimiter.from_url(three.url, socket_timeout=10))
    name = f"{kind} moves"
    slot = cluster.slot_of(key_of(name))
    first, second = three.nodes[slot * 3 // cluster.SLOTS], three.nodes[(slot * 3 // cluster.SLOTS + 1) % 3]
    ids = [redis.Redis(port=node.port).execute_command("CLUSTER", "MYID").decode() for node in (first, second)]

    async def hit() -> int:
        return await told.hit(name) if kind == "asyncio" else told.hit_now(name)

    async def work() -> None:
        await told.limits.open(pooled if kind == "asyncio" else inline)
        with_replies(second, "CLUSTER", "SETSLOT", str(slot), "IMPORTING", ids[0])
        with_replies(first, "CLUSTER", "SETSLOT", str(slot), "MIGRATING", ids[1])
        # A key that is not there yet is asked for at the other node, for this call alone.
        assert [await hit(), await hit()] == [49, 48]
        for node in (second, first):
            with_replies(node, "CLUSTER", "SETSLOT", str(slot), "NODE", ids[1])
        before = calls_at(first)
        assert [await hit(), await hit(), await hit()] == [47, 46, 45]
        assert calls_at(first) - before <= 1  # it said once where the slot is now

    told.in_loop(work)
    assert told.codes == []


def test_a_key_in_braces_has_the_slot_that_the_server_says(three: Cluster) -> None:
    with redis.Redis(port=three.nodes[0].port) as raw:
        for name in ("a", "a}b", "{a}b", "}", "", "{", "é"):
            assert cluster.slot_of(key_of(name)) == raw.execute_command("CLUSTER", "KEYSLOT", key_of(name))
        for key in (b"x", b"{}x", b"x{y}z", b"{a"):
            assert cluster.slot_of(key) == raw.execute_command("CLUSTER", "KEYSLOT", key)


def test_a_cluster_is_found_through_the_node_that_is_left(three: Cluster) -> None:
    hosts = "127.0.0.1:1,127.0.0.1:2," + three.url.partition("://")[2].split(",")[2]
    told = Told(RedisLimiter.from_url(f"redis+cluster://{hosts}"))
    assert [told.hit_now(f"left {each}") for each in subjects_of(three)] == [49, 49, 49]
    assert told.codes == []
    told.limiter.close()


def test_a_limiter_of_its_own_for_asyncio_knows_nodes_too(three: Cluster) -> None:
    async def work() -> list[str]:
        limiter = AsyncRedisLimiter.from_url(three.url)
        assert limiter.node_of("x") == ""
        await limiter.open()
        nodes = [limiter.node_of(each) for each in subjects_of(three)]
        await limiter.close()
        return nodes

    assert asyncio.run(work()) == [f"127.0.0.1:{node.port}" for node in three.nodes]


# --- All of it at once ----------------------------------------------------------------------------------------------


def soon(happened: Callable[[], object]) -> bool:
    """Whether it happens within half a minute."""
    deadline = time.monotonic() + 30
    while not happened() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(happened())


def test_under_everything_at_once_each_request_is_answered_and_no_window_holds_more_than_its_limit() -> None:
    """A server that is cut off, stopped and killed under load."""
    seconds = often(3, 60)
    rng, window = random.Random(5), (Window(10**6, 3600),)
    with Server(valkey_binary()) as server, Proxy(server.port) as proxy:
        told = Told(RedisLimiter.from_url(proxy.url))
        answers = {"here": 0, "there": 0}
        over = threading.Event()

        async def load() -> None:
            while not over.is_set():
                found = await told.limits.hit(pooled, f"k{rng.randrange(5)}", charged(window))
                answers["here" if type(found).__name__ == "_Local" else "there"] += 1
                await asyncio.sleep(0)

        async def many() -> None:
            await asyncio.gather(*(load() for _ in range(20)))
            await told.limits.limiters()[1].close()

        thread = threading.Thread(target=asyncio.run, args=(many(),))
        thread.start()
        proxy.hold()
        assert soon(lambda: answers["here"])
        proxy.release()
        assert soon(lambda: answers["there"])
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rng.choice([proxy.cut, proxy.hold, server.pause])()
            time.sleep(rng.random() / 2)
            proxy.release()
            server.resume()
            time.sleep(rng.random() / 2)
        over.set()
        thread.join(30)
        assert not thread.is_alive()
        assert told.codes[:2] in (["limiter_down", "limiter_up"], ["limiter_down"])
        # What was answered there was counted there; a call without an answer may have been.
        limiter = RedisLimiter.from_url(server.url, socket_timeout=10)
        total = sum(10**6 - limiter.peek(f"k{number}", window)[0].remaining for number in range(5))
        limiter.close()
        assert total >= answers["there"]
        told.limiter.close()
