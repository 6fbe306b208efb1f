"""What a service does with its keys: create, import, get, identify, list, revoke.

Each operation is written once, as a coroutine, and has two names: `create` blocks, `acreate` is awaited.
"""

from __future__ import annotations

import functools
import inspect
import json
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from .._ground.checks import check_limits, check_scopes
from .._ground.frozen import HiddenBytes, HiddenText, frozen
from .._sync import Offload, adapt, can_wait, inline, is_async, pooled, run_now, waited
from ..exceptions import ConfigurationError, KeyNotFound
from ..model import ENVIRONMENTS, ApiKey, Environment, IssuedKey, SecretHash
from ..policy import Limits
from ..rules.limits.quotas import Quotas
from ..rules.network.addresses import Allowlist
from .finding import owner_of
from .format import BASE62
from .importing import Imported, existing, import_key
from .leaks import Pattern, pattern_of
from .workshop import WRITE_PATIENCE, Workshop

P = ParamSpec("P")
T = TypeVar("T")
MAX_NAME, MAX_METADATA_BYTES, MAX_PAGE = 200, 16_384, 1000
_Operation = Callable[Concatenate["KeyRing", Offload, P], Coroutine[Any, Any, T]]


def _signed_like(operation: Callable[..., Any], twin: Callable[..., Any], mark: str = "") -> None:
    """Give the twin the operation's docstring and name, and its signature without the offload."""
    functools.update_wrapper(twin, operation)
    twin.__name__ = mark + operation.__name__.lstrip("_")
    twin.__qualname__ = f"KeyRing.{twin.__name__}"
    signature = inspect.signature(operation)
    shown = [parameter for name, parameter in signature.parameters.items() if name != "offload"]
    twin.__signature__ = signature.replace(parameters=shown)  # type: ignore[attr-defined]


def _blocking(operation: _Operation[P, T]) -> Callable[Concatenate[KeyRing, P], T]:
    def twin(self: KeyRing, /, *args: P.args, **named: P.kwargs) -> T:
        if self.needs_await and can_wait():
            return waited(operation, self, pooled, *args, **named)
        if self.needs_await:
            raise ConfigurationError(f"the store is async: await a{twin.__name__}() instead", key="store")
        return run_now(operation(self, inline, *args, **named))

    _signed_like(operation, twin)
    return twin


def _awaited(operation: _Operation[P, T]) -> Callable[Concatenate[KeyRing, P], Awaitable[T]]:
    async def twin(self: KeyRing, /, *args: P.args, **named: P.kwargs) -> T:
        return await operation(self, pooled, *args, **named)

    _signed_like(operation, twin, "a")
    return twin


class KeyRing:
    """The keys of one store; `gate.keys` is one.

    Every operation raises StoreUnavailable if the store does not answer.
    """

    def __init__(self, workshop: Workshop, quotas: Quotas) -> None:
        self._workshop, self._quotas = workshop, quotas
        store = workshop.store
        self.needs_await = is_async(store.find)
        """Whether the store is async, so that only the async twins work."""
        call = functools.partial(adapt, pool=workshop.store_pool, blocking=True, patience=WRITE_PATIENCE)
        self._store_find, self._store_add = call(store.find), call(store.add)
        self._store_list, self._store_revoke = call(store.list), call(store.revoke)
        last_used = getattr(store, "last_used", None)
        self._last_used = None if last_used is None else call(last_used)

    @property
    def pattern(self) -> Pattern:
        """How keys are found in texts; ConfigurationError if they do not begin alike."""
        return pattern_of(self._workshop.key_format)

    async def _create(
        self,
        offload: Offload,
        name: str,
        *,
        organization_id: str | None = None,
        owner_id: str | None = None,
        environment: Environment = "production",
        plan: str | None = None,
        limits: Limits = None,
        scopes: Sequence[str] = (),
        ip_allowlist: Sequence[str] | None = None,
        expires_at: datetime | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> IssuedKey:
        """Make a key. Its secret is in the answer, this once.

        Args:
            name: a label for people, 1 to 200 characters.
            organization_id, owner_id: to whom it belongs, as the host's own ids.
            environment: shown in the key's prefix.
            plan: one of the gate's plans; None for its default.
            limits: windows that replace the plan's, ``"60/minute; 5000/day"``.
            scopes: what it may do (RFC 6749 section 3.3).
            ip_allowlist: addresses or CIDR networks that it may be used from. None is unrestricted; an empty list is
                refused.
            expires_at: an aware datetime in the future, or None for never.
            metadata: JSON values to keep with it, at most 16 KiB.

        Raises:
            ConfigurationError: an argument is wrong.
            Overloaded: too much hashing is under way.
        """
        now = datetime.fromtimestamp(self._workshop.clock(), UTC)
        settings = {
            "name": _check_text(name, "name"),
            "organization_id": _check_optional(organization_id, "organization_id"),
            "owner_id": _check_optional(owner_id, "owner_id"),
            "environment": _check_environment(environment),
            "plan": _check_optional(plan, "plan"),
            "limits": _one_notation(limits),
            "scopes": check_scopes(scopes),
            "ip_allowlist": None if ip_allowlist is None else Allowlist(ip_allowlist).entries,
            "expires_at": _check_expiry(expires_at, now),
            "metadata": _check_metadata(metadata),
            "created_at": now,
        }
        self._quotas.check_key(plan, limits)
        raw, key_id, secret_hash = await self._mint(offload, environment)
        key = ApiKey(id=key_id, hashes=(secret_hash,), **cast("Any", settings))
        await self._store_add(offload, key)
        return IssuedKey(key, raw.plain)

    async def _get(self, offload: Offload, key_id: str) -> ApiKey:
        """The record with this id.

        Raises:
            KeyNotFound: there is none.
        """
        key: ApiKey | None = await self._store_find(offload, _check_text(key_id, "key_id"))
        if key is None:
            raise KeyNotFound(key_id)
        return key if self._last_used is None else replace(key, last_used_at=await self._last_used(offload, key_id))

    async def _list(
        self,
        offload: Offload,
        *,
        organization_id: str | None = None,
        owner_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ApiKey]:
        """Records, oldest first. Those that cannot be read are left out, and told as an event.

        Args:
            organization_id, owner_id: only theirs.
            after: only keys after the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.
        """
        if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MAX_PAGE:
            raise ConfigurationError(f"expected a whole number from 1 to {MAX_PAGE}", key="limit")
        wanted = {"organization_id": organization_id, "owner_id": owner_id, "after": after}
        checked = [_check_optional(value, name) for name, value in wanted.items()]
        return cast("Sequence[ApiKey]", await self._store_list(offload, *checked, limit))

    async def _revoke(self, offload: Offload, key_id: str) -> ApiKey:
        """Revoke a key for good: it is refused from the next request on, in every process. Revoking it twice is no
        error.

        Raises:
            KeyNotFound: there is no such key.
            UnreadableRecord: it is revoked, but its record cannot be read.
        """
        at = datetime.fromtimestamp(self._workshop.clock(), UTC)
        key: ApiKey | None = await self._store_revoke(offload, _check_text(key_id, "key_id"), at)
        if key is None:
            raise KeyNotFound(key_id)
        return key

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
            dry_run: check everything and keep nothing.
            described: everything else that `create` takes.

        Raises:
            ConfigurationError: an argument is wrong, or the gate could never admit this key.
            Overloaded: too much hashing is under way.
        """
        given = existing(self._workshop, raw, hash, id)

        async def create(shop: Workshop) -> ApiKey:
            issued = await KeyRing(shop, self._quotas)._create(offload, name, **described)  # noqa: SLF001 - its own class
            return issued.key

        return await import_key(self._workshop, self._store_find, given, create, offload, dry_run=dry_run)

    async def _identify(self, offload: Offload, raw: str) -> ApiKey | None:
        """The record that this raw key proves, whatever its state, or None: for keys that were found somewhere. Nobody
        can make somebody else's key look leaked.

        Raises:
            Overloaded: too much hashing is under way.
        """
        octets = HiddenBytes(raw.encode(errors="replace"))
        return await owner_of(self._workshop, self._store_find, octets, offload)

    create, acreate = _blocking(_create), _awaited(_create)
    import_key, aimport_key = _blocking(_import_key), _awaited(_import_key)
    identify, aidentify = _blocking(_identify), _awaited(_identify)
    get, aget = _blocking(_get), _awaited(_get)
    list, alist = _blocking(_list), _awaited(_list)
    revoke, arevoke = _blocking(_revoke), _awaited(_revoke)

    async def _mint(self, offload: Offload, environment: Environment) -> tuple[HiddenText, str, SecretHash]:
        shop = self._workshop
        raw = HiddenText(shop.key_format.mint(environment, _draw))
        parsed = shop.key_format.parse(raw.encode())
        if parsed is None:
            raise ConfigurationError("cannot read the keys that it makes itself", key="key_format")
        stored = await offload.run(shop.hash_pool, shop.hasher.hash, HiddenBytes(raw.encode()))
        return raw, parsed.id, SecretHash(stored, parsed.hint)


def _draw(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))


def _check_text(value: Any, key: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.isprintable() or not value.strip():
        raise ConfigurationError(f"expected 1 to {MAX_NAME} printable characters", key=key)
    return value


def _check_optional(value: Any, key: str) -> str | None:
    return None if value is None else _check_text(value, key)


def _check_environment(value: Any) -> Environment:
    if value not in ENVIRONMENTS:
        raise ConfigurationError(f"expected one of {', '.join(ENVIRONMENTS)}", key="environment")
    return cast("Environment", value)


def _one_notation(limits: Any) -> str | None:
    listed = check_limits(limits)
    return listed if listed is None or isinstance(listed, str) else "; ".join(listed)


def _check_expiry(value: Any, now: datetime) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ConfigurationError("expected a datetime with a time zone", key="expires_at")
    try:
        moment = value.astimezone(UTC)
    except OverflowError:
        raise ConfigurationError("is not within the years 1 to 9999 in UTC", key="expires_at") from None
    if moment <= now:
        raise ConfigurationError("is in the past", key="expires_at")
    return moment


def _check_metadata(value: Any) -> Mapping[str, Any]:
    try:
        text = json.dumps({} if value is None else value, allow_nan=False)
        again = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"expected JSON values: {error}", key="metadata") from None
    if not isinstance(again, dict):
        raise ConfigurationError("expected a mapping", key="metadata")
    if len(text) > MAX_METADATA_BYTES:
        raise ConfigurationError(f"is longer than {MAX_METADATA_BYTES} bytes as JSON", key="metadata")
    return cast("Mapping[str, Any]", frozen(again))
