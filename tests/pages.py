"""Runs a page of the documentation as its reader would: in an empty folder, from top to bottom.

- ``python`` blocks are programs. One that begins with ``# main.py`` is that file, for what comes after it.
- ``toml`` blocks are configurations, and ``keystile check`` must accept them.
- ``console`` blocks are commands behind ``$``, and what they say; ``…`` in it stands for anything. Servers start on a
  free port, which the page calls ``localhost:8000``, and run until the next one starts or the page ends.
- ``<!-- file: NAME`` holds a file that the page takes for granted.
- Before a block that cannot be run stands ``<!-- not run: REASON -->``.
- Before a block that is a file of the tests, which run it, stands ``<!-- from: PATH -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.ports import free_port
from tests.servers import stop, wait_for_port

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
RUN = ("python", "toml", "console")
ORIGIN = re.compile(r"^<!-- from: (?P<path>\S+) -->\n```python\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^>]+) -->\n)?```(?P<language>\w+)\n(?P<source>.*?)^```$"
    r"|^<!-- file: (?P<file>\S+)\n(?P<text>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")
_SERVERS = {"uvicorn": "--port {}", "gunicorn": "-b 127.0.0.1:{}"}
_ADDRESS = "localhost:8000"
# What it takes of curl's options is what the pages use. Not every machine has curl.
_CURL = """
import argparse
import http.client
from urllib.parse import urlsplit

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("-i", action="store_true")
parser.add_argument("-X", default="GET")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("--json")
asked = parser.parse_args()
url = urlsplit("http://" + asked.url)
connection = http.client.HTTPConnection(url.netloc, timeout=30)
headers = dict(each.split(": ", 1) for each in asked.H)
if asked.json is not None:
    headers["Content-Type"] = "application/json"
connection.request(asked.X, url.path, asked.json, headers)
answer = connection.getresponse()
if asked.i:
    print(f"HTTP/1.1 {answer.status} {answer.reason}")
    print(*(f"{name.lower()}: {value}" for name, value in answer.getheaders()), "", sep="\\n")
print(answer.read().decode())
"""


class Block(NamedTuple):
    """A block of a page, or a file that the page takes for granted (then ``language`` is empty).

    Attributes:
        line: where its text begins.
        not_run: why it is not run, or None.
        file: the file that it is, or None.
    """

    line: int
    language: str
    source: str
    not_run: str | None = None
    file: str | None = None


def blocks(text: str) -> list[Block]:
    """The blocks that are run, in their order."""
    found = []
    text = ORIGIN.sub(lambda each: "\n" * each[0].count("\n"), text)
    for each in _BLOCK.finditer(text):
        if each["file"]:
            found.append(Block(text.count("\n", 0, each.start("text")) + 1, "", each["text"], None, each["file"]))
        elif each["language"] in RUN:
            named = _FILE.match(each["source"])
            line = text.count("\n", 0, each.start("source")) + 1
            found.append(Block(line, each["language"], each["source"], each["reason"], named and named[1]))
    return found


class Reader:
    """Somebody who does what a page says, in this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._server, self._port = folder, None, 0
        self._server: subprocess.Popen[bytes] | None
        programs = folder / ".bin"
        programs.mkdir()
        (programs / "curl.py").write_text(_CURL)
        # A first line that named the interpreter could hold no blank, and the project's folder has any name.
        start = shlex.join([sys.executable, str(programs / "curl.py")])
        (programs / "curl").write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        (programs / "curl").chmod(0o755)
        (folder / ".state").touch()
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KEYSTILE_")}
        self.environ = kept | {
            "HOME": str(folder),
            "KEYSTILE_PEPPER": "the pepper of those who read pages",
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    def follow(self, page: list[Block]) -> None:
        """Do all of it."""
        try:
            for block in page:
                if block.not_run is None:
                    self._follow(block)
        finally:
            self._end_server()

    def _follow(self, block: Block) -> None:
        if block.file is not None:
            (self.folder / block.file).parent.mkdir(exist_ok=True)
            (self.folder / block.file).write_text(block.source)
        if block.language == "python":
            (self.folder / ".block.py").write_text("\n" * (block.line - 1) + block.source)
            self._run("python -W error .block.py", block.line)
        elif block.language == "toml":
            (self.folder / ".block.toml").write_text(block.source)
            self._run("keystile -c .block.toml check", block.line)
        elif block.language == "console":
            for line, command, said in exchanges(block):
                self._obey(line, command, said)

    def _obey(self, line: int, command: str, said: list[str]) -> None:
        name = command.partition(" ")[0]
        if name in _SERVERS:
            self._start(command, _SERVERS[name])
            return
        answered = self._run(command.replace(_ADDRESS, f"127.0.0.1:{self._port}"), line)
        assert not said or matches(said, answered), f"line {line}: {command}\nsaid:\n{answered}"

    def _run(self, command: str, line: int) -> str:
        script = f"set -aeuo pipefail; . ./.state; {command}\ndeclare -px >.state"
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.environ,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"line {line}: {command}\n{done.stdout}"
        return done.stdout

    def _start(self, command: str, option: str) -> None:
        self._end_server()
        self._port = free_port()
        log = self.folder / ".log"
        script = f"set -a; . ./.state; exec {command} {option.format(self._port)}"
        with log.open("wb") as output:
            self._server = subprocess.Popen(
                ["bash", "-c", script],
                cwd=self.folder,
                env=self.environ,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        wait_for_port(self._port, self._server, log)

    def _end_server(self) -> None:
        if self._server is not None:
            stop(self._server)
            self._server = None


def exchanges(block: Block) -> Iterator[tuple[int, str, list[str]]]:
    """Each command of a console block with its line, and what it is to say."""
    found: list[tuple[int, str, list[str]]] = []
    for at, line in enumerate(block.source.splitlines(), block.line):
        if line.startswith("$ "):
            found.append((at, line[2:], []))
        else:
            assert found, f"line {at}: something is said before the first command"
            found[-1][2].append(line)
    yield from found


def matches(said: list[str], answered: str) -> bool:
    """Whether this was said. ``…`` alone on a line stands for any lines; how many blanks there are does not matter."""
    patterns = [r"(?:.*\n)*?" if line == "…" else re.escape(_plain(line)).replace("…", ".*") + r"\n" for line in said]
    return re.fullmatch("".join(patterns) + r"\n*", _plain(answered) + "\n") is not None


def _plain(text: str) -> str:
    return "\n".join(re.sub(" +", " ", line).rstrip() for line in text.rstrip("\n").split("\n"))
