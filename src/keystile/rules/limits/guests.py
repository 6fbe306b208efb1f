"""Guests: windows of other requests, of a rule or of another plan, that are kept with those that are asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .packed import EMPTY, SECOND, Slot, State, pack, unpack

# How many windows of other requests a subject keeps; those that end last stay. Its state is read and written as a
# whole, so it must not grow with the number of rules.
MOST_GUESTS = 256


def drop_ended(packed: bytes, own: Collection[Slot], now: int) -> bytes:
    """The packed string without windows that are not the request's own and have expired."""
    held = unpack(packed).items()
    return pack({slot: state for slot, state in held if slot in own or _counts(slot, state, now)})


def taken_in(held: Mapping[Slot, State], own: Collection[Slot], now: int) -> bytes:
    """The request's own windows, and of the others those that still count, packed."""
    guests = {slot: state for slot, state in held.items() if slot not in own and _counts(slot, state, now)}
    if len(guests) > MOST_GUESTS:
        guests = dict(sorted(guests.items(), key=_end)[-MOST_GUESTS:])
    return pack({slot: held.get(slot, EMPTY) for slot in own} | guests)


def _counts(slot: Slot, state: State, now: int) -> bool:
    return state[1] + slot[1] * SECOND > now


def _end(held: tuple[Slot, State]) -> int:
    (_, seconds), state = held
    return state[1] + seconds * SECOND
