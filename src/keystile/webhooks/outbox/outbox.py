"""The outbox: messages that wait in the host's own database until they have arrived.

A message is added in the host's own transaction: it is kept together with what it tells of, or not at all. A worker
sends it afterwards, at least once; its id is what the receiver knows a second one by. Order is not promised.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ..._ground.checks import check_count
from ..._sync import Offload
from ...exceptions import ConfigurationError
from ...keys.changes.fields import check_page
from ...keys.changes.twins import awaited, blocking
from ...policy.webhooks import KEEP_MESSAGES, MAX_PAYLOAD, Webhooks
from ...rules.network.targets import Targets
from ..sending import Attempt
from . import adding, claiming, history
from .adding import Message
from .claiming import PER_ENDPOINT
from .database import Database, Tell, in_session
from .endpoints import Endpoints
from .records import Claimed, Delivery, Finished, Next, PastAttempt, State
from .rows import Rows
from .sealing import Seal

TEST_TYPE = "webhook.test"
_OF_TARGETS, _OWN = ("allow_networks", "allow_ports", "allow_http"), ("max_payload", "keep_messages")


class Outbox:
    """Webhook endpoints, and messages on their way to them, in a database.

    Every operation has an awaited twin, with an ``a`` before its name. They raise StoreUnavailable if the database does
    not answer. Threads, event loops and forked processes may share one outbox.

    Args:
        url: ``postgresql://…`` or ``sqlite:///file.db``: the database of the host's own transactions. A SQLite file
            gets its tables here; PostgreSQL by `migrate`, or by ``keystile webhooks migrate``.
        key: what secrets are sealed with: base64 of 32 bytes; several separated by commas, of which the first seals.
            None takes ``KEYSTILE_WEBHOOK_KEY``.
        targets: where messages may be sent; only to the public's addresses if None.
        authorization: whether the headers of an endpoint may hold ``Authorization``.
        max_payload: how many bytes a message may have.
        keep_messages: for how many days messages are kept that are not on their way any more.
        clock: gives Unix seconds.

    Raises:
        ConfigurationError: the URL names no such database, there is no key, or the SQLite file cannot be used.
    """

    needs_await = False

    def __init__(
        self,
        url: str,
        key: str | Iterable[str] | None = None,
        *,
        targets: Targets | None = None,
        authorization: bool = False,
        max_payload: int = MAX_PAYLOAD,
        keep_messages: int = KEEP_MESSAGES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._max_payload = check_count(max_payload, "max_payload")
        self._keep_messages, self._clock = check_count(keep_messages, "keep_messages"), clock
        self.targets = Targets() if targets is None else targets
        """Where messages may be sent: for whoever sends them."""
        self._rows, self._database = Rows(Seal(key)), Database(url)
        self.endpoints = Endpoints(self._database, self._rows, self.targets, clock, authorization=authorization)
        self.database = self._database
        """Its connections: for workers."""

    @classmethod
    def of(cls, settings: Webhooks | None, key: str | None = None) -> Outbox:
        """The outbox that a file's ``[webhooks]`` describes: ``Outbox.of(load().webhooks)``.

        Raises:
            ConfigurationError: it names none, or a setting cannot be used.
        """
        if settings is None or settings.outbox is None:
            raise ConfigurationError("is missing: name a database, like 'sqlite:///outbox.db'", key="outbox")
        targets = Targets(**{name: getattr(settings, name) for name in _OF_TARGETS})
        return cls(settings.outbox, key, targets=targets, **{name: getattr(settings, name) for name in _OWN})

    def __repr__(self) -> str:
        return f"Outbox({self.name!r})"

    @property
    def name(self) -> str:
        """Where it is, without credentials."""
        return self._database.place.name

    def migrate(self, tell: Tell | None = None, *, dry: bool = False) -> int:
        """Bring the database's tables up to date. Two at once are safe.

        Args:
            tell: called before each statement with its number, how many there are, and its text.
            dry: only tell, and change nothing.

        Returns:
            How many statements there were.

        Raises:
            ConfigurationError: the database cannot be reached or changed, or is newer than this keystile.
        """
        return self._database.migrate(tell, dry=dry)

    async def _add(
        self,
        offload: Offload,
        type: str,
        data: Mapping[str, Any],
        *,
        organization_id: str,
        dedupe_key: str | None = None,
        session: Any = None,
    ) -> str:
        """Have a message sent to each endpoint of an organization that wants it, of those that there are now.

        Args:
            type: what happened: ``"invoice.paid"``.
            data: JSON values. They become octets here, once: the same are signed and sent at every attempt.
            organization_id: whose endpoints get it.
            dedupe_key: of messages of an organization with the same key only the first is kept, for as long as it is.
            session: a SQLAlchemy Session or Connection of the host's, on the same database: the message is kept when
                the host's transaction is committed. For `aadd` an AsyncSession or AsyncConnection. What the database
                raises there passes as it is. None: a transaction of its own, done when this returns.

        Returns:
            The message's id; with a `dedupe_key` that is known, the id of the first message.

        Raises:
            ConfigurationError: the type or the data cannot be sent, or the session is none.
        """
        message = self._message(type, data, organization_id, dedupe_key)
        work = partial(adding.add, message=message)
        if session is None:
            return await self._database.write(offload, work, partial(adding.was_added, message_id=message.id))
        return await in_session(offload, session, work)

    async def _test(self, offload: Offload, endpoint_id: str, *, organization_id: str | None = None) -> str:
        """Have a message of the type ``webhook.test`` sent to one endpoint, whatever types it wants; gives its id.
        NotFound if there is no such endpoint, ConfigurationError if it is disabled."""
        wanted = history.of(endpoint_id, organization_id)
        # Whose it is, the endpoint's row says.
        message = self._message(TEST_TYPE, {"endpoint_id": endpoint_id}, organization_id or "-", None)
        work = partial(adding.test, message=message, wanted=wanted)
        return await self._database.write(offload, work, partial(adding.was_added, message_id=message.id))

    async def _deliveries(
        self,
        offload: Offload,
        endpoint_id: str,
        state: State | None = None,
        *,
        organization_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[Delivery]:
        """What was and is to be delivered to an endpoint, the newest first. A deleted endpoint still has its list.

        Args:
            endpoint_id: which one.
            state: only those that are ``"due"``, ``"done"``, ``"failed"`` or ``"dropped"``.
            organization_id: whose it must be.
            after: only those after the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.

        Raises:
            NotFound: there is no such endpoint, or it is another organization's.
        """
        wanted, page = history.of(endpoint_id, organization_id), history.check_page_of(state, after, limit)
        return await self._database.read(offload, partial(history.deliveries_of, wanted=wanted, page=page))

    async def _delivery(self, offload: Offload, delivery_id: str, *, organization_id: str | None = None) -> Delivery:
        """One delivery; NotFound if there is none."""
        wanted = history.of(delivery_id, organization_id, "delivery_id")
        return await self._database.read(offload, partial(history.delivery, wanted=wanted))

    async def _attempts(
        self, offload: Offload, delivery_id: str, *, organization_id: str | None = None
    ) -> Sequence[PastAttempt]:
        """What came of each attempt of a delivery, the first one first; NotFound if there is none. What the other side
        answered is for whoever runs this service, not for its customers."""
        wanted = history.of(delivery_id, organization_id, "delivery_id")
        return await self._database.read(offload, partial(history.attempts_of, wanted=wanted))

    async def _retry(self, offload: Offload, delivery_id: str, *, organization_id: str | None = None) -> Delivery:
        """Have a message sent to an endpoint once more, now, by the schedule from its beginning; also one that has
        arrived. One that is under way just now stays as it is. NotFound if there is none, or its endpoint was deleted.
        """
        wanted, now = history.of(delivery_id, organization_id, "delivery_id"), self._clock()
        work = partial(history.retry, wanted=wanted, now=now)
        return await self._database.write(offload, work, lambda _connection: None)

    async def _retry_failed(
        self,
        offload: Offload,
        endpoint_id: str,
        *,
        since: datetime,
        organization_id: str | None = None,
        most: float = math.inf,
    ) -> int:
        """Have everything sent once more that was given up, of what was added since then: about `most` of it, the
        oldest first. Gives how many there were. NotFound if there is no such endpoint."""
        wanted, begun = history.of(endpoint_id, organization_id), history.check_since(since)
        work = partial(history.retry_failed, wanted=wanted, since=begun, now=self._clock())
        count = done = await self._database.write(offload, work, lambda _connection: None)
        while done >= history.BATCH and count < most:
            done = await self._database.write(offload, work, lambda _connection: None)
            count += done
        return count

    async def _claim(
        self,
        offload: Offload,
        worker_id: str,
        most: int,
        *,
        now: float,
        full: Collection[str] = frozenset(),
        lease: float = 60.0,
        per_endpoint: int = PER_ENDPOINT,
        well: bool = False,
    ) -> Sequence[Claimed]:
        """Take deliveries that are due, the oldest first. Each is this worker's until its lease ends; then others may
        take it, so a lease must last longer than an attempt.

        Args:
            worker_id: who asks: a name that no other worker has.
            most: at most so many, 1 to 256.
            now: Unix seconds.
            full: ids of endpoints that get nothing more just now.
            lease: seconds, at most an hour.
            per_endpoint: at most so many are under way to one endpoint, of all workers together; a few more where two
                of them claim at the same moment.
            well: nothing for endpoints at which nothing has arrived since they failed.
        """
        asked = claiming.Wanted(worker_id, most, now, full, lease, per_endpoint, well)
        same: Any = {"wanted": claiming.check_wanted(asked), "rows": self._rows, "taken": []}
        work, written = partial(claiming.claim, **same), partial(claiming.was_claimed, **same)
        return await self._database.write(offload, work, written)

    async def _finish(
        self, offload: Offload, claimed: Claimed, attempt: Attempt, then: Next, *, now: float
    ) -> Finished | None:
        """Note what came of an attempt, and what follows.

        Args:
            claimed: as `claim` gave it.
            attempt: what came of it.
            then: what becomes of the delivery and of its endpoint.
            now: Unix seconds.

        Returns:
            What was done, also if it is called again with the same `now`. None, and nothing is noted, if it is not this
            worker's any more: its lease ended and another has claimed it, or its endpoint was deleted.
        """
        same: Any = {"claimed": claimed, "then": then, "now": now}
        work, written = partial(claiming.finish, attempt=attempt, **same), partial(claiming.was_finished, **same)
        return await self._database.write(offload, work, written)

    async def _purge(self, offload: Offload, *, most: int = history.BATCH) -> int:
        """Delete messages, at most so many, that are older than `keep_messages` and not on their way any more, with all
        of theirs; and what is left of deleted endpoints. Gives how many messages that were: call it until it gives 0.
        """
        before = self._clock() - self._keep_messages * 86_400
        work = partial(history.purge, before=before, most=check_page(most))
        return await self._database.write(offload, work, lambda _connection: None)

    def close(self) -> None:
        """Close the connections; they are made again when they are needed."""
        self._database.close()

    async def aclose(self) -> None:
        """Close them, and those of the running event loop."""
        await self._database.aclose()

    def _message(self, type: str, data: Any, organization_id: str, dedupe_key: str | None) -> Message:
        return adding.message_of(type, data, organization_id, dedupe_key, now=self._clock(), most=self._max_payload)

    add, aadd = blocking(_add), awaited(_add)
    test, atest = blocking(_test), awaited(_test)
    deliveries, adeliveries = blocking(_deliveries), awaited(_deliveries)
    delivery, adelivery = blocking(_delivery), awaited(_delivery)
    attempts, aattempts = blocking(_attempts), awaited(_attempts)
    retry, aretry = blocking(_retry), awaited(_retry)
    retry_failed, aretry_failed = blocking(_retry_failed), awaited(_retry_failed)
    claim, aclaim = blocking(_claim), awaited(_claim)
    finish, afinish = blocking(_finish), awaited(_finish)
    purge, apurge = blocking(_purge), awaited(_purge)
