"""What a message meets on its way to the app, one after the other.

    receiver, form of the headers, body, signature, time, id

Whatever is wrong, the answer is the same. The event says what it was. The id is looked at last, so that nobody without
a secret learns which messages came, or fills the store of ids.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from ..._ground.checks import errors_under
from ..._sync import Offload, Pool, adapt, is_async
from ...answers.current import Current
from ...events import Events, Outage
from ...exceptions import ConfigurationError, InvalidSignature, Overloaded
from ...gate import Gate
from ...gate.transport import RequestIds, Visit, event_of
from ...model import Reason, Refused, Request
from ...policy.webhooks import Receiver, check_ids
from ...rules import outcomes
from ..schemes import Claim, Fields, Scheme
from ..secrets import Key, Secret
from ..signing import Received, proved
from .ids import DONE, LEASE, UNDER_WAY
from .opening import open_ids
from .paths import Paths

READ_SECONDS = 30.0
"""How long the body of a message may take where the door can bound it. Senders give up after 15 to 30 seconds."""
SLOTS, QUEUE = 8, 256
PATIENCE = 0.25
"""Seconds for which a store of ids that another process holds is tried again."""
UNCLEAR = "the path or method can be read in more than one way, and there is more than one receiver"
WEBSOCKET = "a websocket is no message"
CUT_SHORT = "the body is malformed or shorter than announced"
LATE = f"the body took longer than {READ_SECONDS:.0f} seconds"

Lines = Callable[[Sequence[str]], Fields]
"""Gives the lines of the headers with these lower-case names."""


class Hook(NamedTuple):
    """A receiver, ready to judge.

    Attributes:
        path: its path.
        scheme: how messages are signed.
        keys: with what.
        max_body: the most bytes of a message.
    """

    path: str
    scheme: Scheme
    keys: tuple[Key, ...]
    max_body: int


class Arrival(NamedTuple):
    """A message whose headers have the form of its receiver's scheme."""

    hook: Hook
    claim: Claim
    visit: Visit


class Verified(NamedTuple):
    """A message whose signature is right, and which is not a repeat.

    Attributes:
        received: who signed it, and when.
        id: under which it is noted as under way, or None if ids are not kept.
        token: of this attempt.
    """

    received: Received
    id: str | None = None
    token: str = ""


class Repeated(NamedTuple):
    """A message that the app has answered with success before."""

    request_id: str


class Receiving:
    """The receivers of one middleware.

    Args:
        receive: where messages arrive.
        ids: where ids are kept: a URL or an `ids.IdStore`, or None.
        keep_ids: for how many seconds.
        gate: whose events, clock and proxies hold; a gate of its own if None.

    Raises:
        ConfigurationError: a setting cannot be used, or two contradict each other.
    """

    def __init__(self, receive: Iterable[Receiver], ids: Any, keep_ids: int, gate: Gate | None) -> None:
        listed = tuple(receive)
        if not listed or not all(isinstance(each, Receiver) for each in listed):
            raise ConfigurationError("expected a list of at least one Receiver", key="receive")
        check_ids(listed, ids, keep_ids)
        self._paths = Paths([each.pattern for each in listed])
        self._hooks = [_hook(at, each) for at, each in enumerate(listed)]
        self.gate = Gate() if gate is None else gate
        self._events: Events = self.gate.events
        self._request_ids, self._keep = RequestIds(), keep_ids
        self._store = None if ids is None else open_ids(ids)
        if self._store is not None:
            pool, blocking = Pool(SLOTS, QUEUE), getattr(self._store, "blocking", True)
            self._begin = adapt(self._store.begin, pool, blocking=blocking, patience=PATIENCE)
            self._end = adapt(self._store.end, pool, blocking=blocking, patience=PATIENCE)
        self._outage = Outage(self._events, "webhook_ids", "signed messages are refused with 503")

    @property
    def needs_await(self) -> bool:
        """Whether the store of ids is async."""
        return self._store is not None and is_async(self._store.begin)

    def close(self) -> None:
        """Close the store of ids, if its methods are plain."""
        if self._store is not None and not self.needs_await:
            self._store.close()

    def concerns(self, request: Request) -> tuple[int, ...]:
        """The receivers that a request concerns; empty if it is none of ours."""
        return self._paths.find(request)

    def meet(
        self, places: Sequence[int], request: Request, current: Current | None, lines: Lines, *, websocket: bool = False
    ) -> Arrival | Refused:
        """Look at what can be judged before the body is read.

        Args:
            places: what `concerns` gave.
            request: what the door read.
            current: what a gate outside says of the request, or None.
            lines: gives the lines of headers.
            websocket: it is the handshake of a websocket.
        """
        request_id = self._request_ids.draw() if current is None else current.request_id
        visit = self.gate.transport.see(request, request_id)
        if websocket or len(places) > 1:
            return self.refused(outcomes.INVALID_SIGNATURE, visit, WEBSOCKET if websocket else UNCLEAR)
        hook = self._hooks[places[0]]
        try:
            return Arrival(hook, hook.scheme.read(lines(hook.scheme.headers)), visit)
        except InvalidSignature as error:
            return self.refused(outcomes.INVALID_SIGNATURE, visit, error.reason)

    async def judge(self, arrival: Arrival, body: bytes, offload: Offload) -> Verified | Repeated | Refused:
        """Verify a message, and note that it is under way."""
        hook, claim, visit = arrival
        now = self.gate.clock()
        try:
            received = proved(claim, hook.keys, body, now, hook.scheme.tolerance)
        except InvalidSignature as error:
            return self.refused(outcomes.INVALID_SIGNATURE, visit, error.reason)
        if self._store is None or received.id is None:
            return Verified(received)
        verified = Verified(received, f"{hook.path} {received.id}", os.urandom(12).hex())
        try:
            state = await self._begin(offload, verified.id, verified.token, now, now + LEASE)
        except Overloaded:
            return self.refused(outcomes.OVERLOADED, visit)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the sender tries again
            self._outage.begins(error)
            return self.refused(outcomes.STORE_DOWN, visit)
        self._outage.ends()
        if state == DONE:
            self._tell("repeated_message", visit, 200, f"the app has answered {received.id} before")
            return Repeated(visit.request_id)
        if state == UNDER_WAY:
            return self.refused(outcomes.UNDER_WAY, visit, f"the app is working on {received.id}")
        return verified

    async def settle(self, verified: Verified, offload: Offload, *, success: bool) -> None:
        """Note that the app has answered with success, or forget the id. A store that is down is told, not raised: the
        app's answer stands, and the message may run the app once more."""
        if verified.id is None:
            return
        until = self.gate.clock() + self._keep if success else None
        try:
            await self._end(offload, verified.id, verified.token, until)
        except Exception as error:  # noqa: BLE001 - likewise
            self._outage.begins(error)

    def refused(self, reason: Reason, visit: Visit, why: str = "") -> Refused:
        """A refusal. What was wrong with the body is told as a wrong signature, but for its size."""
        if reason is outcomes.MALFORMED:
            reason, why = outcomes.INVALID_SIGNATURE, CUT_SHORT
        self._tell(reason.code, visit, reason.status, why)
        return Refused(reason, visit.request_id)

    def _tell(self, code: str, visit: Visit, status: int, why: str) -> None:
        if self._events.wanted(logging.INFO):
            self._events.tell(event_of(code, logging.INFO, visit, status)._replace(reason=why))


def _hook(at: int, receiver: Receiver) -> Hook:
    scheme = Scheme.of(receiver)
    with errors_under(f"receive[{at}].secrets"):
        secrets = [each if isinstance(each, Secret) else Secret(each) for each in receiver.secrets]
        keys = scheme.keys(secrets)
    return Hook(receiver.pattern.example, scheme, keys, receiver.max_body)
