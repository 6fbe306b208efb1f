"""The calls, the answers, and whether each answer is as promised."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from itertools import cycle, repeat
from typing import Any, NamedTuple

from .servers import ANSWER_SECONDS, Server

Echo = Callable[[str], None]

# Everything after the id of a key, well-formed or not.
_SECRET = re.compile(r"([0-9A-Za-z]+_(?:live|stage|test)_[0-9A-Za-z]{12})[0-9A-Za-z]+")

_RATE = ("x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")


def hide(text: str) -> str:
    """The text with every key cut off after its id."""
    return _SECRET.sub("\\1\N{HORIZONTAL ELLIPSIS}", text)


class Call(NamedTuple):
    """A request to make, the same on every server."""

    method: str
    path: str
    headers: Mapping[str, str] = {}

    def __str__(self) -> str:
        shown = "".join(f"   {name}: {value}" for name, value in self.headers.items())
        return f"{self.method} {self.path}{shown}"


class Answer(NamedTuple):
    """What came back. Status 0: there was no answer, and the body is the reason.

    Attributes:
        headers: names in lower case.
        body: the JSON value.
        began, ended: when the call was made and answered, in Unix seconds.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    began: float = 0.0
    ended: float = 0.0

    @property
    def code(self) -> str | None:
        """`error.code` of the envelope, or None."""
        error = self.body.get("error") if isinstance(self.body, dict) else None
        return error.get("code") if isinstance(error, dict) else None

    def __str__(self) -> str:
        challenge = self.headers.get("www-authenticate")
        limit, remaining, _ = (self.headers.get(name) for name in _RATE)
        quota = limit and f"X-RateLimit: {remaining} of {limit} left"
        wait = self.headers.get("retry-after")
        shown = _joined(self.status, self.code or json.dumps(self.body), challenge, quota)
        return f"{shown}   Retry-After: {wait}" if wait else shown


class Quota(NamedTuple):
    """Where a caller must stand in the window that its answer describes.

    Attributes:
        limit, seconds: the window.
        remaining: what is left of it.
    """

    limit: int
    seconds: int
    remaining: int

    def __str__(self) -> str:
        return f"X-RateLimit: {self.remaining} of {self.limit} left"

    def faults(self, answer: Answer) -> list[str]:
        """Each way in which the answer describes another window or another wait."""
        try:
            limit, remaining, reset = (int(answer.headers[name]) for name in _RATE)
        except (KeyError, ValueError):
            return ["X-RateLimit-Limit, -Remaining or -Reset is missing"]
        found = [] if (limit, remaining) == (self.limit, self.remaining) else [f"promised {self}"]
        # It was counted between these two moments, on the demo's own clock.
        soonest, latest = math.ceil(answer.began), math.ceil(answer.ended)
        if not soonest <= reset <= latest + self.seconds:
            found.append(f"X-RateLimit-Reset is {reset}, not within {self.seconds} seconds of {soonest}")
        if answer.status == 429:
            wait = int(answer.headers.get("retry-after", 0))
            if not soonest <= reset - wait <= latest:
                found.append(f"Retry-After is {wait}, but X-RateLimit-Reset is {reset - latest} seconds ahead")
            told = {"limit": self.limit, "window_seconds": self.seconds, "retry_after": wait}
            if answer.body["error"].get("details") != told:
                found.append(f"error.details: promised {told}, got {answer.body['error'].get('details')}")
        return found


@dataclass(frozen=True, slots=True)
class Promise:
    """What an answer must be.

    Args:
        status: the HTTP status.
        code: `error.code` of the envelope; None if there is no error.
        challenge: the whole ``WWW-Authenticate``; None is not checked.
        body: what the JSON body must be; None is not checked.
        quota: where the caller must stand; None is not checked.
    """

    status: int
    code: str | None = None
    challenge: str | None = None
    body: Any = None
    quota: Quota | None = None

    def __str__(self) -> str:
        return _joined(self.status, self.code, self.challenge, self.quota and str(self.quota))

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
        if ("retry-after" in answer.headers) != (self.status in (429, 503)):
            faults.append("Retry-After belongs to 429 and 503 only")
        if self.quota is not None and not faults:
            faults += self.quota.faults(answer)
        return faults


@dataclass(slots=True)
class Transcript:
    """Makes calls, prints them, and counts the promises that were kept and broken.

    Args:
        servers: each call goes to every one.
        echo: takes a line of text.
    """

    servers: Sequence[Server]
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
        self._begin(title, f"   promised: {promise}")
        for call in calls:
            for server in self.servers:
                self._make(server, call, promise)

    def turns(self, title: str, call: Call, promises: Sequence[Promise]) -> list[Answer]:
        """The same call several times, on one server after the other, each with its own promise."""
        self._begin(title, *(f"   promised: {promise}" for promise in dict.fromkeys(map(str, promises))))
        return [self._make(*each) for each in zip(cycle(self.servers), repeat(call), promises, strict=False)]

    def expect(self, what: str, promised: object, got: object) -> None:
        """Compare anything else with what was promised."""
        self.say(f"   {'      ok' if got == promised else '  BROKEN'} {what}: {got}")
        if got != promised:
            self.say(f"            promised {promised}")
        self.kept += got == promised
        self.broken += got != promised

    def _begin(self, title: str, *lines: str) -> None:
        self._steps += 1
        self.say("", f"{self._steps}. {title}", *lines)

    def _make(self, server: Server, call: Call, promise: Promise) -> Answer:
        self.say(f"   {server.name:<8} {call}")
        answer = ask(server, call)
        self.check(promise, answer)
        return answer

    def check(self, promise: Promise, answer: Answer) -> None:
        """Compare one answer with what was promised."""
        faults = promise.faults(answer)
        self.say(f"   {'  BROKEN' if faults else '      ok'} {answer}", *(f"            {fault}" for fault in faults))
        self.kept += not faults
        self.broken += bool(faults)


def _joined(status: int, code: str | None, challenge: str | None, quota: str | None) -> str:
    parts = (str(status), code, challenge and f"WWW-Authenticate: {challenge}", quota)
    return "   ".join(part for part in parts if part)


def ask(server: Server, call: Call) -> Answer:
    """Make the call, on its own connection."""
    connection = HTTPConnection("127.0.0.1", server.port, timeout=ANSWER_SECONDS)
    began = time.time()
    try:
        connection.request(call.method, call.path, headers=dict(call.headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, json.loads(response.read()), began, time.time())
    except (OSError, HTTPException, ValueError) as error:
        return Answer(0, {}, f"{type(error).__name__}: {error}")
    finally:
        connection.close()
