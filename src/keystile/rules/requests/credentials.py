"""Which key does a request present?

The grammar is RFC 9110 section 11.4, ``auth-scheme 1*SP token68``, with names and schemes in any case. Above the
grammar there is one rule: a request presents one key or none. What could be read in two ways is refused, and a bad
credential is never replaced by a good one beside it. An empty value counts as no key, and so does one of our schemes
with nothing after it: gateways and templates send these where they have no key. A header that appears twice is refused
whatever it holds, because behind a server that joins lines nobody can tell which value was in which line.

Everything is bytes: header values may hold any octet, and comparing keys in constant time needs bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from itertools import product
from typing import NamedTuple

from ...policy.places import BASIC, SUBPROTOCOL, places_of

# The longest credential that is read. The longest key is five times shorter; nobody can make us hash megabytes.
MAX_CREDENTIAL = 1024

# Behind more of them nobody looks for a second line: no scheme has so many parameters.
_MOST_COMMAS = 256

# RFC 9110: token (the scheme), then 1*SP token68. HTAB does not separate the two, but may surround the value.
_SCHEME = re.compile(rb"[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*")
_TOKEN68 = rb"([0-9A-Za-z\-._~+/]+=*)"
TOKEN_CHARS = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~+/"
_WITHOUT_SCHEME = re.compile(rb"[ \t]*" + _TOKEN68 + rb"[ \t]*")
_IN_QUERY = re.compile(_TOKEN68)


class Unusable(Enum):
    """Why no key could be read from the request."""

    MISSING = "no credential that is accepted here"
    MALFORMED = "a credential that cannot be a key"
    AMBIGUOUS = "more than one credential, or one that may be several joined"
    ELSEWHERE = "a credential in a place that is not accepted on this path"
    AMBIENT = "a credential that a browser may have added on its own, for a page of somebody else"

    __hash__ = object.__hash__  # that of Enum costs every refusal a frame


class Accepted(NamedTuple):
    """Where keys are read from: lower-case header names, ``?name`` for parameters of the query, lower-case schemes of
    Authorization, and their grammar."""

    headers: frozenset[bytes]
    schemes: frozenset[bytes]
    with_scheme: re.Pattern[bytes]
    joined: re.Pattern[bytes]

    @property
    def named(self) -> tuple[str, ...]:
        """The names of the headers that every request may have, in order."""
        others = {SUBPROTOCOL.header}
        return tuple(sorted(name.decode() for name in self.headers - others if not name.startswith(b"?")))

    @property
    def vary(self) -> tuple[str, ...]:
        """The header names that an answer depends on, in order."""
        return (*self.named, "sec-fetch-site") if self.basic else self.named

    @property
    def parameters(self) -> tuple[bytes, ...]:
        """The parameters of the query that may carry a key, in order."""
        return tuple(sorted(name[1:] for name in self.headers if name.startswith(b"?")))

    @property
    def basic(self) -> bool:
        """Whether a key may be the user or the password of ``Authorization: Basic``."""
        return BASIC.scheme in self.schemes

    @property
    def subprotocols(self) -> bool:
        """Whether a key may be a subprotocol of a websocket."""
        return SUBPROTOCOL.header in self.headers

    @property
    def wanted(self) -> frozenset[bytes]:
        """The header names that a door collects: the accepted ones and their underscore twins.

        Behind a server that folds ``_`` into ``-``, the app sees one header where the gate saw another. The twin is an
        attack or a mistake; either way it must not be ignored.
        """
        return frozenset(spelling for name in self.named for spelling in spellings(name))


def spellings(name: str) -> Iterator[bytes]:
    """Every spelling of a header's name, with each dash kept or replaced by an underscore."""
    for letters in product(*("-_" if letter == "-" else letter for letter in name)):
        yield "".join(letters).encode()


def spelled(schemes: Iterable[bytes]) -> frozenset[bytes]:
    """Schemes as nearly every client spells them. Others are theirs too: case means nothing (RFC 9110 section 11.1)."""
    title = (b"-".join(word.capitalize() for word in scheme.split(b"-")) for scheme in schemes)
    return frozenset((*schemes, *title))


def accepted(forms: Iterable[str]) -> Accepted:
    """Places as a client writes them (`policy.places`), compiled."""
    places = places_of(forms)
    schemes = frozenset(place.scheme for place in places if place.scheme)
    any_scheme = b"|".join(map(re.escape, sorted(schemes)))
    return Accepted(
        headers=frozenset(place.header for place in places),
        schemes=schemes,
        with_scheme=re.compile(rb"[ \t]*(?i:" + any_scheme + rb") +" + _TOKEN68 + rb"[ \t]*"),
        joined=re.compile(rb",[ \t]*(?:(?i:" + any_scheme + rb")(?:[ \t,]|\Z)|\Z)"),
    )


def extract(presented: Sequence[tuple[bytes, bytes]], accept: Accepted) -> bytes | Unusable:
    """The one raw key that these header lines present.

    Args:
        presented: (lower-case name, value) of each line whose name is in `accept.wanted`, in order of arrival.
        accept: what is accepted.

    Returns:
        The key's bytes, never empty, or why there is none.
    """
    if not presented:
        return Unusable.MISSING
    if len(presented) == 1:
        name, value = presented[0]
        return read(name, value, accept) if name in accept.headers else Unusable.AMBIGUOUS
    names = {name for name, _ in presented}
    if len(names) < len(presented) or not names <= accept.headers:
        return Unusable.AMBIGUOUS
    found = {read(name, value, accept) for name, value in presented} - {Unusable.MISSING}
    if len(found) > 1:
        return Unusable.AMBIGUOUS
    return found.pop() if found else Unusable.MISSING


def read(name: bytes, value: bytes, accept: Accepted) -> bytes | Unusable:
    """What one line presents: a token, or why there is none. Its name is one of `accept.headers`."""
    # What nearly every client sends: no blanks around, one space within. This check takes half the time of the grammar.
    token = value
    if name == b"authorization":
        scheme, _, token = value.partition(b" ")
        if scheme.lower() not in accept.schemes:
            token = b""
    if token and len(token) <= MAX_CREDENTIAL and not token.translate(None, TOKEN_CHARS):
        return token
    return _read_slowly(name, value, accept)


def _read_slowly(name: bytes, value: bytes, accept: Accepted) -> bytes | Unusable:
    if len(value) <= MAX_CREDENTIAL:
        well_formed = _grammar(name, accept).fullmatch(value)
        if well_formed is not None:
            return well_formed[1]
    return _fault(name, value, accept)


def _grammar(name: bytes, accept: Accepted) -> re.Pattern[bytes]:
    if name == b"authorization":
        return accept.with_scheme
    # White space around a header's value is not part of it (RFC 9110 section 5.5). In a query it is.
    return _IN_QUERY if name.startswith(b"?") else _WITHOUT_SCHEME


def _fault(name: bytes, value: bytes, accept: Accepted) -> Unusable:
    if not (value if name.startswith(b"?") else value.strip(b" \t")):
        return Unusable.MISSING
    if name == b"authorization":
        if value.count(b",") > _MOST_COMMAS:
            return Unusable.AMBIGUOUS
        scheme = _SCHEME.match(value)
        if scheme is None or scheme[1].lower() not in accept.schemes:
            # Where a server joined two lines, our scheme may come after a foreign one, or after an empty value.
            joined = (scheme is None and b"," in value) or accept.joined.search(value)
            return Unusable.AMBIGUOUS if joined else Unusable.MISSING
        if scheme.end() == len(value):
            return Unusable.MISSING
    # A comma may show that a server joined two lines: no key has one.
    return Unusable.AMBIGUOUS if b"," in value else Unusable.MALFORMED
