"""What is told of every change: who did what to what, when, and what it changed.

Written in the same step as the change itself, and never changed afterwards. It holds no secret and no hash.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal, NamedTuple

from .._ground.frozen import FrozenDict

ActorType = Literal["key", "session", "cli", "system"]
Via = Literal["management", "dashboard", "cli", "python", "leak_scan", "cap"]
# Their order as text is their order as numbers.
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
COUNTED = 4


class Actor(NamedTuple):
    """Who changes something, and how the request came in.

    Attributes:
        type: a ``"key"``, a person's ``"session"``, the ``"cli"``, or the ``"system"`` itself.
        id, name: which one; None where that is not known.
        via: the way that the change came: ``"python"`` for a call in code.
        client: the address that asked for it, or None.
        request_id: of the request that asked for it, or None.
    """

    type: ActorType = "system"
    id: str | None = None
    name: str | None = None
    via: Via = "python"
    client: str | None = None
    request_id: str | None = None


class Target(NamedTuple):
    """What was changed.

    Attributes:
        type: ``"key"``, ``"project"`` or ``"organization"``.
        id: its id.
        name: its name at that time.
    """

    type: str
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change.

    Attributes:
        id: ``aud_`` and 26 characters; of two entries the later one has the greater id, as text.
        at: when, on the gate's clock.
        event: ``"key.create"``, ``"key.import"``, ``"key.update"``, ``"key.rotate"``, ``"key.suspend"``,
            ``"key.resume"``, ``"key.revoke"``; ``create``, ``update``, ``suspend`` and ``resume`` of ``project`` and
            ``organization``; ``"project.delete"``, ``"organization.plan"``.
        actor: who did it.
        organization_id: whose it is, or None.
        targets: what was changed.
        before, after: the members that were changed, as JSON values; None if there was nothing before, or is nothing
            after. Of hashes only their number and hints, of long metadata only the beginning.
        correlation_id: the same for all entries of one action: the id of the first.
    """

    id: str
    at: datetime
    event: str
    actor: Actor
    organization_id: str | None
    targets: tuple[Target, ...]
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    correlation_id: str

    def followed_by(self, number: int, entry: AuditEntry) -> AuditEntry:
        """Another entry of the same action; `number` is its place among them, and the first has 0."""
        return replace(entry, id=numbered(self.id, number), correlation_id=self.correlation_id)

    def with_key_revoked(
        self, number: int, key: Target, organization_id: str | None, via: Via | None = None
    ) -> AuditEntry:
        """The entry about a key that the same action revoked.

        Args:
            number: the place of the entry among those of the action; the first has 0.
            key: which key.
            organization_id: whose it is.
            via: where that is another way than the action's.
        """
        return replace(
            self,
            id=numbered(self.id, number),
            event="key.revoke",
            actor=self.actor if via is None else self.actor._replace(via=via),
            organization_id=organization_id,
            targets=(key,),
            before=FrozenDict(revoked_at=None),
            after=FrozenDict(revoked_at=self.at.isoformat()),
        )


def numbered(entry_id: str, number: int) -> str:
    """The id of an action's entry with this number, from the id of any of its entries."""
    digits = ""
    for _ in range(COUNTED):
        number, digit = divmod(number, len(DIGITS))
        digits = DIGITS[digit] + digits
    return entry_id[:-COUNTED] + digits
