"""A websocket behind a gate that reads keys from subprotocols, for real servers: it tells what it saw of the offer.

KEYSTILE_STORE names the key store. ``/chooses`` accepts the subprotocol ``chat``, other paths choose none.
"""

from __future__ import annotations

import json
import os
from typing import Any

from keystile import Gate, HmacHasher, Rule, asgi, current


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        return await send({"type": "lifespan.shutdown.complete"})
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "chat" if scope["path"] == "/chooses" else None})
    principal = current().principal
    offered = [value.decode() for name, value in scope["headers"] if name.lower() == b"sec-websocket-protocol"]
    seen = {"name": principal and principal.name, "subprotocols": list(scope["subprotocols"]), "offered": offered}
    seen["all"] = repr({name: value for name, value in scope.items() if name != "keystile"})
    await send({"type": "websocket.send", "text": json.dumps(seen)})
    return await send({"type": "websocket.close"})


asgi_app = asgi.GateMiddleware(
    _app,
    Gate(
        os.environ["KEYSTILE_STORE"],
        prefix="acme",
        hasher=HmacHasher(b"p" * 16),
        public=["/open"],
        rules=[Rule("/*", accept=["Sec-WebSocket-Protocol"])],
    ),
)
