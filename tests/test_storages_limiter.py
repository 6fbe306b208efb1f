"""The limiter over the storages of `limits`, with their own in-memory storage as the real one."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import limits.aio.storage
import limits.storage
import pytest

from keystile.exceptions import ConfigurationError, StoreUnavailable
from keystile.limiters import open_limiter
from keystile.limiters.redis import RedisLimiter
from keystile.limiters.storages import AsyncStorageLimiter, StorageLimiter
from keystile.model import Usage, Window
from keystile.rules.limits.charges import charged

BOTH = (Window(12, 60), Window(200, 2_592_000))


class Plain(limits.storage.Storage):
    """A storage that only knows fixed windows, as somebody else might register one."""

    STORAGE_SCHEME = ("plain",)
    base_exceptions = KeyError

    def __init__(self, uri: str, **_options: Any) -> None:
        super().__init__(uri)
        self.counts: dict[str, int] = {}

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        if "down" in self.counts:
            raise KeyError("secret words")
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]

    def get(self, key: str) -> int:
        return self.counts.get(key, 0)

    def get_expiry(self, key: str) -> float:
        return 2_000_000_000.0

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        self.counts.clear()

    def clear(self, key: str) -> None:
        self.counts.pop(key, None)


Calls = list[tuple[Any, ...]]


def blocking(url: str, calls: Calls) -> list[Any]:
    limiter = StorageLimiter.from_url(url)
    return [getattr(limiter, name)(*args) for name, *args in calls]


def in_a_loop(url: str, calls: Calls) -> list[Any]:
    async def run() -> list[Any]:
        limiter = StorageLimiter.from_url(url).for_asyncio()
        answers = [await getattr(limiter, name)(*args) for name, *args in calls]
        await limiter.close()
        return answers

    return asyncio.run(run())


@pytest.fixture(params=[blocking, in_a_loop])
def play(request: pytest.FixtureRequest) -> Callable[[Calls], list[Any]]:
    """Make calls on a fresh limiter; their answers."""
    return lambda calls: request.param("memory://", calls)


def admitted(answer: tuple[Usage, ...]) -> bool:
    return all(usage.retry_after == 0.0 for usage in answer)


def remaining(answer: tuple[Usage, ...]) -> list[int]:
    return [usage.remaining for usage in answer]


def test_a_refused_request_spends_nothing_in_any_window(play: Callable[[Calls], list[Any]]) -> None:
    *hits, seen = play([*[("hit", "k", charged(BOTH))] * 15, ("peek", "k", BOTH)])
    assert [admitted(each) for each in hits] == [True] * 12 + [False] * 3
    assert remaining(seen) == [0, 188]
    assert [usage.window for usage in seen] == list(BOTH)
    assert hits[-1][0].retry_after > 0
    assert hits[-1][1].retry_after == 0.0


def test_a_plan_change_keeps_the_count(play: Callable[[Calls], list[Any]]) -> None:
    answers = play(
        [("hit", "k", charged((Window(10, 60),), 8)), ("peek", "k", [Window(100, 60)]), ("peek", "k", [Window(5, 60)])]
    )
    assert [remaining(each) for each in answers] == [[2], [92], [0]]


def test_scopes_subjects_and_spans_never_share_a_count(play: Callable[[Calls], list[Any]]) -> None:
    subjects = ["a", "a/b", "1:a", " ", "", "é", "\udcff", "x" * 1000]
    windows = tuple(Window(10, seconds, scope) for seconds in (60, 61) for scope in ("", "/x", "POST /x"))
    for answer in play([("hit", subject, charged(windows)) for subject in subjects]):
        assert remaining(answer) == [9] * len(windows)


def test_each_window_has_its_own_cost_and_0_asks_that_one_be_free(play: Callable[[Calls], list[Any]]) -> None:
    first, second = BOTH
    charges = ((first, 5), (second, 0))
    *hits, seen = play([*[("hit", "k", charges)] * 3, ("hit", "k", ((first, 0), (second, 198))), ("peek", "k", BOTH)])
    assert [admitted(each) for each in hits] == [True, True, False, True]
    assert remaining(seen) == [2, 2]


@pytest.mark.parametrize("window", [Window(5, 60, "", "tokens"), Window(5, 60, watching=True)])
def test_units_and_windows_that_only_watch_are_refused(play: Callable[[Calls], list[Any]], window: Window) -> None:
    assert not StorageLimiter.one_step
    assert not AsyncStorageLimiter.one_step
    with pytest.raises(ConfigurationError, match="neither units nor windows that only watch"):
        play([("hit", "k", ((window, 1),))])


def test_a_limit_of_nothing_and_a_cost_above_the_limit_never_fit(play: Callable[[Calls], list[Any]]) -> None:
    closed, small = play([("hit", "k", charged((Window(0, 60), BOTH[0]))), ("hit", "k", charged((Window(5, 60),), 6))])
    assert closed[0].retry_after is None
    assert remaining(closed) == [0, 12]
    assert small[0].retry_after is None


def test_reset_forgets_the_named_windows_only(play: Callable[[Calls], list[Any]]) -> None:
    *_, seen = play([("hit", "k", charged(BOTH, 3)), ("reset", "k", BOTH[:1]), ("peek", "k", BOTH)])
    assert remaining(seen) == [12, 197]


def test_a_refund_gives_back_what_the_counter_holds(play: Callable[[Calls], list[Any]]) -> None:
    windows = (Window(12, 10**8), Window(200, 2 * 10**8))  # none of them ends while this runs
    now = int(time.time() * 1_000_000)
    *_, first, _, second = play(
        [
            ("refund", "k", charged(windows, 5), now),
            ("hit", "k", charged(windows, 3)),
            ("refund", "k", charged(windows), now),
            ("peek", "k", windows),
            ("refund", "k", charged(windows, 100), now),
            ("hit", "k", charged(windows)),
        ]
    )
    assert [remaining(first), remaining(second)] == [[10, 198], [11, 199]]


def test_fixed_windows_give_back_too() -> None:
    limiter = open_limiter("plain://")
    windows = (Window(12, 10**8), Window(200, 2 * 10**8))
    at = limiter.hit("k", charged(windows, 5))[0].at
    limiter.refund("k", charged(windows, 2), at)
    assert remaining(limiter.peek("k", windows)) == [9, 197]
    limiter.refund("k", charged(windows, 10), at - 10**14)  # of the window before
    assert remaining(limiter.peek("k", windows)) == [9, 200]
    limiter.refund("k", charged(windows, 10), at)
    assert remaining(limiter.peek("k", windows)) == [12, 200]


class Decreasing:
    """A client of memcached, as far as a refund needs one."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def get_many(self, keys: list[str]) -> dict[str, int]:
        return {key: self.counts[key] for key in keys if key in self.counts}

    def incr(self, key: str, amount: int, noreply: bool) -> int:
        assert amount > 0
        self.counts[key] = self.counts.get(key, 0) + amount
        return self.counts[key]

    def decr(self, key: str, amount: int) -> int:
        assert 0 < amount <= self.counts[key]
        self.counts[key] -= amount
        return self.counts[key]


def test_memcached_which_knows_no_negative_amount_gives_back_too() -> None:
    limiter, windows = StorageLimiter.from_url("memcached://127.0.0.1:1"), (Window(12, 10**6),)
    limiter._strategy.storage.local_storage.storage = Decreasing()
    at = limiter.hit("k", charged(windows, 5))[0].at
    limiter.refund("k", charged(windows, 2), at)
    assert remaining(limiter.peek("k", windows)) == [9]
    limiter.refund("k", charged(windows, 10), at)
    assert remaining(limiter.peek("k", windows)) == [12]


def test_it_says_once_what_it_cannot_promise(caplog: pytest.LogCaptureFixture) -> None:
    limiter = StorageLimiter.from_url("memory://")
    limiter.hit("k", charged(BOTH))
    limiter.for_asyncio()
    limiter.close()
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("keystile", logging.WARNING)
    assert "SlidingWindowCounter" in record.getMessage()
    assert "neither atomic nor strict" in record.getMessage()


def test_a_storage_without_sliding_windows_gets_fixed_ones(caplog: pytest.LogCaptureFixture) -> None:
    limiter = open_limiter("plain://")
    assert "FixedWindow" in caplog.text
    assert [admitted(limiter.hit("k", charged(BOTH, 5))) for _ in range(3)] == [True, True, False]
    assert remaining(limiter.peek("k", BOTH)) == [2, 190]


def test_a_window_that_fills_up_in_between_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    limiter = StorageLimiter.from_url("plain://")
    monkeypatch.setattr(type(limiter._strategy), "test", lambda *_args, **_named: True)
    assert [admitted(limiter.hit("k", charged((Window(2, 60),)))) for _ in range(4)] == [True, True, False, False]


def test_what_the_storage_raises_is_unavailable_without_its_words() -> None:
    limiter = StorageLimiter.from_url("plain://user:secret@host")
    limiter._strategy.storage.counts["down"] = 1
    with pytest.raises(StoreUnavailable) as caught:
        limiter.hit("k", charged(BOTH))
    assert str(caught.value) == "plain://host: KeyError"
    assert "secret" not in repr(limiter) + repr(caught.value)


def test_a_memcached_that_is_not_there_is_unavailable() -> None:
    limiter = StorageLimiter.from_url("memcached://127.0.0.1:1")
    with pytest.raises(StoreUnavailable, match=r"memcached://127.0.0.1:1: ConnectionRefusedError"):
        limiter.hit("k", charged(BOTH[:1]))


def test_a_window_that_memcached_would_not_keep_is_refused_rather_than_not_counted() -> None:
    limiter = StorageLimiter.from_url("memcached://127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="15 days"):
        limiter.hit("k", charged((Window(5, 30 * 86400),)))


@pytest.mark.parametrize("url", ["nothing://x", "memcached://user:secret@h"])
def test_a_wrong_url_or_a_missing_driver_fails_when_built(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        StorageLimiter.from_url(url)
    assert "secret" not in str(caught.value)


def test_a_missing_asyncio_driver_fails_when_built() -> None:
    with pytest.raises(ConfigurationError, match="driver"):
        StorageLimiter.from_url("plain://h").for_asyncio()
    with pytest.raises(ConfigurationError, match="driver"):
        AsyncStorageLimiter.from_url("nothing://h")


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mongodb://user:secret@h", "mongodb://h: needs a driver: pip install pymongo"),
        ("nothing://h", "nothing://h: there is no such limiter; there are sqlite, "),
        ("memcache://h", "memcache://h: there is no such limiter; did you mean 'memcached'?"),
    ],
)
def test_what_is_missing_is_named_and_nothing_else_is_printed(url: str, advice: str) -> None:
    code = f"import sys; sys.modules['pymongo'] = None; from keystile import Gate; Gate(limiter={url!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "Exception ignored" not in done.stderr
    assert advice in done.stderr.splitlines()[-1].replace("limiter: ", "")
    assert "secret" not in done.stderr.replace(code, "")


def test_any_one_of_several_drivers_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    kind = type("Kind", (), {"DEPENDENCIES": {"no_such_driver": None, "pymemcache": None}})
    monkeypatch.setitem(vars(limits.storage)["SCHEMES"], "either", kind)
    with pytest.raises(ConfigurationError, match="limits cannot use it: TypeError"):  # it is no storage, but was tried
        StorageLimiter.from_url("either://h")
    kind.DEPENDENCIES = {"no_such_driver": None, "nor.this": None}
    with pytest.raises(ConfigurationError, match=r"needs a driver: pip install no_such_driver$"):
        StorageLimiter.from_url("either://h")


def test_redis_has_a_limiter_of_its_own() -> None:
    assert isinstance(open_limiter("redis://127.0.0.1:1"), RedisLimiter)


def test_limiters_loads_no_storage_before_one_is_named() -> None:
    check = "import sys, keystile.limiters; assert not {'limits', 'redis', 'pymemcache'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)
