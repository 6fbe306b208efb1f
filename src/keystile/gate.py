"""The gate: the order of checks, written once.

`Gate.check` is one coroutine that both doors run. It awaits the store and the hasher and returns Admitted or Refused;
a refusal is a value. The order is the promise: nothing about a key is told, spent or looked at before its secret is
proved, and its record is read anew for every request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from ._sync import Offload, Pool, SingleFlight, adapt, is_async, later, patiently, worker_count
from .context import RequestIds
from .exceptions import ConfigurationError, Overloaded, StoreUnavailable
from .hashing import Argon2Hasher, Hasher, HmacHasher, Proof, ProofCache
from .keyring import WRITE_PATIENCE, KeyRing, Workshop
from .model import Admitted, ApiKey, Reason, Refused, Request, SecretHash
from .policy import CREDENTIAL_FORMS, Policy, Rule, check_all
from .rules import addresses, outcomes
from .rules.credentials import Unusable, accepted, extract
from .rules.keyformat import KeyFormat, PrefixedFormat
from .rules.paths import Demand, RuleTable
from .stores import KeyStore, open_store

logger = logging.getLogger("keystile")

# How many cold keys may wait to be hashed: with 20 ms each, the last one waits a bit more than a second.
HASH_QUEUE = 64
STORE_SLOTS, STORE_QUEUE = 8, 256
# For how long a request waits for a store that another process holds, in seconds.
READ_PATIENCE = 0.25
TOUCH_EVERY = 60.0
REMEMBERED_KEYS = 100_000
_STORE_METHODS = ("find", "add", "list", "touch", "revoke", "rehash", "close")


class Gate:
    """Decides for each request who is calling and whether they may.

    Args:
        store: a URL (``memory://``, ``sqlite:///keystile.db``) or a `KeyStore`.
        prefix: the first part of every key, ``"key"`` by default: a letter, then at most 19 letters and digits.
        public: paths that need no key; ``/static/*`` is everything below ``/static/``.
        rules: what else holds for which path.
        accept: where keys are read from, out of `policy.CREDENTIAL_FORMS`.
        realm: the name in ``WWW-Authenticate``.
        peppers: server secrets of at least 16 bytes that key the check in every key: the first signs, all verify.
        accept_crc: with peppers, accept keys made before there were any.
        hasher: ``"argon2id"``, ``"hmac-sha256"`` (keyed with the first pepper) or a `Hasher`.
        key_format: a `KeyFormat` in place of the default one, which `prefix` and `accept_crc` belong to.
        clock: Unix seconds.

    Raises:
        ConfigurationError: a setting is unknown, ill-typed, or contradicts another; the store cannot be opened.
    """

    def __init__(
        self,
        store: str | KeyStore = "memory://",
        *,
        prefix: str | None = None,
        public: Iterable[str] = (),
        rules: Iterable[Rule] = (),
        accept: Iterable[str] = CREDENTIAL_FORMS,
        realm: str = "api",
        peppers: Sequence[str | bytes] = (),
        accept_crc: bool = False,
        hasher: str | Hasher = "argon2id",
        key_format: KeyFormat | None = None,
        clock: Callable[[], float] = time.time,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise ConfigurationError("there is no such setting", key=name)
        if not callable(clock):
            raise ConfigurationError("expected a function that gives Unix seconds", key="clock")
        self.policy = Policy(public=public, rules=rules, accept=accept, realm=realm)
        self.accepted = accepted(tuple(self.policy.accept))
        self._rules = RuleTable(self.policy.all_rules())
        secrets = _as_peppers(peppers)
        self._shop = Workshop(
            key_format=_as_key_format(key_format, prefix, secrets, accept_crc),
            hasher=_as_hasher(hasher, secrets),
            store=_as_store(store),  # last: a wrong setting leaves no file behind
            hash_pool=Pool(worker_count(), HASH_QUEUE),
            store_pool=Pool(STORE_SLOTS, STORE_QUEUE),
            clock=clock,
        )
        self.keys = KeyRing(self._shop)
        self._find = adapt(
            self._shop.store.find,
            self._shop.store_pool,
            blocking=getattr(self._shop.store, "blocking", True),
            patience=READ_PATIENCE,
        )
        self._request_ids = RequestIds()
        self._proofs = ProofCache()
        self._flights = SingleFlight()
        self._decoy = self._shop.hasher.decoy()
        self._allowlists: dict[str, tuple[tuple[str, ...], addresses.Allowlist]] = {}
        self._touch_due: dict[str, float] = {}
        self._store_down = False

    @property
    def needs_await(self) -> bool:
        """Whether the store is async, so that only the ASGI door can use this gate."""
        return self.keys.needs_await

    @property
    def clock(self) -> Callable[[], float]:
        """Unix seconds."""
        return self._shop.clock

    async def check(self, request: Request, offload: Offload) -> Admitted | Refused:
        """Decide about one request.

        Args:
            request: what the door read.
            offload: how this door does what blocks: `_sync.pooled` or `_sync.inline`.

        Returns:
            Admitted or Refused; it raises nothing for anything that a client or a store can do.
        """
        request_id = self._request_ids.draw()
        demand = self._rules.demand(request.method, request.path, request.raw_path)
        if demand.public:
            return Admitted(None, request_id)
        raw = extract(request.credentials, self.accepted)
        if isinstance(raw, Unusable):
            return Refused(outcomes.UNUSABLE[raw], request_id)
        try:
            proven = await self._prove(raw, offload)
            if proven is None:
                return Refused(outcomes.INVALID, request_id)
            key, secret_hash = proven
            now = self._shop.clock()
            reason = self._judge(key, secret_hash, demand, request.peer, now)
            if reason is None and now >= self._touch_due.get(key.id, 0.0):
                self._touch(key, now)
        except Overloaded:
            return Refused(outcomes.OVERLOADED, request_id)
        except Exception as error:  # noqa: BLE001 - whatever a store raises or holds, the gate stays closed
            self._note_store(error)
            return Refused(outcomes.STORE_DOWN, request_id)
        if reason is not None:
            return Refused(reason, request_id)
        if self._store_down:
            self._note_store(None)
        return Admitted(key.principal, request_id)

    def close(self) -> None:
        """Let go of the store's files and connections; `aclose` for an async store."""
        if self.needs_await:
            raise ConfigurationError("the store is async: await aclose() instead", key="store")
        self._shop.store.close()

    async def aclose(self) -> None:
        """Let go of the store's files and connections."""
        if is_async(self._shop.store.close):
            await cast("Awaitable[None]", self._shop.store.close())
        else:
            self._shop.store.close()

    async def _prove(self, raw: bytes, offload: Offload) -> tuple[ApiKey, SecretHash] | None:
        """The record whose secret this is and the hash that it proves, or None: unknown, malformed or wrong alike."""
        digest = self._proofs.digest(raw)
        proof = self._proofs.find(digest)
        if proof is not None:
            key = await self._find(offload, proof.key_id)
            if key is not None:
                for secret_hash in key.hashes:
                    if secret_hash.hash == proof.hash:
                        return key, secret_hash
        parsed = self._shop.key_format.parse(raw)
        if parsed is None:
            return None
        key = await self._find(offload, parsed.id)
        candidates = () if key is None else key.hashes
        candidate = next((each for each in candidates if each.hint == parsed.hint), None)
        # One proof always: an unknown id or hint costs what a wrong secret costs.
        proved = await self._verify(digest, self._decoy if candidate is None else candidate.hash, raw, offload)
        if key is None or candidate is None or not proved:
            return None
        self._proofs.remember(digest, Proof(key.id, candidate.hash))
        await self._renew_hash(key, candidate, raw, offload)
        return key, candidate

    async def _verify(self, digest: bytes, stored: str, raw: bytes, offload: Offload) -> bool:
        hasher = self._shop.hasher
        if not hasher.blocking:
            return hasher.verify(stored, raw)
        return await self._flights.run((digest, stored), offload, self._shop.hash_pool, hasher.verify, stored, raw)

    async def _renew_hash(self, key: ApiKey, old: SecretHash, raw: bytes, offload: Offload) -> None:
        """Hash a proved key anew if it was hashed with other settings. The request does not fail over it."""
        shop = self._shop
        if not shop.hasher.needs_rehash(old.hash):
            return
        try:
            renewed = await offload.run(shop.hash_pool, shop.hasher.hash, raw)
        except Overloaded:
            return  # the next first use will do it
        self._later(shop.store.rehash, key.id, old, SecretHash(renewed, old.hint, old.expires_at))

    def _judge(
        self, key: ApiKey, secret_hash: SecretHash, demand: Demand, peer: str | None, now: float
    ) -> Reason | None:
        """What speaks against a caller whose secret is proved, or None."""
        if key.revoked_at is not None:
            return outcomes.REVOKED
        if _over(key.expires_at, now) or _over(secret_hash.expires_at, now):
            return outcomes.EXPIRED
        if key.ip_allowlist is not None and addresses.parse(peer) not in self._allowlist(key.id, key.ip_allowlist):
            return outcomes.ADDRESS
        if demand.scopes and not demand.scopes.issubset(key.scopes):
            return outcomes.lacking(demand.scopes)
        return None

    def _allowlist(self, key_id: str, entries: tuple[str, ...]) -> addresses.Allowlist:
        known = self._allowlists.get(key_id)
        if known is not None and (known[0] is entries or known[0] == entries):
            return known[1]
        compiled = addresses.Allowlist(entries)
        if len(self._allowlists) >= REMEMBERED_KEYS:
            self._allowlists.clear()
        self._allowlists[key_id] = (entries, compiled)
        return compiled

    def _touch(self, key: ApiKey, now: float) -> None:
        """Have `last_used_at` written, off this request's path; at most once a minute for each key."""
        if len(self._touch_due) >= REMEMBERED_KEYS:
            self._touch_due.clear()
        self._touch_due[key.id] = now + TOUCH_EVERY
        at = datetime.fromtimestamp(now, UTC)
        if key.last_used_at is None or at - key.last_used_at >= timedelta(seconds=TOUCH_EVERY):
            self._later(self._shop.store.touch, key.id, at)

    def _later(self, method: Callable[..., Any], *args: Any) -> None:
        if is_async(method):
            later(method, *args)
        else:
            later(patiently, WRITE_PATIENCE, method, *args)

    def _note_store(self, error: Exception | None) -> None:
        """Log that the store went away or came back, once for each change."""
        if error is None:
            self._store_down = False
            logger.warning("the key store answers again")
        elif not self._store_down:
            self._store_down = True
            # A foreign driver's message may hold a password: its type says enough.
            reason = error if isinstance(error, StoreUnavailable) else type(error).__name__
            logger.error("the key store is down, every key is refused with 503: %s", reason)


def _over(end: datetime | None, now: float) -> bool:
    return end is not None and now >= end.timestamp()


def _as_store(store: Any) -> KeyStore:
    if isinstance(store, str):
        return open_store(store)
    _check_has(store, _STORE_METHODS, "KeyStore", "store")
    if len({is_async(getattr(store, name)) for name in _STORE_METHODS}) > 1:
        raise ConfigurationError("some of its methods are async and some are not", key="store")
    return cast("KeyStore", store)


def _as_key_format(given: Any, prefix: str | None, peppers: tuple[bytes, ...], accept_crc: bool) -> KeyFormat:
    if given is None:
        return PrefixedFormat("key" if prefix is None else prefix, peppers, accept_crc=accept_crc)
    for key, setting in (("prefix", prefix), ("accept_crc", accept_crc)):
        if setting not in (None, False):
            raise ConfigurationError("belongs to the default key format, and another one is given", key=key)
    _check_has(given, ("mint", "parse"), "KeyFormat", "key_format")
    return cast("KeyFormat", given)


def _as_hasher(hasher: Any, peppers: tuple[bytes, ...]) -> Hasher:
    if hasher == "argon2id":
        return Argon2Hasher()
    if hasher == "hmac-sha256":
        if not peppers:
            raise ConfigurationError("'hmac-sha256' needs a pepper", key="hasher")
        return HmacHasher(*peppers)
    if isinstance(hasher, str):
        raise ConfigurationError("expected 'argon2id', 'hmac-sha256' or a Hasher", key="hasher")
    _check_has(hasher, ("hash", "verify", "needs_rehash", "decoy"), "Hasher", "hasher")
    return cast("Hasher", hasher)


def _check_has(given: Any, methods: Iterable[str], contract: str, key: str) -> None:
    name = given.__name__ if isinstance(given, type) else type(given).__name__
    missing = [each for each in methods if not callable(getattr(given, each, None))]
    if missing:
        raise ConfigurationError(f"{name} is no {contract}: it lacks {', '.join(missing)}", key=key)
    if isinstance(given, type):
        raise ConfigurationError(f"{name} is a class: give one of its instances", key=key)


def _as_peppers(peppers: Any) -> tuple[bytes, ...]:
    found: list[bytes] = []
    if isinstance(peppers, (str, bytes)):
        raise ConfigurationError("expected a list of str or bytes", key="peppers")
    for pepper in check_all(peppers, object, "peppers"):
        if not isinstance(pepper, (str, bytes)):
            raise ConfigurationError("expected a list of str or bytes", key="peppers")
        found.append(pepper.encode(errors="surrogatepass") if isinstance(pepper, str) else pepper)
    return tuple(found)
