"""Several ASGI apps behind one gate, each below a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...answers.documents import Documents
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...rules.requests.canonical import below
from ..prefixes import NOT_FOUND, Places
from .lifespans import Lifespans
from .reading import accepted_by, own_root_path
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
        self._fixed, self._documents = gate.policy.root_path, Documents(gate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self._lifespans.run(scope, receive, send)
        root = scope.get("root_path") or ""
        path = below(scope["path"], root if self._fixed is None else self._fixed)
        place = self._places.find(path)
        if place is None:
            return await self._not_found(scope, send)
        prefix, (name, app) = place
        # A server may leave its root path out of the path. What an app is given has both, as the ASGI specification
        # says: not every router finds its prefix otherwise.
        taken = scope["path"][: len(scope["path"]) - len(path)] or root
        inner = {**scope, "root_path": taken + prefix, "path": taken + path}
        state = self._lifespans.states.get(name)
        if state is not None:
            inner["state"] = dict(state)
        await app(inner, receive, send)
        return None

    async def _not_found(self, scope: Scope, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        request_id = scope["keystile"].request_id
        headers, body = self._documents.error(NOT_FOUND, accepted_by(scope), request_id)
        fields = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": NOT_FOUND.status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        return None
