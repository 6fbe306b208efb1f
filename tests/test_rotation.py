"""What a rotation makes of a key's hashes, whatever they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from keystile.keys.changes.rotation import rotated
from keystile.model import SecretHash

T0 = datetime(2026, 1, 15, tzinfo=UTC)
DAY = 86_400.0
seconds = st.one_of(st.just(0.0), st.floats(0.000001, 90 * DAY))


def later(after: float) -> datetime:
    return T0 + timedelta(seconds=after)


def valid(hashes: tuple[SecretHash, ...], at: datetime, ends: datetime | None) -> set[str]:
    """The secrets that are let in at this moment."""
    living = ends is None or at < ends
    return {each.hint for each in hashes if living and (each.expires_at is None or at < each.expires_at)}


@given(st.lists(st.tuples(st.floats(0.0, 2 * DAY), seconds), min_size=1, max_size=6), st.none() | seconds, seconds)
def test_whatever_was_rotated_the_last_two_secrets_are_valid_as_long_as_was_said(
    rotations: list[tuple[float, float]], lasts: float | None, look: float
) -> None:
    ends = None if lasts is None else later(lasts)
    hashes, now = (SecretHash("h0", "s0"),), T0
    for number, (pause, grace) in enumerate(rotations, 1):
        now += timedelta(seconds=pause)
        before, last = hashes, grace
        hashes, cut = rotated(hashes, SecretHash(f"h{number}", f"s{number}"), now, grace, ends)
        assert 1 <= len(hashes) <= 2
        assert hashes[0].hint == f"s{number}"
        assert hashes[0].expires_at is None
        graced = before[1].expires_at if len(before) == 2 else None
        assert cut == (graced is not None and now < graced)
    at = now + timedelta(seconds=look)
    expected = {f"s{len(rotations)}"}
    if at < now + timedelta(seconds=last):
        expected.add(f"s{len(rotations) - 1}")
    assert valid(hashes, at, ends) == (expected if ends is None or at < ends else set())


def test_at_its_end_the_older_secret_is_valid_no_more() -> None:
    hashes, _ = rotated((SecretHash("h0", "s0"),), SecretHash("h1", "s1"), T0, 60, None)
    assert valid(hashes, later(59.999999), None) == {"s0", "s1"}
    assert valid(hashes, later(60), None) == {"s1"}


def test_a_hash_keeps_what_else_it_has() -> None:
    hashes, _ = rotated((SecretHash("h0", "s0", quick="q0"),), SecretHash("h1", "s1", quick="q1"), T0, 60, later(30))
    assert hashes == (SecretHash("h1", "s1", quick="q1"), SecretHash("h0", "s0", later(30), "q0"))
