"""Bodies of ASGI requests that are read before the app runs: JSON where a rule demands it, and signed messages."""

from __future__ import annotations

from ...model import Reason
from ...rules import outcomes
from ...rules.requests.bodies import announced_length, refuse_body, refuse_head
from .wire import Message, Receive, Scope, head_ends

_OF_THE_BODY = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"))


async def read_json(scope: Scope, receive: Receive, most: int) -> tuple[Reason | None, Receive] | None:
    """Read the request's body and check that it is JSON. Only reading shows whether there is a body: lengths lie.

    Args:
        scope, receive: the server's.
        most: how many bytes may come.

    Returns:
        Why it is refused, or None; and a `receive` that gives the app the same bytes. None alone if the client has
        left.
    """
    fields = _body_fields(scope)
    if not {b"content-length", b"transfer-encoding"} & set(fields) and scope.get("http_version", "1.1") < "2":
        return None, receive
    length = announced_length(fields.get(b"content-length", []))
    if length == 0 and b"transfer-encoding" not in fields:
        return None, receive
    types, codings = fields.get(b"content-type", []), fields.get(b"content-encoding", [])
    reason = refuse_head(types[0] if len(types) == 1 else None, ", ".join(codings), length, most)
    if reason is not None and fields.keys() & {b"content-length", b"transfer-encoding"}:
        return reason, receive
    read = await _read(receive, most)
    if read is None:
        return None
    body, more = read
    if len(body) > most:
        reason = outcomes.too_large(most)
    elif body:
        reason = reason or refuse_body(body)
    else:
        reason = None
    return reason, replaying(body, receive, more=more)


async def read_body(scope: Scope, receive: Receive, most: int) -> bytes | Reason | None:
    """Read the request's body, whatever it is.

    Returns:
        Its octets; or why it is refused; or None if the client has left.
    """
    length = announced_length(_body_fields(scope).get(b"content-length", []))
    if length is not None and length > most:
        return outcomes.too_large(most)
    read = await _read(receive, most)
    if read is None:
        return None
    return outcomes.too_large(most) if len(read[0]) > most else read[0]


def replaying(body: bytes, receive: Receive, *, more: bool = False) -> Receive:
    """A `receive` that gives the app these octets, and then whatever the server gives; `more` if that is the rest of
    the body."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": more}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received


def _body_fields(scope: Scope) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    certain = head_ends(scope)
    for at, (name, value) in enumerate(scope["headers"]):
        if at <= certain and (lowered := name.lower()) in _OF_THE_BODY:
            found.setdefault(lowered, []).append(value.decode("latin-1"))
    return found


async def _read(receive: Receive, most: int) -> tuple[bytes, bool] | None:
    """The body, or the beginning of one that is too long, and whether more follows; None if the client has left."""
    body, more = bytearray(), True
    while more and len(body) <= most:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return bytes(body), more
