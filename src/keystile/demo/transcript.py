"""What was asked, what came back, and whether that was promised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any, NamedTuple

from .servers import ANSWER_SECONDS, Server

Echo = Callable[[str], None]

# Anything behind the id of a key, well-formed or not.
_SECRET = re.compile(r"([0-9A-Za-z]+_(?:live|stage|test)_[0-9A-Za-z]{12})[0-9A-Za-z]+")


def hide(text: str) -> str:
    """The text with every key cut off behind its id."""
    return _SECRET.sub("\\1\N{HORIZONTAL ELLIPSIS}", text)


class Call(NamedTuple):
    """A request to make, on every server alike."""

    method: str
    path: str
    headers: Mapping[str, str] = {}

    def __str__(self) -> str:
        shown = "".join(f"   {name}: {value}" for name, value in self.headers.items())
        return f"{self.method} {self.path}{shown}"


class Answer(NamedTuple):
    """What came back. Status 0: nothing did, and the body is the reason.

    Attributes:
        headers: names in lower case.
        body: the JSON value.
    """

    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def code(self) -> str | None:
        """`error.code` of the envelope, or None."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error.get("code") if isinstance(error, dict) else None

    def __str__(self) -> str:
        challenge = self.headers.get("www-authenticate")
        return _joined(self.status, self.code or json.dumps(self.body), challenge)


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer must be.

    Args:
        status: the HTTP status.
        code: `error.code` of the envelope; None: there is no error.
        challenge: the whole ``WWW-Authenticate``; None is not looked at.
        body: what the JSON body must be; None is not looked at.
    """

    status: int
    code: str | None = None
    challenge: str | None = None
    body: Any = None

    def __str__(self) -> str:
        return _joined(self.status, self.code, self.challenge)

    def faults(self, answer: Answer) -> list[str]:
        """Each way in which the answer differs from what was promised."""
        found = {
            "status": (self.status, answer.status),
            "error.code": (self.code, answer.code),
            "WWW-Authenticate": (self.challenge, answer.headers.get("www-authenticate")),
            "body": (self.body, answer.body),
        }
        optional = {"WWW-Authenticate", "body"}
        faults = [
            f"{what}: promised {promised!r}, got {got!r}"
            for what, (promised, got) in found.items()
            if promised != got and not (promised is None and what in optional)
        ]
        if not answer.headers.get("x-request-id", "").startswith("req_"):
            faults.append("X-Request-ID is missing")
        return faults


@dataclass(slots=True)
class Transcript:
    """Makes calls, prints them, and counts the promises that were kept and broken.

    Args:
        servers: each call goes to every one.
        echo: takes a line of text.
    """

    servers: Iterable[Server]
    echo: Echo
    kept: int = field(default=0, init=False)
    broken: int = field(default=0, init=False)
    _steps: int = field(default=0, init=False)

    def say(self, *lines: str) -> None:
        """Print, without the secrets."""
        for line in lines:
            self.echo(hide(line))

    def step(self, title: str, promise: Promise, *calls: Call) -> None:
        """One thing that is promised, and the calls that show it on every server."""
        self._steps += 1
        self.say("", f"{self._steps}. {title}", f"   promised: {promise}")
        for call in calls:
            for server in self.servers:
                self.say(f"   {server.name:<8} {call}")
                self.check(promise, ask(server, call))

    def check(self, promise: Promise, answer: Answer) -> None:
        """Hold one answer against what was promised."""
        faults = promise.faults(answer)
        self.say(f"   {'  BROKEN' if faults else '      ok'} {answer}", *(f"            {fault}" for fault in faults))
        self.kept += not faults
        self.broken += bool(faults)


def _joined(status: int, code: str | None, challenge: str | None) -> str:
    parts = (str(status), code, challenge and f"WWW-Authenticate: {challenge}")
    return "   ".join(part for part in parts if part)


def ask(server: Server, call: Call) -> Answer:
    """Make the call, on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_SECONDS)
    try:
        connection.request(call.method, call.path, headers=dict(call.headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(response.read()))
    except (OSError, HTTPException, ValueError) as error:
        return Answer(0, {}, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
