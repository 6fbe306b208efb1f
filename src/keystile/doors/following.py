"""A door that goes on when the policy of its gate changes: `gate.reloading` says how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import copy
from typing import Any, Self, cast

from ..exceptions import ConfigurationError
from ..gate import Gate
from ..rules.reloading import Turn


class Following(ABC):
    """What both doors have in common here.

    A request asks for `_now` once, and keeps to it: what follows from the policy is never half old and half new.
    """

    _gate: Gate
    """The gate by whose policy this door serves: for requests that began before a change, the gate as it was."""
    _latest: Gate
    """The gate itself, by whose policy callers are judged again."""
    _now: Self

    def _follow(self, app: Any, gate: Gate) -> None:
        """Serve by this gate, whatever becomes of its policy; ConfigurationError if it serves this app already."""
        if any(each is gate for each in _gates_of(app)):
            raise ConfigurationError("stands before this app already, and would count each request twice", key="gate")
        self._gate = self._latest = gate
        self._serve(gate)
        self._now = cast("Self", self)
        gate.followed_by(self)

    @abstractmethod
    def _serve(self, gate: Gate) -> None:
        """Keep what follows from the policy of this gate."""

    def under(self, later: Gate, past: Gate) -> Turn:
        """See `rules.reloading.Follower`."""
        heir = copy(self)
        heir._serve(later)  # noqa: SLF001 - it is of this class
        heir._gate = self._latest  # noqa: SLF001
        heir._now = heir  # noqa: SLF001 - not the one before it, which would keep all that ever were

        def leave() -> None:
            self._now._gate = past  # noqa: SLF001

        def enter() -> None:
            self._now = cast("Self", heir)

        return Turn(leave, enter)


def _gates_of(app: Any) -> Iterator[Gate | None]:
    """Those that a door inside would ask: the app itself, what Flask serves, what Starlette puts around its router."""
    for each in (app, getattr(app, "wsgi_app", None)):
        if isinstance(each, Following):
            yield each._latest  # noqa: SLF001 - it is of this class
    for layer in getattr(app, "user_middleware", ()):
        if isinstance(layer.cls, type) and issubclass(layer.cls, Following):
            yield layer.kwargs.get("gate")
