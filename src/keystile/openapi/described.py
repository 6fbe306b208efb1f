"""The document of an app that makes it again and again, as frameworks do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..exceptions import ConfigurationError
from ..gate import Gate
from ..policy import Policy
from .describing import check_prefix, describe

Document = dict[str, Any]


class Described:
    """A function that gives the document of an app as it is behind a gate, made anew when the app's own is another, or
    the gate's policy.

    Args:
        make: gives the app's own. It may give the same one each time, and that is not changed.
        gate, prefix: as for `describe`.
        templates: gives what `describe` takes.

    Raises:
        ConfigurationError: the prefix is no path.
    """

    def __init__(
        self, make: Callable[[], Document], gate: Gate, prefix: str, templates: Callable[[], Mapping[str, str]]
    ) -> None:
        check_prefix(prefix)
        self._make, self._gate, self._prefix, self._templates = make, gate, prefix, templates
        self._last: tuple[Document | None, Policy | None] = None, None
        self._given: Document = {}

    def __call__(self) -> Document:
        """The document, the same dict each time. It belongs to this function: copy it before you change it."""
        document, policy = self._make(), self._gate.policy
        before, by = self._last
        if before is not document or by is not policy:
            described = describe(document, self._gate, self._prefix, templates=self._templates())
            for name in self._given.keys() - described.keys():
                del self._given[name]
            self._given.update(described)
            self._last = document, policy
        return self._given

    def renew(self) -> None:
        """Bring what was given up to date, for a framework that asks once and keeps it, if the policy has changed."""
        policy, by = self._gate.policy, self._last[1]
        if by is None or by is policy:
            return
        self._last = None, policy
        self._given["paths"] = {}  # rather than what holds no more, should the new rules be too many to be told
        with suppress(ConfigurationError):
            self()


def templates_of(routes: Iterable[tuple[str, str]]) -> dict[str, str]:
    """What `describe` takes, from the path of the document and the template of each route. Routes of several methods
    may share a path and not the template: of these, the one whose parameters hold several segments tells more."""
    found: dict[str, str] = {}
    for path, template in routes:
        if path not in found or ":path}" in template:
            found[path] = template
    return found
