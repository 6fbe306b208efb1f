"""What a gate and its key ring share: store, key format, hasher and pools, made from the settings."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast, get_args

from .._ground.checks import check_all
from .._sync import Pool, adapt, is_async, later, patiently, worker_count
from ..exceptions import ConfigurationError
from ..limiters import RateLimiter, open_limiter
from ..model import SecretHash
from ..policy import MIN_PEPPER_BYTES
from ..rules.requests.masks import Mask
from ..stores import KeyFinder, open_store
from .existing.foreign import AdoptingHasher
from .existing.opaque import OpaqueFormat, OpaqueHasher
from .format import KeyFormat, Parsed, PrefixedFormat
from .hashing import Argon2Hasher, Hasher, HasherName, HmacHasher
from .parts import Parts
from .quick import QuickProofs

# How long a request waits for a store that another process holds, and how long a write waits for others, in seconds.
READ_PATIENCE, WRITE_PATIENCE = 0.25, 5.0
# How many new keys may wait to be hashed. At 20 ms each, the last one waits a bit more than a second. Proofs wait
# elsewhere (`gate.budget`); no more of them come here than there are threads.
HASH_QUEUE = 64
STORE_SLOTS, STORE_QUEUE = 8, 256
_FINDER_METHODS = ("find",)
# Whoever has one of the first keeps keys, and needs them all.
_WRITES = ("add", "update", "revoke", "list")
_STORE_METHODS = (
    *(*_FINDER_METHODS, *_WRITES, "touch", "last_used", "rehash", "close", "list_audit"),
    *("add_usage", "usage", "forget_usage", "purge"),
    *("add_project", "find_project", "list_projects", "update_project", "delete_project"),
    *("add_organization", "find_organization", "list_organizations", "update_organization"),
)
_LIMITER_METHODS = ("hit", "peek", "refund", "reset", "close")


@dataclass(frozen=True, slots=True)
class Workshop:
    """What is needed to make and prove keys: shared by a gate and its key ring.

    Attributes:
        store, key_format, hasher: where keys live, what they look like, how they are kept. The hasher proves what other
            programs hashed as well.
        quick: makes and checks quick proofs, if the settings ask for them.
        hash_pool, store_pool: the bounds on blocking work.
        clock: Unix seconds.
    """

    store: KeyFinder
    key_format: KeyFormat
    hasher: AdoptingHasher
    quick: QuickProofs
    hash_pool: Pool
    store_pool: Pool
    clock: Callable[[], float]

    def is_key(self, raw: bytes) -> bool:
        """Whether these octets have the form of a key, or begin like one."""
        prefix = getattr(self.key_format, "prefix", None)
        return (prefix is not None and raw.startswith(f"{prefix}_".encode())) or self.key_format.parse(raw) is not None

    def candidates(self, raw: bytes) -> tuple[Parsed, ...]:
        """Where this raw key may be kept, the likeliest first; empty if its form or its check is wrong."""
        if isinstance(self.key_format, OpaqueFormat):
            return self.key_format.candidates(raw)
        parsed = self.key_format.parse(raw)
        return () if parsed is None else (parsed,)

    @property
    def prefix(self) -> str | None:
        """What every key begins with, before its first underscore; None where keys have no such thing."""
        return getattr(self.key_format, "prefix", None)

    def ours(self, raw: bytes) -> bool:
        """Whether these octets have our form: they begin with our prefix, in any case, or can be a key all the same."""
        if self.prefix is not None:
            start = f"{self.prefix.rstrip('_')}_".lower().encode()
            if raw[: len(start)].lower() == start:
                return True
        return self.key_format.parse(raw) is not None

    def adapted(self, method: str, *, blocking: bool, patience: float) -> Callable[..., Awaitable[Any]]:
        """One way to call a method of the store: ``await adapted(offload, *args)``. Under asyncio it is the store's
        twin for that, if it has one.

        Args:
            method: its name.
            blocking: whether a plain one leaves the event loop.
            patience: for how many seconds a busy store is tried again.
        """
        twin = getattr(self.store, "for_asyncio", lambda: None)()
        awaited = None if twin is None else getattr(twin, method)
        return adapt(
            getattr(self.store, method), self.store_pool, blocking=blocking, patience=patience, awaited=awaited
        )

    @property
    def mask(self) -> Mask:
        """Finds keys within a text."""
        return Mask(self.is_key, getattr(self.key_format, "within", None), getattr(self.key_format, "whole", None))

    def later(self, method: Callable[..., Any], *args: Any) -> None:
        """Call a method of the store off the path of requests."""
        if is_async(method):
            later(method, *args)
        else:
            later(patiently, WRITE_PATIENCE, method, *args)

    def renew_hash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Have a hash replaced, off the path of requests, if the store can do that."""
        rehash = getattr(self.store, "rehash", None)
        if rehash is not None:
            self.later(rehash, key_id, old, new)

    def decoy(self) -> SecretHash:
        """A secret that no key proves, and that costs as much to try as one that was made with these settings."""
        return self.quick.decoy() if self.quick.on else SecretHash(self.hasher.decoy(), "")

    def closes(self) -> Iterable[Callable[[], Any]]:
        """What closes the store under an event loop, one after the other; each gives what is to be awaited, or None."""
        twin = getattr(self.store, "for_asyncio", lambda: None)()
        return (self.close_store,) if twin is None else (self.close_store, twin.close)

    def close_store(self) -> Any:
        """Close the store, if it can be closed; gives what is to be awaited, or None."""
        close = getattr(self.store, "close", None)
        return None if close is None else close()


def open_workshop(parts: Parts, remembered_keys: int) -> Workshop:
    """The workshop that these settings of a gate ask for; ConfigurationError if one is wrong."""
    peppers = as_secrets(parts.peppers, "peppers")
    key_format = _as_key_format(parts, peppers)
    hasher = _as_hasher(parts.hasher, peppers, key_format)
    if parts.quick_proofs:
        _check_quick(parts, peppers, hasher)
    return Workshop(
        key_format=key_format,
        hasher=AdoptingHasher(hasher),
        quick=QuickProofs(peppers if parts.quick_proofs else ()),
        store=_as_store(parts.store, remembered_keys),  # last, so that a wrong setting leaves no file behind
        hash_pool=Pool(worker_count(), HASH_QUEUE),
        store_pool=Pool(STORE_SLOTS, STORE_QUEUE),
        clock=parts.clock,
    )


def as_limiter(limiter: Any) -> RateLimiter:
    """The limiter that a setting names, or is; ConfigurationError if it is neither."""
    if isinstance(limiter, str):
        return open_limiter(limiter)
    _check_has(limiter, _LIMITER_METHODS, "RateLimiter", "limiter")
    _check_one_kind(limiter, _LIMITER_METHODS, "limiter")
    return cast("RateLimiter", limiter)


def as_cursor_secrets(parts: Parts) -> tuple[bytes, ...]:
    """The secrets that sign cursors; ConfigurationError if they are not secrets, or too short for a MAC."""
    secrets = as_secrets(parts.cursor_secrets, "cursor_secrets")
    if any(len(secret) < MIN_PEPPER_BYTES for secret in secrets):
        raise ConfigurationError(f"expected at least {MIN_PEPPER_BYTES} bytes", key="cursor_secrets")
    return secrets or as_secrets(parts.peppers, "peppers")


def _as_store(store: Any, remembered_keys: int) -> KeyFinder:
    if isinstance(store, str):
        return open_store(store, remembered_keys=remembered_keys)
    keeps = any(callable(getattr(store, name, None)) for name in _WRITES)
    if keeps:
        _check_has(store, _STORE_METHODS, "KeyStore", "store")
    else:
        _check_has(store, _FINDER_METHODS, "KeyFinder", "store")
    present = [name for name in _STORE_METHODS if callable(getattr(store, name, None))]
    _check_one_kind(store, present, "store")
    return cast("KeyFinder", store)


def _as_key_format(parts: Parts, peppers: tuple[bytes, ...]) -> KeyFormat:
    given = parts.key_format
    if given is None:
        return PrefixedFormat("key" if parts.prefix is None else parts.prefix, peppers, accept_crc=parts.accept_crc)
    own_prefix = None if given == "opaque" else parts.prefix
    for key, setting in (("prefix", own_prefix), ("accept_crc", parts.accept_crc)):
        if setting not in (None, False):
            raise ConfigurationError(
                "belongs to the default key format, but key_format names another; leave one of them out", key=key
            )
    if given == "opaque":
        if not peppers:
            raise ConfigurationError("'opaque' needs a pepper; set peppers", key="key_format")
        return OpaqueFormat(peppers, prefix=parts.prefix)
    if isinstance(given, str):
        raise ConfigurationError("expected 'opaque' or a KeyFormat", key="key_format")
    _check_has(given, ("mint", "parse"), "KeyFormat", "key_format")
    prefix = getattr(given, "prefix", None)
    if prefix is not None and (not isinstance(prefix, str) or not prefix.strip("_")):
        reason = f"its prefix must be text, and not empty, or None where keys do not begin alike; got {prefix!r}"
        raise ConfigurationError(reason, key="key_format")
    return given


def _as_hasher(hasher: Any, peppers: tuple[bytes, ...], key_format: KeyFormat) -> Hasher:
    if isinstance(key_format, OpaqueFormat):
        if hasher != "argon2id":
            reason = "has no use with an OpaqueFormat as key_format, where a key's look-up proves it; leave it out"
            raise ConfigurationError(reason, key="hasher")
        return OpaqueHasher(key_format)
    if hasher == "argon2id":
        return Argon2Hasher()
    if hasher == "hmac-sha256":
        if not peppers:
            raise ConfigurationError("'hmac-sha256' needs a pepper; set peppers", key="hasher")
        return HmacHasher(*peppers)
    if isinstance(hasher, str):
        names = ", ".join(map(repr, get_args(HasherName)))
        raise ConfigurationError(f"expected {names} or a Hasher", key="hasher")
    _check_has(hasher, ("hash", "verify", "needs_rehash", "decoy"), "Hasher", "hasher")
    return cast("Hasher", hasher)


def _check_quick(parts: Parts, peppers: tuple[bytes, ...], hasher: Hasher) -> None:
    """Refuse what quick proofs contradict. They are for keys that keystile made, and the keyed check tells these."""
    finds_only = not isinstance(parts.store, str) and not callable(getattr(parts.store, "rehash", None))
    refused = {
        "needs a pepper; set peppers": not peppers,
        "is for keys that keystile made, and accept_crc lets in those that anybody can make": parts.accept_crc,
        "belongs to the default key format, but key_format names another": parts.key_format is not None,
        "has no use with this hasher, which is as quick": not hasher.blocking,
        "has no use with a store that only finds keys and cannot keep it": finds_only,
    }
    for reason, holds in refused.items():
        if holds:
            raise ConfigurationError(f"{reason}; leave one of them out" if peppers else reason, key="quick_proofs")


def _check_has(given: Any, methods: Iterable[str], contract: str, key: str) -> None:
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    missing = [each for each in methods if not callable(getattr(given, each, None))]
    if missing:
        raise ConfigurationError(f"{name} is not a {contract}: it lacks {', '.join(missing)}", key=key)
    if isinstance(given, type):
        raise ConfigurationError(f"{name} is a class; expected an instance of it", key=key)


def _check_one_kind(given: Any, methods: Iterable[str], key: str) -> None:
    if len({is_async(getattr(given, name)) for name in methods}) > 1:
        raise ConfigurationError("some of its methods are async and some are not; make them all one kind", key=key)


def as_secrets(given: Any, key: str) -> tuple[bytes, ...]:
    """Server secrets as octets; ConfigurationError if they are not secrets."""
    found: list[bytes] = []
    if isinstance(given, (str, bytes)):
        raise ConfigurationError("expected a list of str or bytes", key=key)
    for secret in check_all(given, object, key):
        if not isinstance(secret, (str, bytes)):
            raise ConfigurationError("expected a list of str or bytes", key=key)
        found.append(secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret)
    return tuple(found)
