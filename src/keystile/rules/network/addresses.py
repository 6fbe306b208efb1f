"""Client addresses: how one is read, and whether an allowlist holds it.

Every address is normalised before it is compared: a zone is dropped, and an IPv4-mapped IPv6 address becomes its IPv4
address. (To the standard library `::ffff:10.0.0.1` is not in `10.0.0.0/8`, but is in `::/0`.)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import NamedTuple

from ..._ground.checks import check_strings
from ...exceptions import ConfigurationError


class Address(NamedTuple):
    """A normalised address: 4 or 6, and its bits."""

    version: int
    number: int


# The longest address has 45 characters; its zone is the name of an interface.
MAX_TEXT = 100
_KINDS: dict[int, type[IPv4Network | IPv6Network]] = {4: IPv4Network, 6: IPv6Network}
# What interfaces are called. `ip_address` takes anything for a zone: blanks, brackets, and what is no ASCII.
_ZONED = re.compile(r"[^%]*+(?:%[0-9A-Za-z._-]++)?")


def parse(text: str | None) -> Address | None:
    """A normalised address, or None for anything that is not exactly one (a name, a port, leading zeros)."""
    # Where a server replaces the peer by what a header says, strangers choose what this cache remembers.
    return _parse(text) if text and len(text) <= MAX_TEXT else None


@lru_cache(maxsize=8192)
def _parse(text: str) -> Address | None:
    if not _ZONED.fullmatch(text):
        return None
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # int() leaves a zone behind.
    unmapped = getattr(address, "ipv4_mapped", None) or address
    return Address(unmapped.version, int(unmapped))


class Allowlist:
    """Addresses and networks that a key or a request may come from, or may not. `0.0.0.0/0` and `::/0` each stand for
    their whole family.

    Args:
        entries: IPv4 or IPv6 addresses or CIDR networks; at least one.

    Raises:
        ConfigurationError: the list is empty, or an entry is not an address or network, or has host bits set.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        listed = check_strings(entries, "ip_allowlist")
        if not listed:
            raise ConfigurationError(
                "is empty, so nobody could use the key; use None for no restriction", key="ip_allowlist"
            )
        networks = [_network(entry) for entry in listed]
        self.entries = tuple(dict.fromkeys(str(network) for network in networks))
        # One set per (family, prefix length): a thousand entries cost a few look-ups, not a thousand comparisons.
        sets: dict[tuple[int, int], set[int]] = {}
        for network in networks:
            shift = network.max_prefixlen - network.prefixlen
            sets.setdefault((network.version, shift), set()).add(int(network.network_address) >> shift)
        self._sets = tuple((version, shift, numbers) for (version, shift), numbers in sets.items())

    def __contains__(self, address: Address | None) -> bool:
        """Whether the normalised address is allowed; an unknown one (None) never is."""
        if address is None:
            return False
        version, number = address
        for family, shift, numbers in self._sets:  # noqa: SIM110 - any() with a generator costs twice as much
            if family == version and number >> shift in numbers:
                return True
        return False

    def covered(self, other: Allowlist) -> str | None:
        """An entry of this list of which every address is in another list; None if there is none."""
        return self._first(other, inside=True)

    def outside(self, other: Allowlist) -> str | None:
        """An entry of this list that no single entry of another list holds whole; None if there is none."""
        return self._first(other, inside=False)

    def _first(self, other: Allowlist, *, inside: bool) -> str | None:
        for version, shift, numbers in self._sets:
            wider = [(wide - shift, held) for family, wide, held in other._sets if family == version and wide >= shift]
            for number in numbers:
                if any(number >> more in held for more, held in wider) is inside:
                    bits = 32 if version == 4 else 128
                    return str(_KINDS[version]((number << shift, bits - shift)))
        return None


def is_wide(entry: str) -> bool:
    """Whether a network is wider than any that one operator runs. `10.0.0.0/8` and `fc00::/7` are not too wide.

    Raises:
        ConfigurationError: it is not an address or network.
    """
    network = _network(entry)
    return network.prefixlen < (8 if network.version == 4 else 7)


def _network(entry: str) -> IPv4Network | IPv6Network:
    if not set(entry) <= set("0123456789abcdefABCDEF:./"):
        raise ConfigurationError(f"{entry!r} is not an address or CIDR network", key="ip_allowlist")
    _, _, length = entry.partition("/")
    # ip_network("10.0.0.0/0.255.255.255") is read as /8; only a plain prefix length is accepted here.
    if "/" in entry and not (length.isascii() and length.isdigit()):
        raise ConfigurationError(f"{entry!r}: write the prefix length as a number", key="ip_allowlist")
    try:
        network = ip_network(entry)
    except ValueError as error:
        raise ConfigurationError(_wrong(entry, error), key="ip_allowlist") from None
    mapped = getattr(network.network_address, "ipv4_mapped", None)
    if mapped is not None and network.prefixlen >= 96:
        return IPv4Network((mapped, network.prefixlen - 96))
    return network


def _wrong(entry: str, error: ValueError) -> str:
    try:
        meant = ip_network(entry, strict=False)
    except ValueError:
        return f"{entry!r} is not a network: {error}"
    return f"{entry!r} has host bits set: did you mean '{meant}', or '{entry.partition('/')[0]}' alone?"
