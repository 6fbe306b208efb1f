"""The contract that every limiter keeps, whatever it counts in."""

from __future__ import annotations

import itertools
import random
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile._ground import health
from keystile._sync import inline, patiently, run_now
from keystile.events import Events
from keystile.exceptions import StoreBusy, StoreUnavailable
from keystile.limiters import anonymous_subject, open_limiter, subject
from keystile.limiters.failsafe import Failsafe
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Usage, Window
from keystile.rules.limits import windows as rules
from keystile.rules.limits.charges import charged
from keystile.stores.sqlite import SQLiteStore
from tests.clocked_redis import ClockedRedisLimiter
from tests.selection import often, some

SECOND = 1_000_000
MINUTE, DAY, RULE = Window(60, 60), Window(5000, 86_400), Window(5, 3600, "POST /x")
TOKENS = Window(1000, 60, "", "tokens")
WATCHED = TOKENS._replace(watching=True)


class Clock:
    """Microseconds that pass when the test says so; read in nanoseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now * 1000

    def leaps(self, count: int, step: int) -> Iterator[int]:
        """Go on by so much, so often."""
        for _ in range(count):
            self.now += step
            yield self.now


def in_redis(request: pytest.FixtureRequest, clock: Clock, server: str = "redis_url") -> ClockedRedisLimiter:
    url = request.getfixturevalue(server)
    with redis.Redis.from_url(url) as raw:
        raw.flushdb()
    return ClockedRedisLimiter(url, clock)


LIMITERS: dict[str, Callable[[pytest.FixtureRequest, Clock, Path], Any]] = {
    "memory": lambda _request, clock, _folder: MemoryLimiter(clock=clock, wall=clock),
    "sqlite": lambda _request, clock, folder: SQLiteLimiter(folder / "windows.db", clock=clock),
    "redis": lambda request, clock, _folder: in_redis(request, clock),
    "redis 6.2": lambda request, clock, _folder: in_redis(request, clock, "redis62_url"),
}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=some(LIMITERS, "memory", "sqlite", "redis"))
def limiter(request: pytest.FixtureRequest, clock: Clock, tmp_path: Path) -> Iterator[Any]:
    made = LIMITERS[request.param](request, clock, tmp_path)
    yield made
    made.close()


def admitted(usages: tuple[Usage, ...]) -> bool:
    return not any(usage.retry_after is None or usage.retry_after > 0 for usage in usages)


def remaining(usages: tuple[Usage, ...]) -> list[int]:
    return [usage.remaining for usage in usages]


class TestContract:
    def test_a_hit_counts_its_cost_in_every_window(self, limiter, clock):
        usages = limiter.hit("a", charged((MINUTE, DAY), 5))
        assert usages == (
            Usage(MINUTE, 55, clock.now / SECOND + 60, 0.0, clock.now),
            Usage(DAY, 4995, clock.now / SECOND + 86_400, 0.0, clock.now),
        )

    def test_a_full_window_refuses_until_its_batch_leaves(self, limiter, clock):
        assert all(admitted(limiter.hit("a", charged((MINUTE,)))) for _ in range(60))
        refused = limiter.hit("a", charged((MINUTE,)))
        assert refused == (Usage(MINUTE, 0, clock.now / SECOND + 60, 60.0, clock.now),)
        clock.now += 60 * SECOND - 1
        assert not admitted(limiter.hit("a", charged((MINUTE,))))
        clock.now += 1
        assert admitted(limiter.hit("a", charged((MINUTE,))))

    def test_a_refused_hit_counts_nothing_anywhere(self, limiter):
        windows = (Window(12, 60), Window(200, 30 * 86_400))
        found = [limiter.hit("a", charged(windows)) for _ in range(15)]
        assert [admitted(each) for each in found] == [True] * 12 + [False] * 3
        assert remaining(limiter.peek("a", windows)) == [0, 188]

    def test_no_edge_lets_twice_the_limit_through(self, limiter, clock):
        clock.now += 59 * SECOND
        assert all(admitted(limiter.hit("a", charged((Window(10, 60),)))) for _ in range(10))
        clock.now += 2 * SECOND
        assert not any(admitted(limiter.hit("a", charged((Window(10, 60),)))) for _ in range(10))

    def test_a_limit_of_zero_and_a_cost_above_the_limit_wait_for_ever(self, limiter):
        assert limiter.hit("a", charged((DAY, Window(0, 60))))[1].retry_after is None
        assert limiter.hit("a", charged((Window(5, 60),), 6))[0].retry_after is None
        assert remaining(limiter.peek("a", (DAY,))) == [5000]

    def test_without_windows_everything_is_admitted(self, limiter):
        assert limiter.hit("a", charged(())) == ()

    def test_subjects_count_for_themselves(self, limiter):
        limiter.hit(subject("a/b", "c"), charged((MINUTE,)))
        assert remaining(limiter.hit(subject("a", "b/c"), charged((MINUTE,)))) == [59]

    @pytest.mark.parametrize("name", ["\ud800", "\0", "\0a", "a\udcff", "\U0001f511", "\u00e9", "e\u0301", "a" * 300])
    def test_a_subject_may_be_any_text(self, limiter, name):
        usages = limiter.hit(name, charged((MINUTE,)))
        limiter.hit(name, charged((MINUTE,)))
        limiter.hit(f"{name}?", charged((MINUTE,)))
        assert remaining(limiter.peek(name, (MINUTE,))) == [58]
        limiter.refund(name, charged((MINUTE,)), usages[0].at)
        assert remaining(limiter.peek(name, (MINUTE,))) == [59]
        limiter.reset(name, (MINUTE,))
        assert remaining(limiter.peek(name, (MINUTE,))) == [60]
        assert remaining(limiter.peek(f"{name}?", (MINUTE,))) == [59]

    def test_another_plan_keeps_the_count(self, limiter):
        for _ in range(5):
            limiter.hit("a", charged((MINUTE, DAY)))
        assert remaining(limiter.hit("a", charged((Window(100, 60), Window(200, 7200))))) == [94, 199]
        assert remaining(limiter.hit("a", charged((Window(3, 60), DAY)))) == [0, 4995]

    def test_windows_of_a_rule_count_for_themselves(self, limiter):
        for _ in range(5):
            assert admitted(limiter.hit("a", charged((MINUTE, DAY, RULE))))
        assert not admitted(limiter.hit("a", charged((MINUTE, DAY, RULE))))
        assert remaining(limiter.hit("a", charged((MINUTE, DAY, Window(9, 3600, "GET /y"))))) == [54, 4994, 8]
        assert remaining(limiter.hit("a", charged((MINUTE, DAY)))) == [53, 4993]
        assert remaining(limiter.peek("a", (RULE,))) == [0]

    def test_a_look_counts_nothing_and_says_how_long_to_wait(self, limiter):
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]
        limiter.hit("a", charged((MINUTE, DAY), 60))
        assert [each.retry_after for each in limiter.peek("a", (MINUTE, DAY))] == [60.0, 0.0]
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [0, 4940]

    def test_reset_forgets_these_windows_only(self, limiter):
        limiter.reset("a", (MINUTE,))
        limiter.hit("a", charged((MINUTE, DAY), 60))
        limiter.reset("a", (Window(1, 60), RULE))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 4940]
        limiter.reset("a", (DAY,))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]

    def test_each_window_has_its_own_cost(self, limiter):
        charges = ((MINUTE, 1), (TOKENS, 300), (DAY, 7))
        assert remaining(limiter.hit("a", charges)) == [59, 700, 4993]
        assert remaining(limiter.hit("a", charges[::-1])) == [4986, 400, 58]
        assert admitted(limiter.hit("a", charges))
        refused = limiter.hit("a", charges)
        assert [usage.retry_after for usage in refused] == [0.0, 60.0, 0.0]
        assert remaining(refused) == [57, 100, 4979]

    def test_windows_of_a_unit_count_for_themselves_whatever_their_names(self, limiter):
        windows = [
            Window(9, 60, scope, unit)
            for scope in ("", "/x", "tokens", "\0tokens\0", "\0\0/x")
            for unit in ("", "tokens", "t", "/x")
        ]
        for count, window in enumerate(windows):
            assert remaining(limiter.hit("a", ((window, count % 9 + 1),))) == [9 - count % 9 - 1]
        assert remaining(limiter.peek("a", windows)) == [9 - count % 9 - 1 for count in range(len(windows))]

    def test_a_cost_of_0_counts_nothing_and_asks_that_one_unit_be_free(self, limiter, clock):
        asks = ((MINUTE, 1), (TOKENS, 0))
        assert remaining(limiter.hit("a", asks)) == [59, 1000]
        limiter.hit("a", ((TOKENS, 999),))
        assert remaining(limiter.hit("a", asks)) == [58, 1]
        limiter.hit("a", ((TOKENS, 1),))
        clock.now += SECOND
        refused = limiter.hit("a", asks)
        assert [usage.retry_after for usage in refused] == [0.0, 59.0]
        assert remaining(refused) == [58, 0]
        clock.now += 59 * SECOND - 1
        assert not admitted(limiter.hit("a", asks))
        clock.now += 1
        assert remaining(limiter.hit("a", asks)) == [59, 1000]
        assert not admitted(limiter.hit("a", ((Window(0, 60), 0),)))

    def test_a_hit_that_costs_nothing_leaves_everything_as_it_is(self, limiter, clock):
        nothing = ((MINUTE, 0), (TOKENS, 0))
        assert limiter.hit("a", nothing) == limiter.peek("a", (MINUTE, TOKENS))
        limiter.hit("a", ((MINUTE, 60),))
        clock.now += SECOND
        assert limiter.hit("a", nothing) == limiter.peek("a", (MINUTE, TOKENS))
        assert [usage.retry_after for usage in limiter.hit("a", nothing)] == [59.0, 0.0]

    def test_a_window_that_watches_counts_beyond_its_limit_and_refuses_nobody(self, limiter, clock):
        assert limiter.hit("a", ((MINUTE, 1), (WATCHED, 900)))[1].retry_after == 0.0
        clock.now += 10 * SECOND
        first, second = limiter.hit("a", ((MINUTE, 1), (WATCHED, 400)))
        assert (first.remaining, first.retry_after) == (58, 0.0)
        assert second == Usage(WATCHED, 0, clock.now / SECOND + 50, 50.0, clock.now)  # 400 stay within the limit
        assert limiter.hit("a", ((WATCHED, 1001),))[0].retry_after is None
        clock.now += 50 * SECOND  # 900 have left
        assert remaining(limiter.peek("a", (MINUTE, TOKENS))) == [59, 0]
        clock.now += 10 * SECOND
        assert remaining(limiter.peek("a", (MINUTE, TOKENS))) == [60, 1000]

    def test_what_was_counted_while_it_watched_counts_when_it_no_longer_does(self, limiter):
        limiter.hit("a", ((WATCHED, 1500),))
        assert not admitted(limiter.hit("a", ((TOKENS, 1),)))
        assert remaining(limiter.hit("a", ((TOKENS._replace(limit=2000), 100),))) == [400]
        limiter.reset("a", (WATCHED,))
        assert remaining(limiter.peek("a", (TOKENS,))) == [1000]

    def test_a_refused_request_is_not_counted_where_it_is_only_watched(self, limiter):
        limiter.hit("a", ((MINUTE, 60), (WATCHED, 990)))
        for charges in (((MINUTE, 1), (WATCHED, 11)), ((WATCHED, 11), (MINUTE, 1))):
            usages = dict(zip([window for window, _ in charges], limiter.hit("a", charges), strict=True))
            assert (usages[WATCHED].remaining, usages[WATCHED].retry_after) == (10, 60.0)
            assert (usages[MINUTE].remaining, usages[MINUTE].retry_after) == (0, 60.0)
        assert remaining(limiter.peek("a", (TOKENS,))) == [10]

    def test_a_window_that_watches_takes_a_cost_of_0_too(self, limiter):
        assert limiter.hit("a", ((MINUTE, 1), (WATCHED, 0)))[1].retry_after == 0.0
        limiter.hit("a", ((WATCHED, 1000),))
        assert [usage.retry_after for usage in limiter.hit("a", ((MINUTE, 1), (WATCHED, 0)))] == [0.0, 60.0]
        assert remaining(limiter.peek("a", (MINUTE, TOKENS))) == [58, 0]

    def test_what_a_watching_window_counts_has_an_end(self, limiter, clock):
        for count in range(1, 201):
            assert remaining(limiter.hit("a", ((WATCHED, 2**53), (DAY, 1)))) == [0, 5000 - count]
            clock.now += SECOND // 2
        limiter.refund("a", ((TOKENS, 2**53 - 900),), clock.now - 40 * SECOND)
        assert remaining(limiter.peek("a", (TOKENS, DAY))) == [100, 4800]

    def test_a_refund_gives_back_its_own_units_in_each_window(self, limiter, clock):
        at = limiter.hit("a", ((MINUTE, 10), (TOKENS, 500), (DAY, 10)))[0].at
        limiter.refund("a", ((DAY, 1), (TOKENS, 450), (MINUTE, 0)), at)
        assert remaining(limiter.peek("a", (MINUTE, TOKENS, DAY))) == [50, 950, 4991]
        clock.now += 60 * SECOND
        limiter.refund("a", ((TOKENS, 50), (DAY, 2)), at)
        assert remaining(limiter.peek("a", (MINUTE, TOKENS, DAY))) == [60, 1000, 4993]

    def test_a_refund_takes_the_oldest_units_so_that_what_stays_leaves_later_than_what_was_used(self, limiter, clock):
        at = clock.now
        limiter.hit("a", charged((MINUTE,), 20))  # reserved, and not used
        clock.now += 30 * SECOND
        limiter.hit("a", charged((MINUTE,), 40))  # used
        clock.now += SECOND
        limiter.refund("a", charged((MINUTE,), 20), at)
        assert admitted(limiter.hit("a", charged((MINUTE,), 20)))
        clock.now += 30 * SECOND - 1  # [30, 90) holds 60
        assert remaining(limiter.peek("a", (MINUTE,))) == [0]

    def test_a_refund_may_end_within_a_batch_and_take_several(self, limiter, clock):
        for _ in range(4):
            at = clock.now
            limiter.hit("a", charged((MINUTE, DAY), 10))
            clock.now += 10 * SECOND
        limiter.refund("a", charged((MINUTE, DAY), 25), at)
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [45, 4985]
        clock.now += 40 * SECOND
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [50, 4985]
        clock.now += 10 * SECOND
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 4985]

    @pytest.mark.parametrize("late", [0, 1, 3600 * SECOND])
    def test_a_refund_changes_nothing_once_the_windows_length_has_passed(self, limiter, clock, late):
        at = limiter.hit("a", charged((MINUTE, DAY), 5))[0].at
        clock.now += SECOND // 2  # joins the batch, which so stays for longer than the length
        limiter.hit("a", charged((MINUTE, DAY), 7))
        clock.now += 30 * SECOND
        limiter.hit("a", charged((MINUTE, DAY), 9))
        clock.now = at + 60 * SECOND + late
        before = limiter.peek("a", (MINUTE,))
        limiter.refund("a", charged((MINUTE, DAY), 5), at)
        assert limiter.peek("a", (MINUTE,)) == before
        assert remaining(limiter.peek("a", (DAY,))) == [4984]

    def test_a_refund_of_what_a_clock_set_back_made_forgotten_takes_nobody_elses_units(self, limiter, clock):
        at = limiter.hit("a", charged((MINUTE,), 5))[0].at
        clock.now -= 3600 * SECOND
        limiter.hit("a", charged((MINUTE,), 7))
        limiter.refund("a", charged((MINUTE,), 5), at)
        assert remaining(limiter.peek("a", (MINUTE,))) == [53]

    def test_a_refund_never_goes_below_nothing(self, limiter, clock):
        limiter.refund("a", charged((MINUTE, DAY), 7), clock.now)
        limiter.hit("a", charged((MINUTE, DAY), 2))
        clock.now += 5 * SECOND
        limiter.hit("a", charged((MINUTE, DAY)))
        limiter.refund("a", charged((MINUTE, DAY), 100), clock.now)
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]
        assert [admitted(limiter.hit("a", charged((MINUTE,), 30))) for _ in range(3)] == [True, True, False]

    def test_a_refund_is_for_these_windows_only(self, limiter, clock):
        limiter.hit("a", charged((MINUTE, DAY), 5))
        limiter.hit("b", charged((MINUTE, DAY), 5))
        limiter.refund("a", charged((Window(9, 60), RULE), 2), clock.now)
        assert remaining(limiter.peek("a", (MINUTE, DAY, RULE))) == [57, 4995, 5]
        assert remaining(limiter.peek("b", (MINUTE, DAY))) == [55, 4995]

    def test_hits_and_refunds_at_once_lose_nothing(self, limiter, clock):
        def there_and_back(number: int) -> None:
            patiently(20.0, limiter.hit, "a", charged((MINUTE, DAY)))
            if number % 2:
                patiently(20.0, limiter.refund, "a", charged((MINUTE, DAY)), clock.now)

        with ThreadPoolExecutor(20) as pool:
            list(pool.map(there_and_back, range(50)))
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [35, 4975]

    def test_charges_may_be_a_list_that_changes(self, limiter):
        charges = [(MINUTE, 1)]
        limiter.hit("a", charges)
        charges[:] = [(DAY, 1)]
        assert limiter.hit("a", charges)[0].window == DAY

    def test_it_may_be_used_after_it_was_closed(self, limiter):
        limiter.hit("a", charged((MINUTE,)))
        limiter.close()
        assert remaining(limiter.hit("a", charged((MINUTE,)))) == [58]

    def test_two_hundred_at_once_get_exactly_the_limit(self, limiter):
        windows = (Window(50, 60), Window(1000, 3600))
        with ThreadPoolExecutor(40) as pool:
            found = list(pool.map(lambda _: patiently(20.0, limiter.hit, "a", charged(windows)), range(200)))
        assert sum(admitted(each) for each in found) == 50
        assert remaining(limiter.peek("a", windows)) == [0, 950]

    def test_random_hits_are_decided_like_the_arithmetic_says(self, limiter, clock):
        plans = [
            (Window(6, 1), Window(40, 60)),
            (Window(9, 1), Window(40, 60)),
            (Window(6, 1), Window(40, 60), Window(3, 10, "POST /x")),
            (Window(5, 10), Window(60, 90)),
            (Window(20, 60),),
            (Window(6, 1), Window(40, 60), Window(50, 60, "", "tokens")),
            (Window(6, 1), Window(50, 60, "", "tokens", watching=True)),
        ]
        dice, known, subjects = random.Random(7), {}, [subject("key", str(number)) for number in range(40)]
        for _ in range(often(3_000, 100_000)):
            clock.now += dice.choice((0, 1, 3_000, 20_000, 20_000, 50_000, dice.randrange(5 * SECOND)))
            who, windows, cost = dice.choice(subjects), dice.choice(plans), dice.choice((1, 1, 1, 2))
            charges = charged(windows, cost)
            if dice.random() < 0.3:
                charges = tuple((window, dice.choice((0, 1, 5))) for window in windows)
            if who in known and dice.random() < 0.1:
                at = clock.now - dice.randrange(2 * SECOND)
                known[who] = rules.refund(known[who], charges, at, clock.now)
                limiter.refund(who, charges, at)
            after, expected = rules.decide(known.get(who), charges, clock.now)
            if after is not None:
                known[who] = after
            assert limiter.hit(who, charges) == expected


class Spendthrift:
    """A subject that gives back units of its hits; remembers how many of each hit count in each window."""

    WINDOWS = (Window(8, 10), Window(20, 35))

    def __init__(self, limiter: Any, clock: Clock, name: str) -> None:
        self.limiter, self.clock, self.name = limiter, clock, name
        self.used: list[tuple[int, list[int]]] = []

    def hit(self, cost: int) -> None:
        usages = self.limiter.hit(self.name, charged(self.WINDOWS, cost))
        if admitted(usages):
            self.used.append((usages[0].at, [cost, cost]))

    def give_back(self, cost: int, which: int) -> None:
        """Some units of this hit, counted from the newest. A refund that comes too late must change nothing."""
        if which >= len(self.used):
            return
        at, counted = self.used[-1 - which]
        units = min(cost, *counted)
        if not units:
            return
        before = self.limiter.peek(self.name, self.WINDOWS)
        self.limiter.refund(self.name, charged(self.WINDOWS, units), at)
        after = self.limiter.peek(self.name, self.WINDOWS)
        for index, window in enumerate(self.WINDOWS):
            if self.clock.now - at < window.seconds * SECOND:
                counted[index] -= units
                assert after[index].remaining >= before[index].remaining
            else:
                assert after[index] == before[index]

    def most(self, index: int) -> int:
        """The most units that any span of this window's length holds, as long as the window is."""
        length = self.WINDOWS[index].seconds * SECOND
        spans = ((start, start + length) for start, _ in self.used)
        return max((sum(n[index] for at, n in self.used if start <= at < end) for start, end in spans), default=0)


@pytest.fixture(scope="module", params=some(LIMITERS, "memory", "sqlite", "redis"))
def refunding(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Callable[[], Spendthrift]]:
    """Makes subjects of one limiter."""
    clock, numbers = Clock(), itertools.count()
    limiter = LIMITERS[request.param](request, clock, tmp_path_factory.mktemp("windows"))
    yield lambda: Spendthrift(limiter, clock, f"spendthrift {next(numbers)}")
    limiter.close()


ACTS = st.tuples(st.integers(0, 12), st.sampled_from(["hit", "hit", "back"]), st.integers(1, 6), st.integers(0, 5))


@settings(max_examples=often(50, 200), deadline=None)
@given(calls=st.lists(ACTS, max_size=40))
def test_what_was_admitted_and_not_given_back_in_time_stays_within_the_limit_in_any_span(refunding, calls):
    subject = refunding()
    for seconds, act, cost, which in calls:
        subject.clock.now += seconds * SECOND
        if act == "hit":
            subject.hit(cost)
        else:
            subject.give_back(cost, which)
    assert [subject.most(0) <= 8, subject.most(1) <= 20] == [True, True]


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
from keystile._sync import inline, patiently, run_now
from keystile.events import Events
from keystile.limiters.sqlite import SQLiteLimiter
from keystile.model import Window
limiter, charges = SQLiteLimiter(sys.argv[1]), ((Window(50, 3600), 1), (Window(1000, 86400), 1))
sys.stdin.readline()
print(sum(patiently(20.0, limiter.hit, "a", charges)[0].retry_after == 0.0 for _ in range(50)))
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
        assert admitted(limiter.hit("a", charged((MINUTE,))))
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
            limiter.hit("a", charged((MINUTE,)))
        assert remaining(limiter.hit("a", charged((MINUTE,)))) == [59]
        limiter.close()
        other.close()

    def test_a_file_that_was_deleted_is_down(self, tmp_path):
        limiter = SQLiteLimiter(tmp_path / "windows.db")
        for each in tmp_path.iterdir():
            each.unlink()
        with pytest.raises(StoreUnavailable):
            limiter.hit("a", charged((MINUTE,)))
        limiter.close()

    def test_a_refused_hit_writes_nothing(self, tmp_path, clock):
        limiter = SQLiteLimiter(tmp_path / "windows.db", clock=clock)
        limiter.hit("a", charged((Window(1, 60),)))
        written = limiter._file.rows("SELECT * FROM keystile_windows", ())
        clock.now += 30 * SECOND
        assert not admitted(limiter.hit("a", charged((Window(1, 60),))))
        assert not admitted(limiter.hit("b", charged((Window(0, 60),))))
        assert limiter._file.rows("SELECT * FROM keystile_windows", ()) == written
        limiter.close()

    def test_new_subjects_take_the_places_of_those_that_ended(self, tmp_path, clock):
        limiter = SQLiteLimiter(tmp_path / "windows.db", clock=clock)
        for round_ in range(20):
            for number in range(50):
                limiter.hit(f"{round_}-{number}", charged((MINUTE,)))
            limiter.hit("steady", charged((DAY,)))
            clock.now += 61 * SECOND
        assert limiter._file.row("SELECT count(*) FROM keystile_windows", ())[0] < 150
        assert remaining(limiter.peek("steady", (DAY,))) == [4980]
        limiter.close()

    @pytest.mark.parametrize("state", [b"", b"x", bytes(100), b"\xff" * 70_000, "text", 7, 1.5, b"\x02\x00" * 50])
    def test_a_row_that_is_not_ours_starts_afresh_and_is_told(self, tmp_path, clock, state):
        limiter, told = SQLiteLimiter(tmp_path / "windows.db", clock=clock), []
        limiter.on_unreadable = told.append
        limiter.hit("a", charged((MINUTE, DAY), 3))
        limiter.hit("b", charged((MINUTE, DAY), 3))
        put(limiter, "a", state)
        assert remaining(limiter.peek("a", (MINUTE, DAY))) == [60, 5000]
        limiter.refund("a", charged((MINUTE, DAY)), clock.now)
        assert remaining(limiter.hit("a", charged((MINUTE, DAY)))) == [59, 4999]
        assert told == ["a", "a"]
        put(limiter, "a", state)
        limiter.reset("a", (MINUTE,))
        assert remaining(limiter.hit("a", charged((MINUTE, DAY)))) == [59, 4999]
        assert remaining(limiter.hit("b", charged((MINUTE, DAY)))) == [56, 4996]
        assert told == ["a", "a"]
        limiter.close()

    def test_no_octets_in_a_row_are_an_error_or_open_a_window(self, tmp_path, clock):
        limiter, dice = SQLiteLimiter(tmp_path / "windows.db", clock=clock), random.Random(13)
        windows = (Window(5, 60), Window(40, 3600, "/x"))
        watching = tuple((window._replace(watching=True), 2) for window in windows)
        for _ in range(1500):
            for _ in range(dice.randrange(1, 30)):
                clock.now += dice.randrange(4 * SECOND)
                limiter.hit("a", charged(windows[: dice.randrange(1, 3)]))
            put(limiter, "a", damaged(dice, limiter._file.row(STATE, ("a",))[0]))
            act = dice.choice(["peek", "refund", "reset", "hit"])
            asked = {
                "hit": [dice.choice([charged(windows), watching])],
                "refund": [charged(windows, 2), clock.now],
            }.get(act, [windows])
            getattr(limiter, act)("a", *asked)
            # What passed for ours may be found out later, and is fresh then.
            assert sum(admitted(limiter.hit("a", charged(windows))) for _ in range(12)) <= 2 * 5
            assert any(admitted(limiter.hit("a", charged(windows))) for _ in clock.leaps(5, 2 * 3600 * SECOND + 1))
        limiter.close()

    def test_a_table_of_another_shape_is_down(self, tmp_path):
        limiter = SQLiteLimiter(tmp_path / "windows.db")
        limiter._file.row("ALTER TABLE keystile_windows RENAME COLUMN state TO stage", ())
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                limiter.hit("a", charged((MINUTE,)))
        limiter.close()

    def test_a_disk_that_takes_no_more_is_told_of_once_and_local_holds(self, tmp_path, monkeypatch):
        monkeypatch.setattr(health, "FIRST_PROBE", 0.0)
        monkeypatch.setattr(health, "LAST_PROBE", 0.0)
        told, events = [], Events("text")
        events.listen(told.append)
        limiter = SQLiteLimiter(tmp_path / "windows.db")
        limits, full = Failsafe(limiter, "local", events), (Window(1, 3600),)

        def hit(name, windows):
            return run_now(limits.hit(inline, name, charged(windows)))

        assert admitted(hit("full", full))
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "windows.db-wal").stat().st_size, limit[1]))
        try:
            for number in range(20):
                assert remaining(hit("a", (MINUTE,))) == [59 - number]
                hit("full", full)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        assert [each.code for each in told] == ["limiter_down"]
        assert remaining(hit("b", (MINUTE,))) == [59]
        assert not admitted(hit("full", full))
        assert [each.code for each in told] == ["limiter_down", "limiter_up"]
        limiter.close()


STATE = "SELECT state FROM keystile_windows WHERE subject = ?"


def put(limiter: SQLiteLimiter, name: str, state: Any) -> None:
    """Have a row hold what no limiter put there."""
    limiter._file.row("UPDATE keystile_windows SET state = ? WHERE subject = ? RETURNING id", (state, name))


def damaged(dice: random.Random, value: bytes) -> bytes:
    """A value of ours with some octets changed, dropped or doubled; or octets that never were one."""
    kind = dice.randrange(5)
    if kind == 0:
        return dice.randbytes(dice.randrange(400))
    at = dice.randrange(len(value))
    if kind == 1:
        return value[:at]
    if kind == 2:
        return value[:at] + value[dice.randrange(len(value)) :]
    changed = bytearray(value)
    for _ in range(kind * dice.randrange(1, 4)):
        changed[dice.randrange(len(changed))] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
    return bytes(changed)


@pytest.mark.parametrize("cost", [-1, 1.5, True, "1"])
def test_a_refund_that_would_add_units_or_means_no_number_is_refused_by_every_limiter(limiter: Any, cost: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number of at least 0"):
        limiter.refund("somebody", ((Window(5, 60, ""), cost),), 0)
    assert limiter.peek("somebody", (Window(5, 60, ""),))[0].remaining == 5


@pytest.mark.parametrize("cost", [-1, 1.5, "1"])
def test_a_hit_whose_cost_would_take_units_away_or_means_no_number_is_refused_too(limiter: Any, cost: Any) -> None:
    with pytest.raises(ValueError, match="expected a whole number of at least 0"):
        limiter.hit("somebody", ((MINUTE, 1), (DAY, cost)))
    assert limiter.peek("somebody", (MINUTE,))[0].remaining == 60
