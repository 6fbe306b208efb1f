"""Keys that exist already, brought into the store: from the raw key, or from the hash that another program kept of it.

An imported key is made like any other. Only what makes the secret is replaced: a key format that mints the key that is
there, and a hasher that gives the hash that is there. So every check of a new key holds for imported ones too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple

from ..._ground.frozen import HiddenBytes, HiddenText
from ..._sync import Offload
from ...exceptions import ConfigurationError, IdTaken, StoreUnavailable
from ...model import ApiKey, Environment
from ..finding import ANY_HINT, Find, proves
from ..format import BASE62, ID_LENGTH, Parsed
from ..quick import QuickProofs
from ..workshop import Workshop
from .foreign import AdoptingHasher, plain_digest
from .opaque import LONGEST, OpaqueFormat

Create = Callable[[Workshop], Awaitable[ApiKey]]
"""Makes a key with this workshop, and keeps it."""


class Imported(NamedTuple):
    """What became of a key.

    Attributes:
        key: its record.
        new: whether it was not there before.
    """

    key: ApiKey
    new: bool


class Existing(NamedTuple):
    """A key that exists already.

    Attributes:
        places: where its record may be; it is put at the first.
        hint: how the raw key ends; empty if nobody knows.
        raw: the raw key, or None.
        stored: the form to store of its hash, if that is all there is.
    """

    places: tuple[str, ...]
    hint: str
    raw: HiddenText | None
    stored: HiddenText | None

    def workshop(self, shop: Workshop, *, dry_run: bool) -> Workshop:
        """One that makes this very key; for a dry run, where nothing is kept."""
        given = replace(shop, key_format=_Given(self), quick=QuickProofs(imports=True))
        if self.stored is not None:
            given = replace(given, hasher=AdoptingHasher(_Kept(self.stored)))
        if dry_run:  # what is not kept need not be hashed either
            return replace(given, hasher=AdoptingHasher(_Kept(HiddenText(shop.hasher.decoy()))))
        return given


def existing(shop: Workshop, raw: str | None, stored: str | None, key_id: str | None) -> Existing:
    """What is known of a key.

    Args:
        shop: its key format finds the key, its hasher keeps it.
        raw: the raw key; or None and
        stored: the hash that another program kept.
        key_id: the part of the key that its program found it by, where only a hash with a salt is there.

    Raises:
        ConfigurationError: that is too little or too much, or the gate could never admit this key.
    """
    if (raw is None) == (stored is None):
        raise ConfigurationError("expected either the raw key or its hash", key="key")
    if raw is not None:
        if key_id is not None:
            raise ConfigurationError("follows from the raw key; leave it out", key="id")
        return _from_raw(shop, raw)
    text = _short_text(stored, "hash")
    return _from_hash(shop, text, None if key_id is None else _short_text(key_id, "id"))


async def import_key(
    shop: Workshop, find: Find, given: Existing, create: Create, offload: Offload, *, dry_run: bool
) -> Imported:
    """Have a key made as it is, unless it is in the store already.

    Raises:
        ConfigurationError: another key has its id, or `create` says so.
    """
    found = await _found(shop, find, given, offload)
    if found is not None:
        return Imported(found, new=False)
    try:
        return Imported(await create(given.workshop(shop, dry_run=dry_run)), new=True)
    except IdTaken:  # another process has brought it in meanwhile
        found = await _found(shop, find, given, offload)
    if found is None:
        raise StoreUnavailable("the key store", "says that an id is taken, and does not find it")
    return Imported(found, new=False)


async def _found(shop: Workshop, find: Find, given: Existing, offload: Offload) -> ApiKey | None:
    """The record, if this key is in the store already.

    Raises:
        ConfigurationError: another key has this id.
    """
    for place in given.places:
        key: ApiKey | None = await find(offload, place)
        if key is None:
            continue
        if given.raw is None:
            return key
        for each in key.hashes:
            if await proves(shop, each, HiddenBytes(given.raw.encode()), offload, key.id):
                return key
        raise ConfigurationError(f"another key has its id, {place}", key="key")
    return None


def _from_raw(shop: Workshop, raw: str) -> Existing:
    candidates = shop.candidates(_short_text(raw, "key").encode(errors="replace"))
    if not candidates:
        reason = "the gate would not take this for a key: its form or its check is wrong"
        hint = "" if isinstance(shop.key_format, OpaqueFormat) else "; key_format 'opaque' takes keys in any form"
        raise ConfigurationError(reason + hint, key="key")
    places = tuple(dict.fromkeys(each.id for each in candidates))
    return Existing(places, candidates[0].hint, HiddenText(raw), None)


def _from_hash(shop: Workshop, text: str, key_id: str | None) -> Existing:
    opaque, plain = shop.key_format, plain_digest(text)
    if isinstance(opaque, OpaqueFormat) and plain is not None:
        if key_id is not None:
            raise ConfigurationError("follows from a hash without a salt; leave it out", key="id")
        places, stored = opaque.kept(*plain)
        return Existing(places, ANY_HINT, None, HiddenText(stored))
    if key_id is None:
        reason = "is missing: only it says to which key this hash belongs"
        raise ConfigurationError(reason, key="id")
    if isinstance(opaque, OpaqueFormat):
        places = opaque.ids_of_public(key_id)
        if not opaque.begins(key_id):
            raise ConfigurationError("no key begins with this; the prefix is a part of it", key="id")
    elif len(key_id) == ID_LENGTH and not key_id.strip(BASE62):
        places = (key_id,)
    else:
        raise ConfigurationError(f"expected the {ID_LENGTH} letters and digits of a key's id", key="id")
    return Existing(places, ANY_HINT, None, HiddenText(shop.hasher.adopt(text)))


def _short_text(value: object, key: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= LONGEST:
        raise ConfigurationError(f"expected 1 to {LONGEST} characters", key=key)
    return value


class _Given:
    """A key format that knows one key."""

    def __init__(self, given: Existing) -> None:
        self._given = given

    def mint(self, environment: Environment, draw: Callable[[int], str]) -> str:  # noqa: ARG002 - it draws nothing
        return "" if self._given.raw is None else self._given.raw.plain

    def parse(self, raw: bytes) -> Parsed:  # noqa: ARG002 - it is the one
        return Parsed(self._given.places[0], self._given.hint)


class _Kept:
    """A hasher that knows one hash."""

    blocking = False

    def __init__(self, stored: HiddenText) -> None:
        self._stored = stored

    def hash(self, raw: bytes) -> str:  # noqa: ARG002 - it is the one
        return self._stored

    def verify(self, stored: str, raw: bytes) -> bool:  # noqa: ARG002 - nothing is proved with it
        return False

    def needs_rehash(self, stored: str) -> bool:  # noqa: ARG002
        return False

    def decoy(self) -> str:
        return self._stored
