"""JSON bodies of ASGI requests: read before the app runs, where a rule demands them."""

from __future__ import annotations

from ...model import Reason
from ...rules import outcomes
from ...rules.requests.bodies import announced_length, refuse_body, refuse_head
from .wire import Message, Receive, Scope, head_ends

_OF_THE_BODY = frozenset((b"content-length", b"transfer-encoding", b"content-type", b"content-encoding"))


async def read_json(scope: Scope, receive: Receive, most: int) -> Reason | Receive | None:
    """Read the request's body and check that it is JSON. Only reading shows whether there is a body: lengths lie.

    Args:
        scope, receive: the server's.
        most: how many bytes may come.

    Returns:
        Why it is refused; or a `receive` that gives the app the same bytes; or None if the client has left.
    """
    fields = _body_fields(scope)
    if not {b"content-length", b"transfer-encoding"} & set(fields) and scope.get("http_version", "1.1") < "2":
        return receive
    length = announced_length(fields.get(b"content-length", []))
    if length == 0 and b"transfer-encoding" not in fields:
        return receive
    types, codings = fields.get(b"content-type", []), fields.get(b"content-encoding", [])
    reason = refuse_head(types[0] if len(types) == 1 else None, ", ".join(codings), length, most)
    if reason is not None and fields.keys() & {b"content-length", b"transfer-encoding"}:
        return reason
    body = await _read(receive, most)
    if not isinstance(body, bytes):
        return body
    if body and (reason := reason or refuse_body(body)):
        return reason
    return _replaying(body, receive)


def _body_fields(scope: Scope) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    certain = head_ends(scope)
    for at, (name, value) in enumerate(scope["headers"]):
        if at <= certain and (lowered := name.lower()) in _OF_THE_BODY:
            found.setdefault(lowered, []).append(value.decode("latin-1"))
    return found


async def _read(receive: Receive, most: int) -> bytes | Reason | None:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if len(body) > most:
            return outcomes.too_large(most)
        more = message.get("more_body", False)
    return bytes(body)


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def received() -> Message:
        return waiting.pop() if waiting else await receive()

    return received
