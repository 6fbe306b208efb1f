"""A transport around a transport: puts the key on each request, and asks again after the waits that it is told.

A transport is the one place of httpx that sees every request, those of redirects too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from inspect import isawaitable
from types import TracebackType
from typing import Any, TypeVar

from .. import _sync
from .auth import carried_by
from .retrying import Attempts, Retry

T = TypeVar("T")


def gate_transport(
    transport: T,
    retry: Retry | None = None,
    *,
    sleep: Callable[[float], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """The transport, with what callers of a gate need: the key that `KeyAuth` gave a request is put where it belongs,
    and a request that the gate refuses for now is sent again after the wait that it was told. When the bounds of
    `retry` are reached, the last answer is returned at once, and `raise_for` makes an error of it.

    Args:
        transport: of httpx2 or httpx, sync or async: ``httpx2.HTTPTransport()``, ``httpx2.AsyncHTTPTransport()``.
        retry: when to ask again; by default ``Retry()``.
        sleep: waits so many seconds; under an async client it may give something to await. By default
            ``time.sleep``, and what asyncio and trio have for it.
        clock: seconds that never run backwards.

    Returns:
        A transport for the same client. Its other attributes are those of `transport`.
    """
    wrapped: Any = _GateTransport(transport, retry or Retry(), sleep, clock)
    return wrapped  # type: ignore[no-any-return]  # it stands for a T, and hands on what a T has


class _GateTransport:
    def __init__(
        self, inner: Any, retry: Retry, sleep: Callable[[float], object] | None, clock: Callable[[], float]
    ) -> None:
        self._inner, self._retry, self._clock = inner, retry, clock
        self._sleep, self._asleep = sleep or time.sleep, sleep or _sync.sleep

    def __getattr__(self, name: str) -> Any:
        if name == "_inner":  # a copy that is not yet filled
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"gate_transport({self._inner!r}, {self._retry!r})"

    def handle_request(self, request: Any) -> Any:
        attempts = Attempts(self._retry, request, self._clock)
        while True:
            response = self._inner.handle_request(_with_key(request))
            pause = attempts.pause(response)
            if pause is None:
                return response
            response.close()
            self._sleep(pause)

    async def handle_async_request(self, request: Any) -> Any:
        attempts = Attempts(self._retry, request, self._clock)
        while True:
            response = await self._inner.handle_async_request(_with_key(request))
            pause = attempts.pause(response)
            if pause is None:
                return response
            await response.aclose()
            slept = self._asleep(pause)
            if isawaitable(slept):
                await slept

    def __enter__(self) -> _GateTransport:
        self._inner.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._inner.__exit__(kind, error, trace)

    async def __aenter__(self) -> _GateTransport:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, trace)


def _with_key(request: Any) -> Any:
    carried = carried_by(request)
    return request if carried is None else carried.put(request)
