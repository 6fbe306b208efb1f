"""Values that guard themselves: containers that nobody can change, and secrets that no repr shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn


class FrozenDict(dict[str, Any]):
    """A dict that nobody can change. One record serves many requests, so no handler may edit what the next one sees.

    It is still a dict, so it pickles, compares and serialises like one.
    """

    def _refuse(self, *_args: object, **_named: object) -> NoReturn:
        raise TypeError("this mapping belongs to a key record and cannot be changed; copy it with dict(...)")

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return (FrozenDict, (dict(self),))


def frozen(value: Any) -> Any:
    """The same JSON value in immutable containers: objects as FrozenDict, arrays as tuples."""
    if isinstance(value, Mapping):
        return FrozenDict({name: frozen(item) for name, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    return value


class HiddenBytes(bytes):
    """Octets that a repr does not show: tracebacks with local variables end up in logs and error trackers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"


class HiddenRow(tuple[Any, ...]):
    """A row of a table that a repr does not show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"


class HiddenText(str):
    """Text that a repr does not show. `plain` gives it as an ordinary str."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<hidden>"

    @property
    def plain(self) -> str:
        """The same text as a plain str, for those who may see it."""
        return "".join(self)
