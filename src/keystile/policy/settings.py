"""How a setting is described: once, at the field that holds it.

A settings class is a frozen dataclass whose fields are made by `setting`. Name, type and default are those of the
field; its meaning, and any check beyond the type, stand beside them. Everything else follows: what a file may hold, the
commented file of `keystile init`, the page docs/reference/settings.md and the JSON Schema. The signature of `Gate` is
written by hand, for editors, and a test compares it.

The settings of a class are read when they are first needed, not when the class is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from .kinds import Check
    from .reading import Setting

T = TypeVar("T")

REQUIRED = MISSING
"""The default of a setting that must be given."""
_MARK = "keystile"
_READ: dict[type[Any], Mapping[str, Setting]] = {}


def described(
    meaning: str,
    *,
    check: Check | None = None,
    example: str | None = None,
    begins: bool = False,
    kind: str | None = None,
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
    kind: str | None = None,
) -> T:
    """A field of a settings class.

    Args:
        meaning: what it is for, for people; with units and shapes where they matter.
        default: its value if none is given. Immutable.
        check: checks what the type does not. It gets the value that the check of the type returned.
        example: its value in the file of `keystile init`, in TOML; for tables, the tables with their headings.
        begins: whether a new file has the example in force, rather than as a comment.
        show: whether a repr shows it; not for what may hold a secret.
        kind: the name in `kinds` of what values it takes, where that does not follow from its type.
    """
    marked = described(meaning, check=check, example=example, begins=begins, kind=kind)
    found: T = field(default=default, repr=show, metadata=marked)
    return found


def settings_of(kind: type[Any]) -> Mapping[str, Setting]:
    """The settings of a class, by name, in their order."""
    found = _READ.get(kind)
    if found is None:
        from .reading import read_settings

        found = _READ[kind] = read_settings(kind, _MARK)
    return found


def check_settings(given: Any) -> None:
    """Check the settings of a frozen dataclass that are not the defaults, and keep what the checks return. For its
    ``__post_init__``."""
    for each in fields(given):
        value = getattr(given, each.name)
        if _MARK in each.metadata and value is not each.default:
            object.__setattr__(given, each.name, settings_of(type(given))[each.name].checked(value))


def made(kind: type[T], given: Mapping[str, Any]) -> T:
    """A settings class from those of the given values that belong to it."""
    return kind(**{name: given[name] for name in settings_of(kind)})
