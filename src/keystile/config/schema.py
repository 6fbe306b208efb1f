"""The JSON Schema of keystile.toml: names, types and defaults, for editors that complete and check while somebody
writes. A line ``#:schema ./keystile.schema.json`` at the top of the file names it to those that use Taplo.

It cannot check everything: `keystile check` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..policy.kinds import Kind
from ..policy.reading import Setting
from ..policy.settings import REQUIRED
from .tables import SETTINGS, in_files

# Any string may take its value, or part of it, from the environment.
_REFERENCE = {"type": "string", "pattern": r"\$\{"}
# The defaults that a file can hold as they are.
_PLAIN = (str, bool, int, float)


def schema_of_file() -> dict[str, Any]:
    """The schema (draft 2020-12) of a whole file."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "keystile.toml"}
    return head | _table(SETTINGS) | {"not": {"required": ["app", "apps"]}}


def _table(settings: Mapping[str, Setting]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "object",
        "properties": {name: _setting(each) for name, each in settings.items()},
        "additionalProperties": False,
    }
    required = [name for name, each in settings.items() if each.default is REQUIRED]
    return found | {"required": required} if required else found


def _setting(each: Setting) -> dict[str, Any]:
    schema = _kind(each.kind)
    if each.takes_false:
        schema = {"anyOf": [*schema.get("anyOf", [schema]), {"const": False}]}
    default = {"default": each.default} if type(each.default) in _PLAIN else {}
    return {"description": each.meaning.replace("`", ""), **default, **schema}


def _kind(kind: Kind) -> dict[str, Any]:
    either: list[Kind] = [one for one in kind.either if one.reads]
    if len(either) > 1:
        return {"anyOf": [_kind(one) for one in either]}
    if either:
        return _kind(either[0])
    if kind.table is not None:
        return _table(in_files(kind.table))
    if kind.item is not None and list in kind.reads:
        return {"type": "array", "items": _kind(kind.item)}
    if kind.item is not None:
        return {"type": "object", "propertyNames": {"minLength": 1}, "additionalProperties": _kind(kind.item)}
    if "enum" in kind.schema and str in kind.reads:
        return {"anyOf": [dict(kind.schema), _REFERENCE]}
    return dict(kind.schema)
