"""The settings that name the parts a gate works with, by URL or name in a file and as objects in code.

They stand above the other settings, in `policy`, because their types do. Whoever opens a part checks it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..exceptions import ConfigurationError
from ..limiters import RateLimiter
from ..model import Project
from ..policy.settings import check_settings, setting
from ..stores import KeyFinder
from .format import KeyFormat, KeyFormatName
from .hashing import Hasher, HasherName


def _check_clock(clock: Any, key: str) -> Any:
    if not callable(clock):
        raise ConfigurationError("expected a function that gives Unix seconds", key=key)
    return clock


def _check_function(function: Any, key: str) -> Any:
    if not callable(function):
        raise ConfigurationError("expected a function that takes a project", key=key)
    return function


@dataclass(frozen=True, eq=False)
class Parts:
    """What a gate works with. docs/reference/settings.md describes each setting.

    Raises:
        ConfigurationError: a setting has the wrong type.
    """

    store: str | KeyFinder = setting(
        "Where the keys are: `memory://`, `sqlite:///file.db`, `postgresql://user@host/name`, `mysql://…`, "
        "`mariadb://…` or `redis://…`; docs/guides/stores.md says which to take. In a file, a relative path is "
        "relative to that file.",
        default="memory://",
        example='"sqlite:///keystile.db"',
        begins=True,
        show=False,
    )
    peppers: Sequence[str | bytes] = setting(
        "Server secrets of at least 16 bytes that key the check in every key: what was not made with one costs next to "
        "nothing. The first signs, all verify. Keys are of no use without them, so keep a copy. Where a file names "
        "none, the environment variable `KEYSTILE_PEPPER` is it.",
        default=(),
        example='["${KEYSTILE_PEPPER}"]',
        show=False,
    )
    prefix: str | None = setting(
        "The first part of every key, so that people and secret scanners recognise it: a letter, then at most 19 "
        'letters and digits. None is "key".',
        default=None,
        example='"key"',
        begins=True,
    )
    limiter: str | RateLimiter = setting(
        "Where requests are counted. In `memory://` each process counts for itself; in `sqlite:///file.db` all on one "
        "machine count together, and in `redis://…` all machines.",
        default="memory://",
        example='"sqlite:///keystile.db"',
        show=False,
    )
    accept_crc: bool = setting("With peppers, accept keys made before there were any.", default=False)
    hasher: HasherName | Hasher = setting(
        'How keys are kept at rest: "argon2id", or "hmac-sha256" (keyed with the first pepper).', default="argon2id"
    )
    quick_proofs: bool = setting(
        "Keep an HMAC-SHA256 of each new key beside its hash, under a part of the first pepper, so that no process "
        "waits for argon2 after a restart; a key from before gets one at its first proof. Where this is false, those "
        "in the store are not believed. Needs peppers, and excludes `accept_crc`, `key_format` and a quick `hasher`: "
        "docs/guides/keys.md says when to take it.",
        default=False,
    )
    key_format: KeyFormatName | KeyFormat | None = setting(
        'What keys look like, in place of the default format: "opaque" for the keys that a service already has, in any '
        'form, or a KeyFormat. `prefix` belongs to the default format and to "opaque", where without it keys may begin '
        "with anything; `accept_crc` belongs to the default format.",
        default=None,
        example='"opaque"',
    )
    cursor_secrets: Sequence[str | bytes] = setting(
        "What cursors of pages are signed with, at least 16 bytes each; without them, the peppers.",
        default=(),
        show=False,
    )
    on_project_deleted: Callable[[Project], Any] | None = setting(
        "Called with each project that was deleted, after that is written, so that the service removes what it keeps "
        "for it. Plain or async; it may be called twice for one project.",
        default=None,
        check=_check_function,
    )
    clock: Callable[[], float] = setting("What gives the time, in Unix seconds.", default=time.time, check=_check_clock)

    def __post_init__(self) -> None:
        check_settings(self)
