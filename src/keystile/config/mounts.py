"""Several apps behind one gate, each below a prefix of its own: ``[[apps]]``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..exceptions import ConfigurationError
from ..policy.settings import check_settings, described, setting

# What every server, router and proxy spells in one way only.
_PREFIX = re.compile(r"/|(?:/(?!\.\.?(?:/|\Z))[A-Za-z0-9._~-]+){1,16}")


def _check_prefix(prefix: str, key: str) -> str:
    if _PREFIX.fullmatch(prefix):
        return prefix
    if prefix.endswith("/") and _PREFIX.fullmatch(prefix.rstrip("/")):
        raise ConfigurationError(f"{prefix!r} ends with a slash: write {prefix.rstrip('/')!r}", key=key)
    expected = "expected a path like '/billing', of letters, digits, '.', '_', '~', '-', or '/' for the rest"
    raise ConfigurationError(f"{expected}, got {prefix!r}", key=key)


@dataclass(frozen=True, slots=True)
class Mount:
    """One app behind the gate, and where.

    Raises:
        ConfigurationError: a setting has the wrong type or value.
    """

    app: str = field(
        metadata=described('The app, as in `app`: a name like `"service.main:app"`, or the call of a function.')
    )
    prefix: str = setting(
        'The path below which it is served, "/billing". The app gets it as its root path (ASGI `root_path`, WSGI '
        "`SCRIPT_NAME`); rules are about paths of the whole service. Of several prefixes that fit, the longest holds, "
        'on whole segments. "/" is whatever the others leave.',
        default="/",
        check=_check_prefix,
    )

    def __post_init__(self) -> None:
        check_settings(self)


def check_mounts(mounts: Sequence[Mount] | None, app: str | None) -> None:
    """ConfigurationError if apps cannot stand behind one gate together."""
    if mounts is None:
        return
    if app is not None:
        raise ConfigurationError("contradicts `app`: name all apps here, the one without a prefix too", key="apps")
    if not mounts:
        raise ConfigurationError("is empty: leave it out, or name an app", key="apps")
    seen: dict[str, int] = {}
    for at, each in enumerate(mounts):
        first = seen.setdefault(each.prefix, at)
        if first != at:
            raise ConfigurationError(f"{each.prefix!r} is the prefix of apps[{first}] too", key=f"apps[{at}].prefix")
