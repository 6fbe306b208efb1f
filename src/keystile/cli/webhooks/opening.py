"""The outbox that a command works on: the one that the file names, another database, or one in code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ...config.file import Settings, default_path, load
from ...config.importing import ANYTHING, find, kind_of
from ...exceptions import ConfigurationError
from ...policy.webhooks import Webhooks
from ..opening import GATE_OPTION, Place

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox

Command = TypeVar("Command", bound=Callable[..., Any])
OPTION, VARIABLE = "--outbox", "KEYSTILE_OUTBOX"

outbox_option = click.option(
    OPTION,
    "named",
    envvar=VARIABLE,
    metavar="URL|NAME",
    help=f"Another database than the file's, or an outbox in code, like main:outbox; default: ${VARIABLE}.",
)


@contextmanager
def outbox_of(place: Place, named: str | None) -> Iterator[Outbox]:
    """The outbox, for as long as the command runs.

    Raises:
        ConfigurationError: nothing names one, or it cannot be opened.
    """
    found = _in_code(named) if named is not None and "://" not in named else _in_file(place, named)
    try:
        yield found
    finally:
        found.close()


def _in_file(place: Place, url: str | None) -> Outbox:
    settings = _settings(place, url)
    given = Webhooks() if settings is None or settings.webhooks is None else settings.webhooks
    wanted = given if url is None else replace(given, outbox=url)
    try:
        return _outbox().of(wanted)
    except ConfigurationError as error:
        reason = f"{error.source}: {error.reason}" if error.source else error.reason
        if settings is None or error.key == "key" or (url is not None and error.key == "outbox"):
            raise ConfigurationError(reason, key=error.key) from None
        raise settings.error(f"webhooks.{error.key}", reason) from None


def _settings(place: Place, url: str | None) -> Settings | None:
    """The file's; None if there need not be one."""
    if place.gate is not None and url is None:
        raise click.UsageError(f"{GATE_OPTION} names no outbox: name it with {OPTION}, like main:outbox")
    if url is not None and (place.gate is not None or (place.config is None and not default_path().exists())):
        return None
    return load(place.config)


def _in_code(text: str) -> Outbox:
    def error(reason: str) -> ConfigurationError:
        return ConfigurationError(reason, source=OPTION)

    with redirect_stdout(sys.stderr):  # stdout is for what the command prints
        name, found = find(text, error, ANYTHING, "outbox")
    if not isinstance(found, _outbox()):
        raise error(f"'{name}' {'is' if name.call is None else 'gives'} no Outbox: it is {kind_of(found)}")
    return found


def _outbox() -> type[Outbox]:
    try:
        from ...webhooks.outbox import Outbox
    except ImportError as error:
        raise ConfigurationError(str(error), key="outbox") from None
    return Outbox
