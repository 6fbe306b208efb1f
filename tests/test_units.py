"""Named units: how plans and rules name them, what a request reserves, and what a settlement gives back or counts."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, Plan, Rule
from keystile.answers.headers.limits import unit_header_names
from keystile.limiters.memory import MemoryLimiter
from keystile.limiters.storages import StorageLimiter
from keystile.model import Reservation, Usage, Window
from keystile.rules.limits.reservations import settlement

TOKENS = {"tokens": "100/minute; 500/day"}


@pytest.mark.parametrize("name", ["tokens", "a", "gpu_seconds", "t5", "a" * 31])
def test_the_name_of_a_unit(name: str) -> None:
    gate = Gate(plans={"free": Plan(units={name: "5/minute"})}, rules=[Rule("/x", reserve={name: 1})])
    assert gate.quotas.units == (name,)


@pytest.mark.parametrize("name", ["", "Tokens", "5t", "_t", "to-kens", "t.o", "tokéns", "t\n", "a" * 32, "t ", " t"])
@pytest.mark.parametrize(
    "build", [lambda name: Plan(units={name: "5/minute"}), lambda name: Rule("/x", reserve={name: 1})]
)
def test_what_cannot_be_the_name_of_a_unit(build: Any, name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        build(name)
    assert (caught.value.key or "").startswith(("units.", "reserve."))


@pytest.mark.parametrize("name", ["requests", "failures"])
def test_what_is_counted_anyway_is_no_unit(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is counted anyway") as caught:
        Plan(units={name: "5/minute"})
    assert caught.value.key == f"units.{name}"
    with pytest.raises(ConfigurationError, match="is counted anyway") as caught:
        Rule("/x", reserve={name: 1})
    assert caught.value.key == f"reserve.{name}"


@pytest.mark.parametrize(
    ("given_members", "key"),
    [
        ({"reserve": {"tokens": -1}}, "reserve.tokens"),
        ({"reserve": {"tokens": 1.5}}, "reserve.tokens"),
        ({"reserve": {"tokens": True}}, "reserve.tokens"),
        ({"reserve": {"tokens": "1"}}, "reserve.tokens"),
        ({"reserve": ["tokens"]}, "reserve"),
        ({"reserve": {1: 1}}, "reserve.1"),
        ({"reserve": {"tokens": 1}, "public": True}, "reserve"),
        ({"enforce": None}, "enforce"),
        ({"enforce": 0}, "enforce"),
    ],
)
def test_a_rule_that_cannot_hold(given_members: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rule("/x", **given_members)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("settings", "key", "reason"),
    [
        (
            {"plans": {"free": Plan(units=TOKENS)}, "rules": [Rule("/x", reserve={"tokns": 1})]},
            "rules[0].reserve.tokns",
            "'/x' reserves 'tokns', and no plan has such a unit; did you mean 'tokens'?",
        ),
        (
            {"rules": [Rule("/x", reserve={"tokens": 1})]},
            "rules[0].reserve.tokens",
            "no plan has such a unit; there are none",
        ),
        (
            {"plans": {"free": Plan(units=TOKENS)}, "rules": [Rule("/x", reserve={"tokens": 101})]},
            "rules[0].reserve.tokens",
            "101 is above the 100 in 60 seconds of plans.free.units: '/x' would never be admitted",
        ),
        ({"plans": {"free": Plan(units={"tokens": "x"})}}, "plans.free.units.tokens", "cannot read 'x'"),
        ({"plans": {"free": Plan(units={"tokens": []})}}, "plans.free.units.tokens", "is empty"),
        (
            {"plans": {"free": Plan(units={"tokens": "9/minute; 5/day"})}},
            "plans.free.units.tokens",
            "allows more than",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_refused_naming_both(
    settings: dict[str, Any], key: str, reason: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(**settings)
    assert caught.value.key == key
    assert reason in caught.value.reason


def test_a_unit_with_a_limit_of_0_admits_nothing_on_purpose() -> None:
    Gate(plans={"free": Plan(units={"tokens": "0/day"})}, rules=[Rule("/x", reserve={"tokens": 5})])


def test_windows_of_units_are_among_the_most_that_one_request_may_meet() -> None:
    units = {"tokens": "; ".join(f"{seconds}/{seconds} seconds" for seconds in range(1, 21))}
    limits = "; ".join(f"{seconds}/{seconds} seconds" for seconds in range(1, 14))
    Gate(plans={"free": Plan(limits, units=units)})
    with pytest.raises(ConfigurationError) as caught:
        Gate(plans={"free": Plan(limits, units=units)}, rules=[Rule("/x", reserve={"tokens": 1})])
    assert caught.value.key == "plans.free.limits"
    gate = Gate(plans={"free": Plan(units=units)}, rules=[Rule("/x", reserve={"tokens": 1})], default_plan="free")
    with pytest.raises(ConfigurationError) as caught:
        gate.keys.create("key", limits=limits)
    assert caught.value.key == "limits"


@pytest.mark.parametrize(
    "settings",
    [
        {"plans": {"free": Plan(units=TOKENS)}},
        {"plans": {"free": Plan("5/minute", enforce=False)}},
        {"rules": [Rule("/x", limits="5/minute", enforce=False)]},
        {"enforce": False},
    ],
)
def test_a_storage_that_counts_one_window_after_the_other_is_refused(settings: dict[str, Any]) -> None:
    limiter = StorageLimiter("async+memory://".removeprefix("async+"))
    Gate(limiter=limiter)
    with pytest.raises(ConfigurationError, match="counts windows one after the other") as caught:
        Gate(limiter=limiter, **settings)
    assert caught.value.key == "limiter"
    for kind in ("plans.free.units", "plans.free.enforce", "rules[0].enforce", "enforce"):
        if kind in str(caught.value):
            break
    else:
        raise AssertionError("it does not name what needs one step")


def test_the_limiters_of_the_house_count_all_in_one_step() -> None:
    assert Gate(limiter=MemoryLimiter(), plans={"free": Plan(units=TOKENS, enforce=False)}).limits.one_step


def test_the_names_of_a_units_headers() -> None:
    assert unit_header_names(["tokens"]) == [
        "X-RateLimit-Limit-Tokens",
        "X-RateLimit-Remaining-Tokens",
        "X-RateLimit-Reset-Tokens",
    ]
    assert unit_header_names(["prompt_tokens"])[0] == "X-RateLimit-Limit-Prompt-Tokens"


amounts = st.integers(0, 1000)
units = st.sampled_from(["tokens", "images", "seconds"])


@given(st.dictionaries(units, amounts), st.dictionaries(units, amounts), st.sets(units))
def test_a_settlement_leaves_what_was_used(reserved: dict[str, int], used: dict[str, int], unlimited: set[str]) -> None:
    used = {unit: number for unit, number in used.items() if unit in reserved}
    reserve = [Reservation(unit, amount) for unit, amount in sorted(reserved.items())]
    windows = [
        Window(10_000, seconds, "", unit) for unit in reserved if unit not in unlimited for seconds in (60, 86_400)
    ]
    usages = [Usage(window, 0, 0.0, 0.0) for window in [Window(5, 60), *windows]]
    back, more = settlement(reserve, usages, used)
    counted = {window: reserved[window.unit] for window in windows}
    for window, number in back:
        assert number > 0
        counted[window] -= number
    for window, number in more:
        assert number > 0
        counted[window] += number
    assert counted == {window: used.get(window.unit, reserved[window.unit]) for window in windows}
    assert not {window for window, _ in back} & {window for window, _ in more}
