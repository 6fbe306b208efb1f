"""Connections to addresses that somebody else named: every one is judged when it is made, whatever was judged before.

A name is resolved here and nowhere else, and the connection goes to the address that was judged: a name that leads
elsewhere a moment later (DNS rebinding) leads nowhere. The pool above still knows the host by its name, so that TLS
proves that name and no connection serves two of them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..._sync import Lookups
from ...exceptions import ConfigurationError, KeystileError
from ...rules.network.targets import Targets

try:
    import httpcore2
except ImportError:
    raise ConfigurationError("sending needs the package httpcore2: pip install 'keystile[webhooks]'") from None

__all__ = ["Blocked", "Guarded", "Resolve", "Unresolved", "httpcore2", "resolve"]

RESOLVE_SECONDS = 5.0
SLOTS, QUEUE = 8, 56
"""Threads that look up names at once, and look-ups that wait. A look-up cannot be ended, only left: names that have
hung have threads of their own."""
MOST_TRIED = 4

Resolve = Callable[[str, int], Sequence[str]]
"""Gives the addresses of a host, in the order in which they are to be tried. It may block."""


class Blocked(KeystileError):
    """The host leads to an address that no message may be sent to."""


class Unresolved(KeystileError):
    """The host leads nowhere."""


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host, by the system's resolver."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Guarded(httpcore2.AsyncNetworkBackend):
    """Makes connections to addresses that are permitted, and no others.

    Args:
        targets: which these are.
        resolve: finds the addresses of a host.
    """

    def __init__(self, targets: Targets, resolve: Resolve = resolve) -> None:
        self._targets, self._resolve = targets, resolve
        self._inner = httpcore2.AnyIOBackend()
        self._lookups = Lookups(SLOTS, QUEUE)

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's own name
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A connection to the first address of the host that answers, if all of them are permitted: a host of the
        public's has no others."""
        addresses = await self._addresses(host, port)
        if not all(map(self._targets.permits, addresses)):
            raise Blocked("the host leads to an address that is not public")
        tried = addresses[:MOST_TRIED]
        share = None if timeout is None else timeout / len(tried)
        for address in tried[:-1]:
            try:
                return await self._inner.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return await self._inner.connect_tcp(tried[-1], port, share, local_address, socket_options)

    async def connect_unix_socket(self, *_args: Any, **_named: Any) -> httpcore2.AsyncNetworkStream:
        """No message goes to a socket of this host."""
        raise Blocked("a socket of this host is not public")

    async def sleep(self, seconds: float) -> None:
        """See httpcore2. Nothing is tried twice here."""
        await self._inner.sleep(seconds)

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        try:
            found = await self._lookups.run(host, RESOLVE_SECONDS, self._resolve, host, port)
        except (OSError, UnicodeError) as error:  # TimeoutError too: it is an OSError
            raise Unresolved(type(error).__name__) from None
        if not found:
            raise Unresolved("no address")
        return found
