"""What keystile.toml may hold, and how it is read. Both follow from the settings classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .._ground.checks import unknown_name
from ..exceptions import ConfigurationError
from ..keys.parts import Parts
from ..policy import Policy
from ..policy.kinds import Kind, alternatives
from ..policy.reading import Setting
from ..policy.settings import REQUIRED, check_settings, setting, settings_of
from ..policy.webhooks import Webhooks
from .mounts import Mount, check_mounts
from .origin import Origin


@dataclass(frozen=True, slots=True)
class FileAlone:
    """What only a file can say, because it is not a setting of a gate."""

    app: str | None = setting(
        "The app behind the gate, for `uvicorn keystile.wrap:asgi` and `gunicorn keystile.wrap:wsgi`; or a call of the "
        "function that makes it, `\"service.main:create_app('prod', debug=False)\"`, with literals alone.",
        default=None,
        example='"service.main:app"',
    )
    on_project_deleted: str | None = setting(
        'The name of the function that a gate in code is given itself, `"service.projects:forget"`: it is called with '
        "each project that was deleted, over HTTP or on the command line. It is imported whenever the gate is opened, "
        "so it best stands in a small module. Or a call of a function that makes it, with literals alone.",
        default=None,
    )
    apps: Sequence[Mount] | None = setting(
        "Several apps in place of `app`, each below a prefix: all of them ASGI or all WSGI. Where no app is, the "
        "answer is 404. Their lifespans begin and end together.",
        default=None,
    )
    webhooks: Webhooks | None = setting(
        "Signed messages that the service receives: verified inside the gate, before the app runs. Their paths belong "
        "in `public` too, for senders have no key. In code they are arguments of `WebhookMiddleware`.",
        default=None,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_mounts(self.apps, self.app)


CLASSES = (Parts, Policy, FileAlone)
"""The classes whose settings stand at the top level of a file."""


def in_files(*classes: type) -> dict[str, Setting]:
    """The settings of these classes that a file can hold, by name."""
    return {name: each for kind in classes for name, each in settings_of(kind).items() if each.in_files}


SETTINGS = in_files(*CLASSES)
_TYPES = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}


def read_table(
    origin: Origin, found: Mapping[str, Any], settings: Mapping[str, Setting], at: str = ""
) -> dict[str, Any]:
    """The values of a table. ConfigurationError for a name that is not a setting, or a value of the wrong kind."""
    for name in found:
        if name not in settings:
            raise origin.error(at + name, unknown_name(name, settings))
    return {name: _setting(origin, at + name, settings[name], value) for name, value in found.items()}


def expected(each: Setting) -> str:
    """What a file may hold for a setting: ``a string, a list of strings, or false``."""
    if not each.takes_false:
        return each.kind.in_file
    kinds = each.kind.either or (each.kind,)
    return alternatives([*(kind.in_file for kind in kinds if kind.reads), "false"])


def _setting(origin: Origin, key: str, each: Setting, value: Any) -> Any:
    if value is False and each.takes_false:
        return None
    return _value(origin, key, each.kind, value, expected(each))


def _value(origin: Origin, key: str, kind: Kind, value: Any, wanted: str) -> Any:
    """A value with its references replaced, its lists made tuples and its tables made settings of its kind."""
    meant = next((one for one in kind.either or (kind,) if type(value) in one.reads), None)
    if meant is None:
        raise origin.error(key, f"expected {wanted}, got {_TYPES.get(type(value), 'a date or time')}")
    if isinstance(value, str):
        return origin.resolve(key, value)
    if meant.table is not None:
        return _built(origin, key, meant.table, value)
    if meant.item is None:
        return value
    item: Kind = meant.item
    if isinstance(value, dict):
        return {name: _value(origin, f"{key}.{name}", item, each, item.in_file) for name, each in value.items()}
    return tuple(_value(origin, f"{key}[{at}]", item, each, item.in_file) for at, each in enumerate(value))


def _built(origin: Origin, key: str, kind: type, table: Mapping[str, Any]) -> Any:
    settings = in_files(kind)
    given = read_table(origin, table, settings, f"{key}.")
    for name, each in settings.items():
        if each.default is REQUIRED and name not in given:
            raise origin.error(f"{key}.{name}", f"is missing: {each.meaning.partition('. ')[0]}")
    return build(origin, kind, given, key)


def build(origin: Origin, kind: type, given: Mapping[str, Any], key: str, part: str = ".{}") -> Any:
    """A settings class from what was read. An error names `key` and, in the form of `part`, the member."""
    try:
        return kind(**given)
    except ConfigurationError as error:
        raise origin.hiding(key + part.format(error.key), error.reason) from None
