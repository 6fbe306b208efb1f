"""The window arithmetic: its two promises, its waits to the microsecond, and that it does what the plain model does."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError
from keystile.model import Charges, Usage, Window
from keystile.rules.limits import windows as rules
from keystile.rules.limits.charges import charged
from keystile.rules.limits.notation import check_windows, parse_limits
from keystile.rules.limits.packed import ends, forget, slot_of, unpack
from keystile.rules.limits.usages import binding, refuses
from tests.plain_windows import SECOND, PlainLimiter
from tests.selection import often

START = 1_700_000_000 * SECOND


def admitted(usages: tuple[Usage, ...]) -> bool:
    return not any(usage.retry_after is None or usage.retry_after > 0 for usage in usages)


def wait(usages: tuple[Usage, ...]) -> int | None:
    """The whole wait in microseconds; None for never."""
    waits = [usage.retry_after for usage in usages]
    return None if None in waits else max(round(each * SECOND) for each in waits if each is not None)


class Subject:
    """One caller; remembers what was admitted."""

    def __init__(self) -> None:
        self.packed: bytes | None = None
        self.log: list[tuple[int, dict[Window, int]]] = []

    def hit(self, windows: tuple[Window, ...], now: int, *costs: int) -> tuple[Usage, ...]:
        """A request with a cost for each window; with one cost for all; or with a cost of 1."""
        charges = charged(windows, *costs) if len(costs) < 2 else tuple(zip(windows, costs, strict=True))
        after, usages = rules.decide(self.packed, charges, now)
        assert (after is not None) == (admitted(usages) and any(cost for _, cost in charges))
        if after is not None:
            self.packed = after
            self.log.append((now, dict(charges)))
        return usages

    def units(self, window: Window, after: float, until: int) -> int:
        """Those admitted in (after, until]."""
        return sum(costs[window] for moment, costs in self.log if after < moment <= until)


SCOPES, KINDS, NEVER = st.sampled_from(["", "/x"]), st.sampled_from(["", "", "tokens"]), st.just(False)


def lists_of_windows(most: int = 12, watching: st.SearchStrategy[bool] = NEVER) -> st.SearchStrategy[Any]:
    window = st.builds(Window, st.integers(0, most), st.integers(1, 30), SCOPES, KINDS, watching)
    return st.lists(window, min_size=1, max_size=3, unique_by=slot_of).map(tuple)


# From microseconds to more than any window is long, with the edges of batches and of windows more often.
STEPS = st.one_of(
    st.integers(0, 40 * SECOND),
    st.sampled_from([0, 1, SECOND // 60, SECOND // 60 + 1, SECOND // 2, SECOND - 1, SECOND, SECOND + 1, 30 * SECOND]),
)
SIGNS = st.sampled_from([1, 1, 1, -1])
HUGE_COSTS = st.tuples(*[st.integers(0, 4) | st.sampled_from([1, 1, 2**53])] * 3)
# How long ago a refund says that the units were counted; None for no refund.
BACK = st.none() | st.none() | STEPS
CALLS = st.lists(st.tuples(STEPS, st.integers(1, 4)), max_size=70)
COSTS = st.tuples(*[st.integers(0, 4)] * 3)
# With a cost for each window.
REQUESTS = st.lists(st.tuples(STEPS, COSTS | st.just((1, 1, 1))), max_size=70)


def zipped(windows: tuple[Window, ...], costs: tuple[int, ...]) -> Charges:
    return tuple(zip(windows, costs, strict=False))


class TestPromises:
    @settings(max_examples=often(75, 300))
    @given(lists_of_windows(), REQUESTS)
    def test_no_span_ever_admits_more_than_the_limit(self, windows, calls):
        subject, now = Subject(), START
        for step, costs in calls:
            now += step
            subject.hit(windows, now, *costs[: len(windows)])
        for window in windows:
            for moment, _ in subject.log:
                # [moment, moment + length) is (moment - 1, moment + length - 1] in whole microseconds.
                span = subject.units(window, moment - 1, moment + window.seconds * SECOND - 1)
                assert span <= window.limit

    @settings(max_examples=often(75, 300))
    @given(lists_of_windows(), REQUESTS)
    def test_what_fits_in_61_sixtieths_is_admitted(self, windows, calls):
        subject, now = Subject(), START
        for step, costs in calls:
            now += step
            fits = all(
                max(1, cost) + subject.units(window, now - math.ceil(window.seconds * SECOND * 61 / 60), now)
                <= window.limit
                for window, cost in zipped(windows, costs)
            )
            usages = subject.hit(windows, now, *costs[: len(windows)])
            assert admitted(usages) or not fits

    @settings(max_examples=often(75, 300))
    @given(lists_of_windows(), REQUESTS)
    def test_the_wait_is_exact_to_the_microsecond(self, windows, calls):
        subject, now = Subject(), START
        for step, costs in calls:
            now, charges = now + step, zipped(windows, costs)
            before = subject.packed
            usages = subject.hit(windows, now, *costs[: len(windows)])
            if admitted(usages):
                continue
            assert subject.packed is before
            needed = wait(usages)
            if needed is None:
                assert any(max(1, cost) > window.limit for window, cost in charges)
                continue
            assert admitted(rules.decide(before, charges, now + needed)[1])
            assert not admitted(rules.decide(before, charges, now + needed - 1)[1])

    @settings(max_examples=often(75, 300))
    @given(lists_of_windows(), CALLS)
    def test_remaining_next_grows_at_reset(self, windows, calls):
        subject, now = Subject(), START
        for step, cost in calls:
            now += step
            for before, usage in enumerate(subject.hit(windows, now, cost)):
                reset = round(usage.reset_at * SECOND)
                if reset == now:
                    assert usage.remaining == usage.window.limit
                    continue
                assert rules.look(subject.packed, windows, reset - 1)[before].remaining == usage.remaining
                assert rules.look(subject.packed, windows, reset)[before].remaining > usage.remaining

    @settings(max_examples=often(75, 300))
    @given(st.lists(st.tuples(STEPS, SIGNS, HUGE_COSTS, lists_of_windows(8, st.booleans()), BACK), max_size=40))
    def test_it_does_what_the_plain_model_does_whatever_the_clock_and_the_plan(self, calls):
        packed, plain, now = None, PlainLimiter(), START
        for step, sign, costs, windows, back in calls:
            now, charges = now + sign * step, zipped(windows, costs)
            if back is not None and packed is not None:
                packed = rules.refund(packed, charges, now - back, now)
                plain.refund("s", charges, now - back, now)
            after, usages = rules.decide(packed, charges, now)
            packed = packed if after is None else after
            fits, expected = plain.hit("s", charges, now)
            assert refuses(usages) != fits
            assert [
                (each.remaining, None if each.retry_after is None else round(each.retry_after * SECOND))
                for each in usages
            ] == expected

    @settings(max_examples=often(50, 200))
    @given(st.integers(1, 40), st.integers(1, 60), st.lists(st.integers(0, 3 * SECOND), max_size=80))
    def test_callers_a_sixtieth_apart_are_decided_exactly(self, limit, seconds, pauses):
        window = Window(limit, seconds)
        subject, now = Subject(), START
        for pause in pauses:
            now += math.ceil(seconds * SECOND / 60) + pause
            fits = subject.units(window, now - seconds * SECOND, now) < limit
            assert admitted(subject.hit((window,), now)) == fits

    @settings(max_examples=often(25, 100))
    @given(CALLS)
    def test_there_are_never_more_than_61_batches(self, calls):
        windows = (Window(10**6, 1), Window(10**6, 7))
        subject, now = Subject(), START
        for step, cost in calls * 3:
            now += step // 20
            subject.hit(windows, now, cost)
            for *_, older in unpack(subject.packed).values():
                assert len(older) // 16 <= 60


# Behind one minute after the first unit.
STEPS_AFTER = (0, SECOND - 2, SECOND - 1, 2 * SECOND - 1, 2 * SECOND, 3 * SECOND - 1, 3 * SECOND)


class TestVectors:
    def test_sixty_a_minute_at_one_a_second_is_never_refused(self):
        subject, windows = Subject(), parse_limits("60/minute")
        for second in range(1000):
            assert admitted(subject.hit(windows, START + second * SECOND))

    def test_a_refused_request_spends_nothing_in_the_windows_that_would_admit_it(self):
        subject, windows = Subject(), parse_limits("12/minute; 200/month")
        usages = [subject.hit(windows, START + second * SECOND) for second in range(15)]
        assert [admitted(each) for each in usages] == [True] * 12 + [False] * 3
        assert usages[-1][1].remaining == 188

    def test_no_edge_lets_twice_the_limit_through(self):
        subject, windows = Subject(), parse_limits("10/minute")
        before = [subject.hit(windows, START + 59 * SECOND) for _ in range(10)]
        after = [subject.hit(windows, START + 61 * SECOND) for _ in range(10)]
        assert all(admitted(each) for each in before)
        assert not any(admitted(each) for each in after)
        assert wait(after[0]) == 58 * SECOND

    @pytest.mark.parametrize("notation", ["9/minute", "9/minute; 90/hour", "9/minute; 90/hour; 900/day"])
    def test_a_unit_joins_a_batch_before_a_sixtieth_has_passed_and_not_after(self, notation):
        subject, windows = Subject(), parse_limits(notation)
        for moment in (0, SECOND - 1, 2 * SECOND, 3 * SECOND):
            subject.hit(windows, START + moment)
        left = [rules.look(subject.packed, windows, START + 60 * SECOND + after)[0].remaining for after in STEPS_AFTER]
        assert left == [5, 5, 7, 7, 8, 8, 9]

    def test_a_lowered_limit_resets_when_less_is_in_use_than_it_allows(self):
        subject = Subject()
        for second in range(5):
            subject.hit((Window(5, 60),), START + second * SECOND)
        usage = rules.look(subject.packed, (Window(3, 60),), START + 5 * SECOND)[0]
        assert (usage.remaining, usage.reset_at) == (0, START / SECOND + 62)

    def test_a_window_of_ten_years_counts_to_2_to_the_53(self):
        subject, windows = Subject(), (Window(2**53, 3_652 * 86_400),)
        assert admitted(subject.hit(windows, START, 2**53 - 1))
        assert subject.hit(windows, START + 365 * 86_400 * SECOND, 1)[0].remaining == 0
        assert wait(subject.hit(windows, START + 366 * 86_400 * SECOND, 1)) == (3_652 - 366) * 86_400 * SECOND

    def test_a_limit_of_zero_refuses_for_ever(self):
        usages = Subject().hit((Window(0, 60),), START)
        assert usages == (Usage(Window(0, 60), 0, START / SECOND, None, START),)

    def test_a_cost_above_the_limit_is_refused_for_ever(self):
        assert Subject().hit((Window(5, 60),), START, 6)[0].retry_after is None

    def test_the_shift_turns_moments_of_the_clock_into_unix_time(self):
        _, usages = rules.decide(None, charged((Window(5, 60),)), 1000, START)
        assert usages[0].reset_at == (START + 1000) / SECOND + 60


class TestClock:
    def test_a_clock_that_steps_back_within_a_window_frees_nobody(self):
        subject, windows = Subject(), (Window(2, 60),)
        subject.hit(windows, START)
        subject.hit(windows, START + 30 * SECOND)
        usages = subject.hit(windows, START - 20 * SECOND)
        assert wait(usages) == 80 * SECOND

    def test_a_clock_set_back_further_costs_one_fresh_window(self):
        subject, windows = Subject(), (Window(2, 60),)
        for _ in range(2):
            assert admitted(subject.hit(windows, START + 1000 * SECOND))
        assert [admitted(subject.hit(windows, START)) for _ in range(3)] == [True, True, False]

    def test_a_refused_hit_at_a_high_reading_leaves_nothing_behind(self):
        subject, windows = Subject(), (Window(2, 60), Window(2, 3600))
        for _ in range(2):
            subject.hit(windows, START)
        assert not admitted(subject.hit(windows, START + 600 * SECOND))
        assert not admitted(subject.hit(windows, START + 1))
        assert rules.look(subject.packed, windows, START + 1)[0].remaining == 0


class TestPlansAndScopes:
    def test_another_limit_keeps_the_count(self):
        subject = Subject()
        for _ in range(5):
            subject.hit((Window(5, 60),), START)
        assert subject.hit((Window(8, 60),), START)[0].remaining == 2
        lowered = subject.hit((Window(3, 60),), START)[0]
        assert (lowered.remaining, lowered.retry_after) == (0, 60.0)

    def test_windows_of_another_scope_or_length_count_for_themselves(self):
        subject = Subject()
        caller, rule = (Window(5, 60), Window(9, 3600)), (Window(5, 60), Window(9, 3600), Window(2, 60, "/x"))
        for _ in range(2):
            subject.hit(rule, START)
        assert not admitted(subject.hit(rule, START))
        assert [each.remaining for each in subject.hit(caller, START)] == [2, 6]
        assert [each.remaining for each in subject.hit((Window(5, 61),), START)] == [4]
        assert subject.hit(caller[::-1], START)[1].remaining == 1

    def test_windows_that_ended_leave_when_others_are_counted(self):
        subject = Subject()
        subject.hit((Window(5, 3600), Window(2, 60, "/x")), START)
        subject.hit((Window(5, 3600),), START + 61 * SECOND)
        assert list(unpack(subject.packed)) == [("", 3600)]

    def test_windows_can_be_forgotten_whatever_they_allow(self):
        subject = Subject()
        subject.hit((Window(5, 60), Window(9, 3600)), START)
        left = forget(subject.packed, {("", 60)})
        assert rules.look(left, (Window(5, 60), Window(9, 3600)), START)[0].remaining == 5
        assert forget(left, {("", 3600)}) is None

    def test_it_ends_when_the_last_batch_leaves(self):
        subject = Subject()
        subject.hit((Window(5, 60), Window(9, 3600)), START)
        assert ends(subject.packed) == START + 3600 * SECOND

    def test_two_windows_of_the_same_length_are_refused(self):
        with pytest.raises(ConfigurationError):
            rules.decide(None, charged((Window(5, 60), Window(6, 60))), START)


class TestBinding:
    SHORT, LONG = Window(60, 60), Window(5000, 86_400)

    def test_the_least_remaining_binds(self):
        usages = (Usage(self.SHORT, 3, 1.0, 0.0), Usage(self.LONG, 2, 1.0, 0.0))
        assert binding(usages).window == self.LONG
        assert binding(usages[::-1]).window == self.LONG

    def test_of_equals_the_longer_binds(self):
        usages = (Usage(self.SHORT, 3, 1.0, 0.0), Usage(self.LONG, 3, 1.0, 0.0))
        assert binding(usages).window == self.LONG
        assert binding(usages[::-1]).window == self.LONG

    @pytest.mark.parametrize("waits", [(2.0, 1.0), (2.0, 0.0), (None, 5.0), (None, 0.0)])
    def test_of_a_refused_request_the_longest_wait_binds(self, waits):
        usages = tuple(Usage(window, 0, 1.0, each) for window, each in zip((self.SHORT, self.LONG), waits, strict=True))
        assert binding(usages).window == self.SHORT
        assert binding(usages[::-1]).window == self.SHORT


class TestNotation:
    def test_it_reads_what_limits_reads(self):
        assert parse_limits("60/minute; 5000 per day") == (Window(60, 60), Window(5000, 86_400))
        assert parse_limits(["10 per 2 hours", "100/day"], scope="/x") == (
            Window(10, 7200, "/x"),
            Window(100, 86_400, "/x"),
        )

    def test_nothing_is_no_limit(self):
        assert parse_limits(None) == ()

    def test_zero_admits_nothing(self):
        assert parse_limits("0/minute") == (Window(0, 60),)

    @pytest.mark.parametrize(
        "wrong", ["", "x", "60", "-1/minute", "1.5/minute", "60/minute;", "1/0minute", "60/fortnight", [], [5], [""]]
    )
    def test_what_cannot_be_read_is_refused(self, wrong):
        with pytest.raises(ConfigurationError) as caught:
            parse_limits(wrong)
        assert caught.value.key == "limits"

    @pytest.mark.parametrize("wrong", ["60/minute; 50/hour", "60/minute; 70/60seconds", "1/minute; 0/day"])
    def test_windows_that_contradict_each_other_are_refused(self, wrong):
        with pytest.raises(ConfigurationError) as caught:
            parse_limits(wrong)
        assert caught.value.key == "limits"

    def test_windows_of_different_scopes_are_not_compared(self):
        check_windows((Window(60, 60), Window(5, 3600, "/x"), Window(0, 60, "/y")), 5)

    @pytest.mark.parametrize("cost", [0, 6, True, "1"])
    def test_a_cost_that_could_never_be_admitted_is_refused(self, cost):
        with pytest.raises(ConfigurationError) as caught:
            check_windows((Window(5, 60),), cost)
        assert caught.value.key == "cost"

    @pytest.mark.parametrize("window", [Window(-1, 60), Window(2**53 + 1, 60), Window(1, 0), Window(1, 10**9)])
    def test_windows_out_of_range_are_refused(self, window):
        with pytest.raises(ConfigurationError):
            check_windows((window,))

    @given(st.lists(st.integers(1, 10**6), min_size=2, max_size=4, unique=True), st.data())
    def test_limits_that_grow_with_their_length_are_coherent(self, lengths, data):
        limits = sorted(data.draw(st.lists(st.integers(1, 100), min_size=len(lengths), max_size=len(lengths))))
        windows = [Window(*each) for each in zip(limits, sorted(lengths), strict=True)]
        check_windows(data.draw(st.permutations(windows)))
        assert all(shorter.limit <= longer.limit for shorter, longer in pairwise(windows))
