"""Keys that exist already: those that a service brings with it, and those that were found somewhere."""

from __future__ import annotations

from typing import Any

from ..._ground.frozen import HiddenBytes
from ..._sync import Offload
from ...model import Actor, ApiKey
from ..changes.audit import check_actor, made
from ..changes.making import Maker
from ..changes.records import Records
from ..changes.twins import awaited, blocking
from ..finding import owner_of
from ..leaks import Pattern, pattern_of
from ..workshop import Workshop
from .importing import Imported, existing, import_key


class KnownKeys:
    """What a key ring does with keys that it has not made.

    Args:
        records: the records of its store.
        maker: makes the records of keys.
    """

    def __init__(self, records: Records, maker: Maker) -> None:
        self._records, self._maker = records, maker
        self.needs_await = records.needs_await
        """Whether the store is async, so that only the async twins work."""

    @property
    def pattern(self) -> Pattern:
        """How keys are found in texts; ConfigurationError if they do not begin alike."""
        return pattern_of(self._maker.workshop.key_format)

    async def _import_key(
        self,
        offload: Offload,
        /,
        name: str,
        raw: str | None = None,
        hash: str | None = None,
        id: str | None = None,
        *,
        dry_run: bool = False,
        actor: Actor | None = None,
        **described: Any,
    ) -> Imported:
        """Bring in a key that exists already; one that is in the store already is left as it is.

        Args:
            name: a label for people, as for `create`.
            raw: the raw key.
            hash: in place of it, the hash that another program kept (`foreign` says which); the gate's own replaces it
                when the key is first used.
            id: the public part of the key, by which that program found it; not where the hash has no salt and
                `key_format` is opaque.
            dry_run: check everything, but whether a cap is reached, and keep nothing.
            actor: who brings it in.
            described: everything else that `create` takes.

        Raises:
            ConfigurationError: an argument is wrong, or the gate could never admit this key.
            NotFound: there is no such project.
            KeyLimitReached: the plan allows no more keys.
            Overloaded: too much hashing is under way.
        """
        who, at = check_actor(actor), self._records.now()

        async def create(shop: Workshop) -> ApiKey:
            draft = await self._maker.of(shop).draft(offload, {"name": name, **described}, at)
            if dry_run:
                return draft.key
            entries = (made("key.import", who, at, draft.key),)
            written = await self._records.write(offload, "add", draft.key, entries, draft.cap)
            return draft.issued(written).key

        shop = self._maker.workshop
        given = existing(shop, raw, hash, id)
        return await import_key(shop, self._find, given, create, offload, dry_run=dry_run)

    async def _identify(self, offload: Offload, raw: str) -> ApiKey | None:
        """The record that this raw key proves, whatever its state, or None: for keys that were found somewhere. Nobody
        can make somebody else's key look leaked.

        Raises:
            Overloaded: too much hashing is under way.
        """
        octets = HiddenBytes(raw.encode(errors="replace"))
        return await owner_of(self._maker.workshop, self._find, octets, offload)

    async def _find(self, offload: Offload, key_id: str) -> ApiKey | None:
        found: ApiKey | None = await self._records.call(offload, "find", key_id)
        return found

    import_key, aimport_key = blocking(_import_key), awaited(_import_key)
    identify, aidentify = blocking(_identify), awaited(_identify)
