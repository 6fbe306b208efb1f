"""How a setting is described: once, at the field that holds it.

A settings class is a frozen dataclass whose fields are made by `setting`. Name, type and default are the field's own;
its meaning, and what the type does not say of the check, stand beside them. Everything else follows: what a file may
hold, the commented file of `keystile init`, the page docs/settings.md and the JSON Schema. The signature of `Gate` is
written by hand, for editors, and a test compares it.

What a class says of its settings is read when it is first needed, not when it is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, field, fields
from types import NoneType
from typing import Any, NamedTuple, TypeVar, get_args, get_type_hints

from .kinds import Check, Kind, kind_of

T = TypeVar("T")

REQUIRED = MISSING
"""The default of a setting that has none."""
_MARK = "keystile"
_READ: dict[type[Any], Mapping[str, Any]] = {}


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: as everybody writes it.
        kind: what values it takes.
        optional: whether None is a value.
        default: its value where nobody gives one; `REQUIRED` where somebody must.
        meaning: for people, in sentences.
        check: what the kind does not say, or None.
        example: how it stands in the file of `keystile init`, in TOML; None where that leaves it out.
        begins: whether a new file has it in force, rather than as a comment.
    """

    name: str
    kind: Kind
    optional: bool
    default: Any
    meaning: str
    check: Check | None
    example: str | None
    begins: bool

    @property
    def in_files(self) -> bool:
        """Whether a file can hold it."""
        return bool(self.kind.reads)

    @property
    def takes_false(self) -> bool:
        """Whether false in a file is None: TOML has no null, and leaving the setting out is something else."""
        return self.optional and self.default is not None and bool not in self.kind.reads

    def checked(self, value: Any) -> Any:
        """The value to keep; ConfigurationError that names this setting."""
        if value is None and self.optional:
            return None
        value = self.kind.check(value, self.name)
        return value if self.check is None else self.check(value, self.name)


def described(
    meaning: str,
    *,
    check: Check | None = None,
    example: str | None = None,
    begins: bool = False,
    kind: Kind | None = None,
) -> dict[str, Any]:
    """What `setting` keeps beside a field, for one without a default: ``field(metadata=described("…"))``."""
    return {_MARK: (kind, meaning, check, example, begins)}


def setting(
    meaning: str,
    *,
    default: T,
    check: Check | None = None,
    example: str | None = None,
    begins: bool = False,
    show: bool = True,
    kind: Kind | None = None,
) -> T:
    """A field of a settings class.

    Args:
        meaning: what it is for, for people; units and shapes where they matter.
        default: its value where nobody gives one. Immutable.
        check: what the type does not say. It gets what the check of the type gave.
        example: its value in the file of `keystile init`, in TOML; of tables, the tables with their headings.
        begins: whether a new file has the example in force, rather than as a comment.
        show: whether a repr shows it; not for what may hold a secret.
        kind: what values it takes, where that does not follow from its type.
    """
    marked = described(meaning, check=check, example=example, begins=begins, kind=kind)
    found: T = field(default=default, repr=show, metadata=marked)
    return found


def settings_of(kind: type[Any]) -> Mapping[str, Setting]:
    """The settings of a class, by name, in their order."""
    found = _READ.get(kind)
    if found is None:
        types = get_type_hints(kind)
        found = {each.name: _read(each, types[each.name]) for each in fields(kind) if _MARK in each.metadata}
        _READ[kind] = found
    return found


def _read(each: Field[Any], annotation: Any) -> Setting:
    optional = NoneType in get_args(annotation)
    kind, *more = each.metadata[_MARK]
    return Setting(each.name, kind or kind_of(annotation), optional, each.default, *more)


def check_settings(given: Any) -> None:
    """Check every setting of a frozen dataclass, and keep what the checks give: for its ``__post_init__``."""
    for name, each in settings_of(type(given)).items():
        object.__setattr__(given, name, each.checked(getattr(given, name)))


def made(kind: type[T], given: Mapping[str, Any]) -> T:
    """A settings class from those of these values that are its own."""
    return kind(**{name: given[name] for name in settings_of(kind)})
