"""What a subject has used as one byte string, however many windows that are."""

from __future__ import annotations

import pytest

from keystile.model import Window
from keystile.rules.limits.charges import charged
from keystile.rules.limits.guests import MOST_GUESTS
from keystile.rules.limits.packed import EMPTY, State, ends, forget, mark_of, pack, unpack
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
