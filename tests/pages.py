"""Runs a page of the documentation as its reader would: in an empty folder, from top to bottom.

Sybil finds the blocks; here stands what is done with each.

- ``python`` blocks are programs. One that begins with ``# main.py`` is that file, for what comes after it.
- ``toml`` blocks are configurations, and ``keystile check`` must accept them.
- ``console`` blocks are commands behind ``$``, and what they say; ``…`` in it stands for anything. Servers start on a
  free port, which the page calls ``localhost:8000``. They have `` &`` behind them, or their reader could type no more,
  and run until ``kill %% && wait`` or the end of the page: two do not get one port.
  ``pip install`` installs nothing: what it names must be installed, and an extra must be one.
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

from sybil import Document, Example, Region
from sybil.parsers.abstract.lexers import LexerCollection
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer

from tests.ports import free_port
from tests.servers import stop, wait_for_port

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
RUN = ("python", "toml", "console")
ORIGIN = re.compile(r"^<!-- from: (?P<path>\S+) -->\n```python\n(?P<source>.*?)^```$", re.MULTILINE | re.DOTALL)

_LEFT_OUT = re.compile(r"^<!-- not run: (?P<reason>[^>]+) -->\n(?=```)", re.MULTILINE)
_FILE = re.compile(r"# ([\w/]+\.(?:py|toml))\n")
_SERVERS = {"uvicorn": "--port {}", "gunicorn": "-b 127.0.0.1:{}"}
_ADDRESS = "localhost:8000"
# What they take of the options of curl and pip is what the pages use. Not every machine has curl or git, nor a network.
_PROGRAMS = {
    "curl": """
import argparse
import http.client
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

parser = argparse.ArgumentParser()
parser.add_argument("url")
parser.add_argument("-i", action="store_true")
parser.add_argument("-X")
parser.add_argument("-H", action="append", default=[])
parser.add_argument("-u")
parser.add_argument("-d")
parser.add_argument("-F", action="append", default=[])
parser.add_argument("--json")
asked = parser.parse_args()
url = urlsplit("http://" + asked.url)
connection = http.client.HTTPConnection(url.netloc, timeout=30)
headers = dict(each.split(": ", 1) for each in asked.H)
body = None
if asked.u is not None:
    headers["Authorization"] = "Basic " + b64encode(asked.u.encode()).decode()
if asked.json is not None:
    headers["Content-Type"], body = "application/json", asked.json.encode()
if asked.d is not None:
    headers["Content-Type"], body = "application/x-www-form-urlencoded", asked.d.encode()
if asked.F:
    headers["Content-Type"], body = "multipart/form-data; boundary=edge", b""
    for name, value in (each.split("=", 1) for each in asked.F):
        file = f'; filename="{value[1:]}"' if value[:1] == "@" else ""
        content = Path(value[1:]).read_bytes() if file else value.encode()
        head = f'--edge\\r\\nContent-Disposition: form-data; name="{name}"{file}\\r\\n\\r\\n'
        body += head.encode() + content + b"\\r\\n"
    body += b"--edge--\\r\\n"
connection.request(asked.X or ("GET" if body is None else "POST"), url.path, body, headers)
answer = connection.getresponse()
if asked.i:
    print(f"HTTP/1.1 {answer.status} {answer.reason}")
    print(*(f"{name.lower()}: {value}" for name, value in answer.getheaders()), "", sep="\\n")
print(answer.read().decode())
""",
    "git": """
import runpy

runpy.run_module("dulwich", run_name="__main__")
""",
    "pip": """
import subprocess
import sys
from importlib.metadata import metadata

from packaging.requirements import Requirement

install, *asked = sys.argv[1:]
if "--index-url" in asked:  # an index of the page's own
    sys.exit(subprocess.call([sys.executable, "-m", "pip", install, *asked]))
assert install == "install" and asked, sys.argv
for each in map(Requirement, asked):
    found = metadata(each.name)
    assert each.specifier.contains(found["Version"], prereleases=True), f"{each}: {found['Version']} is installed"
    assert each.extras <= set(found.get_all("Provides-Extra") or ()), each
""",
}


def read(text: str) -> Document:
    """The page with what is done on it, in its order."""
    page = Document(ORIGIN.sub(lambda each: "\n" * each[0].count("\n"), text), "page")
    for parser in _PARSERS:
        for region in parser(page):
            page.add(region)
    return page


def left_out(page: Document) -> list[str]:
    """Why each block that is not run is not."""
    return [example.parsed for example in page if example.region.evaluator is _leave_out]


def shown(text: str, language: str) -> list[str]:
    """The blocks of a page that are in this language."""
    regions = (region for example in read(text) if (region := example.region).evaluator is _obey)
    return [str(region.parsed) for region in regions if region.lexemes["arguments"] == language]


def follow(page: Document, folder: Path) -> None:
    """Do all that it says, in this folder."""
    reader = page.namespace["reader"] = Reader(folder)
    try:
        for example in page:
            example.evaluate()
    finally:
        reader.end_server()


def _leave_out(example: Example) -> None:
    example.namespace["left out"] = True


def _find_left_out(page: Document) -> Iterator[Region]:
    for each in _LEFT_OUT.finditer(page.text):
        yield Region(each.start(), each.end(), each["reason"], _leave_out)


def _find_files(page: Document) -> Iterator[Region]:
    for region in _COMMENTS(page):
        region.parsed, region.evaluator = region.lexemes["source"], _write
        yield region


def _write(example: Example) -> None:
    example.namespace["reader"].write(example.region.lexemes["arguments"], example.parsed)


def _obey(example: Example) -> None:
    if not example.namespace.pop("left out", False):
        example.namespace["reader"].obey(example.region.lexemes["arguments"], example.parsed, example.line + 1)


_COMMENTS = LexerCollection([DirectiveInHTMLCommentLexer("file", r"\S+")])
_PARSERS = (_find_left_out, _find_files, *(CodeBlockParser(language, _obey) for language in RUN))


class Reader:
    """Somebody who does what a page says, in this folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._server, self._port = folder, None, 0
        self._server: subprocess.Popen[bytes] | None
        programs = folder / ".bin"
        programs.mkdir()
        for name, source in _PROGRAMS.items():
            self._make(programs / name, source)
        (folder / ".state").touch()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KEYSTILE_", "PIP_"))}
        self.environ = kept | {
            "HOME": str(folder),
            "KEYSTILE_PEPPER": "the pepper of those who read pages",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PATH": os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]),
        }

    @staticmethod
    def _make(program: Path, source: str) -> None:
        script = program.with_suffix(".py")
        script.write_text(source)
        # Without what is installed Python starts in half the time; the others need some of that.
        start = [sys.executable, *(["-I", "-S"] if program.name == "curl" else []), str(script)]
        # A first line that named the interpreter could hold no blank, and the project's folder has any name.
        program.write_text(f'#!/bin/sh\nexec {shlex.join(start)} "$@"\n')
        program.chmod(0o755)

    def write(self, name: str, text: str) -> None:
        """Make this file."""
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text)

    def obey(self, language: str, source: str, line: int) -> None:
        """Do what a block says that begins on this line of the page."""
        if named := _FILE.match(source):
            self.write(named[1], source)
        if language == "python":
            (self.folder / ".block.py").write_text("\n" * (line - 1) + source)
            self._run("python -W error .block.py", line)
        elif language == "toml":
            (self.folder / ".block.toml").write_text(source)
            self._run("keystile -c .block.toml check", line)
        elif language == "console":
            for at, command, said in exchanges(source, line):
                self._obey(at, command, said)

    def _obey(self, line: int, command: str, said: list[str]) -> None:
        name = command.partition(" ")[0]
        if name in _SERVERS:
            assert command.endswith(" &"), f"line {line}: the terminal would be the server's: {command}"
            assert self._server is None, f"line {line}: the server from before has the port: {command}"
            self._start(command.removesuffix(" &"), _SERVERS[name])
            return
        if command == "kill %% && wait":
            assert self._server is not None, f"line {line}: no server runs"
            self.end_server()
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

    def end_server(self) -> None:
        """Stop the server that runs, if one does."""
        if self._server is not None:
            stop(self._server)
            self._server = None


def exchanges(source: str, first: int) -> Iterator[tuple[int, str, list[str]]]:
    """Each command of a console block with its line, and what it is to say. The block begins on the first line."""
    found: list[tuple[int, str, list[str]]] = []
    for at, line in enumerate(source.splitlines(), first):
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
