"""Links that hold wherever the dashboard is mounted, because each is relative to the page that it stands on.

Nothing here depends on the host, the scheme or the mount being known: behind a proxy they often are not.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from urllib.parse import quote, urlencode

# What stands in a path as it is. Everything else is written as base64, because servers and proxies disagree about
# encoded slashes, dots and percent signs.
_PLAIN = re.compile(r"[0-9A-Za-z_-]{1,64}")
_MARK = "~"
NEW = "new"
"""The last segment of the pages where something is made; no id is written like this."""


HOOKS = "/webhooks"


def is_of_webhooks(path: str) -> bool:
    """Whether a path is one of the pages about webhooks."""
    return path == HOOKS or path.startswith(f"{HOOKS}/")


def to(here: str, path: str, query: Mapping[str, str | None] | None = None) -> str:
    """A link from one page to another.

    Args:
        here: the path of the page that it stands on, below the mount: ``/keys/new``.
        path: that of the other page.
        query: its parameters; those that are None or empty are left out.
    """
    up = "../" * (here.count("/") - 1) or "./"
    given = {name: value for name, value in (query or {}).items() if value}
    return quote(up + path.removeprefix("/"), safe="/~.") + (f"?{urlencode(given)}" if given else "")


def segment(id: str) -> str:
    """An id as one segment of a path."""
    if _PLAIN.fullmatch(id) and id != NEW:
        return id
    return _MARK + urlsafe_b64encode(id.encode("utf-8", "surrogatepass")).decode().rstrip("=")


def id_in(segment: str) -> str:
    """The id that a segment stands for. A segment that was not made by `segment` stands for itself: no record has it,
    or it is the same record."""
    if not segment.startswith(_MARK):
        return segment
    text = segment.removeprefix(_MARK)
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8", "surrogatepass")
    except ValueError:
        return segment
