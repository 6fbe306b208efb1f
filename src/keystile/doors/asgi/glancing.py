"""A glance at an ASGI request: enough for one that is warm and in which there is nothing unusual (`gate.lanes`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...gate import Gate
from ...gate.lanes import Admit
from ...model import Admitted, Refused
from ...rules.requests.credentials import MAX_CREDENTIAL, spelled
from .reading import Reader
from .wire import Scope

Glance = Callable[[Scope, Admit], Admitted | Refused | None]

_LONGEST_NAME, _MOST_NAMES = 64, 1024
_AUTHORIZATION = b"authorization"


def glancer(gate: Gate, reader: Reader) -> Glance | None:  # noqa: C901 - as `glance`
    """A function that asks a gate's lanes about a request, or gives None where it has to be read; None where each has.

    Args:
        gate: its settings hold.
        reader: reads whatever is unusual.
    """
    if not reader.glances:
        return None
    names = _Names(reader.telling, gate.accepted.headers)
    schemes, usual = spelled(gate.accepted.schemes), names.usual[_AUTHORIZATION]
    own_root_path, looks_at_options = reader.own_root_path, reader.looks_at_options
    looks_at_scheme = gate.policy.https != "off" or gate.policy.hsts is not None

    # One function, its values in its closure: a frame that is cold costs as much as its work.
    def glance(scope: Scope, admit: Admit) -> Admitted | Refused | None:
        headers = scope["headers"]
        try:
            # In this order: whatever has no length may be read once only.
            if len(headers) != len(named := dict(headers)):
                return None
            client, port = scope["client"]
            if not 0 < port < 65536:
                return None
        except (KeyError, TypeError, ValueError):
            return None
        if usual.issuperset(named):
            scheme, _, token = named.get(_AUTHORIZATION, b"").partition(b" ")
            if scheme not in schemes:
                return None
        else:
            token = names.token(named)
        if not token or len(token) > MAX_CREDENTIAL:
            return None
        if scope.get("root_path") or (own_root_path is not None and own_root_path()):
            return None
        method = scope["method"]
        if looks_at_options and method == "OPTIONS":
            return None
        target = method, scope["path"], scope.get("raw_path") or b""
        return admit(token, client, target, looks_at_scheme and scope.get("scheme") == "https")

    return glance


class _Names:
    """Names of headers, as they were spelled, that mean nothing to the gate.

    Args:
        telling: the names in lower case that do, those with a credential too.
        credentials: the names whose value is a credential.
    """

    def __init__(self, telling: frozenset[bytes], credentials: frozenset[bytes]) -> None:
        self._telling = telling
        self.usual: dict[bytes, set[bytes]] = {name: {name} for name in {*credentials, _AUTHORIZATION}}
        """By the name of the one credential: what may stand beside it, and that itself."""
        self._known = 0

    def token(self, named: dict[bytes, Any]) -> bytes:
        """The one credential of a request that is not in ``Authorization``; empty if there is none, or one cannot say
        at a glance."""
        self._learn(named)
        for name, usual in self.usual.items():
            if name != _AUTHORIZATION and usual.issuperset(named):
                found: bytes = named.get(name, b"")
                return found
        return b""

    def _learn(self, named: dict[bytes, Any]) -> None:
        """Note the names that mean nothing. A stranger can send many: only so many are noted."""
        for name in named.keys() - self.usual[_AUTHORIZATION]:
            if len(name) <= _LONGEST_NAME and self._known < _MOST_NAMES and name.lower() not in self._telling:
                self._known += 1
                for usual in self.usual.values():
                    usual.add(name)
