"""Several ASGI apps behind one gate, each below a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...answers.writers import Writers
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...model import Refused
from ..prefixes import NOT_FOUND, Places
from .lifespans import Lifespans
from .reading import Reader, accepted_by, own_root_path
from .wire import Receive, Scope, Send


class Mounts:
    """An app that hands each request to the one below whose prefix it is; 404 where there is none.

    Args:
        apps: each with its prefix and its name for messages.
        gate: stands in front; its settings say how errors look.

    Raises:
        ConfigurationError: an app has a root path of its own, which would not be its prefix. The key is its name.
    """

    def __init__(self, apps: Iterable[tuple[str, str, Any]], gate: Gate) -> None:
        listed = list(apps)
        for prefix, name, app in listed:
            own = own_root_path(app)
            if own:
                reason = f"has a root path of its own, {own!r}: leave that out, its prefix here is {prefix!r}"
                raise ConfigurationError(reason, key=name)
        self._places = Places((prefix, (name, app)) for prefix, name, app in listed)
        self._lifespans = Lifespans((name, app) for _, name, app in listed)
        self._below, self._refusal = Reader(gate, None).path, Writers(gate, str.encode).refusal_within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespans.run(scope, receive, send)
        path = self._below(scope)
        place = self._places.find(path)
        if place is None:
            return await self._not_found(scope, send)
        prefix, (name, app) = place
        inner = moved(scope, path, prefix)
        state = self._lifespans.states.get(name)
        if state is not None:
            inner["state"] = dict(state)
        await app(inner, receive, send)
        return None

    async def _not_found(self, scope: Scope, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        reply = self._refusal(Refused(NOT_FOUND, scope["keystile"].request_id), accepted_by(scope))
        await send({"type": "http.response.start", "status": reply.status, "headers": reply.headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else reply.body})
        return None


def moved(scope: Scope, path: str, prefix: str) -> Scope:
    """The scope for what is served below a prefix.

    Args:
        scope: as it came.
        path: of it, as rules are relative to it; begins with the prefix.
        prefix: without a slash at its end.
    """
    whole = scope["path"]
    # A server may leave its root path out of the path. What an app is given has both, as the ASGI specification says:
    # not every router finds its prefix otherwise.
    taken = whole[: len(whole) - len(path)] or (scope.get("root_path") or "").rstrip("/")
    return {**scope, "root_path": taken + prefix, "path": taken + path}
