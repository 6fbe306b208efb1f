"""What happened at the gate, for logs and listeners: one value for each decision that matters.

An event says who, where, what and why, and never holds a secret. What a client chooses (method, path, request id) may
hold anything. So keys in it are masked, and control characters are escaped before it becomes a line of a log.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, get_args

from ._sync import Lock, Seldom, is_async
from .exceptions import ConfigurationError, StoreUnavailable, UnreadableRecord
from .policy import EventFormat
from .rules.requests.masks import SHORTEST

logger = logging.getLogger("keystile")

TEXT, JSON = get_args(EventFormat)
_MAX_SHOWN = 256


class Event(NamedTuple):
    """One thing that happened.

    Attributes:
        code: what happened: the ``error.code`` of a refusal, or one of the others that docs/reference/events.md lists.
        level: of `logging`. INFO for refusals, which strangers can cause as often as they like; WARNING for what
            somebody should look at; ERROR for what is down.
        status: of the answer, or None.
        key_id: the id of a proved key, or None.
        client: the client's address, or None if it is unknown.
        method, path: of the request as it was sent, with keys masked, and cut after 8192 characters; empty where
            there is none.
        request_id: as in the answer; empty where there is no request.
        reason: more, for people; or empty.
        organization_id: of the proved key, or of what was changed; or None.
    """

    code: str
    level: int
    status: int | None = None
    key_id: str | None = None
    client: str | None = None
    method: str = ""
    path: str = ""
    request_id: str = ""
    reason: str = ""
    organization_id: str | None = None


Listener = Callable[[Event], object]
L = TypeVar("L", bound=Listener)


def as_text(event: Event) -> str:
    """One line of ``name=value``; values with blanks, quotes or control characters are quoted as in JSON."""
    found = members(event)
    return " ".join([found.pop("event"), *(f"{name}={_word(value)}" for name, value in found.items())])


def as_json(event: Event) -> str:
    """One line of JSON, in ASCII."""
    return json.dumps(members(event))


def members(event: Event) -> dict[str, Any]:
    """What it says, by name, as JSON values: without what is empty, and long texts by their beginning."""
    known = event._asdict()
    found: dict[str, Any] = {"event": known.pop("code"), "level": logging.getLevelName(known.pop("level"))}
    return found | {name: _short(value) for name, value in known.items() if value not in (None, "")}


def _short(value: Any) -> Any:
    return value[:_MAX_SHOWN] + "…" if isinstance(value, str) and len(value) > _MAX_SHOWN else value


def _word(value: Any) -> str:
    text = str(value)
    plain = text.isascii() and text.isprintable() and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text)


class Outage:
    """Reports that a store went down or came back, once for each change.

    Args:
        events: where it is reported.
        what: the first part of the events' codes.
        meaning: what it means while the store is down.
    """

    def __init__(self, events: Events, what: str, meaning: str) -> None:
        self._events, self._what, self._meaning = events, what, meaning
        self._unreadable = Seldom()
        self.lasts = False

    def begins(self, error: Exception) -> None:
        """It does not answer; or it cannot for one key, which says nothing about others."""
        if isinstance(error, UnreadableRecord):
            self._tell_unreadable(error)
        elif not self.lasts:
            self.lasts = True
            # A driver's message may hold a password: its type says enough.
            reason = str(error) if isinstance(error, StoreUnavailable) else type(error).__name__
            self._events.tell(Event(f"{self._what}_down", logging.ERROR, reason=f"{self._meaning}: {reason}"))

    def ends(self) -> None:
        """It answers."""
        if self.lasts:
            self.lasts = False
            self._events.tell(Event(f"{self._what}_up", logging.WARNING))

    def _tell_unreadable(self, error: UnreadableRecord) -> None:
        if self._unreadable.due(error.key_id):
            self._events.tell(Event("unreadable_record", logging.WARNING, key_id=error.key_id, reason=error.reason))


class Events:
    """Tells a gate's listeners and the logger ``keystile``.

    Args:
        form: what a line of the log looks like, as the policy says.
    """

    def __init__(self, form: EventFormat) -> None:
        self._as_line = as_json if form == JSON else as_text
        # Replaced and never changed: another thread may be telling them something.
        self._listeners: tuple[Listener, ...] = ()
        self._changing = Lock()
        self.hide: Callable[[str], str] = str
        """Masks keys in a text that a client chose: the method, the path and, where a server takes it from a header,
        the peer. A request's id is checked when it is read."""

    def listen(self, listener: L) -> L:
        """Call a function with every event from now on.

        Raises:
            ConfigurationError: it cannot be called, or is async.
        """
        if not callable(listener) or is_async(listener):
            raise ConfigurationError("expected a plain function that takes an Event, not async", key="on_event")
        with self._changing:
            self._listeners = (*self._listeners, listener)
        return listener

    def leave(self, listener: Listener) -> None:
        """Tell this listener nothing more."""
        with self._changing:
            self._listeners = tuple(each for each in self._listeners if each != listener)

    def wanted(self, level: int) -> bool:
        """Whether anybody listens to events of this level, so that making one is worth it."""
        return bool(self._listeners) or logger.isEnabledFor(level)

    def tell(self, event: Event) -> None:
        """Tell everybody. If a listener fails, that is logged and harms no request."""
        client, method, path = event.client or "", event.method, event.path
        if len(client) >= SHORTEST and (hidden := self.hide(client)) != client:
            event = event._replace(client=hidden)
        if len(method) >= SHORTEST and (hidden := self.hide(method)) != method:
            event = event._replace(method=hidden)
        if len(path) >= SHORTEST and (hidden := self.hide(path)) != path:
            event = event._replace(path=hidden)
        if logger.isEnabledFor(event.level):
            logger.log(event.level, "%s", self._as_line(event), extra={"event": event})
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:  # it is the host's code, and this is a request's path
                logger.exception("a listener of events failed")
