"""From keystile.toml and the environment to a Gate.

The file has the names of Gate's own arguments, and `app` for `keystile.wrap`. Its rule: whatever is wrong is said at
start, with the file, the setting and the reason; and what came from the environment, which may be a secret, is never
part of that message.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .exceptions import ConfigurationError
from .gate import Gate
from .model import FrozenDict
from .policy import Rule

FILE_VARIABLE, PEPPER_VARIABLE = "KEYSTILE_CONFIG", "KEYSTILE_PEPPER"
DEFAULT_FILE = "keystile.toml"

EXAMPLE = """\
# keystile: who may call this service. `keystile check` says whether this file can be used.
# ${NAME} in a string is taken from the environment, so that no secret has to stand here.

# Where the keys are; a relative path is relative to this file.
store = "sqlite:///keystile.db"

# The first part of every key, so that people and secret scanners recognise it.
prefix = "key"

# Paths that need no key; "/static/*" is everything below /static/.
public = ["/health"]

# The app behind the gate, for `uvicorn keystile.wrap:asgi` and `gunicorn keystile.wrap:wsgi`.
# app = "service.main:app"

# What a path asks of a key. The most specific rule holds.
# [[rules]]
# match = "POST /v1/exports"
# scopes = ["exports:write"]
"""
"""A file to begin with."""

_TEXT, _FLAG, _TEXTS, _TABLES = "a string", "true or false", "a list of strings", "a list of tables"
_SETTINGS = {
    "app": _TEXT,
    "store": _TEXT,
    "prefix": _TEXT,
    "public": _TEXTS,
    "rules": _TABLES,
    "accept": _TEXTS,
    "realm": _TEXT,
    "peppers": _TEXTS,
    "accept_crc": _FLAG,
    "hasher": _TEXT,
}
_RULE = {"match": _TEXT, "public": _FLAG, "scopes": _TEXTS}
_HASHERS = ("argon2id", "hmac-sha256")
# "$${" first, so that the reference behind it is not taken for one. What follows "${" and is no name is an error.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")
# So few characters in a row are no secret, and words of the message itself would be taken for one.
_TELLING = 4


class _Origin:
    """Where the settings come from, which is what an error must name, and must not show.

    Args:
        source: the file, as its user wrote it.
        environ: what references are looked up in.
    """

    def __init__(self, source: str, environ: Mapping[str, str]) -> None:
        self.source, self._environ = source, environ
        self._referenced: dict[str, dict[str, str]] = {}

    def error(self, key: str | None, reason: str) -> ConfigurationError:
        """The exception for this setting, for a reason without any resolved value in it."""
        return ConfigurationError(reason, key=key, source=self.source)

    def hiding(self, key: str | None, reason: str) -> ConfigurationError:
        """The exception for this setting, with what came from the environment taken out of the reason."""
        mine: dict[str, str] = {}
        for at, found in self._referenced.items():
            mine.update(found if _overlap(at, key) else {})
            for name, value in found.items():
                if len(value) >= _TELLING:
                    reason = reason.replace(value, f"${{{name}}}")
        rest = _REFERENCE.sub("", reason)
        if any(_shows(rest, value) for value in mine.values()):
            reason = "cannot be used"
        if mine:
            names = ", ".join(f"${{{name}}}" for name in mine)
            reason += f" (from the environment and not shown: {names})"
        return self.error(key, reason)

    def variable(self, key: str, name: str) -> str:
        """What the environment has for this name; an error if that is nothing."""
        value = self._environ.get(name, "")
        if not value:
            raise self.error(key, f"the environment variable {name} is unset or empty")
        self._referenced.setdefault(key, {})[name] = value
        try:
            value.encode()
        except UnicodeEncodeError:  # octets that the locale could not decode; the exception would show them
            raise self.error(key, "is not UTF-8") from None
        return value

    def resolve(self, key: str, text: str) -> str:
        """The text with its references replaced."""

        def replacement(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match[1] is None:
                raise self.error(key, "'${' begins a reference like ${NAME}; write $${ for the characters themselves")
            return self.variable(key, match[1])

        resolved = _REFERENCE.sub(replacement, text)
        if "\0" in resolved:
            raise self.error(key, "holds a NUL character")
        return resolved


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration file says, checked as far as that goes without opening anything.

    Attributes:
        source: the file, as it was named.
        app: ``"module:attribute"`` of the app that `keystile.wrap` serves, or None.
        gate: keyword arguments of Gate. With peppers in it: do not log it.
    """

    source: str
    app: str | None = field(repr=False)
    gate: Mapping[str, Any] = field(repr=False)
    _origin: _Origin = field(repr=False, compare=False)

    def error(self, key: str | None, reason: str) -> ConfigurationError:
        """A ConfigurationError about one of these settings; values from the environment are left out of it."""
        return self._origin.hiding(key, reason)


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file that ``KEYSTILE_CONFIG`` names, else ``keystile.toml`` in the working directory."""
    return Path((os.environ if environ is None else environ).get(FILE_VARIABLE) or DEFAULT_FILE)


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file.

    ``${NAME}`` in any string is replaced by that environment variable; ``$${`` stands for a literal ``${``. If the
    file names no peppers, ``KEYSTILE_PEPPER`` is the pepper. A relative SQLite path (``sqlite:///keys.db``) is
    relative to the file's folder, not to the working directory, so that the command line and every server mean one
    store.

    Args:
        path: the file; without it, the one that ``KEYSTILE_CONFIG`` names, else ``keystile.toml`` here.
        environ: in place of ``os.environ``.

    Raises:
        ConfigurationError: the file cannot be read, or a setting is unknown, ill-typed or refers to nothing.
    """
    environ = os.environ if environ is None else environ
    file = default_path(environ) if path is None else Path(path)
    origin = _Origin(str(file), environ)
    found = _table(origin, _parse(origin, file), _SETTINGS)
    if not found.get("peppers") and PEPPER_VARIABLE in environ:
        found["peppers"] = (origin.variable("peppers[0]", PEPPER_VARIABLE),)
    if found.get("hasher", _HASHERS[0]) not in _HASHERS:
        raise origin.error("hasher", f"expected {' or '.join(map(repr, _HASHERS))}")
    if "store" in found:
        found["store"] = _beside(origin, file, found["store"])
    for index, open_path in enumerate(found.get("public", ())):
        _rule(origin, {"match": open_path, "public": True}, f"public[{index}]", "")
    app = found.pop("app", None)
    return Settings(str(file), app, FrozenDict(found), origin)


def open_gate(settings: Settings) -> Gate:
    """The gate that the settings describe, with its store open.

    Raises:
        ConfigurationError: a value cannot be used, two settings contradict each other, the store cannot be opened.
    """
    try:
        return Gate(**settings.gate)
    except ConfigurationError as error:
        reason = f"{error.source}: {error.reason}" if error.source else error.reason
        raise settings.error(error.key, reason) from None


def _parse(origin: _Origin, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except OSError as error:
        raise origin.error(None, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise origin.error(None, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise origin.error(None, f"is not TOML: {error}") from None
    except ValueError as error:  # of the path itself: a NUL in it
        raise origin.error(None, f"cannot be read: {error}") from None


def _table(origin: _Origin, found: Mapping[str, Any], kinds: Mapping[str, str], at: str = "") -> dict[str, Any]:
    for name in found:
        if name not in kinds:
            near = difflib.get_close_matches(name, kinds, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(kinds)}"
            raise origin.error(at + name, f"there is no such setting; {hint}")
    return {name: _value(origin, at + name, kinds[name], value) for name, value in found.items()}


def _value(origin: _Origin, key: str, kind: str, value: Any) -> Any:
    if kind is _TEXT and isinstance(value, str):
        return origin.resolve(key, value)
    if kind is _FLAG and isinstance(value, bool):
        return value
    if kind in (_TEXTS, _TABLES) and isinstance(value, list):
        each = _TEXT if kind is _TEXTS else "a table"
        return tuple(_value(origin, f"{key}[{index}]", each, item) for index, item in enumerate(value))
    if kind == "a table" and isinstance(value, dict):
        return _rule(origin, _table(origin, value, _RULE, f"{key}."), key)
    raise origin.error(key, f"expected {kind}, got {_TYPES.get(type(value), 'a date or time')}")


_TYPES = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}


def _rule(origin: _Origin, table: Mapping[str, Any], key: str, part: str = ".{}") -> Rule:
    if "match" not in table:
        raise origin.error(f"{key}.match", "is missing: it says which requests the rule is for")
    try:
        return Rule(**table)
    except ConfigurationError as error:
        raise origin.hiding(key + part.format(error.key), error.reason) from None


def _beside(origin: _Origin, file: Path, store: str) -> str:
    """The store's URL, with a relative SQLite path made absolute."""
    if store.partition(":")[0] != "sqlite":
        return store
    from ._sqlite import path_of

    try:
        return f"sqlite:///{file.absolute().parent / path_of(store)}"
    except ConfigurationError as error:
        raise origin.hiding("store", error.reason) from None


def _overlap(one: str, other: str | None) -> bool:
    """Whether one setting is the other or a part of it."""
    if other is None:
        return False
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


def _shows(message: str, value: str) -> bool:
    """Whether the message holds the value or a telling part of it, as it is or escaped by repr."""
    message = message.casefold()
    for text in (value.casefold(), repr(value)[1:-1].casefold()):
        width = min(_TELLING, len(text))
        if any(text[start : start + width] in message for start in range(len(text) - width + 1)):
            return True
    return False
