"""The origins of pages whose scripts may read answers: each exactly as a browser writes it into ``Origin``.

A browser sends a scheme and a host in lower case, and a port unless it is the scheme's own (RFC 6454 section 6.2). An
entry that no browser sends would never hold, so it is refused, with the spelling that was probably meant.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from .._ground.urls import OWN_PORTS
from ..exceptions import ConfigurationError

EVERY = "*"
"""In a list of origins: every one."""

_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?|\[[0-9a-f:]+\])(?::[1-9][0-9]{0,4})?")
_OWN_PORTS = OWN_PORTS | {"ws": 80, "wss": 443, "ftp": 21}


def check_origins(origins: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Each origin once, or ``*`` alone; ConfigurationError for what is not an origin as browsers write it."""
    for place, origin in enumerate(origins):
        _check_origin(origin, f"{key}[{place}]")
    if EVERY in origins and len(set(origins)) > 1:
        raise ConfigurationError("'*' is every origin already: leave the others out, or '*'", key=key)
    return tuple(dict.fromkeys(origins))


def check_credentials(origins: tuple[str, ...], *, credentials: bool) -> None:
    """ConfigurationError where scripts may not send cookies and the like to all who may read answers."""
    if not credentials:
        return
    if not origins:
        raise ConfigurationError("says nothing without cors_origins: list the origins", key="cors_credentials")
    if EVERY in origins:
        reason = "contradicts cors_origins=['*']: with credentials, every page that a user opens could act as that user"
        raise ConfigurationError(f"{reason}; list the origins", key="cors_credentials")


def _check_origin(origin: str, key: str) -> None:
    if origin == EVERY:
        return
    if origin == "null":
        reason = "'null' is what files, sandboxed frames and redirects send: anybody can, so it names nobody"
        raise ConfigurationError(reason, key=key)
    if EVERY in origin:
        raise ConfigurationError(f"{origin!r}: there are no wildcards; list each origin, or '*' for all", key=key)
    meant = _meant(origin)
    if meant == origin:
        return
    hint = f": did you mean {meant!r}?" if meant else ", like 'https://app.example.com'"
    shown = "it" if "@" in origin else repr(origin)  # a password may stand before that sign
    raise ConfigurationError(f"{shown} is not an origin as browsers send it{hint}", key=key)


def _meant(text: str) -> str | None:
    """The origin of a URL as a browser would write it; None if it has none."""
    try:
        parts = urlsplit(text.strip())
        host, port = parts.hostname or "", parts.port  # raises if it is no port
        if ":" in host:
            host = f"[{IPv6Address(host)}]"
        elif not host.isascii():
            host = host.encode("idna").decode()
    except ValueError:
        return None
    shown = "" if port is None or port == _OWN_PORTS.get(parts.scheme) else f":{port}"
    found = f"{parts.scheme}://{host}{shown}"
    return found if _ORIGIN.fullmatch(found) else None
