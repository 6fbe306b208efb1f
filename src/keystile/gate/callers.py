"""What follows from a key's record, and what its caller is refused for.

The record is read for every request. What can be worked out from it alone is kept as long as the store gives the very
same record, so that a warm request compares numbers instead of parsing text.
"""

from __future__ import annotations

import logging
import math
from collections import OrderedDict
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from .._sync import Offload, Seldom
from ..events import Events
from ..exceptions import UnreadableRecord
from ..keys.usage.counting import Counting, Place
from ..model import ApiKey, Charges, Demand, Reason, SecretHash
from ..model.counts import HOUR
from ..rules import outcomes
from ..rules.limits.charges import charged
from ..rules.limits.quotas import Quotas
from ..rules.network import addresses
from ..rules.requests.uses import Uses
from ..stores import USE_EVERY
from .transport import Visit, event_of

NOTICE_EVERY = 86_400.0
# For so many seconds a use is not noted while the store is asked whether it is the first.
_ASKING = 1.0


@dataclass(slots=True)
class Caller:
    """What follows from a record alone.

    Attributes:
        key: the record.
        subject: the name under which its requests are counted.
        charges: its own windows, each with a cost of 1; None for a plan that has no access, or that the policy does not
            know.
        spared: why it would be refused if its plan were not in dry run, or None.
        allowlist: where it may be used from; None for anywhere.
        uses: what it may be used for; None for everything.
        closed: why it is refused whatever the time is, or None.
        ends: when it expires, in Unix seconds.
        touch_due: when its use is due to be noted next, in Unix seconds; at the end of the hour at the latest.
        notice_due: when it is due to be told next that it expires soon, in Unix seconds.
        place: where its admitted requests are counted until `touch_due`; None if they are not.
        used: whether the key is known to have been used. Its record may not say so: a use is no change of it.
    """

    key: ApiKey
    subject: str
    charges: Charges | None
    spared: Reason | None
    allowlist: addresses.Allowlist | None
    uses: Uses | None
    closed: Reason | None
    ends: float
    touch_due: float
    notice_due: float
    place: Place | None
    used: bool


def meet(key: ApiKey, before: Caller | None, quotas: Quotas) -> Caller:
    """Work out what follows from a record.

    Args:
        key: the record.
        before: what followed from the previous record with this id, if that is known.
        quotas: which windows hold for whom.

    Raises:
        ConfigurationError: the record holds limits, an allowlist or uses that cannot be read.
    """
    entries = key.ip_allowlist
    allowlist = None
    if entries is not None:
        same = before is not None and before.key.ip_allowlist == entries
        allowlist = before.allowlist if before is not None and same else addresses.Allowlist(entries)
    closed = outcomes.SUSPENDED if key.is_suspended else None
    return Caller(
        key=key,
        subject=quotas.subject(key),
        charges=charged(quotas.of(key)) if quotas.admits(key.effective_plan) else None,
        spared=outcomes.PLAN if quotas.spares(key.effective_plan) else None,
        allowlist=allowlist,
        uses=None if key.may is None else Uses(key.may),
        closed=closed if key.revoked_at is None else outcomes.REVOKED,
        ends=math.inf if key.expires_at is None else key.expires_at.timestamp(),
        touch_due=0.0 if before is None else before.touch_due,
        notice_due=0.0 if before is None else before.notice_due,
        place=None if before is None else before.place,
        used=key.last_used_at is not None or (before is not None and before.used),
    )


class Callers:
    """What follows from the records that were read recently.

    Args:
        counting: notes when a key was used, and counts its requests.
        quotas: which windows hold for whom.
        events: where a key's first use is reported, that it ends soon, and that its older secret is still in use.
        notice: for how many seconds before a key expires this is told.
        remembered: for how many keys; the one whose record was worked out the longest ago is dropped first.
        earlier: what followed by the policy before this one, by the id of the key; None at first. When a key was last
            noted in use does not depend on the policy.
    """

    def __init__(  # noqa: PLR0917 - what a request of a key needs
        self,
        counting: Counting,
        quotas: Quotas,
        events: Events,
        notice: float,
        remembered: int,
        earlier: MutableMapping[str, Caller] | None = None,
    ) -> None:
        self._earlier = {} if earlier is None else earlier
        self._counting, self._quotas, self._events, self._remembered = counting, quotas, events, remembered
        self._notice, self._seldom = notice, Seldom()
        # Not a plain dict: there, removing the oldest entry takes longer the more entries were removed before.
        self.known: OrderedDict[str, Caller] = OrderedDict()
        """By the id of the key; an entry for another record of the key is out of date."""

    def meet(self, key: ApiKey, before: Caller | None) -> Caller:
        """Work out what follows from a record, and keep it for as long as the store gives this very record."""
        before = self._earlier.pop(key.id, None) if before is None else before
        try:
            caller = meet(key, before, self._quotas)
        except Exception as error:  # noqa: BLE001 - whatever it is, only the record can have caused it
            raise UnreadableRecord("the key store", key.id, str(error)) from None
        caller.place = caller.place or self._counting.place(key.id)
        self.known.pop(key.id, None)
        self.known[key.id] = caller
        if len(self.known) > self._remembered:
            self.known.popitem(last=False)
        return caller

    async def first_use(self, caller: Caller, now: float, visit: Visit, offload: Offload) -> None:
        """Tell that a key is used for the first time, unless the store knows of another use.

        It is asked once for each key that this process meets without a use in its record.
        """
        caller.used, caller.touch_due = True, now + _ASKING  # others need not wait for the store's answer
        if not self._events.wanted(logging.INFO):
            return
        try:
            was_used = await self._counting.was_used(offload, caller.key.id)
        except BaseException:  # the request is given up: the next one asks
            caller.used = False
            raise
        if not was_used:
            self._events.tell(event_of("first_use", logging.INFO, visit, key=caller.key))

    def touch(self, caller: Caller, now: float, visit: Visit) -> None:
        """Have `last_used_at` written, outside this request's path, at most once a minute for each key; and begin to
        count in another hour."""
        caller.touch_due = min(now + USE_EVERY, (now // HOUR + 1) * HOUR)
        caller.place = self._counting.place(caller.key.id)
        self._counting.ask()
        used, at = caller.key.last_used_at, datetime.fromtimestamp(now, UTC)
        if used is None or at - used >= timedelta(seconds=USE_EVERY):
            self._counting.use(caller.key.id, at)
        if caller.ends - now <= self._notice and now >= caller.notice_due:
            caller.notice_due = now + NOTICE_EVERY
            reason = f"it expires at {caller.key.expires_at}"
            self._events.tell(event_of("expires_soon", logging.WARNING, visit, key=caller.key)._replace(reason=reason))

    def graced(self, key: ApiKey, secret_hash: SecretHash, visit: Visit, now: float) -> ApiKey:
        """The record as it is for whoever presents the older secret of a rotated key: it ends when that secret does.

        That the secret is still in use is told and noted, at most once a minute for each key.
        """
        ends = secret_hash.expires_at
        if self._seldom.due(key.id):
            reason = f"the secret before the last rotation is still in use; it ends at {ends}"
            self._events.tell(event_of("grace_secret_used", logging.WARNING, visit, key=key)._replace(reason=reason))
            self._counting.use(key.id, datetime.fromtimestamp(now, UTC), graced=True)
        if ends is None or (key.expires_at is not None and key.expires_at <= ends):
            return key
        return replace(key, expires_at=ends)


def judge(caller: Caller, secret_hash: SecretHash, demand: Demand, visit: Visit, now: float) -> Reason | None:
    """Why a caller whose secret is proved is refused, or None."""
    if caller.closed is not None:
        return caller.closed
    if now >= caller.ends or (secret_hash.expires_at is not None and now >= secret_hash.expires_at.timestamp()):
        return outcomes.EXPIRED
    if caller.allowlist is not None and addresses.parse(visit.client) not in caller.allowlist:
        return outcomes.ADDRESS
    if caller.charges is None:
        return outcomes.PLAN
    if demand.scopes and not demand.scopes.issubset(caller.key.scopes):
        return outcomes.lacking(demand.scopes)
    if caller.uses is not None and not caller.uses.hold(visit.request):
        return outcomes.USES
    return None
