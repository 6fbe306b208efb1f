"""Whether a server is a replica. A replica hears of a revocation later than its primary: it must not give verdicts.

A replica refuses what counts as a write, unless it was told to take writes (``replica-read-only no``). So each new
connection asks for the role before it is used. A server that does not say what it is, is taken as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

ROLE = "ROLE"
REASON = "it is a replica"


def is_replica(reply: Any) -> bool:
    """Whether this is what a replica replies to ``ROLE``."""
    return isinstance(reply, list) and reply[:1] in ([b"slave"], ["slave"])


def primary_only(refusal: type[Exception], silent: type[Exception]) -> Callable[[Any], None]:
    """What a driver's new connection does first.

    Args:
        refusal: raised at a replica; an error of the driver, because it closes the connection for no other.
        silent: what the driver raises if the server does not tell its role.
    """

    def connected(connection: Any) -> None:
        connection.on_connect()
        connection.send_command(ROLE)
        try:
            reply = connection.read_response()
        except silent:
            return
        if is_replica(reply):
            raise refusal(REASON)

    return connected


def primary_only_awaited(refusal: type[Exception], silent: type[Exception]) -> Callable[[Any], Awaitable[None]]:
    """The same for asyncio."""

    async def connected(connection: Any) -> None:
        await connection.on_connect()
        await connection.send_command(ROLE)
        try:
            reply = await connection.read_response()
        except silent:
            return
        if is_replica(reply):
            raise refusal(REASON)

    return connected
