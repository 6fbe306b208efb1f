"""The ids of messages in this process's memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from ... import _sync
from .ids import DONE, NEW, UNDER_WAY, State

MOST_IDS = 100_000


class _Note(NamedTuple):
    token: str | None
    until: float


class MemoryIds:
    """An `IdStore` that no other process sees. It keeps the newest ids: only who holds a secret adds any."""

    blocking = False

    def __init__(self) -> None:
        self._notes: OrderedDict[str, _Note] = OrderedDict()
        self._lock = _sync.Lock()

    def begin(self, id: str, token: str, now: float, until: float) -> State:
        """See `IdStore`."""
        with self._lock:
            note = self._notes.get(id)
            if note is not None and note.until > now:
                return UNDER_WAY if note.token else DONE
            self._put(id, _Note(token, until))
            if len(self._notes) > MOST_IDS:
                self._notes.popitem(last=False)
        return NEW

    def end(self, id: str, token: str, until: float | None) -> None:
        """See `IdStore`."""
        with self._lock:
            note = self._notes.get(id)
            if note is None or note.token != token:
                return
            if until is None:
                del self._notes[id]
            else:
                self._put(id, _Note(None, until))

    def close(self) -> None:
        """Nothing to close."""

    def _put(self, id: str, note: _Note) -> None:
        self._notes[id] = note
        self._notes.move_to_end(id)
