"""One operation, two names: `create` blocks, `acreate` is awaited. Each is written once, as a coroutine."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

from ..._sync import Offload, can_wait, inline, pooled, run_now, waited
from ...exceptions import ConfigurationError


class Twofold(Protocol):
    """What has such operations."""

    @property
    def needs_await(self) -> bool:
        """Whether only the awaited names work."""


P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound=Twofold)
_Operation = Callable[Concatenate[S, Offload, P], Coroutine[Any, Any, T]]


def blocking(operation: _Operation[S, P, T]) -> Callable[Concatenate[S, P], T]:
    """The operation under its plain name."""

    def twin(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        if self.needs_await and can_wait():
            return waited(operation, self, pooled, *args, **named)
        if self.needs_await:
            raise ConfigurationError(f"the store is async: await a{twin.__name__}() instead", key="store")
        return run_now(operation(self, inline, *args, **named))

    _signed_like(operation, twin)
    return twin


def awaited(operation: _Operation[S, P, T]) -> Callable[Concatenate[S, P], Awaitable[T]]:
    """The operation under its name with an ``a`` before it."""

    async def twin(self: S, /, *args: P.args, **named: P.kwargs) -> T:
        return await operation(self, pooled, *args, **named)

    _signed_like(operation, twin, "a")
    return twin


def _signed_like(operation: Callable[..., Any], twin: Callable[..., Any], mark: str = "") -> None:
    """Give the twin the operation's docstring and name, and its signature without the offload."""
    functools.update_wrapper(twin, operation)
    twin.__name__ = mark + operation.__name__.lstrip("_")
    twin.__qualname__ = f"{operation.__qualname__.rpartition('.')[0]}.{twin.__name__}"
    signature = inspect.signature(operation)
    shown = [parameter for name, parameter in signature.parameters.items() if name != "offload"]
    twin.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]
