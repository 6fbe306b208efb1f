"""What the outbox shows of endpoints, deliveries and attempts; and what a worker takes from it and gives back.

What people see has datetimes in UTC. What a worker computes with has Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from ..._ground.frozen import HiddenBytes
from ..schemes import Scheme
from ..secrets import Secret

State = Literal["due", "done", "failed", "dropped"]
STATES: tuple[State, ...] = ("due", "done", "failed", "dropped")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an organization wants its messages.

    Attributes:
        id: ``ep_`` and 22 characters; of two endpoints the later one has the greater id.
        organization_id: whose it is.
        url: where messages go.
        description: a label for people, or None.
        event_types: the types of messages that it gets; None for all.
        scheme: how its messages are signed.
        header_names: the headers that its owner has added to messages. Their values may be credentials, and are not
            shown.
        created_at: when it was made.
        disabled_at, disabled_reason: since when it gets nothing, and why; or None.
        first_failure_at: since when nothing has arrived there though it was sent; None if the last thing sent arrived.
        revision: grows when somebody changes it.
    """

    id: str
    organization_id: str
    url: str
    description: str | None
    event_types: tuple[str, ...] | None
    scheme: Scheme
    header_names: tuple[str, ...]
    created_at: datetime
    disabled_at: datetime | None
    disabled_reason: str | None
    first_failure_at: datetime | None
    revision: int

    @property
    def is_enabled(self) -> bool:
        """Whether it gets messages."""
        return self.disabled_at is None


@dataclass(frozen=True, slots=True)
class IssuedEndpoint:
    """An endpoint and the secret that its messages are signed with: shown once, to its owner.

    Attributes:
        endpoint: the endpoint.
        secret: ``whsec_…``. The repr hides it.
    """

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message on its way to one endpoint.

    Attributes:
        id: ``dlv_`` and 22 characters; of two deliveries to an endpoint the later one has the greater id.
        message_id: which message: the ``webhook-id`` that the receiver sees.
        endpoint_id: where to.
        type: the message's type.
        state: ``"due"`` (to be sent, or under way), ``"done"``, ``"failed"`` (given up), ``"dropped"`` (its endpoint
            was deleted before).
        attempts: how many there were.
        due_at: when it is tried next, at the soonest; None if it is not to be tried.
        created_at: when the message was added.
    """

    id: str
    message_id: str
    endpoint_id: str
    type: str
    state: State
    attempts: int
    due_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt to deliver, as it is kept for people.

    Attributes:
        delivery_id: of which delivery.
        attempt: which one, from 1. One that is missing was under way when its worker died.
        at: when it had ended.
        status: of the answer, or None if none came.
        error: why none came, or None: see `sending.Attempt`.
        seconds: how long it took.
        response_head: the beginning of the answer, at most 1 KiB of printable ASCII, for whoever runs this service: a
            customer would see what a server says that only this service can reach.
    """

    delivery_id: str
    attempt: int
    at: datetime
    status: int | None
    error: str | None
    seconds: float
    response_head: str


@dataclass(frozen=True, slots=True)
class Destination:
    """An endpoint as a worker needs it.

    Attributes:
        id: its id.
        organization_id: whose it is.
        url: where to.
        scheme: how messages are signed.
        headers: names and values to be added.
        secrets: what messages are signed with, the newest first: all that are in force.
        first_failure_at: Unix seconds since when nothing has arrived, or None.
    """

    id: str
    organization_id: str
    url: str
    scheme: Scheme
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    secrets: tuple[Secret, ...] = field(repr=False)
    first_failure_at: float | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery that is a worker's alone until its lease ends.

    Attributes:
        delivery_id: which one.
        message_id: the id to sign with: the same at every attempt.
        type: the message's type.
        payload: the octets to sign and to send.
        endpoint: where to.
        attempt: which attempt this is, from 1; it grows with each claim.
        tries: which attempt this is of the present schedule, from 1: like `attempt`, but somebody who asks for a
            delivery once more begins the schedule anew.
        created_at: Unix seconds at which the message was added.
        lease_by: the worker that has it.
        lease_until: Unix seconds at which others may claim it.
    """

    delivery_id: str
    message_id: str
    type: str
    payload: HiddenBytes
    endpoint: Destination
    attempt: int
    tries: int
    created_at: float
    lease_by: str
    lease_until: float


@dataclass(frozen=True, slots=True)
class Next:
    """What becomes of a delivery after an attempt, and of its endpoint. Made by `done`, `retry`, `failed`, `dropped`.

    Attributes:
        state: the delivery's state.
        due_at: Unix seconds of the next attempt, for ``"due"``.
        blamed: whether a failure is the endpoint's. If so, it counts from its first failure on.
        disable: why the endpoint is disabled from now on, in a word or two; None leaves it as it is.
        failing_since: disable it only if its `first_failure_at` is still this one: nothing has arrived in the meantime.
            None disables it in any case.
    """

    state: State
    due_at: float | None = None
    blamed: bool = True
    disable: str | None = None
    failing_since: float | None = None

    @classmethod
    def done(cls) -> Next:
        """It has arrived."""
        return cls("done")

    @classmethod
    def retry(
        cls, at: float, *, blamed: bool = True, disable: str | None = None, failing_since: float | None = None
    ) -> Next:
        """It is tried again at this moment; of a disabled endpoint when it is enabled again."""
        return cls("due", at, blamed, disable, failing_since)

    @classmethod
    def failed(cls, *, blamed: bool = True, disable: str | None = None, failing_since: float | None = None) -> Next:
        """It is given up."""
        return cls("failed", None, blamed, disable, failing_since)

    @classmethod
    def dropped(cls) -> Next:
        """It is not to be sent any more."""
        return cls("dropped", blamed=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """What `Outbox.finish` did.

    Attributes:
        disabled: whether it disabled the endpoint.
    """

    disabled: bool = False
