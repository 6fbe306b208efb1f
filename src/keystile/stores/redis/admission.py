"""Letting keys in: the entries that are noted before a key is written, and the caps that are counted in them.

First the key is noted with its owners, and counted there in the same step; then it is written, by a script that refuses
after `WRITE_WITHIN`; then the note is confirmed. Whoever finds no room looks at the records themselves: what is noted
but was never written, or is dead, is taken out. So a process that ends in between takes up a place for `LAPSES` at
most, and a process that was paused in between writes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from ...exceptions import StoreBusy
from ...model import ApiKey, AuditEntry, Target
from ..contract import Cap
from ..rows import microseconds
from .bodies import Kept, is_revoked, read_key
from .names import EVERYBODY, OWNERS, Entry, Slot, field, fields
from .server import ENTER
from .writing import Writing

# In the servers' milliseconds. The nodes of a Cluster may differ by what is between them.
WRITE_WITHIN, LAPSES = 30_000, 60_000
# For how many seconds a creation that may replace a key waits for others that are just being made.
WAIT = 2.0
# The narrowest first.
_NARROW = ("owner_id", "project_id", "organization_id")


class Admitted(NamedTuple):
    """A key that was let in.

    Attributes:
        until: when it must be written, in the servers' milliseconds.
        revoked: what is told of the keys that were revoked for it.
    """

    until: int | None
    revoked: tuple[AuditEntry, ...]


class Admission:
    """Notes keys and counts them."""

    def __init__(self, writing: Writing) -> None:
        self._writing, self._server, self._reading = writing, writing.server, writing.reading

    async def enter(self, key: ApiKey, entry: Entry | None, cap: Cap | None, entries: Sequence[AuditEntry]) -> Admitted:
        """Note a key if the cap has room, or makes room.

        Args:
            key: as it is to be.
            entry: its entry; None if it has one already that stays.
            cap: counts it.
            entries: what is told of the change.

        Raises:
            KeyLimitReached: there is no room.
        """
        revoked: list[AuditEntry] = []
        times: list[int] = []
        first = None if cap is None else _slot_of(cap)
        if cap is not None and first is not None:
            deadline = time.monotonic() + WAIT
            # A cap may count keys to which this one does not belong.
            noted = entry if entry is not None and first in entry.slots else None
            while True:
                now, room, known = await self._enter(first, key, noted, cap, entries)
                if room:
                    times.append(now)
                    break
                revoked += await self._make_room(cap, first, (now, known), entries, len(revoked))
                if time.monotonic() > deadline:
                    raise StoreBusy(self._server.name, "others make keys under the same cap")
        if entry is not None:
            others = [slot for slot in entry.slots if slot != first]
            times += [(await self._enter(slot, key, entry, None, entries))[0] for slot in others]
            name = EVERYBODY.name("list")
            await self._server.ask(name, "ZADD", name, 0, entry.listed)
        return Admitted(min(times) + WRITE_WITHIN if entry is not None else None, tuple(revoked))

    async def confirm(self, entry: Entry) -> None:
        """The key was written with this entry."""
        for slot in entry.slots:
            await self._server.drop([slot.name("held")], [entry.octets])

    async def leave(self, entry: Entry, *, revoked: bool = False) -> None:
        """The entry holds no longer; one that was revoked stays in the lists."""
        for slot in entry.slots:
            names = [slot.name("live"), slot.name("held")]
            if revoked:
                await self._server.drop(names, [entry.octets] * 2)
            else:
                await self._server.drop([*names, slot.name("list")], [entry.octets, entry.octets, entry.listed])
        if not revoked:
            await self._server.drop([EVERYBODY.name("list")], [entry.listed])

    async def _enter(
        self, slot: Slot, key: ApiKey, entry: Entry | None, cap: Cap | None, entries: Sequence[AuditEntry]
    ) -> tuple[int, bool, list[bytes]]:
        wanted = {} if cap is None else dict(cap.by)
        wanted = {name: value for name, value in wanted.items() if OWNERS[name] != slot.kind}
        # Where keys are replaced, the new one always comes in.
        most = "" if cap is None else max(1, cap.most) if cap.replaces else cap.most
        now, room, others = await self._server.run(
            ENTER,
            [slot.name(what) for what in ("live", "held", "list")],
            b"" if entry is None else entry.octets,
            "" if entry is None else entry.expires,
            entry.listed if entry is not None and slot.id is not None else b"",
            microseconds(entries[0].at),
            most,
            field(key.id),
            *(field(wanted[name]) if name in wanted else "*" for name in OWNERS),
        )
        return now, bool(room), others

    async def _make_room(
        self, cap: Cap, slot: Slot, found: tuple[int, list[bytes]], entries: Sequence[AuditEntry], number: int
    ) -> Sequence[AuditEntry]:
        """Take out what does not count; if all do, revoke the oldest key, or raise KeyLimitReached."""
        now, others = found
        gone, live, ids = await self._look(now, others)
        if gone:
            names = [slot.name(what) for _ in gone for what in ("live", "held")]
            await self._server.drop(names, [entry for entry in gone for _ in range(2)])
            return ()
        cap.excess(len(ids))
        if not live:  # others are just being made; as soon as one is there, it can be revoked
            return ()
        oldest = min(live, key=lambda kept: (kept.key.created_at, kept.key.id))
        key = oldest.key
        told = entries[0].with_key_revoked(
            len(entries) + number, Target("key", key.id, key.name), key.organization_id, "cap"
        )
        _, is_first = await self._writing.revoke(key.id, entries[0].at, [told])
        await self.leave(Entry(key, oldest.token), revoked=True)
        return [told] if is_first else ()

    async def _look(self, now: int, others: list[bytes]) -> tuple[list[bytes], list[Kept], set[str]]:
        """Of these entries, those that do not count; the keys of the others that are there; and the ids of all that
        count."""
        known = [(entry, noted, fields(entry)) for entry, noted in zip(others[::2], others[1::2], strict=True)]
        found = dict(await self._reading.keys(list(dict.fromkeys(str(each[0]) for _, _, each in known))))
        gone: list[bytes] = []
        live: list[Kept] = []
        ids: set[str] = set()
        for entry, noted, (key_id, token, *_) in known:
            raw = found[str(key_id)][0]
            kept = _read(raw)
            holds = raw is not None and (kept is None or kept.token == token)
            is_new = bool(noted) and now - float(noted) < LAPSES
            if (raw is not None and holds and is_revoked(raw)) or not (holds or is_new):
                gone.append(entry)
                continue
            ids.add(str(key_id))
            if holds and kept is not None:
                live.append(kept)
        return gone, live, ids


def _read(raw: bytes | None) -> Kept | None:
    """The key in these octets, or None: what cannot be read counts as long as it is not revoked."""
    try:
        return None if raw is None else read_key(raw)
    except Exception:  # noqa: BLE001 - whatever is wrong with it
        return None


def _slot_of(cap: Cap) -> Slot:
    """Where a cap is counted: with the narrowest owner that it names."""
    named = dict(cap.by)
    among = [name for name in _NARROW if named.get(name) is not None] or [name for name in _NARROW if name in named]
    return Slot(OWNERS[among[0]], named[among[0]])
