"""From keystile.toml and the environment to a Gate.

The file uses the names of Gate's own arguments, and `app` for `keystile.wrap`. The rule: every error is reported at
start, with the file, the setting and the reason. Values from the environment may be secrets and are never part of that
message.
"""

from __future__ import annotations

import logging
import os
import stat
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from .._ground.frozen import FrozenDict
from .._ground.urls import place_of
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..policy import Policy, Rule
from ..policy.kinds import SECRETS
from ..policy.settings import settings_of
from ..policy.webhooks import Webhooks
from .importing import MISREAD, Errors, find, kind_of
from .mounts import Mount
from .origin import Origin
from .tables import SETTINGS, FileAlone, build, in_files, read_table

FILE_VARIABLE, PEPPER_VARIABLE = "KEYSTILE_CONFIG", "KEYSTILE_PEPPER"
DEFAULT_FILE = "keystile.toml"

_NO_STORE = (
    "is missing: name where the keys are, like 'sqlite:///keystile.db'; "
    "'memory://' keeps them in the server's own process, where no command can make one"
)
_NO_FILE = (
    f"there is no such file: `keystile init` writes one; `keystile -c FILE` and {FILE_VARIABLE} name another, and "
    "`keystile --gate main:gate` takes a gate in code"
)
_logger = logging.getLogger("keystile")
_SECRETS = [name for name, each in SETTINGS.items() if each.kind is SECRETS]
_PLACES = [name for name, each in SETTINGS.items() if each.kind.is_place]


@dataclass(frozen=True, slots=True)
class Settings:
    """What a configuration file says, checked as far as possible without opening anything.

    Attributes:
        source: the file's name, as it was given.
        app: ``"module:attribute"`` of the app that `keystile.wrap` serves, or None.
        on_project_deleted: ``"module:function"``, which `open_gate` imports, or None.
        apps: the apps that it serves below prefixes; empty if there is one app or none.
        webhooks: the signed messages that it receives, or None. They hold secrets: do not log them.
        gate: keyword arguments of Gate, without what has to be imported. They hold the peppers: do not log them.
    """

    source: str
    app: str | None = field(repr=False)
    on_project_deleted: str | None = field(repr=False)
    apps: tuple[Mount, ...] = field(repr=False)
    webhooks: Webhooks | None = field(repr=False)
    gate: Mapping[str, Any] = field(repr=False)
    _origin: Origin = field(repr=False, compare=False)

    def error(self, key: str | None, reason: str) -> ConfigurationError:
        """A ConfigurationError about one of these settings, without values from the environment."""
        return self._origin.hiding(key, reason)


def default_path(environ: Mapping[str, str] | None = None) -> Path:
    """The file that ``KEYSTILE_CONFIG`` names, or else ``keystile.toml`` in the working directory."""
    return Path((os.environ if environ is None else environ).get(FILE_VARIABLE) or DEFAULT_FILE)


def load(path: str | os.PathLike[str] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file.

    ``${NAME}`` in any string is replaced by that environment variable; ``$${`` stands for a literal ``${``. If the
    file names no peppers, ``KEYSTILE_PEPPER`` is the pepper. A relative SQLite path (``sqlite:///keys.db``) is
    relative to the file's folder, not to the working directory, so that the command line and every server use the same
    store and the same limiter. ``failure_limits = false`` is Gate's None.

    Args:
        path: the file; if None, the one that ``KEYSTILE_CONFIG`` names, or else ``keystile.toml`` in the working
            directory.
        environ: used in place of ``os.environ``.

    Raises:
        ConfigurationError: the file cannot be read, or a setting is unknown, has the wrong type or refers to a variable
            that is not set.
    """
    environ = os.environ if environ is None else environ
    file = default_path(environ) if path is None else Path(path)
    origin = Origin(str(file), environ)
    table = _parse(origin, file)
    found = read_table(origin, table, SETTINGS)
    if any("${" not in str(secret) for secret in _secrets(table)):
        _tell_mode(file)
    if not found.get("peppers") and PEPPER_VARIABLE in environ:
        found["peppers"] = (origin.variable("peppers[0]", PEPPER_VARIABLE),)
    for name in _PLACES:
        if name in found:
            found[name] = _beside(origin, file, name, found[name])
    for index, open_path in enumerate(found.get("public", ())):
        build(origin, Rule, {"match": open_path, "public": True}, f"public[{index}]", "")
    own = build(origin, FileAlone, {name: found.pop(name) for name in in_files(FileAlone) if name in found}, "", "{}")
    if (own.app is not None or own.apps) and "store" not in found:
        raise origin.error("store", _NO_STORE)
    webhooks = _settled(origin, file, own.webhooks)
    return Settings(
        str(file), own.app, own.on_project_deleted, tuple(own.apps or ()), webhooks, FrozenDict(found), origin
    )


def _secrets(table: Mapping[str, Any]) -> Iterator[Any]:
    """The secrets in a file whose types have been checked."""
    for name in _SECRETS:
        yield from table.get(name, ())
    for receiver in table.get("webhooks", {}).get("receive", ()):
        yield from receiver["secrets"]


def _settled(origin: Origin, file: Path, webhooks: Webhooks | None) -> Webhooks | None:
    """The same, with places relative to the file."""
    if webhooks is None:
        return None
    ids, outbox = (
        url and _beside(origin, file, f"webhooks.{name}", url)
        for name, url in (("ids", webhooks.ids), ("outbox", webhooks.outbox))
    )
    return replace(webhooks, ids=ids, outbox=outbox)


def write_private(path: Path, text: str) -> None:
    """Write a new file that only its owner can read, and that is on the disk when this returns: it may hold peppers,
    without which no key can be used any more.

    Raises:
        FileExistsError: the file exists already.
    """
    from .._ground.connection import sync_folder

    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as new:
        new.write(text)
        new.flush()
        os.fsync(new.fileno())
    sync_folder(path)


def open_gate(settings: Settings, told_of: Errors = MISREAD) -> Gate:
    """The gate that the settings describe, with its store open.

    Args:
        settings: what a file says.
        told_of: the exceptions of the service's own code that become a ConfigurationError. Others pass through.

    Raises:
        ConfigurationError: a value cannot be used, two settings contradict each other, what is named cannot be
            imported, or the store cannot be opened.
    """
    name = settings.on_project_deleted
    imported = {} if name is None else {"on_project_deleted": _function(settings, "on_project_deleted", name, told_of)}
    try:
        return Gate(**settings.gate, **imported)
    except ConfigurationError as error:
        reason = f"{error.source}: {error.reason}" if error.source else error.reason
        raise settings.error(error.key, reason) from None


def _function(settings: Settings, key: str, text: str, told_of: Errors) -> Any:
    name, found = find(text, partial(settings.error, key), told_of, "function")
    if not callable(found):
        raise settings.error(
            key, f"'{name}' {'is' if name.call is None else 'gives'} no function: it is {kind_of(found)}"
        )
    return found


def policy_of(settings: Settings) -> Policy:
    """The policy that the settings describe, without the parts that a gate works with."""
    names = settings_of(Policy)
    try:
        return Policy(**{name: value for name, value in settings.gate.items() if name in names})
    except ConfigurationError as error:
        raise settings.error(error.key, error.reason) from None


def _parse(origin: Origin, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_bytes().decode())
    except FileNotFoundError:
        raise origin.error(None, _NO_FILE) from None
    except OSError as error:
        raise origin.error(None, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise origin.error(None, "is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise origin.error(None, f"is not TOML: {error}") from None
    except RecursionError:
        raise origin.error(None, "is nested too deep") from None
    except ValueError as error:  # of the path itself: a NUL in it
        raise origin.error(None, f"cannot be read: {error}") from None


def _tell_mode(file: Path) -> None:
    """Log a warning if others may read the secrets in a file, or write to it."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o066:
        said = "%s: other users may read or write this file (mode %03o), and it holds secrets: chmod 600 it"
        _logger.warning(said, file, mode)


def _beside(origin: Origin, file: Path, key: str, url: str) -> str:
    """The URL, with a relative SQLite path made absolute."""
    if url.partition(":")[0] != "sqlite":
        return url
    from .._ground.sqlite import path_of

    try:
        return f"sqlite:///{file.absolute().parent / path_of(url, key)}"
    except ConfigurationError as error:
        # SQLite has no passwords, but a text where other URLs have one is not repeated.
        shown = place_of(url) if "@" in url else url
        raise origin.hiding(key, error.reason.replace(repr(url), repr(shown))) from None
