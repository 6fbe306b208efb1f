"""What a name says, imported: ``service.main:app``, or a call like ``service.main:create_app("prod")``, as gunicorn
writes it.

A call takes literals alone, and nothing here evaluates text. No error repeats the arguments: they may be secrets.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from .._sync import is_async
from ..exceptions import ConfigurationError, KeystileError
from .faults import told

Fault = Callable[[str], ConfigurationError]
Errors = tuple[type[BaseException], ...]

# What the imported code may raise, and is then told in one line. A command tells everything so. A server shows the
# traceback, except where it would misread the exception: an AttributeError as "the module has no such app".
ANYTHING: Errors = (Exception, SystemExit, GeneratorExit)
MISREAD: Errors = (AttributeError, KeystileError, GeneratorExit)

_NOTHING = object()
_NAME = re.compile(r"(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)(\(.*\))?", re.DOTALL)
_WRONG = "expected 'module:attribute', like 'service.main:{0}', or a call of it with literals, like 'service.main:{1}'"


class Call(NamedTuple):
    """The arguments of a call."""

    args: tuple[Any, ...]
    named: Mapping[str, Any]


class Name(NamedTuple):
    """A name, taken apart. It is shown without the arguments of its call.

    Attributes:
        module: the module's full name.
        attribute: the attribute, which may be dotted.
        call: what the attribute is called with, or None if it is meant itself.
    """

    module: str
    attribute: str
    call: Call | None

    def __str__(self) -> str:
        arguments = "" if self.call is None else "(…)" if any(self.call) else "()"
        return f"{self.module}:{self.attribute}{arguments}"


def find(text: str, fault: Fault, told_of: Errors, noun: str = "app") -> tuple[Name, Any]:
    """What the text names, imported and, if the text says so, called.

    Args:
        text: the name.
        fault: makes the exception for a reason.
        told_of: `ANYTHING` or `MISREAD`: the exceptions of the imported code that become one line.
        noun: what is looked for, for examples in errors.

    Raises:
        ConfigurationError: the text is no such name, what it names is not there, or it cannot be called so.
    """
    name = _read(text, fault, noun)
    found: Any = _module(name.module, fault, told_of)
    for part in name.attribute.split("."):
        with _one_line(f"reading {part!r}", fault, told_of):
            found = getattr(found, part, _NOTHING)
        if found is _NOTHING:
            raise fault(f"{name.module!r} has no attribute {name.attribute!r}")
    return name, found if name.call is None else _called(name, found, name.call, fault, told_of)


def _read(text: str, fault: Fault, noun: str) -> Name:
    parts = _NAME.fullmatch(text)
    if parts is None:
        # What stands in brackets is not repeated.
        raise fault(f"{_WRONG.format(noun, f'create_{noun}()')}, got {text.partition('(')[0]!r}")
    call = None if parts[3] is None else _arguments(parts[3], fault)
    return Name(parts[1], parts[2], call)


def _arguments(text: str, fault: Fault) -> Call:
    try:
        call = ast.parse(f"f{text}", mode="eval").body
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            args = tuple(ast.literal_eval(each) for each in call.args)
            named = {str(each.arg): ast.literal_eval(each.value) for each in call.keywords if each.arg is not None}
            if len(named) == len(call.keywords):
                return Call(args, named)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        pass
    raise fault("expected one call, with literals as its arguments: strings, numbers, True, None, lists, dicts")


def _called(name: Name, function: Any, call: Call, fault: Fault, told_of: Errors) -> Any:
    plain = f"{name.module}:{name.attribute}"
    if not callable(function):
        raise fault(f"{plain!r} cannot be called: it is {kind_of(function)}")
    _check_arguments(plain, function, call, fault)
    if is_async(function) or inspect.isasyncgenfunction(function):
        raise fault(f"{plain!r} is async, and nothing can await it here: name a plain function")
    with _one_line(f"calling {plain!r}", fault, told_of):
        found = function(*call.args, **call.named)
    if inspect.isawaitable(found):
        if inspect.iscoroutine(found):
            found.close()
        raise fault(f"{plain!r} gives an awaitable, and nothing can await it here: name a plain function")
    return found


def _check_arguments(plain: str, function: Callable[..., Any], call: Call, fault: Fault) -> None:
    """Before the call, so that a TypeError of the function's own code stays what it is."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # it cannot be read, so nothing is certain
    try:
        signature.bind(*call.args, **call.named)
    except TypeError as error:
        raise fault(f"{plain!r} cannot be called with these arguments: {error}") from None


def kind_of(found: Any) -> str:
    """What this is, without any part of its value."""
    return "None" if found is None else f"of type {type(found).__name__}"


def _module(name: str, fault: Fault, told_of: Errors) -> ModuleType:
    """The module. The working directory comes first, as under uvicorn and gunicorn, so that commands and servers
    import the same."""
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    with _one_line(f"importing {name!r}", fault, told_of):
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise  # the module itself lacks another one
    raise fault(f"there is no module {name!r}, neither installed nor in the working directory")


@contextmanager
def _one_line(doing: str, fault: Fault, told_of: Errors) -> Iterator[None]:
    try:
        yield
    except told_of as error:
        raise fault(f"{doing} raised {told(error, os.environ)}") from error
