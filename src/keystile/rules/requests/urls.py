"""The URLs in answers."""

from __future__ import annotations

from urllib.parse import quote

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
