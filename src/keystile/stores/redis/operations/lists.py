"""Lists of keys: they are in order in an index, and what is asked for is picked out of the records themselves."""

from __future__ import annotations

from collections.abc import Sequence

from ....exceptions import ConfigurationError, UnreadableRecord
from ....model import ApiKey
from ...filters import KeyFilter
from ..bodies import read_key
from ..names import EVERYBODY, OWNERS, Slot, behind, unlisted
from ..reading import Reading

# How many records are read at a time.
PAGE = 200
# So many are looked at for one page of those that are asked for. Each page here takes about 5 ms.
MOST_LOOKED = 100_000


class Lists:
    """The lists of keys of one store."""

    def __init__(self, reading: Reading) -> None:
        self._reading, self._server = reading, reading.server

    async def page(
        self, wanted: KeyFilter, after: str | None, limit: int
    ) -> tuple[Sequence[ApiKey], Sequence[UnreadableRecord]]:
        """Records by age, and those that had to be left out."""
        found: list[ApiKey] = []
        broken: list[UnreadableRecord] = []
        name, beyond, looked = _list_of(wanted), b"-", 0
        if after is not None:
            last = await self._reading.key(after)
            if last is None:
                return [], []
            beyond = behind(last.key.created_at, after)
        while True:
            members = await self._server.members(name, beyond, PAGE)
            found += await self._fitting(members, wanted, limit - len(found), broken)
            if len(found) == limit or len(members) < PAGE:
                return found, broken
            looked += len(members)
            if looked >= MOST_LOOKED:
                reason = f"fewer than {limit} of the next {looked:,} keys are like this; say also whose they are"
                raise ConfigurationError(reason, key="state" if wanted.search is None else "search")
            beyond = b"(" + members[-1]

    async def _fitting(
        self, members: Sequence[bytes], wanted: KeyFilter, most: int, broken: list[UnreadableRecord]
    ) -> Sequence[ApiKey]:
        """The first so many of these members of a list that are asked for; adds those before that cannot be read."""
        found: list[ApiKey] = []
        listed = [unlisted(member) for member in members]
        records = await self._reading.keys([key_id for key_id, _ in listed])
        for (key_id, token), (_, (raw, *moments)) in zip(listed, records, strict=True):
            if raw is None:  # it was never written
                continue
            try:
                kept = self._reading.read(read_key, raw, key_id)
                if kept.token == token and wanted.fits(kept.key):
                    found.append(self._reading.with_uses(kept, moments))
            except UnreadableRecord as error:
                broken.append(error)
            if len(found) == most:
                break
        return found


def _list_of(wanted: KeyFilter) -> bytes:
    """The shortest list that holds all of them."""
    for name in ("project_id", "owner_id", "organization_id"):
        value = getattr(wanted, name)
        if value is not None:
            return Slot(OWNERS[name], value).name("list")
    return EVERYBODY.name("list")
