"""The kinds of values that settings take: what each is called, how a value is checked, and what a file can hold.

The kind follows from the type annotation of the setting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache, partial
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from .._ground.checks import check_choice, check_count, check_flag, check_seconds, check_text, check_whole, members
from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError

Check = Callable[[Any, str], Any]
"""Takes a value and the name of its setting; gives the value to keep, or raises ConfigurationError."""


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        name: with its article, for messages and pages: ``"a string"``.
        several: the plural, without an article: ``"strings"``.
        fits: whether a value is meant as this kind, right or wrong. Of several kinds, the first that fits checks it.
        check: gives the value to keep.
        reads: the types that it has in a file; empty if only code can give it.
        schema: its JSON Schema in a file, unless it is a list, a table or a choice between kinds.
        item: the kind of each member of a list or of a mapping by name.
        table: the settings class, for a table.
        either: the kinds to choose from, for a choice between kinds.
    """

    name: str
    several: str
    fits: Callable[[Any], bool]
    check: Check
    reads: tuple[type, ...] = ()
    schema: Mapping[str, Any] = FrozenDict()
    item: Any = None
    table: type | None = None
    either: tuple[Any, ...] = ()

    @property
    def in_file(self) -> str:
        """Its name where only what a file can hold is meant."""
        if self.either:
            return alternatives([kind.in_file for kind in self.either if kind.reads])
        if self.item is not None:
            return f"a {'list' if list in self.reads else 'table'} of {self.item.several_in_file}"
        return self.name if self.table is None else "a table"

    @property
    def several_in_file(self) -> str:
        """The plural of that name."""
        return self.several if self.table is None else "tables"

    @property
    def is_place(self) -> bool:
        """Whether it is a URL in place of which code can also give an object."""
        return TEXT in self.either and any(not kind.reads for kind in self.either)

    @property
    def is_table(self) -> bool:
        """Whether it has its own heading in a file."""
        return self.table is not None or (self.item is not None and self.item.is_table)


def alternatives(names: Sequence[str]) -> str:
    """``a, b, or c``."""
    if len(names) < 3:
        return " or ".join(names)
    return f"{', '.join(names[:-1])}, or {names[-1]}"


def _is(*types: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, types)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _as_it_is(value: Any, _key: str) -> Any:
    return value


TEXT = Kind("a string", "strings", _is(str), check_text, (str,), {"type": "string"})
FLAG = Kind("true or false", "flags", _is(bool), check_flag, (bool,), {"type": "boolean"})
COUNT = Kind("a whole number", "whole numbers", _is_number, check_count, (int,), {"type": "integer", "minimum": 1})
WHOLE = Kind(
    "a whole number from 0", "whole numbers", _is_number, check_whole, (int,), {"type": "integer", "minimum": 0}
)
SECONDS = Kind(
    "a number of seconds",
    "numbers of seconds",
    _is_number,
    check_seconds,
    (int, float),
    {"type": "number", "minimum": 0, "maximum": 3600},
)
SECRETS = Kind("a list of strings or octets", "", _is_list, _as_it_is, (list,), item=TEXT)
"""The code that uses secrets checks them, and repeats none of them in a message."""

_OF_TYPES = {str: TEXT, bool: FLAG, int: COUNT, float: SECONDS, Sequence[str | bytes]: SECRETS}


@cache
def kind_of(annotation: Any) -> Kind:
    """The kind of the values of a type, without None."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if annotation in _OF_TYPES:
        return _OF_TYPES[annotation]
    if origin in (Union, UnionType):
        return _either(tuple(kind_of(each) for each in inner if each is not NoneType))
    if origin is Literal:
        return _choice(annotation)
    if origin in (Iterable, Sequence):
        return _list(kind_of(inner[0]))
    if origin is Mapping:
        return _by_name(kind_of(inner[1]))
    if origin is Callable:
        return Kind("a function", "functions", callable, _as_it_is)
    return _table(annotation) if is_dataclass(annotation) else _part(annotation.__name__)


def _table(settings: Any) -> Kind:
    name, fits = settings.__name__, _is(settings)
    return Kind(f"a {name}", f"{name}s", fits, partial(_checked, fits, f"a {name}"), (dict,), table=settings)


def _part(name: str) -> Kind:
    """The kind of an object. The code that opens it checks it."""
    return Kind(f"a {name}", f"{name}s", lambda _value: True, _as_it_is)


def _either(kinds: tuple[Kind, ...]) -> Kind:
    if len(kinds) == 1:
        return kinds[0]
    name = alternatives([kind.name for kind in kinds])

    def check(value: Any, key: str) -> Any:
        for kind in kinds:
            if kind.fits(value):
                return kind.check(value, key)
        raise _wrong(name, value, key)

    def fits(value: Any) -> bool:
        return any(kind.fits(value) for kind in kinds)

    reads = tuple(each for kind in kinds for each in kind.reads)
    return Kind(name, alternatives([kind.several for kind in kinds]), fits, check, reads, either=kinds)


def _choice(literal: Any) -> Kind:
    values = get_args(literal)
    types = tuple({type(value): None for value in values})
    name = f"one of {', '.join(map(str, values))}"

    def check(value: Any, key: str) -> Any:
        return check_choice(value, literal, key)

    return Kind(name, name, _is(*types), check, types, {"enum": list(values)})


def _list(item: Kind) -> Kind:
    name = f"a list of {item.several}"

    def check(values: Any, key: str) -> tuple[Any, ...]:
        if not _is_list(values):
            raise _wrong(name, values, key)
        return tuple(item.check(_checked(item.fits, name, value, key, " in it"), key) for value in members(values, key))

    return Kind(name, f"lists of {item.several}", _is_list, check, (list,) if item.reads else (), item=item)


def _by_name(item: Kind) -> Kind:
    name = f"{item.several} by name"

    def check(values: Any, key: str) -> Any:
        if not isinstance(values, Mapping):
            raise _wrong(name, values, key)
        for each, value in values.items():
            if not isinstance(each, str) or not each or not item.fits(value):
                raise ConfigurationError(f"expected {item.name} for each name", key=f"{key}.{each}")
        return FrozenDict({each: item.check(value, f"{key}.{each}") for each, value in values.items()})

    return Kind(name, name, _is(Mapping), check, (dict,) if item.reads else (), item=item)


WHOLES = _by_name(WHOLE)
"""Whole numbers from 0, each under a name."""


def _checked(fits: Callable[[Any], bool], name: str, value: Any, key: str, where: str = "") -> Any:
    if not fits(value):
        raise _wrong(name, value, key, where)
    return value


def _wrong(name: str, value: Any, key: str, where: str = "") -> ConfigurationError:
    """The error with what was expected and the type of the value. The value itself may be a secret."""
    return ConfigurationError(f"expected {name}, got {type(value).__name__}{where}", key=key)
