"""Units that are reserved before a request and settled after it, in every limiter."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile._sync import patiently
from keystile.limiters import open_limiter
from keystile.model import Charges, Usage, Window
from keystile.rules.limits.charges import charged
from keystile.rules.limits.usages import refuses
from tests.selection import often, some
from tests.test_limiters import LIMITERS, Clock, remaining

SECOND = 1_000_000
CALLS = Window(6, 10)
TOKENS = (Window(8, 10, "", "tokens"), Window(20, 35, "", "tokens"))
WATCHED = tuple(window._replace(watching=True) for window in TOKENS)


class Loan(NamedTuple):
    """Units that were reserved at a moment; of these, how many still count in each window; and the usages."""

    units: int
    counted: list[int]
    usages: tuple[Usage, ...]

    @property
    def at(self) -> int:
        return self.usages[0].at


class Borrower:
    """A subject that reserves units and settles later, or never."""

    def __init__(self, limiter: Any, clock: Clock, name: str) -> None:
        self.limiter, self.clock, self.name = limiter, clock, name
        self.loans: list[Loan] = []
        self.open: list[Loan] = []
        self.beyond: list[tuple[int, int]] = []

    def reserve(self, units: int) -> None:
        usages = self.limiter.hit(self.name, (*charged((CALLS,)), *charged(TOKENS, units)))
        if refuses(usages):
            return
        loan = Loan(units, [units, units], usages)
        self.loans.append(loan)
        self.open.append(loan)
        for index, window in enumerate(TOKENS):
            after = self.clock.now - window.seconds * SECOND
            extra = sum(more for at, more in self.beyond if at > after)
            held = sum(each.counted[index] for each in self.loans if each.at > after)
            assert held + extra <= window.limit or not units

    def settle(self, which: int, used: int) -> None:
        """Charge this many units to one of the reservations that are open."""
        if not self.open:
            return
        loan = self.open.pop(which % len(self.open))
        if used > loan.units:
            told = self.limiter.hit(self.name, charged(WATCHED, used - loan.units))
            self.beyond.append((self.clock.now, used - loan.units))
            assert [usage.window for usage in told] == list(WATCHED)
        elif used < loan.units:
            self.give_back(loan, loan.units - used)

    def give_back(self, loan: Loan, units: int) -> None:
        before = self.limiter.peek(self.name, TOKENS)
        self.limiter.refund(self.name, charged(TOKENS, units), loan.at)
        after = self.limiter.peek(self.name, TOKENS)
        for index, window in enumerate(TOKENS):
            if self.clock.now - loan.at < window.seconds * SECOND:
                loan.counted[index] -= units
            else:
                assert after[index] == before[index]

    def most(self, index: int) -> int:
        """The most units that count in a span of this window's length, but for those beyond a reservation."""
        length = TOKENS[index].seconds * SECOND
        spans = ((each.at, each.at + length) for each in self.loans)
        return max(
            (sum(each.counted[index] for each in self.loans if start <= each.at < end) for start, end in spans),
            default=0,
        )


@pytest.fixture(scope="module", params=some(LIMITERS, "memory", "sqlite", "redis"))
def borrowing(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[Callable[[], Borrower]]:
    """Makes subjects of one limiter."""
    clock, numbers = Clock(), itertools.count()
    limiter = LIMITERS[request.param](request, clock, tmp_path_factory.mktemp("windows"))
    yield lambda: Borrower(limiter, clock, f"borrower {next(numbers)}")
    limiter.close()


STEPS = st.integers(0, 12 * SECOND) | st.sampled_from([0, 0, 1, SECOND // 6, 5 * SECOND, 10 * SECOND - 1, 10 * SECOND])
ACTS = st.tuples(STEPS, st.sampled_from(["reserve", "reserve", "settle"]), st.integers(0, 5), st.integers(0, 4))


@settings(max_examples=often(100, 500), deadline=None)
@given(calls=st.lists(ACTS, max_size=40))
def test_reserved_and_charged_units_stay_within_the_limit_and_what_was_used_beyond_it(borrowing, calls):
    subject = borrowing()
    for step, act, units, which in calls:
        subject.clock.now += step
        if act == "reserve":
            subject.reserve(units)
        else:
            subject.settle(which, 2 * units)
    assert [subject.most(0) <= 8, subject.most(1) <= 20] == [True, True]


MINUTE = (Window(1000, 60, "", "tokens"),)


def test_a_reservation_given_back_after_its_window_does_not_admit_the_next_one_twice(borrowing):
    subject = borrowing()
    limiter, clock, name = subject.limiter, subject.clock, subject.name
    at = limiter.hit(name, charged(MINUTE, 890))[0].at
    clock.now += 60 * SECOND
    assert not refuses(limiter.hit(name, charged(MINUTE, 1000)))
    limiter.refund(name, charged(MINUTE, 890), at)
    assert refuses(limiter.hit(name, charged(MINUTE, 1)))


def test_what_was_used_beyond_a_reservation_counts_until_its_own_window_has_passed(borrowing):
    subject = borrowing()
    limiter, clock, name = subject.limiter, subject.clock, subject.name
    watched = (MINUTE[0]._replace(watching=True),)
    limiter.hit(name, charged(MINUTE, 500))
    clock.now += 30 * SECOND
    assert remaining(limiter.hit(name, charged(watched, 1400))) == [0]
    (usage,) = limiter.hit(name, charged(MINUTE, 1))
    assert (usage.remaining, usage.retry_after) == (0, 60.0)
    clock.now += 60 * SECOND - 1
    assert refuses(limiter.hit(name, charged(MINUTE, 1)))
    clock.now += 1
    assert remaining(limiter.hit(name, charged(MINUTE, 1))) == [999]


# A caller of four processes. Each says what it did, and first what it is about to do where that matters afterwards.
PROCESS = """
import os, random, sys
from keystile._sync import patiently
from keystile.limiters import open_limiter
from keystile.model import Window
LIMIT, limiter, requests = 10**12, open_limiter(sys.argv[1]), int(sys.argv[2])
windows = [Window(LIMIT, 2, "", "tokens"), Window(LIMIT, 86400, "", "tokens")]
watched = [window._replace(watching=True) for window in windows]
dice = random.Random(requests)


def say(line):
    # In one write: whoever is killed has said all of a line, or nothing.
    os.write(1, line.encode() + b"\\n")


sys.stdin.readline()
for _ in range(requests):
    usages = patiently(20.0, limiter.hit, "a", tuple((window, 10) for window in windows))
    used = dice.randrange(21)
    say(f"held {used}")
    if used < 10:
        patiently(20.0, limiter.refund, "a", tuple((window, 10 - used) for window in windows), usages[0].at)
    elif used > 10:
        patiently(20.0, limiter.hit, "a", tuple((window, used - 10) for window in watched))
    say(f"settled {used}")
say("done")
"""
LIMIT, ENDLESSLY = 10**12, 10**9
TWO_SECONDS, DAY = Window(LIMIT, 2, "", "tokens"), Window(LIMIT, 86_400, "", "tokens")


def bounds(lines: list[list[str]]) -> tuple[int, int]:
    """The fewest and the most units that one process can have left behind, from what it said."""
    settled = sum(int(each[1]) for each in lines if each[0] == "settled")
    if lines[-1][0] == "held":  # it died while it settled
        used = int(lines[-1][1])
        return settled + min(10, used), settled + max(10, used)
    return (settled, settled) if lines[-1][0] == "done" else (settled, settled + 10)


@pytest.fixture(params=some(["sqlite", "redis_url", "redis62_url"], "sqlite", "redis_url"))
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a limiter that is empty, for several processes."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/windows.db"
    url = str(request.getfixturevalue(request.param))
    with redis.Redis.from_url(url) as raw:
        raw.flushdb()
    return url


def test_what_processes_that_were_killed_had_reserved_leaves_by_itself_and_nothing_else_is_lost(shared: str) -> None:
    found: list[list[list[str]]] = []
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, shared, str(requests)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for requests in (ENDLESSLY, ENDLESSLY, 470, 471)
    ]
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for number, each in enumerate(running):
        assert each.stdout is not None
        lines = []
        if number < 2:
            lines = [each.stdout.readline().split() for _ in range(60 + 60 * number)]
            each.kill()
        found.append(lines + [line.split() for line in each.stdout])
        each.wait(60)
        assert each.stdin is not None
        each.stdin.close()
        each.stdout.close()
    assert [lines[-1][0] == "done" for lines in found] == [False, False, True, True]
    fewest, most = (sum(side) for side in zip(*map(bounds, found), strict=True))
    limiter = open_limiter(shared)
    assert fewest <= LIMIT - left(limiter, DAY) <= most
    deadline = time.monotonic() + 60
    while left(limiter, TWO_SECONDS) < LIMIT:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert fewest <= LIMIT - left(limiter, DAY) <= most
    limiter.close()


def left(limiter: Any, window: Window) -> int:
    usages: tuple[Usage, ...] = patiently(20.0, limiter.peek, "a", (window,))
    return usages[0].remaining


def test_fifty_that_reserve_at_once_get_no_more_than_the_limit(shared: str) -> None:
    limiter: Any = open_limiter(shared)
    charges: Charges = ((Window(100, 60), 1), (Window(1000, 60, "", "tokens"), 30))
    code = (
        "import sys\nfrom keystile._sync import patiently\nfrom keystile.limiters import open_limiter\n"
        "from keystile.model import Window\nlimiter = open_limiter(sys.argv[1])\nsys.stdin.readline()\n"
        f"charges = {charges!r}\n"
        "print(sum(patiently(20.0, limiter.hit, 'a', charges)[1].retry_after == 0.0 for _ in range(25)))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", code, shared], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert sum(int(each.communicate("go\n", timeout=60)[0]) for each in running) == 33
    assert remaining(limiter.peek("a", (charges[0][0], charges[1][0]))) == [67, 10]
    limiter.close()
