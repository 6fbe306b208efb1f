"""May this request of a browser change something, or was it sent by another site's page?

A browser sends the cookies of a user with every request to us, whichever page makes it. It also says which page that
is, in fields that no script can set: ``Sec-Fetch-Site`` (Fetch Metadata), and ``Origin`` (RFC 6454). That is enough, so
no form carries a token. The rule is that of Go's ``http.CrossOriginProtection``, but stricter in two ways: a request
with neither field is refused, for here only browsers have business; and ``same-site`` is refused, for the ports of one
host are one site.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from .._ground.urls import OWN_PORTS

SAFE_METHODS = frozenset(("GET", "HEAD"))
"""They change nothing here (RFC 9110 section 9.2.1)."""

_OURS = frozenset(("same-origin", "none"))  # none: the user did it, by an address bar or an extension
_FROM_OTHERS = frozenset(("same-site", "cross-site"))
_OPENED = frozenset(("document", ""))
_FRAMES = frozenset(("iframe", "frame"))

Fields = Iterable[tuple[str, str]]


def may_change(headers: Fields, own_origin: str) -> bool:
    """Whether a request that changes something was sent by one of our own pages, or by the user.

    Args:
        headers: names in lower case, and values; a field that is sent twice is there twice, or once joined by a comma.
        own_origin: ours, as `origin_of` writes it; "" where it is not known.
    """
    sites, origins = _values(headers, "sec-fetch-site", "origin")
    if sites:
        return len(sites) == 1 and sites[0] in _OURS
    return own_origin != "" and origins == [own_origin]


def may_show(headers: Fields, *, framed: bool = False) -> bool:
    """Whether a page may be given to whoever asks: another site may link to it, but not load it as an image, a script
    or a style.

    Args:
        headers: as for `may_change`.
        framed: pages may be shown within pages of other sites, as `embed_in` says.
    """
    sites, kinds = _values(headers, "sec-fetch-site", "sec-fetch-dest")
    if not _FROM_OTHERS.intersection(sites):
        return True
    kind = ",".join(kinds)
    return kind in _OPENED or (framed and kind in _FRAMES)


def origin_of(url: str) -> str:
    """The origin of a URL as browsers write it: in lower case, without the scheme's own port; "" if it has none."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if not host or parts.scheme not in OWN_PORTS:
        return ""
    shown = "" if port is None or port == OWN_PORTS[parts.scheme] else f":{port}"
    return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}{shown}"


def _values(headers: Fields, *names: str) -> tuple[Sequence[str], ...]:
    listed = list(headers)
    return tuple([value.strip() for found, value in listed if found == name] for name in names)
