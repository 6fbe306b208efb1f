"""May this service connect to an address that somebody else named? Only if it is the public's, or the operator's word.

What is judged is the address that a connection is about to go to, never the text that it came from: ``0x7f.1`` and
``2130706433`` are loopback to a resolver. `ipaddress.is_global` is no rule for this: its answers change between
versions of Python, and it lets through multicast, NAT64 and 6to4 addresses that lead to loopback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address
from typing import NamedTuple

from ..._ground.checks import check_strings, errors_under
from ..._ground.urls import OWN_PORTS
from ...exceptions import ConfigurationError
from .addresses import Address, Allowlist, parse

# The special-purpose registries of IANA (RFC 6890), multicast, and class E.
_NOT_PUBLIC = Allowlist(
    [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16"),
        *("192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # a host's own services in Azure
        *("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"),
    ]
)
# RFC 4291 section 2.4: everything else of IPv6 is not global unicast, or not yet.
_GLOBAL_6 = Allowlist(["2000::/3"])
# Nobody receives messages there, and clouds give out credentials in some of them. No setting opens these.
_NEVER = Allowlist(
    [
        *("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"),
        *("168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32"),
        *("::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "fd20:ce::254/128"),
    ]
)

MOST_URL = 2048
# Printable ASCII without what parsers read in different ways: spaces, quotes, brackets, backslash, a user, a fragment.
_URL = re.compile(r"(https?)://([^/?#@:\[\]]+|\[[0-9a-fA-F:.]+\])(?::([0-9]{1,5}))?((?:[/?][^#]*)?)")
_UNSAFE = re.compile(r"[^\x21-\x7e]|[\"<>\\^`{|}]")
_LABEL = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?"
# The last label begins with a letter: what ends in a number is an address to some parsers (WHATWG URL, section 3.5).
_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}\.)*[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_INTERNAL = ("local", "internal", "localhost")


class Target(NamedTuple):
    """Where a message is sent.

    Attributes:
        scheme: ``"https"`` or ``"http"``.
        host: a name in lower case, or an address; without brackets.
        port: its port.
        path: the path and the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The value of ``Host``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == OWN_PORTS[self.scheme] else f"{host}:{self.port}"


class Targets:
    """Where messages may be sent.

    Args:
        allow_networks: addresses and networks that are open though they are not public: those of internal receivers.
            Addresses from which clouds give out credentials stay closed.
        allow_ports: ports beside 443.
        allow_http: whether messages may go in the clear.

    Raises:
        ConfigurationError: an entry is not an address, a network or a port.
    """

    def __init__(
        self, *, allow_networks: Iterable[str] = (), allow_ports: Iterable[int] = (), allow_http: bool = False
    ) -> None:
        listed = check_strings(allow_networks, "allow_networks")
        with errors_under("allow_networks"):
            self._opened = Allowlist(listed) if listed else None
        self._ports = {443, *allow_ports, *({80} if allow_http else ())}
        if not all(isinstance(port, int) and 0 < port < 65536 for port in self._ports):
            raise ConfigurationError("expected ports from 1 to 65535", key="allow_ports")
        self._schemes = ("https", "http") if allow_http else ("https",)

    def permits(self, text: str) -> bool:
        """Whether a connection may go to this address, as a resolver wrote it. A zone names an interface of this host,
        so what has one is none of the public's."""
        address = None if "%" in text else parse(text)
        if address is None or address in _NEVER:
            return False
        return _is_public(address) or (self._opened is not None and address in self._opened)

    def read(self, url: str) -> Target:
        """Where a URL leads.

        Raises:
            ConfigurationError: it is no URL that messages may be sent to; with the reason, for whoever registered it.
        """
        if len(url) > MOST_URL or _UNSAFE.search(url):
            raise _wrong(f"expected at most {MOST_URL} characters of printable ASCII, without spaces and quotes")
        found = _URL.fullmatch(url)
        if found is None:
            raise _wrong("expected 'https://host/path', without a user and without a fragment")
        scheme, host, path = found[1], found[2].lower(), found[4]
        port = int(found[3] or OWN_PORTS[scheme])
        if scheme not in self._schemes:
            raise _wrong("messages go over https")
        if port not in self._ports:
            raise _wrong(f"the port is not one of {', '.join(map(str, sorted(self._ports)))}")
        return Target(scheme, self._host(host), port, path if path.startswith("/") else f"/{path}")

    def _host(self, host: str) -> str:
        if host.startswith("["):
            host = host[1:-1]
        if _is_address(host):
            if not self.permits(host):
                raise _wrong("the address is not public")
            return host
        if not _NAME.fullmatch(host):
            raise _wrong("the host is neither a name in ASCII nor an address as it is usually written")
        if self._opened is None and ("." not in host or host.rpartition(".")[2] in _INTERNAL):
            raise _wrong("the host is a name inside of a network")
        return host


def _is_public(address: Address) -> bool:
    return address not in _NOT_PUBLIC and (address.version == 4 or address in _GLOBAL_6)


def _is_address(host: str) -> bool:
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return False


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, key="url")
