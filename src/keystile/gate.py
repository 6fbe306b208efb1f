"""The gate: the order of checks, written once.

`Gate.check` is one coroutine that both doors run. It awaits the store, the hasher and the limiter and returns Admitted
or Refused; a refusal is a value. The order is the promise: nothing about a key is told, spent or looked at before its
secret is proved, and its record is read anew for every request.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ._sync import Offload, adapt, at_once
from .callers import Caller, judge, meet
from .context import RequestIds
from .exceptions import ConfigurationError, Overloaded, StoreUnavailable
from .hashing import Hasher
from .keyring import KeyRing
from .limiters import RateLimiter, Usages
from .limiters.failsafe import Failsafe
from .model import Admitted, ApiKey, FrozenDict, Reason, Refused, Request, Window
from .policy import CREDENTIAL_FORMS, DEFAULT_PAGE_STYLE, Limits, PageStyle, Plan, Policy, Rule
from .proving import Prover
from .rules import outcomes, ratelimits
from .rules.credentials import Unusable, accepted, extract
from .rules.keyformat import KeyFormat
from .rules.paths import Demand, RuleTable
from .rules.quotas import Quotas
from .rules.subjects import anonymous_subject
from .rules.windows import binding
from .shape import Pages, Shape
from .stores import KeyStore
from .workshop import as_cursor_secrets, as_limiter, open_workshop

logger = logging.getLogger("keystile")

# This is on the path of every request, where a named tuple's own constructor costs twice as much.
_new = tuple.__new__

# For how long a request waits for a store that another process holds, in seconds.
READ_PATIENCE = 0.25
TOUCH_EVERY = 60.0
REMEMBERED_KEYS = 100_000


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
        limiter: a URL (``memory://``, ``sqlite:///keystile.db``, ``redis://…``) or a `RateLimiter`.
        plans: `Plan` by name, with the windows that hold for their keys.
        default_plan: the plan of keys that name none; None leaves them unlimited.
        limit_by: ``"key"``, ``"project"`` or ``"organization"``: whose requests are counted together.
        anonymous_limits: windows for each client address on public paths.
        failure_limits: windows for the failed proofs of each client address.
        on_limiter_error: ``"local"``, ``"allow"`` or ``"deny"``: what holds while the limiter is down.
        ietf_headers: send ``RateLimit`` and ``RateLimit-Policy`` as well.
        envelope: put the app's JSON answers and its errors in the envelope, but for public paths.
        error_format: ``"envelope"`` or ``"problem"`` (RFC 9457); a client may ask for the latter by ``Accept``.
        echo_request_id: take a request's valid ``X-Request-ID`` over in place of one of ours.
        page_style: what pages of a list look like.
        cursor_secrets: what cursors are signed with, at least 16 bytes each; without them, the peppers.
        public_url: where clients reach this service, ``"https://api.example.com"``: for links.
        require_json: refuse requests whose body is not JSON.
        max_json_body: how large such a body may be, in bytes.
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
        limiter: str | RateLimiter = "memory://",
        plans: Mapping[str, Plan] = FrozenDict(),
        default_plan: str | None = None,
        limit_by: str = "key",
        anonymous_limits: Limits = None,
        failure_limits: Limits = "20/minute",
        on_limiter_error: str = "local",
        ietf_headers: bool = False,
        envelope: bool = False,
        error_format: str = "envelope",
        echo_request_id: bool = False,
        page_style: PageStyle = DEFAULT_PAGE_STYLE,
        cursor_secrets: Sequence[str | bytes] = (),
        public_url: str | None = None,
        require_json: bool = False,
        max_json_body: int = 1_048_576,
        clock: Callable[[], float] = time.time,
        **unknown: Any,
    ) -> None:
        for name in unknown:
            raise ConfigurationError("there is no such setting", key=name)
        if not callable(clock):
            raise ConfigurationError("expected a function that gives Unix seconds", key="clock")
        self.policy = Policy(
            public=public,
            rules=rules,
            accept=accept,
            realm=realm,
            plans=plans,
            default_plan=default_plan,
            limit_by=limit_by,
            anonymous_limits=anonymous_limits,
            failure_limits=failure_limits,
            on_limiter_error=on_limiter_error,
            ietf_headers=ietf_headers,
            envelope=envelope,
            error_format=error_format,
            echo_request_id=echo_request_id,
            page_style=page_style,
            public_url=public_url,
            require_json=require_json,
            max_json_body=max_json_body,
        )
        self.accepted = accepted(tuple(self.policy.accept))
        self._rules = RuleTable(self.policy.all_rules(), envelope=envelope, require_json=require_json)
        self.quotas = Quotas(self.policy, (demand.cost for demand in self._rules.demands))
        self._pages = Pages(page_style, as_cursor_secrets(cursor_secrets, peppers), self.policy.public_url)
        self._shop = open_workshop(
            store=store,
            prefix=prefix,
            peppers=peppers,
            accept_crc=accept_crc,
            hasher=hasher,
            key_format=key_format,
            clock=clock,
        )
        self.limits = Failsafe(as_limiter(limiter), on_limiter_error)
        self.keys = KeyRing(self._shop, self.quotas)
        blocking = getattr(self._shop.store, "blocking", True)
        find = adapt(self._shop.store.find, self._shop.store_pool, blocking=blocking, patience=READ_PATIENCE)
        # Where windows are counted in this process's memory, a decision needs no coroutine.
        self._hit_now = self.limits.hit_now
        find_now = at_once(self._shop.store.find, blocking=blocking)
        self._prover = Prover(self._shop, find, find_now, self.limits, self.quotas.failures)
        self._request_ids = RequestIds()
        self._callers: dict[str, Caller] = {}
        self._store_down = False

    @property
    def needs_await(self) -> bool:
        """Whether the store or the limiter is async, so that only the ASGI door can use this gate."""
        return self.keys.needs_await or self.limits.needs_await

    @property
    def clock(self) -> Callable[[], float]:
        """Unix seconds."""
        return self._shop.clock

    async def check(self, request: Request, offload: Offload) -> Admitted | Refused:  # noqa: C901 - the order, in one place
        """Decide about one request.

        Args:
            request: what the door read.
            offload: how this door does what blocks: `_sync.pooled` or `_sync.inline`.

        Returns:
            Admitted or Refused; it raises nothing for anything that a client or a store can do.
        """
        request_id = request.request_id or self._request_ids.draw()
        demand = self._rules.demand(request.method, request.path, request.raw_path)
        if demand.public:
            windows = self.quotas.for_anyone(demand.windows)
            return await self._count(None, request_id, request.peer, windows, demand, offload)
        raw = extract(request.credentials, self.accepted)
        if isinstance(raw, Unusable):
            return Refused(outcomes.UNUSABLE[raw], request_id)
        try:
            digest = self._prover.digest(raw)
            proven = self._prover.prove_now(digest) or await self._prover.prove(raw, digest, request.peer, offload)
            if isinstance(proven, Reason):
                return Refused(proven, request_id)
            key, secret_hash = proven
            now = self._shop.clock()
            caller = self._callers.get(key.id)
            if caller is None or caller.key is not key:
                caller = self._meet(key, caller)
            reason = judge(caller, secret_hash, demand, request.peer, now)
            if reason is None and now >= caller.touch_due:
                self._touch(caller, now)
        except Overloaded:
            return Refused(outcomes.OVERLOADED, request_id)
        except Exception as error:  # noqa: BLE001 - whatever a store raises or holds, the gate stays closed
            self._note_store(error)
            return Refused(outcomes.STORE_DOWN, request_id)
        if reason is not None:
            return Refused(reason, request_id)
        if self._store_down:
            self._note_store(None)
        windows = self.quotas.of(key, demand.windows) if demand.windows else caller.windows or ()
        if self._hit_now is None or not windows:
            return await self._count(key, request_id, None, windows, demand, offload)
        return self._counted(key, request_id, self._hit_now(caller.subject, windows, demand.cost), demand)

    async def _count(  # noqa: PLR0917 - what the two outcomes need
        self,
        key: ApiKey | None,
        request_id: str,
        peer: str | None,
        windows: tuple[Window, ...],
        demand: Demand,
        offload: Offload,
    ) -> Admitted | Refused:
        """Count the request in all windows, or refuse it and count it in none."""
        if not windows:
            return self._counted(key, request_id, (), demand)
        subject = anonymous_subject(peer) if key is None else self.quotas.subject(key)
        try:
            usages = await self.limits.hit(offload, subject, windows, demand.cost)
        except StoreUnavailable:
            return Refused(outcomes.OVERLOADED, request_id)
        return self._counted(key, request_id, usages, demand)

    def _counted(self, key: ApiKey | None, request_id: str, usages: Usages, demand: Demand) -> Admitted | Refused:
        for usage in usages:
            if usage.retry_after != 0.0:
                reason = outcomes.limited(binding(usages).window, ratelimits.retry_seconds(usages))
                return Refused(reason, request_id, usages)
        principal, shape = None if key is None else key.principal, None
        if demand.envelope or demand.json:
            shape = Shape(demand.envelope, demand.json, self._pages, principal)
        return _new(Admitted, (principal, request_id, usages, shape))

    def close(self) -> None:
        """Let go of files and connections, the store's and the limiter's; `aclose` if one of them is async."""
        if self.needs_await:
            raise ConfigurationError("the store or the limiter is async: await aclose() instead", key="store")
        self._shop.store.close()
        self.limits.limiter.close()

    async def aclose(self) -> None:
        """Let go of files and connections, the store's and the limiter's."""
        for each in (self._shop.store, *self.limits.limiters()):
            closing = each.close()
            if closing is not None:
                await closing

    def _meet(self, key: ApiKey, before: Caller | None) -> Caller:
        """Work out what follows from a record, and keep it for as long as the store gives this very record."""
        if len(self._callers) >= REMEMBERED_KEYS:
            self._callers.clear()
        caller = self._callers[key.id] = meet(key, before, self.quotas)
        return caller

    def _touch(self, caller: Caller, now: float) -> None:
        """Have `last_used_at` written, off this request's path; at most once a minute for each key."""
        caller.touch_due = now + TOUCH_EVERY
        used, at = caller.key.last_used_at, datetime.fromtimestamp(now, UTC)
        if used is None or at - used >= timedelta(seconds=TOUCH_EVERY):
            self._shop.later(self._shop.store.touch, caller.key.id, at)

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
