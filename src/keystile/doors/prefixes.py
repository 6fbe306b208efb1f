"""Which of several apps a path belongs to: the one with the longest prefix, on whole segments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, NamedTuple, TypeVar

from ..model import Reason

A = TypeVar("A")

NOT_FOUND = Reason(404, "not_found", "There is nothing here.")


class Place(NamedTuple, Generic[A]):
    """An app and its prefix; that of the rest is empty."""

    prefix: str
    app: A


class Places(Generic[A]):
    """Apps by prefix.

    Args:
        apps: each with its prefix; ``"/"`` is what the others leave.
    """

    def __init__(self, apps: Iterable[tuple[str, A]]) -> None:
        self._places = {prefix.rstrip("/"): Place(prefix.rstrip("/"), app) for prefix, app in apps}
        self._deepest = max((prefix.count("/") for prefix in self._places), default=0)

    def __iter__(self) -> Iterable[Place[A]]:
        return iter(self._places.values())

    def find(self, path: str) -> Place[A] | None:
        """The place of a path, or None. It costs what the prefixes cost, not what the path does."""
        ends: list[int] = []
        at = 0
        while len(ends) <= self._deepest and at != -1:
            at = path.find("/", at + 1)
            ends.append(len(path) if at == -1 else at)
        for end in reversed(ends):
            found = self._places.get(path[:end])
            if found is not None:
                return found
        return self._places.get("")
