"""What a subject has used as one byte string, however many windows that are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile.limiters.script import HIT, arguments
from keystile.model import Window
from keystile.rules.limits.charges import charged
from keystile.rules.limits.guests import MOST_GUESTS
from keystile.rules.limits.packed import EMPTY, State, ends, forget, mark_of, pack, slot_of, unpack
from keystile.rules.limits.windows import decide

SECOND = 1_000_000


@pytest.mark.parametrize("windows", [1, 32, 2000, 4500, 20_000])
def test_any_number_of_windows_can_be_packed(windows: int) -> None:
    held: dict[tuple[str, int], State] = {
        (f"/v1/r{number}", 60): (number, number, 1, 0, 0, b"") for number in range(windows)
    }
    packed = pack(held)
    assert unpack(packed) == held
    assert packed.startswith(mark_of(packed))
    assert ends(packed) == windows - 1 + 60 * SECOND
    assert unpack(forget(packed, [("/v1/r0", 60)])) == {slot: held[slot] for slot in held if slot != ("/v1/r0", 60)}


def test_windows_of_requests_keep_the_names_that_they_always_had() -> None:
    state: State = (1, 2, 3, 0, 0, b"")
    packed = pack({slot_of(Window(10, 60)): state, slot_of(Window(10, 3600, "POST /x")): state})
    assert mark_of(packed) == bytes.fromhex("15003c0000000000100e00000700") + b"POST /x"
    assert arguments(HIT, "k", ((Window(10, 60, "POST /x"), 1),))[-1].endswith(b"\x0b\0\0\0\0\x3cPOST /x")


@given(*[st.text(st.characters(codec="utf-8")) | st.sampled_from(["", "\0", "\0t\0", "\0\0", "t"])] * 2)
def test_windows_of_different_units_or_scopes_never_share_a_name(scope: str, other: str) -> None:
    units = ("", "t", "tokens")
    names = {slot_of(Window(1, 60, each, unit)) for each in (scope, other) for unit in units}
    assert len(names) == len({scope, other}) * len(units)


@pytest.mark.parametrize("size", [1, 1000, 32_000])
def test_the_scope_of_a_window_may_be_as_long_as_a_rule(size: int) -> None:
    held = {("/" + "x" * size, seconds): EMPTY for seconds in range(1, 33)}
    assert unpack(pack(held)) == held


def test_a_subject_holds_so_many_windows_of_other_requests_and_forgets_those_that_end_first() -> None:
    packed: bytes | None = None
    rules = MOST_GUESTS + 100
    for number in range(rules):
        packed, [usage] = decide(packed, charged((Window(5, 3600, f"/v1/r{number}"),)), number * SECOND)
        assert usage.remaining == 4
    assert packed is not None
    assert len(unpack(packed)) == MOST_GUESTS + 1
    last, first = Window(5, 3600, f"/v1/r{rules - 1}"), Window(5, 3600, "/v1/r0")
    assert decide(packed, charged((last,)), rules * SECOND)[1][0].remaining == 3
    assert decide(packed, charged((first,)), rules * SECOND)[1][0].remaining == 4
