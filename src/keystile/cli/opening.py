"""What a command works on: a gate, opened for as long as the command runs.

The gate is described by a file, or it stands in code: ``--gate main:gate``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar, cast

import click

from .._sync import can_wait, in_time, is_async, loop_beside, patiently, waited
from ..config.faults import told
from ..config.file import FILE_VARIABLE, Settings, load, open_gate
from ..config.importing import ANYTHING, find, kind_of
from ..exceptions import ConfigurationError, KeystileError, StoreUnavailable
from ..gate import Gate
from ..limiters.memory import MemoryLimiter
from ..stores.memory import MemoryStore

P = ParamSpec("P")
T = TypeVar("T")
GATE_OPTION, GATE_VARIABLE = "--gate", "KEYSTILE_GATE"

# How long a command waits for a limiter that servers are writing to, in seconds.
_PATIENCE = 5.0
_IN_MEMORY = {
    "store": "keys in memory end with this command; name a store like 'sqlite:///keystile.db'",
    "limiter": "no command can see what a server counts in its memory; name a limiter like 'sqlite:///keystile.db'",
}


class Place(NamedTuple):
    """Where a command finds its gate. At most one of the two is given; with neither, in the usual file.

    Attributes:
        config: the file.
        gate: the gate in code, ``"main:gate"`` or ``"main:make_gate()"``; or a host's own.
        gate_from: what named it, for errors.
    """

    config: Path | None = None
    gate: str | Gate | None = None
    gate_from: str = GATE_OPTION


class Opened(NamedTuple):
    """A gate, and where it was found.

    Attributes:
        gate: the gate.
        found_in: "file" or "gate", and its name.
        settings: those of the file, or None for a gate in code.
        error: makes the exception about one of its settings.
    """

    gate: Gate
    found_in: tuple[str, str]
    settings: Settings | None
    error: Callable[[str | None, str], ConfigurationError]


def where(config: Path | None, gate: str | None, environ: Mapping[str, str] = os.environ) -> Place:
    """Where to look, by the options and then by the environment; click.UsageError if both are named."""
    if config is not None and gate is not None:
        raise click.UsageError(f"-c names a file and {GATE_OPTION} a gate in code; leave one of them out")
    if config is not None or gate is not None:
        return Place(config, gate)
    named = environ.get(GATE_VARIABLE)
    if named and environ.get(FILE_VARIABLE):
        raise click.UsageError(f"{FILE_VARIABLE} names a file and {GATE_VARIABLE} a gate in code; unset one of them")
    return Place(None, named or None, GATE_VARIABLE)


@contextmanager
def opened(place: Place, *lasting: str) -> Iterator[Gate]:
    """The gate, if those of its parts that are named here outlast this command."""
    with opening(place) as found:
        for name in lasting:
            if in_memory(found.gate, name):
                raise found.error(name, _IN_MEMORY[name])
        yield found.gate


@contextmanager
def opening(place: Place) -> Iterator[Opened]:
    """The gate and where it was found. If it is async, its blocking names work all the same within this."""
    gate = place.gate
    found = _in_file(place.config) if gate is None else _in_code(gate, place.gate_from)
    with loop_beside() if found.gate.needs_await else nullcontext(), _one_line(found):
        try:
            yield found
        finally:
            if found.gate is gate:
                pass  # it is its host's to close
            elif found.gate.needs_await:
                waited(found.gate.aclose)
            else:
                found.gate.close()


@contextmanager
def _one_line(found: Opened) -> Iterator[None]:
    """A store or a limiter of the host's own may raise anything, and its text may hold secrets."""
    try:
        yield
    except (KeystileError, OSError, click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        if found.settings is not None:
            raise  # all of its parts are ours, so this is a fault of ours
        raise found.error(None, f"the gate raised {told(error, os.environ)}") from error


def called(operation: Callable[P, T | Awaitable[T]], *args: P.args, **named: P.kwargs) -> T:
    """What an operation of the gate gives, plain or async. Whatever code of the host's prints meanwhile, such as one
    that listens to events, goes to stderr: stdout is for the answer."""
    with redirect_stdout(sys.stderr):
        if not is_async(operation):
            return cast("T", operation(*args, **named))
        with nullcontext() if can_wait() else loop_beside():
            return waited(cast("Callable[P, Awaitable[T]]", operation), *args, **named)


def ask(method: Callable[..., Any], *args: Any) -> Any:
    """What a method of the limiter answers, plain or async. While the limiter is busy it is asked again."""
    try:
        return waited(in_time, _PATIENCE, method(*args)) if is_async(method) else patiently(_PATIENCE, method, *args)
    except KeystileError:
        raise
    except Exception as error:  # whatever a limiter raises, it did not answer, and the text may hold a password
        raise StoreUnavailable("the limiter", type(error).__name__) from error


def in_memory(gate: Gate, name: str) -> bool:
    """Whether what this setting names ends with its process."""
    given = getattr(gate.parts, name)
    return given.startswith("memory:") if isinstance(given, str) else isinstance(given, (MemoryStore, MemoryLimiter))


def _in_file(config: Path | None) -> Opened:
    settings = load(config)
    return Opened(open_gate(settings), ("file", settings.source), settings, settings.error)


def _in_code(text: str | Gate, source: str) -> Opened:
    def error(key: str | None, reason: str) -> ConfigurationError:
        return ConfigurationError(reason, key=key, source=source)

    if isinstance(text, Gate):
        return Opened(text, ("gate", source), None, error)
    with redirect_stdout(sys.stderr):  # stdout is for what the command prints: a secret, or JSON
        name, gate = find(text, lambda reason: error(None, reason), ANYTHING, "gate")
    if not isinstance(gate, Gate):
        what = "is" if name.call is None else "gives"
        raise error(None, f"'{name}' {what} no Gate: it is {kind_of(gate)}{_advice(name.call, gate)}")
    return Opened(gate, ("gate", str(name)), None, error)


def _advice(call: Any, found: Any) -> str:
    return "; if it makes one, write its call, like 'main:make_gate()'" if call is None and callable(found) else ""
