"""What a body may hold: each field with its JSON Schema, and how its value is read.

The rule: a body is read as a whole, and every fault in it is named. What a member of a record must be is decided by
`keys.changes.fields`; here is only what JSON cannot say by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ..._ground.frozen import FrozenDict
from ...exceptions import ConfigurationError
from ...keys.changes.fields import checked
from .names import Case

Schema = Mapping[str, Any]
# RFC 3339 section 5.6. What it calls a leap second does not exist here.
_MOMENT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII)
_FRACTION = re.compile(r"(\.\d{6})\d+")


class Fault(NamedTuple):
    """What is wrong with a field.

    Attributes:
        path: where, as a JSON pointer (RFC 6901).
        code: ``"unknown"``, ``"required"``, ``"type"`` or ``"invalid"``.
        message: for people.
    """

    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a body.

    Attributes:
        name: as it is called here.
        meaning: for people.
        schema: its JSON Schema.
        fits: whether a JSON value has its type.
        convert: makes of such a value what an operation takes; raises ValueError with what was expected.
        member: whether it is a member of a key's record, which `keys.changes.fields` checks.
    """

    name: str
    meaning: str
    schema: Schema
    fits: Callable[[Any], bool]
    convert: Callable[[Any], Any] | None = None
    member: bool = True


@dataclass(frozen=True, slots=True)
class Body:
    """What a route takes.

    Attributes:
        name: of its schema.
        fields: all that it may hold.
        by_sessions: what it may hold as well where a host says who manages: whose it is.
        required: the names of those that must be there.
        merge: it is a merge patch (RFC 7396): null clears, what is absent stays.
    """

    name: str
    fields: tuple[Field, ...] = ()
    by_sessions: tuple[Field, ...] = ()
    required: frozenset[str] = frozenset()
    merge: bool = False

    def all(self, *, sessions: bool) -> tuple[Field, ...]:
        """The fields that it may hold."""
        return (*self.fields, *self.by_sessions) if sessions else self.fields


def pointer(*names: str) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


class Reading(NamedTuple):
    """How the bodies of one app are read.

    Attributes:
        case: how names are written.
        sessions: whether a host says who manages.
        holds_key: whether a text holds a key, which nobody means to keep in a record.
        further: what else the gate asks of a field's value, by the field's name: it raises ConfigurationError.
    """

    case: Case
    sessions: bool
    holds_key: Callable[[str], bool]
    further: Mapping[str, Callable[[Any], object]] = FrozenDict()


def read_fields(
    body: Body, given: Mapping[str, Any], now: datetime, reading: Reading
) -> tuple[dict[str, Any], list[Fault]]:
    """The values to work with, by the names that they have here; and all that is wrong.

    Args:
        body: what may be there.
        given: the JSON object.
        now: the moment that ends are compared with.
        reading: how it is read.
    """
    case, sessions, holds_key, further = reading
    known = {case(each.name): each for each in body.all(sessions=sessions)}
    faults = [Fault(pointer(name), "unknown", "there is no such field") for name in given if name not in known]
    found: dict[str, Any] = {}
    for name, each in known.items():
        if name in given:
            try:
                found[each.name] = _read(each, given[name], now, holds_key, further.get(each.name))
            except _Wrong as wrong:
                faults.append(Fault(pointer(name), wrong.code, wrong.message))
        elif each.name in body.required:
            faults.append(Fault(pointer(name), "required", "is missing"))
    return found, faults


class _Wrong(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def _read(
    each: Field, value: Any, now: datetime, holds_key: Callable[[str], bool], further: Callable[[Any], object] | None
) -> Any:
    if not each.fits(value):
        raise _Wrong("type", f"expected {_expected(each.schema)}")
    for text in _texts_in(value):
        if "\0" in text or not _encodes(text):
            raise _Wrong("invalid", "holds half of a character (a lone surrogate), or a NUL")
        if holds_key(text):
            raise _Wrong("invalid", "holds a key: a key stands in the header of a request, and nowhere else")
    try:
        found = value if each.convert is None or value is None else each.convert(value)
        if each.member:
            checked({each.name: found}, now)
        if further is not None:
            further(found)
    except ConfigurationError as error:
        raise _Wrong("invalid", error.reason) from None
    except ValueError as error:
        raise _Wrong("invalid", str(error)) from None
    return found


def _expected(schema: Schema) -> str:
    kinds = schema.get("type", "object")
    return " or ".join([kinds] if isinstance(kinds, str) else kinds)


def _texts_in(value: Any) -> Iterator[str]:
    """All text in a JSON value, the names of its members too. Without recursion."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str):
            yield each
        elif isinstance(each, Mapping):
            waiting += [*each, *each.values()]
        elif isinstance(each, list):
            waiting += each


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def moment(text: str) -> datetime:
    """A moment as RFC 3339 writes it; ValueError for anything else."""
    wrong = "expected a moment as RFC 3339 writes it, like 2030-01-15T10:30:00Z"
    if not _MOMENT.fullmatch(text):
        raise ValueError(wrong)
    try:
        return datetime.fromisoformat(_FRACTION.sub(r"\1", text.upper()))
    except ValueError:
        raise ValueError(wrong) from None
