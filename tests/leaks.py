"""Watches every test for secrets that get out: raw keys, hashes of records, peppers.

What is minted or hashed anywhere in this process is learned where it is made, and so is what webhooks are signed with.
From then on it must stand in no answer (`doors.Answer`), in no log record of any level, in no exception of keystile's
and in no local variable of keystile's that the traceback of a logged exception holds. What a secret is found in is told
by the key's public id and the place, never by the secret. Standard output is not watched: it is where the command line
shows a new key once.
"""

from __future__ import annotations

import functools
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import keystile
from keystile.answers import cursors
from keystile.exceptions import KeystileError
from keystile.keys import workshop
from keystile.keys.existing import importing
from keystile.keys.existing import ring as known
from keystile.keys.existing.opaque import OpaqueFormat, OpaqueHasher
from keystile.keys.format import CHECK_LENGTH, ID_LENGTH, SECRET_LENGTH, PrefixedFormat
from keystile.keys.hashing import Argon2Hasher, HmacHasher
from keystile.keys.quick import QuickProofs
from keystile.webhooks.receiving import order

OWN = str(Path(keystile.__file__).parent)

# Keys and hashes are found by 16 of their characters, looked up at every 8th place of what could be one: whatever has
# 23 characters of a secret in a row is found, in one look-up for 8 characters of text.
_GRAM, _STRIDE = 16, 8
_RUN = re.compile(rf"[0-9A-Za-z+/]{{{_GRAM + _STRIDE - 1},}}")
# Tests draw and choose secrets like "aaaa…", which is in many texts; of 32 random characters 25 differ.
_VARIED_KEY, _VARIED_SECRET = 13, 8
# A server's own request, which holds the credential and which every framework shows as it likes.
_REQUESTS = ("scope", "environ")


class Secrets:
    """All secrets that were made so far, each under a name that may be shown."""

    def __init__(self) -> None:
        self._grams: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def learn_key(self, raw: str) -> None:
        """A raw key of the default format."""
        body = raw[:-CHECK_LENGTH]
        secret = body[-SECRET_LENGTH:]
        if len(set(secret)) >= _VARIED_KEY:
            self._learn(secret, f"the key {body[-SECRET_LENGTH - ID_LENGTH : -SECRET_LENGTH]}")

    def learn_imported(self, given: importing.Existing) -> None:
        """A raw key of any form, or a hash that another program made."""
        for each in (given.raw, given.stored):
            if each is not None and len(set(each)) >= _VARIED_KEY:
                self._learn(each.plain, f"the imported key {given.places[0]}")

    def learn_hash(self, stored: str) -> None:
        """The secret part of what a hasher makes of a raw key; the salt is not secret."""
        _, kind, *_, digest = stored.split("$")
        self._learn(digest, f"a hash by {kind}")

    def learn_text(self, secret: bytes) -> None:
        """A pepper or a cursor secret: it may hold any characters, and there are only few of them."""
        if len(set(secret)) >= _VARIED_SECRET:
            self._texts[secret.decode(errors="replace")] = "a server secret"

    def _learn(self, text: str, name: str) -> None:
        for at in range(len(text) - _GRAM + 1):
            self._grams[text[at : at + _GRAM]] = name

    def names_in(self, text: str) -> set[str]:
        """The names of the secrets that a text holds."""
        grams, found = self._grams, set()
        for run in _RUN.findall(text):
            for at in range(0, len(run) - _GRAM + 1, _STRIDE):
                name = grams.get(run[at : at + _GRAM])
                if name is not None:
                    found.add(name)
        return found | {name for secret, name in tuple(self._texts.items()) if secret in text}


class Watch(logging.Handler):
    """Searches everything that gets out while it is installed, and keeps its findings for `verdict`."""

    # Nobody else uses this level: it tells ours from one that a test sets.
    LEVEL = logging.DEBUG - 1

    def __init__(self) -> None:
        super().__init__()
        self.secrets = Secrets()
        self.found: list[str] = []

    def look(self, place: str, text: str) -> None:
        """Note every secret that a text holds."""
        self.found += [f"{name} is in {place}" for name in self.secrets.names_in(text)]

    def answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        """Search an HTTP answer."""
        self.look(f"the body of an answer with {status}", body.decode("latin-1"))
        for name, value in headers:
            self.look(f"the header {name} of an answer with {status}", f"{name}: {value}")

    def emit(self, record: logging.LogRecord) -> None:
        """Search a record of any other logger."""
        if record.name != "keystile":
            self._look_over(record)

    def see(self, record: logging.LogRecord) -> bool:
        """Look over a record of ours; a filter, which lets through what would have been logged without us."""
        self._look_over(record)
        ours = logging.getLogger("keystile").level == self.LEVEL
        return not ours or record.levelno >= logging.getLogger().level

    def _look_over(self, record: logging.LogRecord) -> None:
        where = f"a log record {record.levelname} of {record.name}"
        self.look(f"the message of {where}", record.getMessage())
        for name, value in vars(record).items():
            if type(value) not in (int, float):
                self.look(f"the field {name} of {where}", repr(value))
        if record.exc_info is not None and record.exc_info[1] is not None:
            for place, text in shown(record.exc_info[1]):
                self.look(f"{place} of {where}", text)

    def verdict(self) -> None:
        """Fail the test if anything was found since the last verdict."""
        found, self.found = dict.fromkeys(self.found), []
        if found:
            pytest.fail("\n".join(["a secret got out:", *found]), pytrace=False)

    @contextmanager
    def aside(self) -> Iterator[list[str]]:
        """Keep findings away from the verdict meanwhile: for tests that plant a leak."""
        kept, self.found = self.found, []
        try:
            yield self.found
        finally:
            self.found = kept

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Learn of every secret, see every record and every exception of keystile's, until the patch is undone."""
        secrets = self.secrets
        _after(patch, PrefixedFormat, "mint", secrets.learn_key)
        _after(patch, OpaqueFormat, "mint", secrets.learn_key)
        _after(patch, known, "existing", secrets.learn_imported)
        for hasher in (Argon2Hasher, HmacHasher, OpaqueHasher):
            _after(patch, hasher, "hash", secrets.learn_hash)
        _after(patch, QuickProofs, "_mac", secrets.learn_hash)
        for module, name in ((workshop, "as_secrets"), (cursors, "_usable")):
            _after(patch, module, name, lambda found: [secrets.learn_text(secret) for secret in found])

        _after(patch, order, "_hook", lambda hook: [secrets.learn_text(key._secret) for key in hook.keys])

        def made(error: KeystileError, *args: object) -> None:
            Exception.__init__(error, *args)
            self.look(f"the arguments of a {type(error).__name__}", repr(args))

        patch.setattr(KeystileError, "__init__", made)

    def attach(self) -> None:
        """Make sure that no record is missed: a test may have removed our handler."""
        own, root = logging.getLogger("keystile"), logging.getLogger()
        if own.level == logging.NOTSET:
            own.setLevel(self.LEVEL)
        # Both do nothing if it is there.
        own.addFilter(self.see)
        root.addHandler(self)

    def detach(self) -> None:
        """Leave logging as it was."""
        own = logging.getLogger("keystile")
        own.removeFilter(self.see)
        if own.level == self.LEVEL:
            own.setLevel(logging.NOTSET)
        logging.getLogger().removeHandler(self)


def _after(patch: pytest.MonkeyPatch, owner: Any, name: str, learn: Callable[[Any], object]) -> None:
    """Call `learn` with whatever the function returns."""
    function = getattr(owner, name)

    @functools.wraps(function)
    def learning(*args: Any, **named: Any) -> Any:
        result = function(*args, **named)
        learn(result)
        return result

    patch.setattr(owner, name, learning)


def shown(error: BaseException) -> Iterator[tuple[str, str]]:
    """What an exception and all that led to it may show, as (place, text): its traceback and the local variables of
    keystile's own frames, which error pages and error trackers collect."""
    yield "the traceback", "".join(traceback.format_exception(error))
    todo, seen = [error], set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        context = None if each.__suppress_context__ else each.__context__
        todo += [cause for cause in (each.__cause__, context) if cause is not None]
        todo += each.exceptions if isinstance(each, BaseExceptionGroup) else ()
        yield from _locals(traceback.walk_tb(each.__traceback__))


def shown_here(frame: FrameType) -> Iterator[tuple[str, str]]:
    """The same of the calls that are under way, which error trackers collect for a log record without exception."""
    yield from _locals(traceback.walk_stack(frame))


def _locals(frames: Iterator[tuple[FrameType, int]]) -> Iterator[tuple[str, str]]:
    own = (pair for pair in frames if pair[0].f_code.co_filename.startswith(OWN))
    for summary in traceback.StackSummary.extract(own, capture_locals=True, lookup_lines=False):
        for name, text in (summary.locals or {}).items():
            if name not in _REQUESTS:
                yield f"the local {name} of {summary.name} in {Path(summary.filename).relative_to(OWN)}", text


WATCH = Watch()


@pytest.fixture(scope="session", autouse=True)
def watching() -> Iterator[None]:
    """Learn every secret, from the first test to the last."""
    with pytest.MonkeyPatch.context() as patch:
        WATCH.install(patch)
        yield
        WATCH.detach()


@pytest.fixture(autouse=True)
def no_leak(watching: None) -> Iterator[None]:
    """Fail the test if a secret gets out."""
    WATCH.attach()
    yield
    WATCH.verdict()
