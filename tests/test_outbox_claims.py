"""What workers take from the outbox and give back: by leases, fairly, and whatever happens to them on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from keystile.exceptions import ConfigurationError, StoreUnavailable
from keystile.webhooks import Scheme, Secret, sign, verify
from keystile.webhooks.outbox import Claimed, Finished, Next, Outbox
from keystile.webhooks.outbox.claiming import PER_ENDPOINT, next_of
from keystile.webhooks.sending import Attempt
from tests.outboxes import ARRIVED, KEY, KINDS, REFUSED, START, Box, Clock, host_url, outbox_of
from tests.postgres_server import PostgresServer, postgres_url  # noqa: F401

LEASE = 60.0


@pytest.fixture(params=KINDS)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    with outbox_of(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    with outbox_of(request.param, request, tmp_path) as found:
        yield found


def test_what_is_due_is_claimed_oldest_first_and_no_more_than_asked(box: Box) -> None:
    box.endpoint()
    messages = []
    for _ in range(3):
        box.clock.now += 1
        messages.append(box.send())
    first = box.take(most=2)
    assert [each.message_id for each in first] == messages[:2]
    assert [(each.attempt, each.tries, each.lease_by) for each in first] == [(1, 1, "worker")] * 2
    assert {each.lease_until for each in first} == {box.clock.now + LEASE}
    assert [each.message_id for each in box.take()] == messages[2:]
    assert box.take() == []


def test_nothing_is_claimed_before_it_is_due(box: Box) -> None:
    box.endpoint()
    box.send()
    [claimed] = box.take()
    assert box.end(claimed, Next.retry(box.clock.now + 5), REFUSED) == Finished()
    box.clock.now += 4.999
    assert box.take() == []
    box.clock.now += 0.001
    [again] = box.take()
    assert (again.delivery_id, again.attempt, again.tries) == (claimed.delivery_id, 2, 2)


def test_a_lease_that_ended_is_claimed_again_and_the_sleeper_changes_nothing(box: Box) -> None:
    endpoint = box.endpoint()
    box.send()
    [sleeper] = box.take("one")
    box.clock.now += LEASE - 0.001
    assert box.take("two") == []
    box.clock.now += 0.001
    [again] = box.take("two")
    assert (again.delivery_id, again.attempt) == (sleeper.delivery_id, 2)
    assert box.end(sleeper, Next.failed(disable="gone"), REFUSED) is None
    assert box.endpoints.get(endpoint.id).is_enabled
    assert box.states(endpoint.id) == ["due"]
    assert box.attempts(again.delivery_id) == []
    assert box.end(again)
    assert box.end(again)  # the same once more: nobody may have heard of the first
    box.clock.now += 1
    assert box.end(again) is None
    assert box.end(sleeper) is None
    assert [each.attempt for each in box.attempts(again.delivery_id)] == [2]


def test_a_worker_that_wakes_up_under_the_same_name_changes_nothing(box: Box) -> None:
    box.endpoint()
    box.send()
    [sleeper] = box.take()
    box.clock.now += LEASE
    [again] = box.take()
    assert box.end(sleeper) is None
    assert box.end(again)


def test_one_endpoint_has_so_many_under_way_and_holds_up_no_other(box: Box) -> None:
    slow = box.endpoint("org_1")
    for _ in range(20):
        box.send()
    box.clock.now += 1
    quick = box.endpoint("org_2")
    for _ in range(3):
        box.send(organization_id="org_2")
    first = box.take(most=6)
    assert Counter(each.endpoint.id for each in first) == {slow.id: PER_ENDPOINT, quick.id: 2}
    second = box.take("another", most=6)
    assert Counter(each.endpoint.id for each in second) == {quick.id: 1}
    box.end(first[0])
    assert [each.endpoint.id for each in box.take()] == [slow.id]
    box.clock.now += LEASE
    assert len(box.take(full=frozenset([slow.id]))) == 3
    assert len(box.take(full={slow.id, quick.id})) == 0


def test_the_oldest_is_first_of_all_endpoints(plain: Box) -> None:
    made = [plain.endpoint(f"org_{each}") for each in range(10)]
    order = [made[each].organization_id for each in (3, 1, 4, 1, 5, 9, 2, 6)]
    for organization in order:
        plain.clock.now += 1
        plain.send(organization_id=organization)
    assert [each.endpoint.organization_id for each in plain.take()] == order


def test_failures_are_noted_from_the_first_on_until_something_arrives(box: Box) -> None:
    endpoint = box.endpoint()
    since = []
    for then, attempt in (
        (Next.retry(START, blamed=False), Attempt(None, "busy")),
        (Next.retry(START), REFUSED),
        (Next.retry(START), REFUSED),
        (Next.done(), ARRIVED),
    ):
        if not since:
            box.send()
        box.clock.now += 10
        [claimed] = box.take()
        box.end(claimed, then, attempt)
        found = box.endpoints.get(endpoint.id)
        since.append(found.first_failure_at and found.first_failure_at.timestamp())
        assert found.revision == 1
    assert since == [None, START + 20, START + 20, None]


def test_an_endpoint_is_disabled_by_what_follows_an_attempt(box: Box) -> None:
    endpoint = box.endpoint()
    box.send()
    box.send()
    first, second = box.take()
    assert box.end(first, Next.failed(disable="gone"), Attempt(410)) == Finished(disabled=True)
    assert box.end(second, Next.failed(disable="gone"), Attempt(410)) == Finished(disabled=False)
    found = box.endpoints.get(endpoint.id)
    assert (found.disabled_reason, found.revision) == ("gone", 2)
    assert found.disabled_at.timestamp() == box.clock.now


def test_an_endpoint_that_something_reached_meanwhile_is_not_disabled_for_failing(box: Box) -> None:
    endpoint = box.endpoint()
    for _ in range(3):
        box.send()
    first, second, third = box.take()
    box.end(first, Next.retry(START), REFUSED)
    failing = box.endpoints.get(endpoint.id).first_failure_at.timestamp()
    box.end(second)
    box.clock.now += 1
    late = Next.failed(disable="failing", failing_since=failing)
    assert box.end(third, late, REFUSED) == Finished(disabled=False)
    box.clock.now += 7.000003
    [again] = box.take()
    assert again.endpoint.first_failure_at == START + 1
    then = Next.retry(box.clock.now, disable="failing", failing_since=again.endpoint.first_failure_at)
    assert box.end(again, then, REFUSED) == Finished(disabled=True)
    assert box.take() == []
    box.endpoints.enable(endpoint.id)
    assert box.endpoints.get(endpoint.id).first_failure_at is None
    assert [each.delivery_id for each in box.take()] == [again.delivery_id]


def test_what_a_worker_drops_is_not_tried_again(box: Box) -> None:
    endpoint = box.endpoint()
    box.send()
    [claimed] = box.take()
    assert box.end(claimed, Next.dropped(), Attempt(None, "blocked"))
    assert box.states(endpoint.id) == ["dropped"]
    assert box.endpoints.get(endpoint.id).first_failure_at is None


@pytest.mark.parametrize(
    ("named", "key"),
    [
        ({"most": 0}, "most"),
        ({"most": 257}, "most"),
        ({"most": True}, "most"),
        ({"lease": 0}, "lease"),
        ({"lease": 3601}, "lease"),
        ({"lease": float("nan")}, "lease"),
        ({"per_endpoint": 0}, "per_endpoint"),
        ({"worker_id": ""}, "worker_id"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(named: dict[str, Any], key: str, tmp_path: Path) -> None:
    outbox = Outbox(f"sqlite:///{tmp_path / 'o.db'}", KEY)
    with pytest.raises(ConfigurationError, match=f"^{key}: "):
        outbox.claim(**{"worker_id": "w", "most": 1, "now": START, **named})


class Life(RuleBasedStateMachine):
    """Workers that claim, finish and forget, against what was promised."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.outbox = Outbox(f"sqlite:///{self._folder()}/outbox.db", KEY, clock=self.clock)
        made = [self.outbox.endpoints.create("https://a.example", organization_id=each) for each in "abc"]
        self.endpoints = {each.endpoint.organization_id: each.endpoint.id for each in made}
        self.held: dict[str, Claimed] = {}
        self.lost: list[Claimed] = []
        self.open: dict[str, float] = {}  # when each delivery is due, by message
        self.added = 0

    @staticmethod
    def _folder() -> str:
        import tempfile

        return tempfile.mkdtemp(prefix="keystile-life-")

    def teardown(self) -> None:
        self.outbox.close()

    @rule(organization=st.sampled_from("abc"), count=st.integers(1, 6))
    def add(self, organization: str, count: int) -> None:
        for _ in range(count):
            self.open[self.outbox.add("a.b", {}, organization_id=organization)] = self.clock.now

    @rule(seconds=st.sampled_from([0.5, 10, 59.9, 60, 300]))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds
        ended = [key for key, each in self.held.items() if each.lease_until <= self.clock.now]
        self.lost += [self.held.pop(key) for key in ended]

    @rule(most=st.integers(1, 9), worker=st.sampled_from(["one", "two"]))
    def claim(self, most: int, worker: str) -> None:
        due = [each for each, at in self.open.items() if at <= self.clock.now]
        found = self.outbox.claim(worker, most, now=self.clock.now)
        under_way = Counter(each.endpoint.id for each in self.held.values())
        for each in found:
            assert each.message_id in due
            assert each.message_id not in self.held
            self.held[each.message_id] = each
            self.open[each.message_id] = each.lease_until
        now_under_way = Counter(each.endpoint.id for each in self.held.values())
        assert max(now_under_way.values(), default=0) <= PER_ENDPOINT
        if len(found) < most:  # then nothing more may be had
            left = Counter(self.endpoint_of(each) for each in due if each not in self.held)
            assert all(now_under_way[each] >= PER_ENDPOINT for each in left), (left, under_way)

    def endpoint_of(self, message_id: str) -> str:
        [found] = [each for each in self.endpoints.values() if self._has(each, message_id)]
        return found

    def _has(self, endpoint_id: str, message_id: str) -> bool:
        return any(each.message_id == message_id for each in self.outbox.deliveries(endpoint_id, limit=1000))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), then=st.sampled_from(["done", "retry", "failed"]))
    def finish(self, data: st.DataObject, then: str) -> None:
        message = data.draw(st.sampled_from(sorted(self.held)))
        claimed = self.held.pop(message)
        at = self.clock.now + 5
        wanted = {"done": Next.done(), "retry": Next.retry(at), "failed": Next.failed()}[then]
        attempt = ARRIVED if then == "done" else REFUSED
        assert self.outbox.finish(claimed, attempt, wanted, now=self.clock.now)
        if then == "retry":
            self.open[message] = at
        else:
            del self.open[message]

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def sleeper(self, data: st.DataObject) -> None:
        """A lease that ended may still be finished, but only if nobody else has claimed it since."""
        claimed = self.lost.pop(data.draw(st.integers(0, len(self.lost) - 1)))
        again = self.held.get(claimed.message_id)
        newer = again is not None or any(
            each.message_id == claimed.message_id and each.attempt > claimed.attempt for each in self.lost
        )
        done = self.outbox.finish(claimed, ARRIVED, Next.done(), now=self.clock.now)
        if newer:
            assert done is None
        if done:
            del self.open[claimed.message_id]

    @invariant()
    def nothing_is_lost(self) -> None:
        due = sum(
            each.state == "due" for one in self.endpoints.values() for each in self.outbox.deliveries(one, limit=1000)
        )
        assert due == len(self.open)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=12, stateful_step_count=20, deadline=None)


WORKER = """
import sys, time
from keystile.webhooks.outbox import Next, Outbox
from keystile.webhooks.sending import Attempt

url, key, name, now = sys.argv[1:5]
outbox = Outbox(url, key)
print("ready", flush=True)
sys.stdin.readline()
empty = 0
while empty < 3:
    found = outbox.claim(name, 7, now=float(now), per_endpoint=50)
    empty = 0 if found else empty + 1
    for each in found:
        print(each.delivery_id, each.attempt, flush=True)
        if len(sys.argv) > 5:
            time.sleep(60)
        outbox.finish(each, Attempt(200), Next.done(), now=float(now))
"""


def process(url: str, name: str, now: float, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, url, KEY, name, str(now), *more]
    found = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert found.stdout is not None
    assert found.stdout.readline() == "ready\n"
    return found


def test_workers_of_several_processes_never_claim_one_delivery_at_once(plain: Box) -> None:
    made = [plain.endpoint(f"org_{each}") for each in range(5)]
    for each in range(150):
        plain.send(organization_id=made[each % 5].organization_id)
    workers = [process(plain.url, f"worker {each}", plain.clock.now) for each in range(3)]
    for each in workers:
        assert each.stdin is not None
        each.stdin.write("\n")
        each.stdin.flush()
    claimed = [line for each in workers for line in each.communicate()[0].splitlines()]
    assert [each.returncode for each in workers] == [0, 0, 0]
    assert len(claimed) == len(set(claimed)) == 150
    assert {line.split()[1] for line in claimed} == {"1"}
    assert plain.rows("SELECT state, count(*) FROM keystile_deliveries GROUP BY state") == [("done", 150)]


def test_what_a_killed_worker_had_is_claimed_again(plain: Box) -> None:
    endpoint = plain.endpoint()
    plain.send()
    worker = process(plain.url, "worker", plain.clock.now, "sleeps")
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write("\n")
    worker.stdin.flush()
    [delivery_id, attempt] = worker.stdout.readline().split()
    os.kill(worker.pid, signal.SIGKILL)
    worker.communicate()
    assert plain.take("another") == []
    plain.clock.now += LEASE
    [again] = plain.take("another")
    assert (again.delivery_id, again.attempt, attempt) == (delivery_id, 2, "1")
    assert plain.end(again)
    assert plain.states(endpoint.id) == ["done"]


def test_threads_share_an_outbox(plain: Box) -> None:
    plain.endpoint()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: plain.send(data={"id": each}), range(40)))
        found = list(pool.map(lambda each: plain.take(f"worker {each}", most=5, per_endpoint=100), range(16)))
    claimed = [each.delivery_id for taken in found for each in taken]
    assert len(claimed) == len(set(claimed)) == 40


def test_a_postgresql_that_is_started_again_has_lost_nothing() -> None:
    clock = Clock()
    with PostgresServer() as server:
        outbox = Outbox(server.url, KEY, clock=clock)
        outbox.migrate()
        box = Box(outbox, server.url, clock)
        endpoint = box.endpoint()
        for _ in range(3):
            box.send()
        first, second, third = box.take()
        assert box.end(first)
        server.stop()
        for operation in (lambda: box.end(second), box.take, box.send, lambda: box.endpoints.get(endpoint.id)):
            with pytest.raises(StoreUnavailable):
                operation()
        server.start()
        deadline = time.monotonic() + 20
        while True:
            try:
                ended = box.end(second)
                break
            except StoreUnavailable:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert ended
        clock.now += LEASE
        assert [each.delivery_id for each in box.take()] == [third.delivery_id]
        assert box.states(endpoint.id) == ["done", "done", "due"]
        outbox.close()


@contextmanager
def breaking(box: Box) -> Iterator[None]:
    """The next commit is done, but its answer is lost with the connection."""
    engine, broken = box.inner._database._links.writers, list[int]()

    def commit(connection: sa.Connection) -> None:
        if not broken:
            broken.append(1)
            raw: Any = connection.connection.dbapi_connection
            raw.commit()
            raw.pgconn.finish()

    sa.event.listen(engine, "commit", commit)
    try:
        yield
    finally:
        sa.event.remove(engine, "commit", commit)
    assert broken == [1]


def test_a_write_that_nobody_has_heard_of_is_done_once(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of("postgresql", request, tmp_path) as box:
        with breaking(box):
            issued = box.endpoints.create("https://a.example", organization_id="org_1")
        endpoint = issued.endpoint
        with breaking(box):
            message = box.send(dedupe_key="k")
        assert box.rows("SELECT id FROM keystile_messages") == [(message,)]
        with breaking(box):
            new = box.endpoints.rotate(endpoint.id)
        assert box.endpoints.get(endpoint.id).revision == 3
        with breaking(box):
            [claimed] = box.take()
        assert (claimed.message_id, claimed.attempt) == (message, 1)
        assert box.take() == []
        signed = sign(Scheme.standard(), claimed.endpoint.secrets, claimed.payload, now=1, id="msg_1")
        for secret in (issued.secret, new.secret):
            verify(Scheme.standard(), [Secret(secret)], signed, claimed.payload, now=1)
        with breaking(box):
            assert box.end(claimed, Next.failed(disable="gone"), Attempt(410)) == Finished(disabled=True)
        assert [each.attempt for each in box.attempts(claimed.delivery_id)] == [1]
        assert box.end(claimed, Next.failed(disable="gone"), Attempt(410)) == Finished(disabled=True)
        box.clock.now += 1
        assert box.end(claimed) is None
        with breaking(box):
            box.endpoints.delete(endpoint.id)
        assert box.endpoints.list() == []


def test_who_wants_only_endpoints_that_are_well_is_given_no_others(plain: Box) -> None:
    well, failing = plain.endpoint("org_1").id, plain.endpoint("org_2").id
    plain.send(organization_id="org_2")
    [claimed] = plain.take()
    plain.end(claimed, Next.retry(plain.clock.now), Attempt(500))
    plain.clock.now += 1
    plain.send(organization_id="org_1")
    assert [each.endpoint.id for each in plain.take(well=True)] == [well]
    [claimed] = plain.take()
    assert claimed.endpoint.id == failing
    plain.end(claimed)
    plain.send(organization_id="org_2")
    assert [each.endpoint.id for each in plain.take(well=True)] == [failing]


def test_what_is_next_is_found_through_the_partial_index(plain: Box) -> None:
    endpoints = [plain.endpoint(f"org_{each}").id for each in range(20)]
    columns = "id, message_id, endpoint_id, state, attempt, begun_after, due_at, lease_by"
    values = [
        (f"d{each:06}", f"m{each}", endpoints[each % 20], "due" if each % 5 == 0 else "done", 0, 0, each, None)
        for each in range(10_000)
    ]
    postgres = plain.url.startswith("postgresql")
    with plain.engine() as engine, engine.begin() as connection:
        marks = ", ".join([":" + name for name in columns.split(", ")])
        connection.execute(
            sa.text(f"INSERT INTO keystile_deliveries ({columns}) VALUES ({marks})"),
            [dict(zip(columns.split(", "), each, strict=True)) for each in values],
        )
        explain = sa.text(f"EXPLAIN {'' if postgres else 'QUERY PLAN'} {next_of(connection.dialect.name).text}")
        given = {"now": 10_000, "full": ["", endpoints[0]], "each": 4, "most": 64}
        for statistics in ("SELECT 1", "ANALYZE"):  # a queue that was empty a minute ago has none
            connection.exec_driver_sql(statistics)
            plan = str(connection.execute(explain.bindparams(sa.bindparam("full", expanding=True)), given).all())
            assert plan.count("keystile_deliveries_due") >= 2, plan
            assert not re.search(r"Seq Scan on keystile_deliveries|SCAN (due|keystile_deliveries)(?! USING)", plan), (
                plan
            )
            assert "keystile_deliveries_by_endpoint" not in plan, plan


def test_a_long_queue_of_one_endpoint_makes_no_claim_slow(plain: Box) -> None:
    """Counted, not timed: the rows that a claim reads do not grow with what waits for an endpoint."""
    values = {"now": 10**6, "full": [""], "each": 4, "most": 64}
    if plain.url.startswith("postgresql"):
        many = plain.endpoint()
        rows = f"SELECT 'd' || n, 'm' || n, '{many.id}', 'due', 0, 0, n, NULL FROM generate_series(1, 20000) AS n"
        with plain.engine() as engine, engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql(f"INSERT INTO keystile_deliveries {rows}")
            connection.exec_driver_sql("VACUUM ANALYZE keystile_deliveries")  # of what other tests left there
            explain = sa.text(f"EXPLAIN (ANALYZE, BUFFERS) {next_of('postgresql').text}")
            plan = str(connection.execute(explain.bindparams(sa.bindparam("full", expanding=True)), values).all())
        assert int(re.findall(r"Buffers: shared hit=(\d+)", plan)[0]) < 60, plan
        return
    many = plain.endpoint()
    with plain.engine() as engine, engine.begin() as connection:
        steps: list[int] = []
        for count in (100, 10_000):
            rows = [(f"d{each}", f"m{each}", many.id, each) for each in range(count // 2, count)]
            connection.exec_driver_sql("INSERT INTO keystile_deliveries VALUES (?, ?, ?, 'due', 0, 0, ?, NULL)", rows)
            raw: Any = connection.connection.dbapi_connection
            ticks = [0]
            raw.set_progress_handler(lambda ticks=ticks: ticks.__setitem__(0, ticks[0] + 1), 1)
            assert len(connection.execute(next_of("sqlite"), values).all()) == 4
            raw.set_progress_handler(None, 1)
            steps.append(ticks[0])
    assert steps[1] < steps[0] * 1.5, steps


def test_a_host_in_the_middle_of_a_transaction_holds_no_worker_up(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with outbox_of("postgresql", request, tmp_path) as box:
        endpoint = box.endpoint()
        box.send()
        engine = sa.create_engine(host_url(box.url))
        with engine.connect() as host:
            late = box.send(session=host)
            [claimed] = box.take()
            assert box.end(claimed, Next.retry(START), REFUSED)
            box.endpoints.update(endpoint.id, description="another")
            host.commit()
        engine.dispose()
        assert late in {each.message_id for each in box.take()}


def test_a_worker_waits_while_another_writes_to_the_file(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of("sqlite", request, tmp_path) as box:
        box.endpoint()
        box.send()
        with box.engine() as engine, engine.connect() as host:
            host.exec_driver_sql("BEGIN IMMEDIATE")
            held = threading.Thread(target=lambda: found.extend(box.take()))
            found: list[Claimed] = []
            held.start()
            held.join(0.2)
            assert (held.is_alive(), found) == (True, [])
            host.rollback()
        held.join(10)
        assert len(found) == 1
