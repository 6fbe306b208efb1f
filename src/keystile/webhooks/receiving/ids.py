"""The ids of messages that came: one that comes again is not given to the app twice.

An id is *under way* from the moment at which its message was verified, and *done* once the app has answered it with
success. If the app fails, the id is forgotten, so that the sender's next attempt runs the app. A process that dies in
between leaves its id under way for `LEASE` seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any, Literal, NamedTuple, Protocol

from ... import _sync
from ...exceptions import ConfigurationError
from ...rules.requests.urls import place_of

LEASE = 300
"""Seconds after which an id that nobody has ended is free again."""
MOST_IDS = 100_000

State = Literal["new", "under_way", "done"]
NEW: State = "new"
UNDER_WAY: State = "under_way"
DONE: State = "done"


class IdStore(Protocol):
    """Where ids are kept. Each method may be plain or ``async def``, both of one kind.

    A plain store is expected to block, so its calls leave the event loop. If it has an attribute ``blocking = False``,
    it runs in place and must take microseconds. Any exception means that it is down: the message is answered with 503.
    """

    def begin(self, id: str, token: str, now: float, until: float) -> State | Awaitable[State]:
        """Note that the message with this id is under way, in one step with finding out whether it is new.

        Args:
            id: the path of its receiver, and its own id.
            token: of this attempt.
            now: Unix seconds.
            until: when the note ends, if nobody ends it before.

        Returns:
            ``"new"`` if nothing was noted of it, or what was noted has ended; else what was noted.
        """

    def end(self, id: str, token: str, until: float | None) -> Awaitable[None] | None:
        """Note that it is done, until then; or forget it, if that is None. Nothing, if another attempt has it now."""

    def close(self) -> Awaitable[None] | None:
        """Close files and connections."""


class _Note(NamedTuple):
    token: str | None
    until: float


class MemoryIds:
    """An `IdStore` that no other process sees. It keeps the newest 100,000 ids: only who holds a secret adds any."""

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


def open_ids(given: Any) -> IdStore:
    """The store of ids that a URL names, ``memory://`` or ``sqlite:///file.db``, or the one that was given.

    Raises:
        ConfigurationError: no store has this scheme, it cannot be opened, or it is no store of ids.
    """
    if isinstance(given, str):
        return _open(given)
    if not all(callable(getattr(given, name, None)) for name in ("begin", "end", "close")):
        raise ConfigurationError(f"expected a URL or an IdStore, got {type(given).__name__}", key="ids")
    if _sync.is_async(given.begin) != _sync.is_async(given.end):
        raise ConfigurationError("begin and end must be of one kind: both plain or both async", key="ids")
    found: IdStore = given
    return found


def _open(url: str) -> IdStore:
    if url == "memory://":
        return MemoryIds()
    if url.startswith("sqlite:"):
        from .sqlite import SQLiteIds

        return SQLiteIds.from_url(url)
    raise ConfigurationError(f"no store of ids for {place_of(url)!r}; there are memory:// and sqlite:///", key="ids")
