"""Who is calling, where there are proxies between: read from what trusted proxies say, and from nobody else.

The list that proxies write is read from the right, where the nearest proxy wrote, and only as far as they are trusted:
everything left of that may be the client's invention. A client that cannot be determined is unknown, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import NamedTuple

from ..._ground.checks import check_form, check_strings, errors_under
from ...exceptions import ConfigurationError
from .addresses import Allowlist, parse
from .peers import MOST_ENTRIES, Lines, is_rewritten

# In characters. No address with its zone and port is longer, and nothing longer gets into a cache.
_LONGEST_NODE = 100
_LONGEST_KEPT = 256
# In bytes, for `Forwarded`: its quoted strings may hold commas, so it cannot simply be cut at commas.
_LONGEST_HEADER = MOST_ENTRIES * _LONGEST_KEPT
# No proxy writes that many parameters. Each costs more to read than a whole entry of the other header.
_MOST_PAIRS = 16
_BLANKS = b" \t"  # RFC 9110 section 5.6.3: nothing else is optional whitespace
_NAME = re.compile(r"[0-9A-Za-z-]{1,100}")

_PORTED = re.compile(r"\[([^]]*:[^]]*)](?::[0-9]{1,5})?|([^:[]+):[0-9]{1,5}")
# RFC 7239 section 4. Values without quotes may hold more than a token here (`:`, `[`), as several gateways send them.
_PAIR = r"""([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*+)"|([^\s",;\\]*+))"""
_PAIRS = re.compile(_PAIR, re.DOTALL)
_ELEMENT = re.compile(rf"(?:{_PAIR})?+(?:[ \t]*+;[ \t]*+(?:{_PAIR})?+)*+", re.DOTALL)
# An element and the comma after it, in reversed text. There, an escaped quote comes before its backslash.
_MIRRORED = re.compile(r"""((?:[^",]++|"(?:[^"]|"(?=\\))*+")*+)(,?)""")

# What an entry says: the address as written, without its port; and whether its sender came over https, if it says.
_Entry = tuple[str | None, bool | None]
_UNKNOWN: _Entry = (None, False)


class Client(NamedTuple):
    """Who sent a request.

    Attributes:
        address: normalised text, or None if the client is unknown; no allowlist holds None.
        counted: whom to count: the address, or the socket's peer where the client is unknown.
        https: what a trusted proxy says about the client's connection; None if none says anything, and then the
            server's own scheme holds.
        rewritten: the server seems to have replaced the peer by what a header said. Then anybody may have invented the
            peer, and all such clients are counted together.
    """

    address: str | None
    counted: str | None
    https: bool | None
    rewritten: bool


REWRITTEN = Client(None, None, None, rewritten=True)


class _Known(NamedTuple):
    """What is cached about an address: its normalised form, whether it is trusted, the client that it makes if no
    header is read, and its exact text."""

    text: str | None
    trusted: bool
    direct: Client
    literal: bytes


class ClientResolver:
    """Finds the client behind trusted proxies (`X-Forwarded-For`; RFC 7239).

    Args:
        trusted_proxies: addresses and CIDR networks of proxies. A peer outside them is the client, whatever it sends.
        trusted_hops: the number of proxies, from 1 to 32. The client is the entry that the outermost of them added.
            Without `trusted_proxies` every peer counts as a proxy, even one without an address (a unix socket).
        header: the one header that is read: ``"X-Forwarded-For"``, ``"Forwarded"``, or the name of a header that holds
            one address (``"X-Real-IP"``). The proxies must set it themselves.

    Raises:
        ConfigurationError: with the key ``trusted_proxies[i]``, ``trusted_hops`` or ``client_header``.
    """

    def __init__(self, trusted_proxies: Sequence[str], trusted_hops: int | None, header: str) -> None:
        self.header = _check_header(header)
        """The header's name in lower case."""
        # A name without a dash has no twin, and must not be taken for its own twin.
        self.twin = self.header.replace(b"-", b"_") if b"-" in self.header else b""
        """The name with underscores, which no proxy sends; empty if the name has no dash."""
        self._standard = self.header == b"forwarded"
        self._entries: Callable[[Lines], Iterator[_Entry]] = _READERS.get(self.header, _lone)
        self._hops = _check_hops(trusted_hops, 1 if self._entries is _lone else MOST_ENTRIES)
        self._proxies = _check_proxies(trusted_proxies)
        self._known = lru_cache(maxsize=8192)(self._look_up)

    def resolve(
        self,
        peer: str | None,
        port: int | None,
        forwarded: Lines,
        proto: Lines,
        *,
        listed: Lines | None = None,
        doubtful: bool = False,
        insecure: bool = False,
    ) -> Client:
        """Who sent a request. Never raises, whatever was sent.

        Args:
            peer: the address of the socket's other end as the server gave it, or None.
            port: of the socket's other end, or None.
            forwarded: each line of the header as it was sent, in order.
            proto: each line of ``X-Forwarded-Proto``, likewise. It is not read if the header is ``Forwarded``.
            listed: each line of ``X-Forwarded-For``, from which servers replace the peer; None if that is `forwarded`.
            doubtful: it is not certain that a proxy sent the header. Then the client of a trusted peer is unknown.
            insecure: the same for ``X-Forwarded-Proto``. Then a trusted peer is not believed about https.

        Returns:
            The client.
        """
        text, trusted, direct, _ = self._known(peer if peer is None or len(peer) <= _LONGEST_NODE else None)
        if is_rewritten(peer, port, forwarded if listed is None else listed, trusted=trusted):
            return REWRITTEN
        if not trusted:
            return direct
        address, https = _UNKNOWN if doubtful else self._find(text, forwarded)
        if not self._standard:
            https = False if insecure else _all_secure(proto)
        return Client(address, address or text, https, rewritten=False)

    def _look_up(self, text: str | None) -> _Known:
        found, literal = parse(text), (text or "").encode("latin-1", "replace")
        trusted = self._hops is not None if self._proxies is None else found in self._proxies
        if found is None:
            return _Known(None, trusted, Client(None, None, None, False), literal)
        plain = str(IPv4Address(found.number) if found.version == 4 else IPv6Address(found.number))
        return _Known(plain, trusted, Client(plain, plain, None, False), literal)

    def _find(self, peer: str | None, lines: Lines) -> _Entry:
        """The client that a trusted peer names."""
        if not b"".join(lines).strip(_BLANKS):
            # Behind counted proxies every request has the header. One without it must not count as the proxy's own.
            return (peer, None) if self._hops is None else _UNKNOWN
        entries = self._entries(lines)
        if self._hops is not None:
            # With too few entries, the leftmost would be the client's own invention.
            entries = islice(entries, self._hops - 1, self._hops)
        found = _UNKNOWN
        for node, https in entries:
            text, trusted, _, _ = self._known(node)
            found = (text, https) if text else _UNKNOWN
            if not (text and trusted):
                break
        return found


def _listed(lines: Lines) -> Iterator[_Entry]:
    """The entries of `X-Forwarded-For` from the right."""
    # Every line holds at least one entry, so lines before the last `MOST_ENTRIES` are never reached.
    entries = b",".join(lines[-MOST_ENTRIES:]).rsplit(b",", MOST_ENTRIES)[-MOST_ENTRIES:]
    for entry in reversed(entries):
        yield _plain(entry), None


def _lone(lines: Lines) -> Iterator[_Entry]:
    """The entry of a header that holds one. If there are two, nobody can say which one the proxy wrote."""
    if len(lines) == 1 and b"," not in lines[0]:
        yield _plain(lines[0]), None


def _elements(lines: Lines) -> Iterator[_Entry]:
    """The elements of `Forwarded` from the right.

    If they are well-formed, both directions give the same. But if a client leaves a quote open, it swallows what the
    proxies added only when reading from the left.
    """
    text = b",".join(lines[-MOST_ENTRIES:])
    if len(text) > _LONGEST_HEADER:
        # No parameter begins with "=", so an element that was cut cannot be read.
        text = b"=" + text[-_LONGEST_HEADER:]
    mirrored = text.decode("latin-1")[::-1]
    for found in islice(_MIRRORED.finditer(mirrored), MOST_ENTRIES):
        if not found[2] and found.end() < len(mirrored):  # a quote that was never opened
            yield _UNKNOWN
            return
        read = _element if len(found[1]) <= _LONGEST_KEPT else _element.__wrapped__
        yield read(found[1][::-1].strip(" \t"))
        if not found[2]:
            return


@lru_cache(maxsize=4096)
def _element(text: str) -> _Entry:
    if text.count(";") >= _MOST_PAIRS or not _ELEMENT.fullmatch(text):
        return _UNKNOWN
    pairs = [(name.lower(), re.sub(r"\\(.)", r"\1", quoted) or plain) for name, quoted, plain in _PAIRS.findall(text)]
    named = dict(pairs)
    if len(named) < len(pairs):  # RFC 7239 section 4: no parameter twice
        return _UNKNOWN
    proto = named.get("proto")
    return _node(named.get("for", "")), None if proto is None else proto.lower() in ("https", "wss")


def _plain(entry: bytes) -> str | None:
    # The length comes first: stripping a long one takes longer than everything else here.
    return _node(entry.strip(_BLANKS).decode("latin-1")) if len(entry) <= _LONGEST_NODE else None


def _node(text: str) -> str | None:
    """The address in an entry, without brackets and port. The result may be any text, not only an address."""
    if len(text) > _LONGEST_NODE:
        return None
    found = _PORTED.fullmatch(text)
    return found[1] or found[2] if found else text


_READERS = {b"x-forwarded-for": _listed, b"forwarded": _elements}


def _all_secure(lines: Lines) -> bool | None:
    if not lines:
        return None
    # What is left after the last split keeps its commas, so it equals no scheme.
    values = b",".join(lines).split(b",", MOST_ENTRIES)
    return all(value.strip(_BLANKS).lower() in (b"https", b"wss") for value in values)


def _check_header(name: str) -> bytes:
    # Servers drop names with underscores, or treat underscores as dashes.
    return check_form(name, _NAME, "a name of letters, digits and '-'", "client_header").lower().encode()


def _check_hops(hops: int | None, most: int) -> int | None:
    if hops is not None and (isinstance(hops, bool) or not isinstance(hops, int) or not 1 <= hops <= most):
        why = "1, because this header holds one entry" if most == 1 else f"a whole number from 1 to {most}"
        raise ConfigurationError(f"expected {why}, got {hops!r}", key="trusted_hops")
    return hops


def _check_proxies(entries: Sequence[str]) -> Allowlist | None:
    listed = check_strings(entries, "trusted_proxies")
    for place, entry in enumerate(listed):
        with errors_under(f"trusted_proxies[{place}]"):
            Allowlist([entry])
    return Allowlist(listed) if listed else None
