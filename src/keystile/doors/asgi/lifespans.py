"""The lifespans of several apps, as one.

Each app runs inside the wait of the one before it: when an app has started and asks for the next message, the next app
is started, and when that one has ended, the message is "shutdown". So the apps start in their order and end in the
reverse one, all in the task that the server gave, under any event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from .wire import Message, Receive, Scope, Send

logger = logging.getLogger("keystile")

_UP, _DOWN = "lifespan.startup", "lifespan.shutdown"
_FAILED = ".failed"


class Lifespans:
    """Starts and ends apps together.

    Args:
        apps: each with its name for messages.
    """

    def __init__(self, apps: Iterable[tuple[str, Any]]) -> None:
        self._apps = list(apps)
        self.states: dict[str, dict[str, Any]] = {}
        """What each app keeps for its requests, by its name; empty where the server offers no state."""

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the server's lifespan."""
        await receive()
        whole = _Whole(scope, receive, send, self._apps, self.states)
        await whole.from_app(0)
        if whole.failed is None:
            await send({"type": f"{_DOWN}.complete"})
        else:
            await send({"type": (_DOWN if whole.up else _UP) + _FAILED, "message": whole.failed})


class _Whole:
    """One run of all apps."""

    def __init__(
        self, scope: Scope, receive: Receive, send: Send, apps: list[tuple[str, Any]], states: dict[str, dict[str, Any]]
    ) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.apps, self._states = apps, states
        self.up = False
        self.failed: str | None = None

    async def from_app(self, index: int) -> None:
        """Run the apps from this one on, from start to end. Does not raise: what fails is noted."""
        if index == len(self.apps):
            self.up = True
            await self._send({"type": f"{_UP}.complete"})
            await self._receive()
            return
        each = _One(self, index)
        await each.run()

    def scope_of(self, name: str) -> Scope:
        """What an app is given: a state of its own, if the server offers one."""
        if "state" not in self._scope:
            return {**self._scope}
        return {**self._scope, "state": self._states.setdefault(name, {})}

    def fail(self, name: str, why: str) -> None:
        """Note the first failure."""
        if self.failed is None:
            self.failed = f"{name}: {why}" if why else name


class _One:
    """One app in that run."""

    def __init__(self, whole: _Whole, index: int) -> None:
        self._whole, self._index = whole, index
        self._name, self._app = whole.apps[index]
        self._asked, self._started, self._went_on = False, False, False

    async def run(self) -> None:
        try:
            await self._app(self._whole.scope_of(self._name), self._receive, self._send)
        except Exception as error:
            if self._started:
                logger.exception("the lifespan of %s failed", self._name)
                self._whole.fail(self._name, type(error).__name__)
            elif self._whole.failed is None:
                # As servers do: an app that knows nothing of lifespans says so by an exception.
                logger.info("%s takes no part in the lifespan: it raised %s", self._name, type(error).__name__)
        await self._go_on()

    async def _go_on(self) -> None:
        """Run the apps after this one, once."""
        if not self._went_on and self._whole.failed is None:
            self._went_on = True
            await self._whole.from_app(self._index + 1)

    async def _receive(self) -> Message:
        if not self._asked:
            self._asked = True
            return {"type": _UP}
        await self._go_on()
        return {"type": _DOWN}

    async def _send(self, message: Message) -> None:
        if message["type"].endswith(_FAILED):
            self._whole.fail(self._name, message.get("message", ""))
        elif message["type"] == f"{_UP}.complete":
            self._started = True
