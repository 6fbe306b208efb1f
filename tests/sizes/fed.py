"""Finds in the source what may be fed by strangers: every public function and method that takes text or octets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.test_floors import MODULES

# Text, octets, and the values of ours and of the servers' that hold some of a request.
_FED = re.compile(
    r"\b(str|bytes|Any|AnyStr|object|Hashable|Hidden\w+|Request|Scope|Environ|Message|Headers|Fields|Lines|Event|Visit"
    r"|Filters|Exception|Wire|Command)\b"
)


def functions(module: str) -> Iterator[str]:
    """The full name of everything in this module that takes text or octets."""
    yield from functions_in(module, MODULES[module].read_text(encoding="utf-8"))


def everything(module: str) -> Iterator[str]:
    """The full name of every public function and method in this module, whatever it takes."""
    for name, _ in _public(ast.parse(MODULES[module].read_text(encoding="utf-8")).body):
        yield f"{module}.{name}"


def functions_in(module: str, source: str) -> Iterator[str]:
    """The same of a module with this source."""
    for name, function in _public(ast.parse(source).body):
        if any(_FED.search(each) for each in _annotations(function)):
            yield f"{module}.{name}"


def _public(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from _public(node.body, f"{owner}{node.name}.")
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        if is_function and (not node.name.startswith("_") or node.name == "__call__"):
            yield owner + node.name, node


def _annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    given = function.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    for each in every:
        if each is not None and each.arg not in ("self", "cls"):
            # What has no type may be anything.
            yield "Any" if each.annotation is None else ast.unparse(each.annotation)
