"""The names of a request's headers, looked at as a whole: nearly always one look tells that most mean nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...gate.transport import SECURE, Transport
from .wire import LISTED, PROTO, Scope, port_of_peer

AUTHORIZATION = b"authorization"
_LONGEST_NAME, _MOST_NAMES = 64, 1024


class Names:
    """What is known of names, as servers spell them: in lower case, but not all do.

    Args:
        telling: the names in lower case that mean something, those with a credential too.
        credentials: the names whose value is a credential.
        transport: knows what proxies in front say.
    """

    def __init__(self, telling: frozenset[bytes], credentials: frozenset[bytes], transport: Transport) -> None:
        self._header, self._sights = transport.header or b"", transport.sights
        said = {LISTED, PROTO, self._header} - {b""} if self._header else {LISTED}
        self._telling = telling | said | ({transport.twin} if self._header else set())
        self._idle: set[bytes] = set()
        self._beside = {name: {name, *said} for name in sorted(credentials)}
        self.usual: set[bytes] = set()
        """Names of which only ``Authorization`` means anything; none where another header has to be looked at too."""
        self._known = [self._idle, *self._beside.values()]
        # Where proxies are trusted, it matters in every request what they say.
        if AUTHORIZATION in credentials and not self._header:
            self.usual.add(AUTHORIZATION)
            self._known.append(self.usual)

    def read(self, named: Mapping[bytes, Any], scope: Scope) -> tuple[bytes, bytes, str | None, bool] | None:
        """What a request presents whose names are not all usual: a credential and the name of its header; the client
        and whether it came over https, as they were found for a request like it. None if that has to be found."""
        self._learn(named)
        for name, beside in self._beside.items():
            if name in named and beside.issuperset(named):
                peer, scheme = scope["client"], scope.get("scheme", "http")
                if not self._header and LISTED not in named:
                    return name, named[name], peer[0], scheme in SECURE
                told = named.get(self._header), named.get(PROTO), named.get(LISTED)
                seen = self._sights.get((peer[0], port_of_peer(peer[1]), scheme, *told))
                return None if seen is None else (name, named[name], *seen)
        return None

    def _learn(self, named: Mapping[bytes, Any]) -> None:
        """Note the names that mean nothing. A stranger can send many: beyond so many, all are noted anew."""
        for name in named.keys() - self._idle:
            if len(name) > _LONGEST_NAME or name.lower() in self._telling:
                continue
            if len(self._idle) >= _MOST_NAMES:
                gone = set(self._idle)
                for known in self._known:
                    known.difference_update(gone)
            for known in self._known:
                known.add(name)
