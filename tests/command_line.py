"""The command line over every kind of gate: one that a file describes, one in code, and one in code with an async
store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from keystile.cli.commands import main

PLANS = """
hasher = "hmac-sha256"
peppers = ["a pepper of enough bytes"]
prefix = "acme"
store = "sqlite:///keys.db"
limiter = "sqlite:///windows.db"
[plans.free]
limits = "60/minute"
[plans.pro]
limits = "600/minute"
[plans.few]
limits = "60/minute"
max_keys = 2
cap_by = ["organization"]
[plans.one]
limits = "60/minute"
max_keys = 1
cap_by = ["owner"]
when_full = "revoke_oldest"
"""
IN_CODE = """
import sys
import anyio.to_thread
import anyio.lowlevel
from keystile import Gate, Plan
from keystile.stores import KeyStore
from keystile.stores.sqlite import SQLiteStore


def suspending(inner):
    def twin(method):
        async def run(self, *args):
            return await anyio.to_thread.run_sync(lambda: method(*args))
        return run

    names = [name for name in ("find", *vars(KeyStore)) if not name.startswith("_")]
    return type("Suspending", (), {name: twin(getattr(inner, name)) for name in names})()


def deleted(project):
    print("the host removes", project.id)
    if project.name == "Stubborn":
        raise RuntimeError("no disk at postgresql://me:hunter2@db")


async def deleted_later(project):
    await anyio.lowlevel.checkpoint()
    deleted(project)


def make(store, on_deleted):
    gate = Gate(
        store,
        limiter="sqlite:///windows.db",
        hasher="hmac-sha256",
        peppers=["a pepper of enough bytes"],
        prefix="acme",
        plans={
            "free": Plan("60/minute"),
            "pro": Plan("600/minute"),
            "few": Plan("60/minute", max_keys=2, cap_by=("organization",)),
            "one": Plan("60/minute", max_keys=1, cap_by=("owner",), when_full="revoke_oldest"),
        },
        on_project_deleted=on_deleted,
    )
    gate.on_event(lambda event: print("the host hears of", event.code))
    return gate


plain = make("sqlite:///keys.db", deleted)
mixed = make("sqlite:///keys.db", deleted_later)
waiting = make(suspending(SQLiteStore.from_url("sqlite:///keys.db")), deleted_later)
"""
KINDS = ("file", "plain", "mixed", "waiting")
_count = iter(range(1_000_000))


class Desk(NamedTuple):
    """A folder with a gate, and how commands name it.

    Attributes:
        folder: where commands run.
        options: what stands before each command.
    """

    folder: Path
    options: tuple[str, ...]

    def run(self, *arguments: str, answer: str = "") -> Result:
        """A command in this process."""
        silent = {name: None for name in os.environ if name.startswith("KEYSTILE_")}
        result = CliRunner(env=silent).invoke(main, [*self.options, *arguments], input=answer)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.output
        return result

    def did(self, *arguments: str) -> str:
        """What a command that is done prints on stdout."""
        result = self.run(*arguments)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    def said(self, *arguments: str) -> Any:
        """What a command answers, as JSON."""
        return json.loads(self.did(*arguments, "--json"))

    def refused(self, *arguments: str, answer: str = "") -> str:
        """The last line of a command that is refused, which answers nothing."""
        result = self.run(*arguments, answer=answer)
        assert (result.exit_code, result.stdout) == (1, ""), result.output
        return result.stderr.splitlines()[-1]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A command as a process of its own."""
        command = [sys.executable, "-W", "error", "-m", "keystile", *self.options, *arguments]
        usual = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environ()}
        return subprocess.Popen(command, cwd=self.folder, text=True, **usual | options)

    def end(self, process: subprocess.Popen[str], answer: str | None = None) -> tuple[int, str, str]:
        """Its exit code, and what it printed on stdout and on stderr."""
        out, err = process.communicate(answer, timeout=60)
        return process.returncode, out, err


def environ(**more: str) -> dict[str, str]:
    """An environment that names no gate."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KEYSTILE_")} | more


def desk(folder: Path, kind: str, store: str = "sqlite:///keys.db") -> Desk:
    """A folder with a gate of this kind; for a file, on this store."""
    if kind == "file":
        (folder / "keystile.toml").write_text(PLANS.replace("sqlite:///keys.db", store))
        (folder / "keystile.toml").chmod(0o600)
        return Desk(folder, ())
    # Each module is imported once in a process, so each has a name of its own.
    module = f"desk_{next(_count)}"
    (folder / f"{module}.py").write_text(IN_CODE)
    return Desk(folder, ("--gate", f"{module}:{kind}"))
