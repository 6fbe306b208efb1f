"""URLs: which part of a store's URL may be shown, and the URLs in answers."""

from __future__ import annotations

import re
from urllib.parse import quote

_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")


def place_of(url: str) -> str:
    """Scheme, hosts and ports of a URL, for messages: no credentials, nor anything that may be part of them.

    ``"redis://:secret@10.0.0.1:6379/0?x=y"`` is ``"redis://10.0.0.1:6379"``.
    """
    scheme, _, rest = url.partition("://")
    # Text before the last @ may be a password, and so may text after the question mark.
    hosts = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    return f"{scheme}://" + (hosts if all(map(_PLACE.fullmatch, hosts.split(","))) else "")


# In characters, decoded. A longer path is not repeated in a URL.
MOST_PATH = 8192
# RFC 3986 sections 3.3 and 3.4: what a path and a query may hold unescaped; "%" stays as it was sent.
_PATH_SAFE, _QUERY_SAFE = "/:@!$&'()*+,;=~-._", "/?:@!$&'()*+,;=~-._%"


def target_of(origin: str, path: str, query: bytes) -> str:
    """A URL for ``Location`` or ``Link``: in ASCII, and on this origin whatever the path looks like.

    Args:
        origin: scheme and host, or empty for a reference without them.
        path: decoded.
        query: as it was sent.
    """
    if not path.startswith("/"):
        path = "/"  # a request in absolute form, or an asterisk: neither is a path here
    found = quote(path, safe=_PATH_SAFE)
    if not origin and found.startswith("//"):
        found = f"/.{found}"  # RFC 3986 section 4.2: otherwise what follows would be read as a host
    return f"{origin}{found}?{quote(query, safe=_QUERY_SAFE)}" if query else origin + found
