"""What an app says that a request used of named units: it only adds to numbers, and the door settles them at the end.

One `Charged` belongs to one request whose path reserves units. Any thread or task of the app may add to it, during the
answer and after its head has gone out. It is closed once, when the app's output has ended. What is added later can no
longer be settled, and is reported instead.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from .._ground.checks import known
from .._sync import Lock
from ..events import Event, Events
from ..model import Admitted

MOST = 2**53
"""The largest number of units that windows can count."""


class Charged:
    """What one request used.

    Args:
        admitted: the gate's decision on it.
        events: told of what is charged too late.
    """

    __slots__ = ("_admitted", "_closed", "_events", "_lock", "_units", "_used")

    def __init__(self, admitted: Admitted, events: Events) -> None:
        self._admitted, self._events = admitted, events
        self._units = [each.unit for each in admitted.demand.reserve]
        self._used: dict[str, int] = {}
        self._lock, self._closed = Lock(), False

    def add(self, used: Mapping[str, int]) -> None:
        """Add to the numbers: to all of them, or to none if one cannot be added."""
        check_charge(used, self._units)
        with self._lock:
            late = self._closed
            if not late:
                for unit, number in used.items():
                    self._used[unit] = min(MOST, self._used.get(unit, 0) + number)
        if late:
            self._tell(used)

    def close(self) -> Mapping[str, int] | None:
        """What was added, by unit, for whoever asks first; None for everybody else."""
        with self._lock:
            late, self._closed = self._closed, True
            return None if late else self._used

    def _tell(self, used: Mapping[str, int]) -> None:
        principal, request_id, *_ = self._admitted
        listed = ", ".join(f"{number} {unit}" for unit, number in used.items())
        key_id, organization = (None, None) if principal is None else (principal.id, principal.organization_id)
        reason = f"not counted, because the answer had ended: {listed}"
        event = Event("charged_late", logging.WARNING, key_id=key_id, request_id=request_id, reason=reason)
        self._events.tell(event._replace(organization_id=organization))


def check_charge(used: Mapping[str, int], units: Iterable[str]) -> None:
    """Refuse what cannot be charged.

    Args:
        used: numbers by unit.
        units: those that are reserved for this request.

    Raises:
        LookupError: no rule of this request reserves such a unit.
        TypeError, ValueError: a number is none, or out of range.
    """
    listed = list(units)
    for unit, number in used.items():
        if unit not in listed:
            raise LookupError(f"no rule that holds for this request reserves {unit!r}; {known(listed, unit)}")
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"{unit}: expected a whole number, got {type(number).__name__}")
        if not 0 <= number <= MOST:
            raise ValueError(f"{unit}: expected a whole number from 0 to 2**53")
