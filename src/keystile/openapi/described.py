"""The document of an app that makes it again and again, as frameworks do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..gate import Gate
from .describing import check_prefix, describe

Document = dict[str, Any]


class Described:
    """A function that gives the document of an app as it is behind a gate, made anew when the app's own is another.

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
        self._last: tuple[Document | None, Document] = None, {}

    def __call__(self) -> Document:
        """The document. It belongs to this function: copy it before you change it."""
        document = self._make()
        before, described = self._last
        if before is not document:
            described = describe(document, self._gate, self._prefix, templates=self._templates())
            self._last = document, described
        return described
