"""What the demo shows: the calls, and what each one promises."""

from __future__ import annotations

import json
import secrets
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..keys.format import BASE62, ID_LENGTH, PrefixedFormat
from .servers import DemoBroken, clean_environment
from .transcript import Call, Promise, Quota, Transcript

PREFIX = "acme"
COMMAND_SECONDS = 30
_REALM = 'Bearer realm="api"'
_INVALID_TOKEN = f'{_REALM}, error="invalid_token"'


class Key(NamedTuple):
    """A key that the command line made."""

    id: str
    name: str
    secret: str

    @property
    def caller(self) -> dict[str, str | None]:
        """What ``/v1/me`` says about it."""
        return {"id": self.id, "name": self.name, "organization": None}


@dataclass(frozen=True, slots=True)
class Keys:
    """Makes, revokes and shows keys with the `keystile` command, in a process of its own.

    Args:
        config: the keystile.toml that names the store.
        say: takes lines to print.
    """

    config: Path
    say: Callable[..., None]

    def create(self, name: str, *options: str) -> Key:
        """``keystile keys create``."""
        made = json.loads(self._run("keys", "create", name, *options, "--json"))
        key = Key(made["key"]["id"], name, made["secret"])
        self.say(f"    {key.secret}")
        return key

    def revoke(self, key: Key) -> None:
        """``keystile keys revoke``."""
        self._run("keys", "revoke", key.id, "--yes")

    def standing(self, key: Key) -> dict[int, int]:
        """``keystile limits show``: what remains, by the seconds of the window."""
        shown = self._run("limits", "show", key.id, "--json")
        return {each["window_seconds"]: each["remaining"] for each in json.loads(shown)}

    def forget(self, key: Key) -> None:
        """``keystile limits reset``."""
        self._run("limits", "reset", key.id)

    def _run(self, *arguments: str) -> str:
        self.say(f"  $ keystile {shlex.join(arguments)}")
        command = [sys.executable, "-m", "keystile", "-c", str(self.config), *arguments]
        try:
            done = subprocess.run(  # noqa: S603 - our own command, no shell
                command,
                cwd=self.config.parent,
                env=clean_environment(),
                capture_output=True,
                text=True,
                check=True,
                timeout=COMMAND_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            raise DemoBroken(f"keystile {' '.join(arguments)}: {error.stderr}") from None
        except subprocess.TimeoutExpired:
            raise DemoBroken(f"keystile {' '.join(arguments)}: no end after {COMMAND_SECONDS} seconds") from None
        return done.stdout


def tell(transcript: Transcript, keys: Keys) -> None:
    """The whole story, on every server of the transcript."""
    transcript.say("", "Keys, made on the command line. Each secret is shown once, and cut short here:")
    reporting = keys.create("reporting")
    exporter = keys.create("exporter", "--scope", "exports:write")
    office = keys.create("office", "--allow", "192.0.2.0/24")
    loopback = keys.create("loopback", "--allow", "127.0.0.0/8")
    _who(transcript, reporting)
    _who_not(transcript, reporting)
    _what(transcript, reporting, exporter)
    _from_where(transcript, office, loopback)
    _how_often(transcript, keys)
    _waited_out(transcript, keys)
    _revoked(transcript, keys, reporting)


def _who(transcript: Transcript, key: Key) -> None:
    transcript.step("A public path needs no key", Promise(200), Call("GET", "/"), Call("GET", "/health/"))
    transcript.step(
        "A good key, in each of the four forms; names and schemes in any case",
        Promise(200, body=key.caller),
        _me("Authorization", f"Bearer {key.secret}"),
        _me("authorization", f"API-KEY {key.secret}"),
        _me("api-key", key.secret),
        _me("X-Api-KEY", key.secret),
    )


def _who_not(transcript: Transcript, key: Key) -> None:
    invalid = Promise(401, "invalid_api_key", _INVALID_TOKEN)
    transcript.step("No key", Promise(401, "missing_api_key", _REALM), Call("GET", "/v1/me"))
    transcript.step(
        "A wrong key: a known id with another secret, then an id that nobody has",
        invalid,
        _me("X-API-Key", _forge(key.id)),
        _me("X-API-Key", _forge(_draw(ID_LENGTH))),
    )
    transcript.step(
        "A malformed key: a guess, then a good key with a typo",
        invalid,
        _me("Authorization", "Bearer letmein"),
        _me("Authorization", f"Bearer {key.secret[:-1]}{'0' if key.secret[-1] != '0' else '1'}"),
    )
    two = {"Authorization": f"Bearer {key.secret}", "X-API-Key": _forge(key.id)}
    transcript.step("Two keys that differ", Promise(400, "invalid_request"), Call("GET", "/v1/me", two))


def _what(transcript: Transcript, without: Key, holder: Key) -> None:
    transcript.step("A good key without the scope", Promise(403, "insufficient_scope"), _export(without))
    transcript.step("The same call with a key that holds it", Promise(200), _export(holder))


def _from_where(transcript: Transcript, outside: Key, inside: Key) -> None:
    refused, admitted = Promise(403, "ip_not_allowed"), Promise(200, body=inside.caller)
    transcript.step("A key for 192.0.2.0/24, used from 127.0.0.1", refused, _me("Api-Key", outside.secret))
    transcript.step("A key for 127.0.0.0/8, used from 127.0.0.1", admitted, _me("Api-Key", inside.secret))


def _how_often(transcript: Transcript, keys: Keys) -> None:
    transcript.say("", "Two more keys: one with limits of its own, one with another plan:")
    key, other = keys.create("trial", "--limits", "5/minute; 100/day"), keys.create("busy", "--plan", "pro")
    call = _me("Api-Key", key.secret)
    left = [Promise(200, body=key.caller, quota=Quota(5, 60, remaining)) for remaining in (4, 3, 2, 1, 0)]
    transcript.turns("Five calls a minute, counted over both apps together", call, left)
    full = Promise(429, "rate_limited", quota=Quota(5, 60, 0))
    transcript.step("A sixth, on either app", full, call)
    plan = [Promise(200, body=other.caller, quota=Quota(1000, 60, remaining)) for remaining in (999, 998)]
    transcript.turns("Meanwhile, the key with the other plan", _me("Api-Key", other.secret), plan)
    transcript.say("")
    # Refused calls took nothing from the day's limit.
    transcript.expect("left of each window, by its seconds", {60: 0, 86_400: 95}, keys.standing(key))
    keys.forget(key)
    transcript.turns("The first key, after its use was reset", call, left[:1])


def _waited_out(transcript: Transcript, keys: Keys) -> None:
    transcript.say("", "A key with a window short enough to wait for:")
    key = keys.create("brief", "--limits", "2/3 seconds")
    call = _me("Api-Key", key.secret)
    promises = [Promise(200, quota=Quota(2, 3, 1)), Promise(200, quota=Quota(2, 3, 0))]
    full = Promise(429, "rate_limited", quota=Quota(2, 3, 0))
    *_, refused = transcript.turns("Three calls at once", call, [*promises, full])
    wait = int(refused.headers.get("retry-after", 0))
    time.sleep(wait)
    transcript.turns(f"The same call, {wait} seconds later: its Retry-After", call, [Promise(200, body=key.caller)])


def _revoked(transcript: Transcript, keys: Keys, key: Key) -> None:
    call = _me("Authorization", f"Bearer {key.secret}")
    transcript.step("A key, before it is revoked", Promise(200, body=key.caller), call)
    transcript.say("")
    keys.revoke(key)
    gone = Promise(401, "revoked_api_key", _INVALID_TOKEN)
    # Twice: with two workers behind one port, the second call usually reaches the other one.
    transcript.step("The very next requests, in servers that were told nothing", gone, call, call)


def _me(header: str, value: str) -> Call:
    return Call("GET", "/v1/me", {header: value})


def _export(key: Key) -> Call:
    return Call("POST", "/v1/exports", {"Authorization": f"Bearer {key.secret}"})


def _draw(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def _forge(key_id: str) -> str:
    """A key with a correct check that was never issued."""
    return PrefixedFormat(PREFIX).mint("production", lambda length: key_id if length == ID_LENGTH else _draw(length))
