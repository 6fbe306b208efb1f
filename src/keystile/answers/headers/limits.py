"""What a client learns about its windows: ``Retry-After``, ``X-RateLimit-*``, and the IETF draft's fields if wanted.

``X-RateLimit-Limit``, ``-Remaining`` and ``-Reset`` describe one window. For an admitted request it is the one that
will be full first (least remaining; of equals, the longer); for a refused request, the one with the longest wait. Reset
is the moment when Remaining next grows, in Unix seconds, rounded up.

These three speak of requests alone. What is counted in a named unit has three of its own, ``X-RateLimit-Limit-Tokens``
and so on. Windows in dry run are told nowhere: clients keep to a limit that they see.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import ceil
from typing import Any, AnyStr, Generic

from ...model import Usage
from ...rules.limits.usages import binding

Fields = list[tuple[str, str]]

SHOWN = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
LIMIT, REMAINING, RESET = NAMES = tuple(name.lower() for name in SHOWN)


def unit_header_names(units: Iterable[str]) -> list[str]:
    """The names of the fields for these units, three for each, as people write them.

    ``X-RateLimit-Limit-Prompt-Tokens`` is for ``prompt_tokens``: some proxies drop names with underscores.
    """
    return [f"{name}-{unit.replace('_', '-').title()}" for unit in units for name in SHOWN]


def shown_names(units: Iterable[str], *, ietf: bool) -> tuple[str, ...]:
    """The fields in which answers may say where a caller stands, as people write them."""
    return (*SHOWN, *unit_header_names(units), *(("RateLimit-Policy", "RateLimit") if ietf else ()))


class FieldWriter(Generic[AnyStr]):
    """Writes the header fields for a caller's windows in the text type of one door, with names in lower case.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
        ietf: add ``RateLimit-Policy`` and ``RateLimit`` (draft-ietf-httpapi-ratelimit-headers-11).
        units: the named units that windows may count.
        watches: whether a window may be in dry run.
    """

    def __init__(
        self, encode: Callable[[str], AnyStr], *, ietf: bool, units: Sequence[str] = (), watches: bool = False
    ) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._ietf = ietf
        self._limit: AnyStr = encode(LIMIT)
        self._remaining: AnyStr = encode(REMAINING)
        self._reset: AnyStr = encode(RESET)
        self._of_units: dict[str, list[AnyStr]] = {
            unit: [encode(name.lower()) for name in unit_header_names([unit])] for unit in units
        }
        # Where all windows are alike, nothing need be told apart.
        self.write: Callable[[Sequence[Usage], float], list[tuple[AnyStr, AnyStr]]] = (
            self._write_apart if units or watches else self._write
        )
        """The fields that say where the caller stands; none if there are no windows. It takes what the limiter
        answered, and Unix seconds."""
        # Where they are not, what remains is told in the same way, whenever it is.
        self._alike = not (ietf or units or watches)
        self._number: Any = encode("%d")

    def _write(self, usages: Sequence[Usage], now: float) -> list[tuple[AnyStr, AnyStr]]:
        if not usages:
            return []
        window, remaining, reset_at, retry_after, _ = binding(usages)
        if retry_after:
            reset_at = now + max(1, ceil(retry_after))
        encode = self._encode
        found = [
            (self._limit, encode(str(window.limit))),
            (self._remaining, encode(str(remaining))),
            (self._reset, encode(str(ceil(reset_at)))),
        ]
        if self._ietf:
            found += [(encode(name), encode(value)) for name, value in _draft(usages, now)]
        return found

    def of_admitted(self, usages: Sequence[Usage], clock: Callable[[], float]) -> list[tuple[AnyStr, AnyStr]]:
        """The same for a request that was admitted, on the path of every one."""
        if len(usages) > 2 or not self._alike:
            return self.write(usages, clock())
        found, number = usages[0], self._number
        if len(usages) == 2:
            other = usages[1]
            if other[1] < found[1] or (other[1] == found[1] and other[0].seconds > found[0].seconds):
                found = other
        return [
            (self._limit, number % found[0].limit),
            (self._remaining, number % found[1]),
            (self._reset, number % ceil(found[2])),
        ]

    def _write_apart(self, usages: Sequence[Usage], now: float) -> list[tuple[AnyStr, AnyStr]]:
        """The fields of each unit, from its own windows. The draft's fields list all windows in any case."""
        enforced = [usage for usage in usages if not usage.window.watching]
        found = self._write([usage for usage in enforced if not usage.window.unit], now)[: len(NAMES)]
        for unit, names in self._of_units.items():
            fields = self._write([usage for usage in enforced if usage.window.unit == unit], now)
            found += [(name, value) for name, (_, value) in zip(names, fields, strict=False)]
        if self._ietf and enforced:
            found += [(self._encode(name), self._encode(value)) for name, value in _draft(enforced, now)]
        return found


def _draft(usages: Sequence[Usage], now: float) -> Fields:
    policies, states = [], []
    for window, remaining, reset_at, *_ in usages:
        unit = window.unit
        name = f'"{window.seconds}s{_quoted(unit or window.scope)}"'
        policies.append(f"{name};q={window.limit};w={window.seconds}" + (f';qu="{unit}"' if unit else ""))
        states.append(f"{name};r={remaining};t={max(0, ceil(reset_at - now))}")
    return [("ratelimit-policy", ", ".join(policies)), ("ratelimit", ", ".join(states))]


def _quoted(scope: str) -> str:
    """A rule's match, reduced to what an RFC 9651 string allows, with a space before it."""
    shown = "".join(letter if " " <= letter <= "~" and letter not in '"\\' else "?" for letter in scope)
    return f" {shown}" if shown else ""
