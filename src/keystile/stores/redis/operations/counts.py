"""Counts of requests: a hash for each key and day, with a field for each hour and outcome.

All that belongs to a key's counts is in one of `SLOTS` slots, with an index by hour, so one script keeps them together.
A call that concerns several slots takes several steps. If a later one fails, the earlier ones are done already; the
same counts come again, and what was written of them is taken off then.
"""

from __future__ import annotations

import binascii
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby

from ...._sync import Lock, on_fork
from ....exceptions import UnreadableRecord
from ....model import Counted, Used
from ....model.counts import DAY_HOURS
from ...contract import USE_EVERY
from ..names import Slot, octets_of, text_of
from ..reading import Reading
from ..server import COUNT, COUNTED, FORGET
from .keys import Keys

# Over so many slots the counts are spread, in a single server too: then it can become a Cluster.
SLOTS = 16
# So many days are read at a time, or looked through for old counts.
PAGE = 32


class Credit:
    """What calls that failed have written nevertheless; shared by both kinds of connections."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.reset()
        on_fork(self)

    def reset(self) -> None:
        """Start afresh, in a forked child: what comes again comes to its parent."""
        self._written: Counter[tuple[str, int, str]] = Counter()

    def add(self, counts: Iterable[Counted]) -> None:
        """These were written, and will come again."""
        with self._lock:
            for each in counts:
                self._written[each[:3]] += each.number

    def take(self, counts: Iterable[Counted]) -> list[Counted]:
        """As much of these counts as was written already."""
        if not self._written:
            return []
        with self._lock:
            found = [each._replace(number=min(each.number, self._written[each[:3]])) for each in counts]
            self._written -= Counter({each[:3]: each.number for each in found})
        return [each for each in found if each.number]


class _Day:
    """The counts of a key on one day, in days since 1970."""

    def __init__(self, key_id: str, day: int) -> None:
        self.day, self.slot = day, _slot_of(key_id)
        self.member = b"%d:" % day + octets_of(key_id)

    @property
    def names(self) -> tuple[bytes, bytes]:
        """Where the counts are, and the days of the key."""
        key_id = self.member.partition(b":")[2]
        # Behind the braces, whatever is in an id cannot lead to another slot.
        return self.slot.name("counts") + b":" + self.member, self.slot.name("days") + b":" + key_id

    @classmethod
    def at(cls, member: bytes) -> _Day:
        """The one with this member of the index."""
        day, _, key_id = member.partition(b":")
        return cls(text_of(key_id), int(day))


class Counts:
    """The counts of one store.

    Args:
        reading: where they are.
        keys: notes uses.
        credit: what calls that failed have written.
    """

    def __init__(self, reading: Reading, keys: Keys, credit: Credit) -> None:
        self._server, self._reading, self._keys, self._credit = reading.server, reading, keys, credit

    async def add_usage(self, counts: Sequence[Counted], uses: Sequence[Used]) -> None:
        """Add counts, and note uses. This is done now and then, off the path of requests: so the role is asked here."""
        await self._server.check_role()
        for use in uses:  # first, because doing that again does no harm
            with suppress(UnreadableRecord):  # of one key: that is no reason to keep back what others counted
                await self._keys.note(use, USE_EVERY)
        written = self._credit.take(counts)
        try:
            for slot, rows in _by_slot(_without(counts, written)).items():
                await self._add(slot, rows)
                written += rows
        except BaseException:
            self._credit.add(written)
            raise

    async def usage(self, key_id: str, first: int, end: int, step: int) -> Sequence[Counted]:
        """Counts of a key by span and outcome."""
        found: Counter[tuple[int, str]] = Counter()
        day, last = first // DAY_HOURS, (end - 1) // DAY_HOURS
        name = _Day(key_id, day).names[1]
        while day <= last:
            listed = await self._server.ask(name, "ZRANGEBYSCORE", name, day, last, "LIMIT", 0, PAGE)
            for (hour, outcome), number in (await self._on(key_id, [int(each) for each in listed])).items():
                if first <= hour < end:
                    found[hour - hour % step, outcome] += number
            day = last + 1 if len(listed) < PAGE else int(listed[-1]) + 1
        return [Counted(key_id, *place, found[place]) for place in sorted(found)]

    async def forget_usage(self, before: int, most: int) -> int:
        """Delete old counts."""
        gone = 0
        for number in range(SLOTS):
            index = Slot("counts", str(number)).name("hours")
            while gone < most:
                page = min(PAGE, most - gone)
                old = await self._server.ask(index, "ZRANGEBYSCORE", index, "-inf", f"({before}", "LIMIT", 0, page)
                if not old:
                    break
                days = [_Day.at(member) for member in old]
                names = [index, *(name for each in days for name in each.names)]
                told = [part for each in days for part in (each.member, each.day)]
                gone += await self._server.run(FORGET, names, before, most - gone, *told)
        return gone

    async def _add(self, slot: Slot, rows: Sequence[Counted]) -> None:
        names, told = [slot.name("hours")], []
        for (key_id, day), group in groupby(rows, lambda each: (each.key_id, each.hour // DAY_HOURS)):
            place, found = _Day(key_id, day), list(group)
            names += place.names
            told += [place.member, day, found[0].hour, len(found)]
            told += [part for each in found for part in (_field(each), each.number)]
        await self._server.run(COUNT, names, *told)

    async def _on(self, key_id: str, days: Sequence[int]) -> Mapping[tuple[int, str], int]:
        """What is counted for a key on these days."""
        if not days:
            return {}
        raw = await self._server.run(COUNTED, [_Day(key_id, day).names[0] for day in days])
        found: Mapping[tuple[int, str], int] = self._reading.read(lambda _raw: _read(raw), b"", key_id)
        return found


def _slot_of(key_id: str) -> Slot:
    return Slot("counts", str(binascii.crc32(octets_of(key_id)) % SLOTS))


def _by_slot(counts: Iterable[Counted]) -> Mapping[Slot, list[Counted]]:
    found: dict[Slot, list[Counted]] = {}
    for each in counts:
        found.setdefault(_slot_of(each.key_id), []).append(each)
    return found


def _without(counts: Iterable[Counted], written: Iterable[Counted]) -> list[Counted]:
    """What is still to be written of these counts."""
    done = {each[:3]: each.number for each in written}
    left = (each._replace(number=each.number - done.get(each[:3], 0)) for each in counts)
    return [each for each in left if each.number]


def _field(counted: Counted) -> bytes:
    return b"%d:" % counted.hour + octets_of(counted.outcome)


def _read(raw: Iterable[Sequence[bytes]]) -> Mapping[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for each in raw:
        for field, number in zip(each[::2], each[1::2], strict=True):
            hour, _, outcome = field.partition(b":")
            found[int(hour), text_of(outcome)] = int(number)
    return found
