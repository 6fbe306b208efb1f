"""The two ways to write a member's name on the wire: ``api_key`` and ``apiKey``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...policy.beside.management import FieldCase

Case = Callable[[str], str]

# What stands below these is not ours to name: a host's metadata, codes of refusals.
_NOT_OURS = frozenset(("metadata", "refused"))
# The members of these are ours, what they hold is not.
_VALUES_NOT_OURS = frozenset(("before", "after"))


def snake(name: str) -> str:
    """The name as it is written here."""
    return name


def camel(name: str) -> str:
    """``api_key`` as ``apiKey``."""
    first, *more = name.split("_")
    return first + "".join(word.capitalize() for word in more)


CASES: Mapping[FieldCase, Case] = {"snake": snake, "camel": camel}


def cased(value: Any, case: Case) -> Any:
    """An answer with its own names in this case."""
    if case is snake:
        return value
    if isinstance(value, (list, tuple)):
        return [cased(each, case) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {case(name): _inner(name, each, case) for name, each in value.items()}


def _inner(name: str, value: Any, case: Case) -> Any:
    if name in _NOT_OURS or value is None:
        return value
    if name in _VALUES_NOT_OURS:
        return {case(each): inner for each, inner in value.items()}
    return cased(value, case)
