"""What a settings class says about its settings. Loaded only when it is needed; `import keystile` does not need it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, fields
from types import NoneType
from typing import Any, NamedTuple, get_args, get_type_hints

from . import kinds
from .kinds import Check, Kind, kind_of


class Setting(NamedTuple):
    """One setting.

    Attributes:
        name: its name in code and in files.
        kind: which values it takes.
        optional: whether None is a value.
        default: its value if none is given; `settings.REQUIRED` if one must be given.
        meaning: for people, in sentences.
        check: checks what the kind does not, or None.
        example: its value in the file of `keystile init`, in TOML; None if that file leaves it out.
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
        """Whether false in a file means None: TOML has no null, and leaving the setting out means the default."""
        return self.optional and self.default is not None and bool not in self.kind.reads

    def checked(self, value: Any) -> Any:
        """The value to keep. Raises ConfigurationError that names this setting."""
        if value is None and self.optional:
            return None
        value = self.kind.check(value, self.name)
        return value if self.check is None else self.check(value, self.name)


def read_settings(kind: type[Any], mark: str) -> Mapping[str, Setting]:
    """The settings of a class: its fields with metadata under this mark."""
    types = get_type_hints(kind)
    return {each.name: _read(each, types[each.name], mark) for each in fields(kind) if mark in each.metadata}


def _read(each: Field[Any], annotation: Any, mark: str) -> Setting:
    optional = NoneType in get_args(annotation)
    kind, *more = each.metadata[mark]
    found = kind_of(annotation) if kind is None else getattr(kinds, kind)
    return Setting(each.name, found, optional, each.default, *more)
