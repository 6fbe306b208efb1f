"""A coroutine that hands things out is run from each to the next, by whoever asks, and ends with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar

import pytest

from keystile._sync import Pulled

told: list[object] = []
variable: ContextVar[str] = ContextVar("variable")
Hand = Callable[[int], Awaitable[None]]


@pytest.fixture(autouse=True)
def afresh() -> None:
    told.clear()


async def counts(hand: Hand) -> None:
    token = variable.set("inside")
    try:
        for number in range(3):
            await asyncio.sleep(0.001)
            told.append(variable.get())
            await hand(number)
    finally:
        await asyncio.sleep(0.001)
        variable.reset(token)
        told.append("ended")


def test_it_waits_for_whoever_asks() -> None:
    async def run() -> None:
        pulled = Pulled(counts)
        assert told == []
        assert [await pulled.next() for _ in range(5)] == [0, 1, 2, None, None]
        assert told == ["inside"] * 3 + ["ended"]
        await pulled.end()

    asyncio.run(run())


def test_several_tasks_may_ask_in_turn() -> None:
    async def run() -> None:
        pulled = Pulled(counts)
        assert [await asyncio.create_task(pulled.next()) for _ in range(4)] == [0, 1, 2, None]

    asyncio.run(run())
    assert told[-1] == "ended"


def test_what_it_sets_is_set_nowhere_else() -> None:
    async def sets(hand: Hand) -> None:
        variable.set("set")
        await hand(1)

    async def run() -> None:
        pulled = Pulled(sets)
        for _ in range(2):
            await pulled.next()
            assert variable.get(None) is None

    asyncio.run(run())


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_it_can_be_ended_at_any_point(asked: int) -> None:
    async def run() -> None:
        pulled = Pulled(counts)
        for _ in range(asked):
            await pulled.next()
        await pulled.end()
        await pulled.end()
        assert await pulled.next() is None

    asyncio.run(run())
    assert told[asked:] == (["ended"] if asked else [])


def test_whoever_asks_gets_its_exception() -> None:
    async def fails(hand: Hand) -> None:
        await hand(1)
        raise ValueError("mine")

    async def run() -> None:
        pulled = Pulled(fails)
        assert await pulled.next() == 1
        with pytest.raises(ValueError, match="mine"):
            await pulled.next()
        assert await pulled.next() is None

    asyncio.run(run())


def test_it_is_cancelled_with_whoever_asks() -> None:
    async def waits(hand: Hand) -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            told.append("ended")

    async def run() -> None:
        task = asyncio.create_task(Pulled(waits).next())
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert told == ["ended"]


def test_what_it_awaits_may_fail() -> None:
    async def fetches(hand: Hand) -> None:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_exception, KeyError("lost"))
        try:
            await future
        except KeyError:
            await hand(7)

    async def run() -> None:
        assert await Pulled(fetches).next() == 7

    asyncio.run(run())
