"""What only the limiter in memory has: subjects that leave by themselves, and a cap on anonymous ones."""

from __future__ import annotations

import gc
import os
import random

import pytest

from keystile.limiters import anonymous_subject, subject
from keystile.limiters.memory import SHARDS, MemoryLimiter
from keystile.model import Window
from keystile.rules.limits.charges import charged
from tests.selection import often
from tests.test_limiters import DAY, MINUTE, SECOND, Clock, admitted, remaining


@pytest.fixture
def clock() -> Clock:
    return Clock()


def pass_by(limiter: MemoryLimiter, clock: Clock, seconds: int) -> None:
    """Let time go by while somebody else goes on calling, in every shard."""
    for second in range(seconds):
        clock.now += SECOND
        for number in range(10):
            limiter.hit(subject("passer-by", str((second * 10 + number) % 1000)), charged((Window(1000, 1),)))


class TestIdleCallers:
    def test_they_leave(self, clock):
        limiter = MemoryLimiter(clock=clock, wall=clock)
        for number in range(2000):
            limiter.hit(subject("key", str(number)), charged((MINUTE,)))
        pass_by(limiter, clock, 6 * SHARDS)
        assert len(limiter) <= 1000
        assert remaining(limiter.peek(subject("key", "1"), (MINUTE,))) == [60]

    def test_they_stay_as_long_as_a_window_counts_them(self, clock):
        limiter = MemoryLimiter(clock=clock, wall=clock)
        for number in range(2000):
            limiter.hit(subject("key", str(number)), charged((MINUTE, DAY)))
        pass_by(limiter, clock, 6 * SHARDS)
        assert len(limiter) >= 2000
        for number in range(2000):
            assert remaining(limiter.hit(subject("key", str(number)), charged((MINUTE, DAY)))) == [59, 4998]

    def test_a_refused_caller_keeps_its_count_wherever_it_stands(self, clock):
        limiter, windows = MemoryLimiter(clock=clock, wall=clock), (Window(1, 3600),)
        abusers = [subject("key", str(number)) for number in range(500)]
        assert all(admitted(limiter.hit(each, charged(windows))) for each in abusers)
        for _ in range(200):
            clock.now += SECOND
            assert not any(admitted(limiter.hit(each, charged(windows))) for each in random.sample(abusers, 100))

    def test_nothing_it_holds_is_tracked_by_the_garbage_collector(self):
        limiter = MemoryLimiter()
        limiter.hit("a", charged((MINUTE, DAY)))
        shard = next(each for each in limiter._shards if each.kept)
        assert not gc.is_tracked(shard.kept)
        assert not gc.is_tracked(shard.kept["a"])


class TestAnonymousCallers:
    WINDOWS = (Window(2, 60),)

    def flood(self, limiter: MemoryLimiter, count: int, start: int = 0) -> int:
        """How many of this many hits, each from another address, are admitted."""
        return sum(
            admitted(
                limiter.hit(
                    anonymous_subject(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"), charged(self.WINDOWS)
                )
            )
            for number in range(start, start + count)
        )

    def test_only_so_many_are_known_and_the_others_share_one_bucket(self, clock):
        limiter = MemoryLimiter(anonymous=1000, clock=clock, wall=clock)
        assert self.flood(limiter, often(20_000, 1_000_000)) == 1000 + 2
        assert len(limiter) == 1001

    def test_a_flood_neither_frees_the_known_nor_locks_them_out(self, clock):
        limiter = MemoryLimiter(anonymous=100, clock=clock, wall=clock)
        abuser, visitor = anonymous_subject("192.0.2.1"), anonymous_subject("192.0.2.2")
        for _ in range(2):
            limiter.hit(abuser, charged(self.WINDOWS))
        limiter.hit(visitor, charged(self.WINDOWS))
        for second in range(30):
            clock.now += SECOND
            self.flood(limiter, 100, second * 100)
            assert not admitted(limiter.hit(abuser, charged(self.WINDOWS)))
        assert admitted(limiter.hit(visitor, charged(self.WINDOWS)))

    def test_keys_are_never_capped(self, clock):
        limiter = MemoryLimiter(anonymous=10, clock=clock, wall=clock)
        self.flood(limiter, 100)
        assert all(admitted(limiter.hit(subject("key", str(number)), charged(self.WINDOWS))) for number in range(1000))

    def test_places_of_idle_ones_become_free(self, clock):
        limiter = MemoryLimiter(anonymous=100, clock=clock, wall=clock)
        assert self.flood(limiter, 1000) == 102
        pass_by(limiter, clock, 3 * SHARDS)
        assert self.flood(limiter, 1000, 5000) == 102

    def test_reset_and_a_refused_first_hit_give_the_place_back(self, clock):
        limiter = MemoryLimiter(anonymous=1, clock=clock, wall=clock)
        first, second = anonymous_subject("192.0.2.1"), anonymous_subject("192.0.2.2")
        assert not admitted(limiter.hit(first, charged((Window(0, 60),))))
        limiter.hit(first, charged(self.WINDOWS))
        limiter.reset(first, self.WINDOWS)
        limiter.hit(second, charged(self.WINDOWS))
        assert remaining(limiter.peek(second, self.WINDOWS)) == [1]
        assert remaining(limiter.peek(first, self.WINDOWS)) == [2]
        limiter.hit(first, charged(self.WINDOWS))
        assert remaining(limiter.peek(first, self.WINDOWS)) == [1]


def test_a_forked_child_takes_locks_that_its_parent_held():
    limiter = MemoryLimiter()
    shard = limiter._shards[hash("a") % SHARDS]
    with_lock = shard.acquire()
    child = os.fork()
    if child == 0:
        limiter.hit("a", charged((MINUTE,)))
        os._exit(7)
    shard.release()
    assert with_lock
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_what_counts_in_the_shared_bucket_is_given_back_there(clock):
    limiter, windows = MemoryLimiter(anonymous=1, clock=clock, wall=clock), (Window(2, 60),)
    limiter.hit(anonymous_subject("192.0.2.1"), charged(windows))
    for number in range(2, 12):
        late = anonymous_subject(f"192.0.2.{number}")
        usages = limiter.hit(late, charged(windows))
        assert admitted(usages)
        limiter.refund(late, charged(windows), usages[0].at)
    assert len(limiter) == 2
