"""Which forms were sent, where a key's id cannot follow from its form: with an `OpaqueFormat` it follows from the key.

Kept in this process alone, and only the latest ones. With the default format nothing is kept here, and a form makes one
key whichever process it comes to.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..._sync import Lock

MOST_FORMS = 1000


class Sent:
    """The forms that made something."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._forms: dict[str, None] = {}

    @contextmanager
    def once(self, form_id: str) -> Iterator[bool]:
        """Whether this form is sent for the first time. One that makes nothing, but raises, may be sent again."""
        with self._lock:
            first = form_id not in self._forms
            self._forms[form_id] = None
            while len(self._forms) > MOST_FORMS:
                del self._forms[next(iter(self._forms))]
        try:
            yield first
        except BaseException:
            if first:
                with self._lock:
                    self._forms.pop(form_id, None)
            raise
