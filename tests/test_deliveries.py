"""When a message is sent again, what outcomes mean, when an endpoint is given up: the rules, without a network."""

from __future__ import annotations

from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.rules.deliveries import (
    DAY,
    DRIFT,
    GIVEN_UP,
    HOUR,
    SCHEDULE,
    SPAN,
    Came,
    Failing,
    Judged,
    drift,
    judge,
    pause,
)
from keystile.webhooks.working.places import EACH, MOST, REMEMBERED, Places

NOW = 1_800_000_000.0
NUMBERS = st.integers(1, len(SCHEDULE) - 1)
ERRORS = ["unresolved", "unreachable", "tls", "timeout", "broken"]
FAILED = [Came(status) for status in (100, 199, 300, 301, 307, 400, 401, 404, 409, 411, 429, 500, 502, 503, 504)]
FAILED += [Came(None, error) for error in ERRORS]


def judged(came: Came, number: int = 1, *, random: float = 0.5, since: float | None = None, age: float = 0) -> Judged:
    return judge(came, Failing(number, NOW - age, None if since is None else NOW - since), now=NOW, random=random)


def test_the_schedule_is_the_one_of_standard_webhooks() -> None:
    assert SCHEDULE == (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert [round(each / HOUR, 2) for each in accumulate(SCHEDULE)][-1] == 75.58


@pytest.mark.parametrize("number", range(1, 20))
@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_success_at_whatever_attempt(status: int, number: int) -> None:
    assert judged(Came(status, retry_after=60), number, since=9 * DAY, age=9 * DAY) == Judged("done")


@pytest.mark.parametrize("came", FAILED, ids=str)
def test_everything_else_is_tried_again(came: Came) -> None:
    assert judged(came) == Judged("due", NOW + 5)
    assert judged(came, 9) == Judged("due", NOW + 86_400)


@pytest.mark.parametrize("came", FAILED, ids=str)
@pytest.mark.parametrize("number", [10, 11, 40])
def test_after_the_last_attempt_a_message_has_failed(came: Came, number: int) -> None:
    """A worker that died has used up an attempt: there may be more than ten."""
    assert judged(came, number) == Judged("failed", reason="exhausted")


@pytest.mark.parametrize("number", [1, 10])
def test_410_ends_the_endpoint_and_a_closed_address_the_message(number: int) -> None:
    assert judged(Came(410), number) == Judged("failed", reason="gone", disable="gone")
    assert judged(Came(None, "blocked"), number) == Judged("failed", reason="blocked")


@given(NUMBERS, st.floats(0, 1))
def test_a_pause_differs_from_the_schedule_by_at_most_a_fifth(number: int, random: float) -> None:
    seconds = pause(number, None, random)
    assert 0.8 * SCHEDULE[number] <= seconds <= 1.2 * SCHEDULE[number] * (1 + 1e-12)


@given(NUMBERS, st.integers(0, 999_999_999), st.floats(0, 1))
def test_what_the_other_side_asks_for_counts_within_bounds(number: int, asked: int, random: float) -> None:
    base = SCHEDULE[number]
    seconds = pause(number, asked, random)
    assert base <= seconds <= 2 * base
    if base <= asked <= 2 * base:
        assert seconds == asked


@given(NUMBERS, st.floats(0, 1), st.floats(0, 1))
def test_who_failed_together_does_not_come_back_together(number: int, one: float, other: float) -> None:
    apart = abs(pause(number, None, one) - pause(number, None, other))
    assert apart == pytest.approx(abs(one - other) * 0.4 * SCHEDULE[number], abs=1e-6)


@pytest.mark.parametrize("came", [*FAILED, Came(None, "blocked")], ids=str)
@pytest.mark.parametrize(
    ("since", "age", "disabled"),
    [
        (GIVEN_UP, SPAN + 1, True),
        (GIVEN_UP - 1, SPAN + 1, False),
        (9 * DAY, SPAN, False),
        (9 * DAY, 0, False),
        (None, 9 * DAY, False),
    ],
)
def test_an_endpoint_is_given_up_after_five_days_of_failures_that_are_more_than_two(
    came: Came, since: float | None, age: float, disabled: bool
) -> None:
    for number in (1, 7, 10):
        found = judged(came, number, since=since, age=age)
        assert (found.disable == "failing") is disabled


@given(st.builds(Came, st.none() | st.integers(100, 599), st.sampled_from([None, "blocked", *ERRORS])), st.data())
def test_a_message_is_due_again_exactly_while_there_are_attempts_left(came: Came, data: st.DataObject) -> None:
    found = judged(came, data.draw(st.integers(1, 30)), random=data.draw(st.floats(0, 1)))
    assert (found.due_at is None) is (found.state != "due")
    assert (found.reason is None) is (found.state != "failed")
    assert found.due_at is None or NOW < found.due_at <= NOW + 2 * DAY


def test_ten_attempts_and_no_more_follow_from_the_rule() -> None:
    number, at = 0, 0.0
    while True:
        number += 1
        found = judge(Came(500), Failing(number, 0.0), now=at, random=0.5)
        if found.due_at is None:
            break
        at = found.due_at
    assert (number, at, found.reason) == (10, sum(SCHEDULE), "exhausted")


@pytest.mark.parametrize(
    ("offsets", "told"),
    [
        ([], None),
        ([0.0, 1.0, -3.0], None),
        ([DRIFT], None),
        ([400.0], 400.0),
        ([-400.0, -390.0, -410.0], -400.0),
        ([9000.0, 0.0, 1.0], None),
        ([9000.0, -9000.0, 0.0], None),
    ],
)
def test_most_clocks_decide_whether_ours_is_wrong(offsets: list[float], told: float | None) -> None:
    assert drift(offsets) == told


def test_an_endpoint_has_four_places_and_a_worker_64() -> None:
    places = Places()
    assert [places.take("a") for _ in range(5)] == [True] * 4 + [False]
    assert places.full() == {"a"}
    assert [places.take(f"e{number // EACH}") for number in range(MOST)].count(True) == MOST - EACH
    assert places.free == 0
    places.leave("a", arrived=True)
    assert places.take("new")


def test_an_endpoint_that_fails_has_one_place_until_something_arrives() -> None:
    places = Places()
    assert places.take("a")
    places.leave("a", arrived=False)
    assert [places.take("a"), places.take("a")] == [True, False]
    assert places.full() == {"a"}
    places.leave("a", arrived=True)
    assert [places.take("a") for _ in range(5)] == [True] * 4 + [False]


def test_all_that_fail_together_have_a_quarter_of_the_places() -> None:
    places = Places()
    bad, good = [f"bad{number}" for number in range(40)], [f"good{number}" for number in range(12)]
    for each in bad:
        assert places.take(each)
        places.leave(each, arrived=False)
    assert [places.take(each) for each in bad].count(True) == MOST // 4
    assert places.full() == set(bad)
    assert all(places.take(each) for each in good for _ in range(EACH))
    assert places.free == 0


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.sampled_from(["take", "arrived", "failed"])), max_size=200))
def test_places_are_never_more_than_there_are_and_all_come_back(steps: list[tuple[str, str]]) -> None:
    places, taken = Places(8, 3), Counter[str]()
    for name, step in steps:
        if step == "take":
            left, is_full = places.left(name), name in places.full()
            there = places.take(name)
            assert there is (left > 0)
            assert not (there and is_full)
            taken[name] += there
        elif taken[name]:
            taken[name] -= 1
            places.leave(name, arrived=step == "arrived")
        assert places.free == 8 - taken.total() >= 0
        assert max(taken.values(), default=0) <= 3


def test_an_endpoint_that_the_outbox_knows_to_fail_has_one_place_from_the_beginning() -> None:
    places = Places()
    taken = [places.take(f"bad{number}", failing=True) for number in range(40)]
    assert taken.count(True) == MOST // 4
    assert places.left_for_failing == 0
    assert all(places.take(f"good{number}") for number in range(12) for _ in range(EACH))


def test_what_fails_and_is_under_way_is_not_forgotten_for_others_that_fail() -> None:
    places = Places()
    for number in range(MOST // 4):
        assert places.take(f"hanging{number}", failing=True)
    for number in range(REMEMBERED + 50):
        assert not places.take(str(number), failing=True)
    assert places.left_for_failing == 0
    assert places.full() >= {f"hanging{number}" for number in range(MOST // 4)}


def test_of_failing_endpoints_only_so_many_are_remembered() -> None:
    places = Places()
    for number in range(REMEMBERED + 50):
        assert places.take(str(number))
        places.leave(str(number), arrived=False)
    assert places.left("0") == EACH
    assert places.left(str(REMEMBERED + 49)) == 1
