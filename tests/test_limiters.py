"""The contract that every limiter keeps, whatever it counts in."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from keystile import ConfigurationError
from keystile._sync import patiently
from keystile.exceptions import StoreBusy, StoreUnavailable
from keystile.limiters import anonymous_subject, open_limiter, subject
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Usage, Window
from keystile.rules import windows as rules
from keystile.rules.packed import take_back
from keystile.stores.sqlite import SQLiteStore
from tests.clocked_redis import ClockedRedisLimiter

SECOND = 1_000_000
MINUTE, DAY, RULE = Window(60, 60), Window(5000, 86_400), Window(5, 3600, "POST /x")


class Clock:
    """Microseconds that pass when the test says so; read in nanoseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now * 1000


def in_redis(request: pytest.FixtureRequest, clock: Clock) -> ClockedRedisLimiter:
    url = request.getfixturevalue("redis_url")
    with redis.Redis.from_url(url) as raw:
        raw.flushdb()
    return ClockedRedisLimiter(url, clock)


LIMITERS: dict[str, Callable[[pytest.FixtureRequest, Clock], Any]] = {
    "memory": lambda _, clock: MemoryLimiter(clock=clock, wall=clock),
    "sqlite": lambda request, clock: SQLiteLimiter(request.getfixturevalue("tmp_path") / "windows.db", clock=clock),
    "redis": in_redis,
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=LIMITERS)
def limiter(request: pytest.FixtureRequest, clock: Clock) -> Iterator[Any]:
    made = LIMITERS[request.param](request, clock)
    yield made
    made.close()


def admitted(usages: tuple[Usage, ...]) -> bool:
    return not any(usage.retry_after is None or usage.retry_after > 0 for usage in usages)


def remaining(usages: tuple[Usage, ...]) -> list[int]:
    return [usage.remaining for usage in usages]


class TestContract:
    def test_a_hit_counts_its_cost_in_every_window(self, limiter, clock):
        usages = limiter.hit("a", (MINUTE, DAY), 5)
        assert usages == (
            Usage(MINUTE, 55, clock.now / SECOND + 60, 0.0),
            Usage(DAY, 4995, clock.now / SECOND + 86_400, 0.0),
        )

    def test_a_full_window_refuses_until_its_batch_leaves(self, limiter, clock):
        assert all(admitted(limiter.hit("a", (MINUTE,), 1)) for _ in range(60))
        refused = limiter.hit("a", (MINUTE,), 1)
        assert refused == (Usage(MINUTE, 0, clock.now / SECOND + 60, 60.0),)
        clock.now += 60 * SECOND - 1
        assert not admitted(limiter.hit("a", (MINUTE,), 1))
        clock.now += 1
        assert admitted(limiter.hit("a", (MINUTE,), 1))

    def test_a_refused_hit_counts_nothing_anywhere(self, limiter):
        windows = (Window(12, 60), Window(200, 30 * 86_400))
        found = [limiter.hit("a", windows, 1) for _ in range(15)]
        assert [admitted(each) for each in found] == [True] * 12 + [False] * 3
        assert remaining(limiter.peek("a", windows)) == [0, 188]

    def test_no_edge_lets_twice_the_limit_through(self, limiter, clock):
        clock.now += 59 * SECOND
        assert all(admitted(limiter.hit("a", (Window(10, 60),), 1)) for _ in range(10))
        clock.now += 2 * SECOND
        assert not any(admitted(limiter.hit("a", (Window(10, 60),), 1)) for _ in range(10))

    def test_a_limit_of_zero_and_a_cost_above_the_limit_wait_for_ever(self, limiter):
        assert limiter.hit("a", (DAY, Window(0, 60)), 1)[1].retry_after is None
        assert limiter.hit("a", (Window(5, 60),), 6)[0].retry_after is None
        assert remaining(limiter.peek("a", (DAY,))) == [5000]

    def test_without_windows_everything_is_admitted(self, limiter):
        assert limiter.hit("a", (), 1) == ()

    def test_subjects_count_for_themselves(self, limiter):
        limiter.hit(subject("a/b", "c"), (MINUTE,), 1)
        assert remaining(limiter.hit(subject("a", "b/c"), (MINUTE,), 1)) == [59]

    def test_another_plan_keeps_the_count(self, limiter):
        for _ in range(5):
            limiter.hit("a", (MINUTE, DAY), 1)
        assert remaining(limiter.hit("a", (Window(100, 60), Window(200, 7200)), 1)) == [94, 199]
        assert remaining(limiter.hit("a", (Window(3, 60), DAY), 1)) == [0, 4995]

    def test_windows_of_a_rule_count_for_themselves(self, limiter):
        for _ in range(5):
            assert admitted(limiter.hit("a", (MINUTE, DAY, RULE), 1))
        assert not admitted(limiter.hit("a", (MINUTE, DAY, RULE), 1))
        assert remaining(limiter.hit("a", (MINUTE, DAY, Window(9, 3600, "GET /y")), 1)) == [54, 4994, 8]
        assert remaining(limiter.hit("a", (MINUTE, DAY), 1)) == [53, 4993]
        assert remaining(limiter.peek("a", (RULE,))) == [0]

    def test_a_look_counts_nothing_and_says_how_long_to_wait(self, limiter):
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]
        limiter.hit("a", (MINUTE, DAY), 60)
        assert [each.retry_after for each in limiter.peek("a", (MINUTE, DAY))] == [60.0, 0.0]
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [0, 4940]

    def test_reset_forgets_these_windows_only(self, limiter):
        limiter.reset("a", (MINUTE,))
        limiter.hit("a", (MINUTE, DAY), 60)
        limiter.reset("a", (Window(1, 60), RULE))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 4940]
        limiter.reset("a", (DAY,))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]

    def test_a_refund_leaves_the_subject_as_it_was_before_the_hit(self, limiter, clock):
        windows = (Window(3, 60), Window(5, 600))  # each hit opens a batch of its own
        limiter.hit("a", windows, 2)
        before = limiter.peek("a", windows)
        clock.now += 10 * SECOND
        assert admitted(limiter.hit("a", windows, 1))
        limiter.refund("a", windows, 1)
        assert limiter.peek("a", windows) == before
        clock.now += 50 * SECOND
        assert remaining(limiter.peek("a", windows)) == [3, 3]
        assert [admitted(limiter.hit("a", windows, 1)) for _ in range(4)] == [True, True, True, False]

    def test_a_refund_takes_the_newest_units_across_batches(self, limiter, clock):
        for _ in range(3):
            limiter.hit("a", (MINUTE,), 20)
            clock.now += 10 * SECOND
        limiter.refund("a", (MINUTE,), 30)
        assert remaining(limiter.peek("a", (MINUTE,))) == [30]
        clock.now += 30 * SECOND
        assert remaining(limiter.peek("a", (MINUTE,))) == [50]
        assert remaining(limiter.hit("a", (MINUTE,), 1)) == [49]
        clock.now += 10 * SECOND
        assert remaining(limiter.hit("a", (MINUTE,), 1)) == [58]

    def test_a_refund_never_goes_below_nothing(self, limiter, clock):
        limiter.refund("a", (MINUTE, DAY), 7)
        limiter.hit("a", (MINUTE, DAY), 2)
        clock.now += 5 * SECOND
        limiter.hit("a", (MINUTE, DAY), 1)
        limiter.refund("a", (MINUTE, DAY), 100)
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]
        assert [admitted(limiter.hit("a", (MINUTE,), 30)) for _ in range(3)] == [True, True, False]

    def test_a_refund_is_for_these_windows_only(self, limiter):
        limiter.hit("a", (MINUTE, DAY), 5)
        limiter.hit("b", (MINUTE, DAY), 5)
        limiter.refund("a", (Window(9, 60), RULE), 2)
        assert remaining(limiter.peek("a", (MINUTE, DAY, RULE))) == [57, 4995, 5]
        assert remaining(limiter.peek("b", (MINUTE, DAY))) == [55, 4995]

    def test_hits_and_refunds_at_once_lose_nothing(self, limiter):
        def there_and_back(number: int) -> None:
            patiently(20.0, limiter.hit, "a", (MINUTE, DAY), 1)
            if number % 2:
                patiently(20.0, limiter.refund, "a", (MINUTE, DAY), 1)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(there_and_back, range(50)))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [35, 4975]

    def test_windows_may_be_a_list_that_changes(self, limiter):
        windows = [MINUTE]
        limiter.hit("a", windows, 1)
        windows[:] = [DAY]
        assert limiter.hit("a", windows, 1)[0].window == DAY

    def test_it_may_be_used_after_it_was_closed(self, limiter):
        limiter.hit("a", (MINUTE,), 1)
        limiter.close()
        assert remaining(limiter.hit("a", (MINUTE,), 1)) == [58]

    def test_two_hundred_at_once_get_exactly_the_limit(self, limiter):
        windows = (Window(50, 60), Window(1000, 3600))
        with ThreadPoolExecutor(40) as pool:
            found = list(pool.map(lambda _: patiently(20.0, limiter.hit, "a", windows, 1), range(200)))
        assert sum(admitted(each) for each in found) == 50
        assert remaining(limiter.peek("a", windows)) == [0, 950]

    def test_a_hundred_thousand_random_hits_are_decided_like_the_arithmetic_says(self, limiter, clock):
        plans = [
            (Window(6, 1), Window(40, 60)),
            (Window(9, 1), Window(40, 60)),
            (Window(6, 1), Window(40, 60), Window(3, 10, "POST /x")),
            (Window(5, 10), Window(60, 90)),
            (Window(20, 60),),
        ]
        dice, known, subjects = random.Random(7), {}, [subject("key", str(number)) for number in range(40)]
        for _ in range(100_000):
            clock.now += dice.choice((0, 1, 3_000, 20_000, 20_000, 50_000, dice.randrange(5 * SECOND)))
            who, windows, cost = dice.choice(subjects), dice.choice(plans), dice.choice((1, 1, 1, 2))
            if who in known and dice.random() < 0.1:
                known[who] = take_back(known[who], [(each.scope, each.seconds) for each in windows], cost)
                limiter.refund(who, windows, cost)
            after, expected = rules.decide(known.get(who), windows, cost, clock.now)
            if after is not None:
                known[who] = after
            assert limiter.hit(who, windows, cost) == expected


class TestURLs:
    def test_a_url_names_a_limiter(self, tmp_path):
        assert isinstance(open_limiter("memory://"), MemoryLimiter)
        made = open_limiter(f"sqlite:///{tmp_path}/windows.db")
        assert isinstance(made, SQLiteLimiter)
        made.close()

    @pytest.mark.parametrize("url", ["", "memory", "memory://x", "sqlite://windows.db", "sqlite:///:memory:"])
    def test_a_url_that_names_none_is_refused(self, url):
        with pytest.raises(ConfigurationError) as caught:
            open_limiter(url)
        assert caught.value.key == "limiter"


class TestSubjects:
    def test_parts_never_run_together(self):
        assert len({subject("a/b", "c"), subject("a", "b/c"), subject("a", "b", "c"), subject("a:1:b", "c")}) == 4

    def test_anonymous_callers_are_told_apart_by_address(self):
        assert anonymous_subject("192.0.2.1") != anonymous_subject("192.0.2.2")
        assert anonymous_subject("192.0.2.1") == anonymous_subject("::ffff:192.0.2.1")

    def test_one_ipv6_network_is_one_caller(self):
        assert anonymous_subject("2001:db8::1") == anonymous_subject("2001:db8::ffff:2")
        assert anonymous_subject("2001:db8::1") != anonymous_subject("2001:db8:0:1::1")

    def test_callers_without_an_address_are_one(self):
        assert anonymous_subject(None) == anonymous_subject("unix") != anonymous_subject("192.0.2.1")


PROCESS = """
import sys
from keystile._sync import patiently
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window
limiter, windows = SQLiteLimiter(sys.argv[1]), (Window(50, 3600), Window(1000, 86400))
sys.stdin.readline()
print(sum(patiently(20.0, limiter.hit, "a", windows, 1)[0].retry_after == 0.0 for _ in range(50)))
"""


class TestSQLite:
    def test_four_processes_get_exactly_the_limit(self, tmp_path):
        command = [sys.executable, "-c", PROCESS, str(tmp_path / "windows.db")]
        running = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
        ]
        for each in running:
            each.stdin.write("go\n")
            each.stdin.flush()
        answers = [each.communicate(timeout=60)[0] for each in running]
        assert sum(map(int, answers)) == 50

    def test_it_shares_a_file_with_the_keys(self, tmp_path):
        store = SQLiteStore(tmp_path / "keystile.db")
        limiter = SQLiteLimiter(tmp_path / "keystile.db")
        assert admitted(limiter.hit("a", (MINUTE,), 1))
        assert store.find("unknown") is None
        limiter.close()
        store.close()

    @pytest.mark.parametrize(("shared", "expected"), [(True, 1), (False, 0)])
    def test_no_commit_waits_for_the_disk_unless_keys_are_in_the_file(self, tmp_path, shared, expected):
        if shared:
            SQLiteStore(tmp_path / "keystile.db").close()
        limiter = SQLiteLimiter(tmp_path / "keystile.db")
        assert limiter._file.row("PRAGMA synchronous", ()) == (expected,)
        limiter.close()

    def test_a_file_that_another_is_writing_is_busy_at_once(self, tmp_path, clock):
        limiter, other = (SQLiteLimiter(tmp_path / "windows.db", clock=clock) for _ in range(2))
        with other._file.write(), pytest.raises(StoreBusy):
            limiter.hit("a", (MINUTE,), 1)
        assert remaining(limiter.hit("a", (MINUTE,), 1)) == [59]
        limiter.close()
        other.close()

    def test_a_file_that_was_deleted_is_down(self, tmp_path):
        limiter = SQLiteLimiter(tmp_path / "windows.db")
        for each in tmp_path.iterdir():
            each.unlink()
        with pytest.raises(StoreUnavailable):
            limiter.hit("a", (MINUTE,), 1)
        limiter.close()

    def test_a_refused_hit_writes_nothing(self, tmp_path, clock):
        limiter = SQLiteLimiter(tmp_path / "windows.db", clock=clock)
        limiter.hit("a", (Window(1, 60),), 1)
        written = limiter._file.rows("SELECT * FROM keystile_windows", ())
        clock.now += 30 * SECOND
        assert not admitted(limiter.hit("a", (Window(1, 60),), 1))
        assert not admitted(limiter.hit("b", (Window(0, 60),), 1))
        assert limiter._file.rows("SELECT * FROM keystile_windows", ()) == written
        limiter.close()

    def test_new_subjects_take_the_places_of_those_that_ended(self, tmp_path, clock):
        limiter = SQLiteLimiter(tmp_path / "windows.db", clock=clock)
        for round_ in range(20):
            for number in range(50):
                limiter.hit(f"{round_}-{number}", (MINUTE,), 1)
            limiter.hit("steady", (DAY,), 1)
            clock.now += 61 * SECOND
        assert limiter._file.row("SELECT count(*) FROM keystile_windows", ())[0] < 150
        assert remaining(limiter.peek("steady", (DAY,))) == [4980]
        limiter.close()
