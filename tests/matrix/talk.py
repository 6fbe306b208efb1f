"""What a case works with: one server, the keys, the app's runs; and the words for the outcomes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from tests.matrix.gates import PUBLIC
from tests.matrix.rawhttp import Closed, Response, Silent, Wire

# What a server may always do with an odd request: not let it through. Which one does is in the table.
BY_SERVER = re.compile(r"(?:4[0-9][0-9]|501|505) by server|no answer")


@dataclass(frozen=True)
class Keys:
    """Secrets: one that may do everything, one without scopes, one of somebody else, and three that are no good.

    `bad` is well formed, with a right check, and unknown: it comes as far as the store.
    """

    good: str
    plain: str
    other: str
    revoked: str
    bad: str


@dataclass(frozen=True)
class Finding:
    """The outcome of a part of a case, and the expected outcome if the server hands over exactly what was sent."""

    label: str
    want: str
    got: str


@dataclass
class Talk:
    """A conversation with one server."""

    port: int
    keys: Keys
    runs_file: Path
    findings: list[Finding] = field(default_factory=list)

    def fill(self, template: str) -> bytes:
        """The octets of a request: ``<good>`` and the other keys' names are replaced, every line gets its CRLF.

        Templates are latin-1; ``<lf>`` and ``<cr>`` are a bare LF and CR.
        """
        for name, secret in vars(self.keys).items():
            template = template.replace(f"<{name}>", secret)
        text = "".join(line + "\r\n" for line in template.split("\n")) + "\r\n"
        return text.replace("<lf>", "\n").replace("<cr>", "\r").encode("latin-1")

    def open(self, timeout: float = 5.0) -> Wire:
        return Wire(self.port, timeout)

    def runs(self) -> list[dict[str, str | None]]:
        if not self.runs_file.exists():
            return []
        return [json.loads(line) for line in self.runs_file.read_text().splitlines()]

    def find(self, label: str, want: str, got: str) -> None:
        self.findings.append(Finding(label, want, got))

    def ask(self, label: str, want: str, template: str) -> None:
        """One request on its own connection, and nothing after its answer."""
        start, *lines = template.split("\n")
        request = self.fill("\n".join([start, "Connection: close", *lines]))
        before = len(self.runs())
        method, target = template.split(" ")[:2]
        with self.open() as wire:
            try:
                wire.send(request)
                response = wire.final(method)
            except (Closed, Silent) as error:
                got = _NOTHING[type(error)]
            else:
                assert wire.rest() == b"", "octets after the answer"
                got = self.word(response, self.runs()[before:], target)
        may = self.keys.good.encode() in request
        assert may or got != "admitted", f"admitted without a key: {request!r}"
        self.find(label, want, got)

    def word(self, response: Response, ran: list[dict[str, str | None]], target: str = "") -> str:
        """What happened to a request. Also checks that the app ran if and only if the request was let through."""
        if response.status < 400:
            assert len(ran) == 1, f"answered {response.status} after {len(ran)} runs"
            return _admission(ran[0], target)
        assert ran == [], f"refused with {response.status}, and yet the app ran: {ran}"
        if not response.all("x-request-id"):
            return f"{response.status} by server"
        assert len(response.all("x-request-id")) == 1
        return f"{response.status} {response.code}" if response.body else f"{response.status}"


_NOTHING: dict[type[Exception], str] = {Closed: "no answer", Silent: "waits"}


def _admission(run: dict[str, str | None], target: str) -> str:
    path = str(run["path"])
    if run["caller"] is not None:
        return "admitted"
    assert is_public(path), f"{path} was served without a key"
    return "public" if path == target.partition("?")[0] else f"public as {path}"


def is_public(path: str) -> bool:
    """Whether the path has only plain segments and is listed as public. Written independently of the gate's own
    rule."""
    below = tuple(each.removesuffix("*") for each in PUBLIC if each.endswith("/*"))
    plain = re.fullmatch(r"(?:/[A-Za-z0-9]+)+/?", path) is not None
    return plain and (path in PUBLIC or path.startswith(below))
