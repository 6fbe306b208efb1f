"""The places of a request that a key may stand in, as a client writes them: ``X-API-Key``, ``Authorization: Bearer``,
``?api_key``.

The list is open: any header may carry a key, but for those that mean something else to a server, a proxy or a browser.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from .._ground.checks import check_name
from ..exceptions import ConfigurationError

CREDENTIAL_FORMS = ("Authorization: Bearer", "Authorization: Api-Key", "Api-Key", "X-API-Key")
"""The places a key is read from by default, as a client would write them."""

MOST_DASHES = 6
"""In the name of a header. Each may come as an underscore, and a door knows every spelling."""
_LONGEST_NAME = 64

# RFC 9110 section 5.6.2, and without the underscore: what servers make of it differs.
_TOKEN = re.compile(r"[!#$%&'*+\-.^`|~0-9A-Za-z]+")
_SPELLED = {form.lower(): form for form in (*CREDENTIAL_FORMS, "Sec-WebSocket-Protocol")}

_HOP_BY_HOP = "is for one connection: proxies take it off"
_BY_OTHERS = "has another meaning"
_REFUSED = {
    "cookie": "is sent by browsers on their own, from any page",
    "host": "says which server is meant",
    **dict.fromkeys(
        ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"), _HOP_BY_HOP
    ),
    **dict.fromkeys(
        ("forwarded", "origin", "referer", "via", "expect", "range", "accept", "set-cookie", "www-authenticate"),
        _BY_OTHERS,
    ),
    **dict.fromkeys(
        ("x-request-id", "x-http-method-override", "x-http-method", "x-method-override"), "has a meaning for the gate"
    ),
}
_REFUSED_BEGINNINGS = {
    "content-": "describes the body",
    "x-forwarded-": "is written by proxies",
    "sec-": "is written by browsers",
    "proxy-": _HOP_BY_HOP,
    "accept-": _BY_OTHERS,
    "access-control-": _BY_OTHERS,
    "if-": _BY_OTHERS,
}


class Place(NamedTuple):
    """One place.

    Attributes:
        header: the header's name in lower case; ``?name`` for a parameter of the query, in the case that it was given.
        scheme: in lower case, for ``Authorization``; empty for others.
    """

    header: bytes
    scheme: bytes = b""

    @property
    def is_parameter(self) -> bool:
        """Whether it is a parameter of the query."""
        return self.header.startswith(b"?")

    @property
    def shown(self) -> str:
        """As a client would write it."""
        if self.is_parameter:
            return self.header.decode()
        header, scheme = self.header.decode(), self.scheme.decode()
        text = f"{header}: {scheme}" if scheme else header
        titled = f"{_titled(header)}: {_titled(scheme)}" if scheme else _titled(header)
        return _SPELLED.get(text, titled)


SUBPROTOCOL = Place(b"sec-websocket-protocol")
BASIC = Place(b"authorization", b"basic")


def _titled(text: str) -> str:
    return "-".join(part.capitalize() for part in text.split("-"))


@lru_cache(maxsize=256)
def place_of(form: str, key: str = "accept") -> Place:
    """The place that a client's words stand for.

    Raises:
        ConfigurationError: a key cannot stand there.
    """
    if form.startswith("?"):
        return Place(b"?" + check_name(form[1:], key).encode())
    name, colon, scheme = form.partition(":")
    header, scheme = name.lower(), scheme.strip(" ").lower()
    if header == "authorization":
        if not _TOKEN.fullmatch(scheme):
            raise _wrong(form, "needs a scheme, like 'Authorization: Bearer'", key)
    elif colon:
        raise _wrong(form, "has a scheme, and only Authorization has one", key)
    _check_header(form, header, key)
    return Place(header.encode(), scheme.encode())


def _check_header(form: str, header: str, key: str) -> None:
    if "_" in header:
        raise _wrong(form, "has an underscore, which many servers drop or take for a dash: write dashes", key)
    if not _TOKEN.fullmatch(header):
        raise _wrong(form, "cannot be a header: expected a name like 'X-API-Key', or '?name' for the query", key)
    if len(header) > _LONGEST_NAME or header.count("-") > MOST_DASHES:
        raise _wrong(form, f"has more than {MOST_DASHES} dashes or {_LONGEST_NAME} characters", key)
    if header == SUBPROTOCOL.header.decode():
        return
    beginning = next((each for each in _REFUSED_BEGINNINGS if header.startswith(each)), "")
    reason = _REFUSED.get(header) or _REFUSED_BEGINNINGS.get(beginning)
    if reason is not None:
        raise _wrong(form, reason, key)


def _wrong(form: str, reason: str, key: str) -> ConfigurationError:
    shown = form if len(form) <= 100 else f"{form[:100]}…"
    return ConfigurationError(f"{shown!r} cannot carry a key: it {reason}", key=key)


def check_accept(forms: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The places in one spelling, each once; ConfigurationError if there are none, or a key cannot stand in one."""
    if not forms:
        raise ConfigurationError(
            f"names no place to read a key from: expected some of {', '.join(CREDENTIAL_FORMS)}, or others", key=key
        )
    return tuple(dict.fromkeys(place_of(form, key).shown for form in forms))


def check_rule_accept(forms: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The same in alphabetical order, so that two rules that say the same are equal."""
    return tuple(sorted(check_accept(forms, key)))


def places_of(forms: Iterable[str]) -> frozenset[Place]:
    """The places that these forms stand for."""
    return frozenset(map(place_of, forms))


def check_client_header(header: str, forms: Iterable[str]) -> None:
    """Refuse a header that would name the client and carry a key at once."""
    for form in forms:
        if place_of(form).header.decode() == header.lower():
            reason = f"{form!r} cannot carry a key: it names the client, as client_header says"
            raise ConfigurationError(reason, key="accept")
