"""The tasks of a worker: a bell that any thread rings, and an end for all of them; on asyncio and trio."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable

import anyio
import pytest

from keystile._sync import Crew, sleep, start_apart

FOR_EVER = 60.0


@pytest.fixture(params=["asyncio", "trio"])
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    return lambda work: anyio.run(work, backend=str(request.param))


Run = Callable[[Callable[[], Awaitable[None]]], None]


def test_a_task_that_ends_rings(run: Run) -> None:
    async def work() -> None:
        ended: list[int] = []

        async def note(number: int) -> None:
            await sleep(0)
            ended.append(number)

        async with Crew() as crew:
            crew.start(note, 1)
            await crew.rung(FOR_EVER)
            assert ended == [1]

    run(work)


def test_any_thread_rings_and_what_rang_before_the_wait_counts(run: Run) -> None:
    async def work() -> None:
        async with Crew() as crew:
            thread = threading.Thread(target=crew.ring)
            thread.start()
            await anyio.to_thread.run_sync(thread.join)
            await crew.rung(FOR_EVER)
            crew.ring()
            await crew.rung(FOR_EVER)
            await crew.rung(0.01)  # nobody rings: the time ends it

    run(work)


def test_what_still_runs_ends_with_the_crew_and_nobody_is_there_to_be_rung(run: Run) -> None:
    left: list[Crew] = []

    async def work() -> None:
        ended: list[bool] = []

        async def wait() -> None:
            try:
                await sleep(FOR_EVER)
            finally:
                ended.append(True)

        async with Crew() as crew:
            left.append(crew)
            crew.start(wait)
            await sleep(0.01)
        assert ended == [True]

    run(work)
    left[0].ring()


def test_a_task_apart_says_how_it_ended(run: Run) -> None:
    async def work() -> None:
        async def fail() -> None:
            raise ValueError("it")

        done: list[bool] = []

        async def note() -> None:
            done.append(True)

        await start_apart(note)()
        assert done == [True]
        with pytest.raises(ValueError, match="it"):
            await start_apart(fail)()

    run(work)


def test_what_its_block_raises_comes_out_as_it_is(run: Run) -> None:
    async def work() -> None:
        async with Crew() as crew:
            crew.start(sleep, FOR_EVER)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run(work)
