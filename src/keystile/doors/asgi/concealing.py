"""Taking keys out of a scope before the app, its logs and the server's access log see it.

A key in the query or among the subprotocols of a websocket is always taken out. What else looks like a key is taken out
where the policy hides credentials.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...gate import Gate
from ...model import Admitted, Refused
from ...policy.places import SUBPROTOCOL
from ...rules.places import subprotocols
from ...rules.places.hiding import Hiding
from .wire import Message, Scope, Send

_OFFERED = SUBPROTOCOL.header
Conceal = Callable[[Scope, Admitted | Refused, Send], Send]


def concealer(gate: Gate) -> Conceal | None:
    """What takes keys out of the scopes of this gate's requests; None if there is nothing to take out."""
    hiding = Hiding(gate.accepted, gate.ours, gate.mask.holds, everything=gate.policy.hide_credentials)
    return Concealer(gate, hiding).conceal if hiding.needed else None


class Concealer:
    """Takes keys out of scopes.

    Args:
        gate: its settings hold.
        hiding: knows what to take out.
    """

    def __init__(self, gate: Gate, hiding: Hiding) -> None:
        self._hiding, self._everything = hiding, gate.policy.hide_credentials
        self._offers = gate.accepted.subprotocols

    def conceal(self, scope: Scope, outcome: Admitted | Refused, send: Send) -> Send:
        """Change the scope in place, for everybody who has it. Returns the `send` to go on with."""
        query = scope.get("query_string")
        if query:
            scope["query_string"] = self._hiding.query(query, refused=isinstance(outcome, Refused))
        raw_path = scope.get("raw_path")
        if raw_path and b"?" in raw_path:  # some servers leave the query there
            path, _, query = raw_path.partition(b"?")
            rest = self._hiding.query(query, refused=isinstance(outcome, Refused))
            scope["raw_path"] = path + b"?" + rest if rest else path
        if scope["type"] == "websocket" and (self._offers or self._everything):
            send = self._without_offer(scope, send)
        if self._everything:
            lines = [(name, self._hiding.line(name.lower(), value)) for name, value in scope["headers"]]
            scope["headers"] = [(name, value) for name, value in lines if value is not None]
        return send

    def _without_offer(self, scope: Scope, send: Send) -> Send:
        """Without the key, and the word that is offered beside it; an app that chooses none answers with that word."""
        offered = subprotocols.offered([value for name, value in scope["headers"] if name.lower() == _OFFERED])
        left = [] if offered is None else self._hiding.subprotocols(offered)
        if left == offered:
            return send
        headers = [line for line in scope["headers"] if line[0].lower() != _OFFERED]
        scope["headers"] = [*headers, (_OFFERED, b", ".join(left))] if left else headers
        scope["subprotocols"] = [word.decode("latin-1") for word in left]
        return _answering(send) if subprotocols.OURS.encode() in (offered or ()) else send


def _answering(send: Send) -> Send:
    """A `send` that accepts a websocket with our subprotocol, where the app chooses none (RFC 6455 section 4.2.2)."""

    def answered(message: Message) -> Awaitable[None]:
        if message["type"] == "websocket.accept" and not _chooses(message):
            message = dict(message, subprotocol=subprotocols.OURS)
        return send(message)

    return answered


def _chooses(message: Message) -> bool:
    return bool(message.get("subprotocol")) or any(name.lower() == _OFFERED for name, _ in message.get("headers") or ())
