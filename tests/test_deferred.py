"""Work that is put off: done once, in time, on the thread or the loop where it belongs, and at the end."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading

import anyio
import pytest

from keystile._sync import Deferred, background, later, settled


def test_what_is_asked_for_many_times_is_done_once_and_again_when_asked_again() -> None:
    done = threading.Semaphore(0)
    calls: list[str] = []

    def work() -> None:
        calls.append(threading.current_thread().name)
        done.release()

    deferred = Deferred(work, 0.05)
    for number in (1, 2):
        for _ in range(50):
            deferred.ask()
        assert done.acquire(timeout=30)
        assert settled()
        assert calls == ["keystile-background"] * number


def test_what_waits_holds_up_nothing() -> None:
    done, soon = list[str](), threading.Event()
    background.after(3600, lambda: done.append("late"))
    background.after(0.02, soon.set)
    later(done.append, "now")
    assert settled()
    assert soon.wait(30)
    assert done == ["now"]


def test_a_failure_of_what_was_put_off_harms_nothing_after_it() -> None:
    def fail() -> None:
        raise RuntimeError

    done = threading.Event()
    background.after(0.01, fail)
    background.after(0.02, done.set)
    assert done.wait(30)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_coroutine_function_runs_on_the_loop_that_asked(backend: str) -> None:
    async def main() -> None:
        done, here = anyio.Event(), threading.get_ident()

        async def work() -> None:
            assert threading.get_ident() == here
            done.set()

        deferred = Deferred(work, 0.02)
        deferred.ask()
        deferred.ask()
        with anyio.fail_after(30):
            await done.wait()

    anyio.run(main, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_that_ends_before_takes_only_its_own_call_along(backend: str) -> None:
    calls: list[int] = []

    async def work() -> None:
        calls.append(1)

    deferred = Deferred(work, 0.02)

    async def ask() -> None:
        deferred.ask()

    async def ask_and_wait() -> None:
        with anyio.fail_after(30):
            while not calls:
                deferred.ask()
                await anyio.sleep(0.01)

    anyio.run(ask, backend=backend)
    assert calls == []
    anyio.run(ask_and_wait, backend=backend)
    assert calls == [1]


END = """
    import gc, os, sys
    from keystile._sync import on_exit

    class Ending:
        def __init__(self, name):
            self.name = name
            on_exit(self)
        def at_exit(self):
            print(self.name, flush=True)

    one, gone = Ending("one"), Ending("gone")
    del gone
    gc.collect()
    if len(sys.argv) > 1 and os.fork():
        os.wait()
        one.name = "parent"
    """


@pytest.mark.parametrize(("arguments", "said"), [([], ["one"]), (["fork"], ["one", "parent"])], ids=["alone", "forked"])
def test_what_lives_is_told_that_the_process_ends(arguments: list[str], said: list[str]) -> None:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(END), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert (done.stdout.split(), done.stderr) == (said, "")
