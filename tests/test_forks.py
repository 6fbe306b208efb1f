"""A fork finds no thread inside SQLite, or the child says so; it never hangs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.selection import often

SETUP = """
    import os, sys, threading, time
    from datetime import UTC, datetime
    from keystile import StoreUnavailable, _sync
    from keystile._sync import shelf
    from keystile.model import ApiKey, SecretHash
    from keystile.stores import KeyFilter
    from keystile.stores.sqlite import SQLiteStore

    T0 = datetime(2026, 1, 15, tzinfo=UTC)
    key = lambda id: ApiKey(id=id, name="n", created_at=T0, hashes=(SecretHash("h", "hint"),))
    store = SQLiteStore(sys.argv[1])
    store.add(key("known"), ())
    listed = lambda: store.list(KeyFilter(), None, 100)

    def fork(work):
        child = os.fork()
        if child == 0:
            try:
                work()
            except BaseException as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                os._exit(1)
            os._exit(0)
        return child

    def result(child, within=20):
        # A child that hangs is what this looks for.
        until = time.monotonic() + within
        while time.monotonic() < until:
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.001)
        os.kill(child, 9)
        os.waitpid(child, 0)
        return "hangs"

    def find():
        # A file that another process opens or closes at this very moment is busy.
        return _sync.patiently(10, store.find, "known")

    def use(id):
        assert find().name == "n"
        _sync.patiently(10, store.add, key(id), ())
        _sync.patiently(10, store.revoke, id, T0, ())
    """


def run(script: str, path: Path, timeout: float = 60) -> list[str]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SETUP) + textwrap.dedent(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


HELD = """
    inside, leave = threading.Event(), threading.Event()

    def hold():
        # In the middle of a statement of a transaction, with SQLite's mutexes held.
        with store._file.write() as connection:
            connection.create_function("wait", 0, lambda: inside.set() or leave.wait() and 1)
            connection.execute("UPDATE keystile_keys SET name = name WHERE wait()")

    thread = threading.Thread(target=hold)
    thread.start()
    inside.wait()
    """


def test_a_fork_waits_until_a_thread_has_left_sqlite(tmp_path: Path) -> None:
    said = run(
        HELD
        + """
    def let_go():
        while shelf._forks._over is None:
            time.sleep(0.001)
        print("held while the fork was under way:", thread.is_alive(), flush=True)
        leave.set()

    threading.Thread(target=let_go).start()
    child = fork(lambda: use("child"))
    print(result(child))
    thread.join()
    use("parent")
    print(sorted(each.id for each in listed()))
    """,
        tmp_path / "keys.db",
    )
    assert said == ["held while the fork was under way: True", "0", "['child', 'known', 'parent']"]


def test_who_comes_while_a_fork_waits_goes_on_after_it(tmp_path: Path) -> None:
    said = run(
        HELD
        + """
    found = []
    come = threading.Thread(target=lambda: found.append(find().name))

    def let_go():
        while shelf._forks._over is None:
            time.sleep(0.001)
        come.start()
        come.join(0.1)
        print("waits:", come.is_alive(), flush=True)
        leave.set()

    threading.Thread(target=let_go).start()
    print(result(fork(lambda: use("child"))))
    come.join()
    print(found)
    """,
        tmp_path / "keys.db",
    )
    assert said == ["waits: True", "0", "['n']"]


def test_a_child_that_was_forked_inside_sqlite_says_so_and_does_not_hang(tmp_path: Path) -> None:
    said = run(
        HELD
        + """
    shelf.FORK_PATIENCE = 0.2

    def all_say_so():
        for work in (lambda: store.find("known"), lambda: store.add(key("child"), ()), listed, lambda: store.find("x")):
            try:
                work()
            except StoreUnavailable as error:
                assert "forked while its parent was using a SQLite file" in str(error), error
            else:
                raise AssertionError("no error")
        try:
            SQLiteStore(sys.argv[1] + ".new")
        except ValueError as error:
            assert "forked while its parent" in str(error), error

    print(result(fork(all_say_so)))
    leave.set()
    thread.join()
    # A process that is forked from now on can use it.
    print(result(fork(lambda: use("next"))))
    use("parent")
    print(sorted(each.id for each in listed()))
    """,
        tmp_path / "keys.db",
    )
    assert said == ["0", "0", "['known', 'next', 'parent']"]


def test_two_threads_may_fork_at_once(tmp_path: Path) -> None:
    said = run(
        """
    results = []
    start = threading.Barrier(2)

    def forks(name):
        start.wait()
        for number in range(10):
            results.append(result(fork(lambda: use(f"{name}{number}"))))

    threads = [threading.Thread(target=forks, args=(name,)) for name in "ab"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(results == [0] * 20, len(listed()))
    """,
        tmp_path / "keys.db",
    )
    assert said == ["True 21"]


def test_a_child_is_no_second_user_of_its_parents_connection(tmp_path: Path) -> None:
    """What it inherited open would make SQLite believe in locks that only the parent has, and another process that
    closes the file would remove the log under the child."""
    said = run(
        """
    import sqlite3
    read, write = os.pipe()

    def outlive():
        os.close(write)
        assert find() is not None
        os.read(read, 1)  # until the parent has closed its own
        other = sqlite3.connect(sys.argv[1])
        other.execute("SELECT count(*) FROM keystile_keys").fetchone()
        other.close()
        assert os.path.exists(sys.argv[1] + "-wal")
        assert find() is not None

    child = fork(outlive)
    store.close()
    os.close(write)
    print(result(child))
    """,
        tmp_path / "keys.db",
    )
    assert said == ["0"]


LOAD = """
    stop = threading.Event()

    def load(number):
        at = 0
        while not stop.is_set():
            at += 1
            find()
            _sync.patiently(10, store.touch, "known", datetime.fromtimestamp(2e9 + at, UTC))

    threads = [threading.Thread(target=load, args=(number,)) for number in range(3)]
    for each in threads:
        each.start()
    results = []
    try:
        for number in range(FORKS):
            def work():
                assert find().name == "n"
                _sync.patiently(10, store.touch, "known", datetime.fromtimestamp(3e9, UTC))
            results.append(result(fork(work)))
    finally:
        stop.set()
        for each in threads:
            each.join()
    print({each: results.count(each) for each in set(results)})
    """


def test_many_forks_under_load_all_can_use_the_store(tmp_path: Path) -> None:
    forks = often(50, 500)
    assert run(LOAD.replace("FORKS", str(forks)), tmp_path / "keys.db", 60 + forks) == [f"{{0: {forks}}}"]


@pytest.mark.parametrize("kind", ["background", "request"])
def test_a_gate_that_forks_while_it_is_used_goes_on_in_both(tmp_path: Path, kind: str) -> None:
    said = run(
        f"""
    from keystile import Gate, HmacHasher
    gate = Gate("sqlite:///" + sys.argv[1], prefix="acme", hasher=HmacHasher(b"p" * 16))
    issued = gate.keys.create("key")
    stop = threading.Event()

    def load():
        while not stop.is_set():
            if {kind!r} == "background":
                _sync.later(gate._shop.store.touch, issued.key.id, datetime.now(UTC))
                _sync.settled()
            else:
                gate.keys.get(issued.key.id)

    thread = threading.Thread(target=load)
    thread.start()
    results = [result(fork(lambda: gate.keys.revoke(gate.keys.create("child").key.id))) for _ in range(20)]
    stop.set()
    thread.join()
    print(results == [0] * 20, len(gate.keys.list()))
    """,
        tmp_path / "keys.db",
    )
    assert said == ["True 22"]
