"""What the cursors of managed lists are signed with."""

from __future__ import annotations

import secrets
from weakref import WeakKeyDictionary

from ..exceptions import ConfigurationError
from ..gate import Gate

_drawn: WeakKeyDictionary[Gate, bytes] = WeakKeyDictionary()


def cursor_secrets(gate: Gate) -> tuple[bytes, ...]:
    """The gate's own; for keys in this process's memory, which no other process could list, one that is drawn.

    Raises:
        ConfigurationError: the gate has none, and other processes would have to know it.
    """
    if gate.cursor_secrets:
        return tuple(gate.cursor_secrets)
    if gate.parts.store == "memory://":
        return (_drawn.setdefault(gate, secrets.token_bytes(32)),)
    reason = "is missing: managed lists are pages, and their cursors are signed; set it, or peppers"
    raise ConfigurationError(reason, key="cursor_secrets")
