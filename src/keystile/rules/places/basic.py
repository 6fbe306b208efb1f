"""A key as the user or the password of ``Authorization: Basic`` (RFC 7617).

Browsers keep such a pair and send it on their own, whatever page asks. So a request that a browser made for another
site is turned away, and so is a websocket of another origin: it may be the page that speaks, and not the person.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from ..._ground.urls import OWN_PORTS
from ...model import Site
from ..requests.credentials import Unusable

_ELSEWHERE = frozenset(("cross-site", "same-site"))
# A browser writes no more than this into Origin, and no header of ours is longer than a name and a port.
_MOST = 300
# RFC 4648 section 5 has two other digits than section 4.
_PLAIN_DIGITS = bytes.maketrans(b"-_", b"+/")
_NO_DIGITS = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"))
_HOST = re.compile(r"(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def key_of(token: bytes, ours: Callable[[bytes], bool]) -> bytes | Unusable:
    """The key among user and password.

    Args:
        token: what stands behind the scheme, of at most `credentials.MAX_CREDENTIAL` bytes.
        ours: whether octets have our form.
    """
    pair = pair_of(token)
    if pair is None:
        return Unusable.MALFORMED
    given = {part for part in pair if part}
    keys = {part for part in given if ours(part)}
    if len(keys) == 1:
        return keys.pop()
    if keys:
        return Unusable.AMBIGUOUS
    return Unusable.MALFORMED if given else Unusable.MISSING


def pair_of(token: bytes) -> tuple[bytes, bytes] | None:
    """User and password, or None if the token cannot be read."""
    try:
        user, colon, password = binascii.a2b_base64(token, strict_mode=True).partition(b":")
    except ValueError:
        return None
    return (user, password) if colon else None


def decoded(text: bytes) -> bytes:
    """What the most tolerant reader makes of base64: he skips what is no digit, and needs no padding."""
    digits = text.translate(_PLAIN_DIGITS, _NO_DIGITS)
    digits = digits[: len(digits) - (len(digits) % 4 == 1)]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def shows_ours(text: bytes, ours: Callable[[bytes], bool]) -> bool:
    """Whether user or password has our form, if only to a tolerant reader."""
    user, _, password = decoded(text).partition(b":")
    return ours(user) or ours(password)


def is_ambient(site: Site, origins: Collection[str], public_url: str | None, *, secure: bool) -> bool:
    """Whether a browser may have added the pair on its own, for a page that is not ours.

    Args:
        site: what the browser says.
        origins: others that may use it, from websockets.
        public_url: our own origin, if it is known; else it is the one that the request was sent to.
        secure: the request came over https.
    """
    if site.websocket and site.origins:
        return not (len(site.origins) == 1 and _is_ours(site, origins, public_url, secure=secure))
    said = ",".join(site.fetch_site)
    return len(said) > _MOST or not _ELSEWHERE.isdisjoint(_words(said))


def _is_ours(site: Site, origins: Collection[str], public_url: str | None, *, secure: bool) -> bool:
    if len(site.origins[0]) > _MOST:
        return False
    origin = site.origins[0].strip(" \t").lower()
    if origin in origins:
        return True
    if public_url is not None:
        return _parts(origin) == _parts(public_url.lower()) is not None
    scheme = origin.partition("://")[0]
    if scheme not in OWN_PORTS or (secure and scheme != "https"):
        return False
    if len(site.hosts) != 1 or len(site.hosts[0]) > _MOST:
        return False
    return _parts(origin) == _parts(f"{scheme}://{site.hosts[0].strip().lower()}") is not None


def _parts(origin: str) -> tuple[str, str, int] | None:
    """Scheme, host and port; None for what is no origin of a website, such as ``null``."""
    scheme, _, host = origin.partition("://")
    if scheme not in OWN_PORTS or not _HOST.fullmatch(host):
        return None
    try:
        found = urlsplit(origin)
        port = found.port
    except ValueError:
        return None
    return scheme, found.hostname or "", OWN_PORTS[scheme] if port is None else port


def is_fetch(site: Site) -> bool:
    """Whether a page's script made the request, so that a challenge for Basic would open a window over that page."""
    if site.fetch_mode:
        return "cors" in _words(",".join(site.fetch_mode))
    return bool(site.origins)


def _words(said: str) -> list[str]:
    """The words of a header's lines, joined by commas as some servers give them."""
    return [word.strip(" \t").lower() for word in said[:_MOST].split(",")]
