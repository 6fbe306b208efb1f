"""The gate as a host builds it: settings in, and one coroutine that decides on each request.

`Gate.check` is what both doors run. It awaits the store, the hasher and the limiter and returns Admitted or Refused.
The order of its checks is `order.Order.check`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from typing import Any
from weakref import WeakSet

from .._ground.checks import names_checked
from .._ground.frozen import FrozenDict
from .._sync import Lock, inline, pooled, run_now
from ..events import Event, Events, L
from ..exceptions import ConfigurationError
from ..keys.changes.caps import Caps
from ..keys.changes.making import Maker
from ..keys.changes.records import Records
from ..keys.format import KeyFormat, KeyFormatName
from ..keys.hashing import Hasher, HasherName
from ..keys.organizations import Organizations
from ..keys.parts import Parts
from ..keys.projects import Projects
from ..keys.purging import Purger
from ..keys.ring import KeyRing
from ..keys.usage.counting import Counting
from ..keys.usage.reading import UsageReader
from ..keys.workshop import as_cursor_secrets, as_limiter, open_workshop
from ..limiters import RateLimiter
from ..limiters.failsafe import Failsafe
from ..model import Project
from ..policy import (
    CREDENTIAL_FORMS,
    REMEMBERED_KEYS,
    ErrorFormat,
    EventFormat,
    Foreign,
    Https,
    LimitBy,
    Limits,
    Management,
    OnLimiterError,
    Plan,
    Policy,
    Preflight,
    RedirectStatus,
    Rule,
)
from ..policy.pages import DEFAULT_PAGE_STYLE, PageStyle
from ..policy.settings import made
from ..rules.limits.quotas import Quotas
from ..rules.reloading import Follower, changes
from ..rules.requests.credentials import accepted
from ..rules.requests.paths import RuleTable
from ..stores import KeyFinder
from .dryrun import check_one_step
from .order import Order
from .settling import Settler
from .transport import Transport


@names_checked
class Gate:
    """Decides for each request who is calling and whether they may.

    The settings are those of `keys.parts.Parts` and of `policy.Policy`; docs/reference/settings.md describes each.

    Attributes:
        keys, projects, organizations: what the service does with them; a `keys.ring.KeyRing` and its like.
        audit, aaudit: list what was changed, blocking and awaited.
        purge, apurge: remove for good what ended long ago.

    Raises:
        ConfigurationError: a setting is unknown, ill-typed, or contradicts another; the store cannot be opened.
    """

    def __init__(
        self,
        store: str | KeyFinder = "memory://",
        *,
        prefix: str | None = None,
        public: Iterable[str] = (),
        rules: Iterable[Rule] = (),
        accept: Iterable[str] = CREDENTIAL_FORMS,
        foreign: Foreign = "refuse",
        hide_credentials: bool = False,
        realm: str = "api",
        peppers: Sequence[str | bytes] = (),
        accept_crc: bool = False,
        hasher: HasherName | Hasher = "argon2id",
        quick_proofs: bool = False,
        key_format: KeyFormatName | KeyFormat | None = None,
        limiter: str | RateLimiter = "memory://",
        plans: Mapping[str, Plan] = FrozenDict(),
        default_plan: str | None = None,
        limit_by: LimitBy = "key",
        anonymous_limits: Limits = None,
        failure_limits: Limits = "20/minute",
        address_wait: float = 1.0,
        hashing_wait: float = 5.0,
        wsgi_threads: int | None = None,
        remembered_keys: int = REMEMBERED_KEYS,
        on_limiter_error: OnLimiterError = "local",
        enforce: bool = True,
        ietf_headers: bool = False,
        envelope: bool = False,
        error_format: ErrorFormat = "envelope",
        propagate_exceptions: bool | None = None,
        echo_request_id: bool = False,
        page_style: PageStyle = DEFAULT_PAGE_STYLE,
        cursor_secrets: Sequence[str | bytes] = (),
        public_url: str | None = None,
        require_json: bool = False,
        max_json_body: int = 1_048_576,
        trusted_proxies: Iterable[str] = (),
        allow: Iterable[str] | None = None,
        deny: Iterable[str] | None = None,
        trusted_hops: int | None = None,
        client_header: str = "X-Forwarded-For",
        max_grace: int = 7_776_000,
        expiry_notice: int = 604_800,
        usage_retention: int = 7_776_000,
        retention: int | None = 7_776_000,
        https: Https = "off",
        redirect_status: RedirectStatus = 301,
        hsts: int | None = None,
        recheck_in_flight: bool = False,
        root_path: str | None = None,
        management: Management | None = None,
        event_format: EventFormat = "text",
        cors_origins: Iterable[str] = (),
        cors_credentials: bool = False,
        preflight: Preflight = "refuse",
        on_project_deleted: Callable[[Project], Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = locals()
        self.parts = parts = made(Parts, given)
        """What it works with, as it was told; holds secrets."""
        policy = made(Policy, given)
        self.events = Events(event_format)
        self.transport = Transport(policy, self.events)
        # Before anything is opened.
        found = self._read(policy)
        self._shop = open_workshop(parts, remembered_keys)
        self.mask, self.is_key, self.ours = self._shop.mask, self._shop.is_key, self._shop.ours
        self.events.hide = self.mask.hide
        self.cursor_secrets = as_cursor_secrets(parts)
        self.limits = Failsafe(as_limiter(parts.limiter), on_limiter_error, self.events)
        self._counting = Counting(self._shop, self.events, usage_retention)
        self._hold(policy, *found)
        # For whoever keeps them while the policy changes.
        self.quotas: Quotas = copy(found[1])
        self._caps = Caps(policy)
        records = Records(self._shop, self.events)
        maker = Maker(self._shop, self.quotas, self._caps, records)
        self.keys = KeyRing(records, maker, self.quotas, UsageReader(records, self._counting), max_grace)
        self.projects = Projects(records, maker, parts.on_project_deleted)
        self.organizations = Organizations(records, self.quotas)
        self.audit, self.aaudit = records.audit, records.aaudit
        purger = Purger(records, self._counting, retention)
        self.purge, self.apurge = purger.purge, purger.apurge
        if hasattr(self._shop.store, "on_unreadable"):
            self._shop.store.on_unreadable = self._order.outage.begins
        self.settle = Settler(self.quotas, self.limits, self.events).settle
        self._followers: WeakSet[Follower] = WeakSet()
        self._changing = Lock()
        self._order.dry.announce()

    def _read(self, policy: Policy) -> tuple[RuleTable, Quotas]:
        """What a policy says, read."""
        table = RuleTable(
            policy.all_rules(),
            envelope=policy.envelope,
            require_json=policy.require_json,
            root_path=policy.root_path or "",
            lists=(policy.allow, policy.deny),
            accept=policy.accept,
        )
        costs = [demand.cost for demand in table.demands]
        return table, Quotas(policy, costs, table.most_windows, table.reserving)

    def _hold(self, policy: Policy, table: RuleTable, quotas: Quotas, earlier: Order | None = None) -> None:
        """Decide by this policy, of which this was read."""
        check_one_step(policy, self.limits.one_step)
        self.policy, self.rules, self.quotas = policy, table, quotas
        self.accepted = accepted(policy.all_accepted())
        self.shapes = any(demand.envelope or demand.json for demand in table.demands)
        """Whether answers of some path get more than headers: the envelope, or the check for a JSON body."""
        self.charges = any(demand.reserve for demand in table.demands)
        """Whether some path reserves units, so that what its app charges is settled."""
        parts = (self._shop, self.events, self.transport, table, quotas, self.accepted, self.limits, self._counting)
        self._order: Order = Order(policy, *parts, earlier)
        # Not methods of this class: each would cost every request one more frame.
        self.check, self.admit = self._order.check, self._order.admit
        self.recheck, self.refuse = self._order.recheck, self._order.refuse

    def reload(self, policy: Policy) -> tuple[str, ...]:
        """Decide by another policy from the next request on: ``gate.reload(replace(gate.policy, plans=…))``.

        All of it holds at once, at every door, or nothing does. Requests that have begun end as they began. Windows go
        on counting; proofs are kept. `reloading.CHANGEABLE` names the settings that can change.

        Returns:
            The names of the settings that differ.

        Raises:
            ConfigurationError: the policy cannot be used, or a setting differs that needs a restart. Nothing changed.
        """
        with self._changing:
            if self.check != self._order.check:
                raise ConfigurationError("cannot be changed while a test has replaced the gate's check", key="check")
            differing = changes(self.policy, policy)
            if differing:
                self._become(policy)
        said = ", ".join(differing) or "nothing"
        self.events.tell(Event("reloaded", logging.WARNING, reason=f"changed: {said}"))
        return differing

    def _become(self, policy: Policy) -> None:
        past, later = copy(self), copy(self)
        later._hold(policy, *self._read(policy), self._order)  # noqa: SLF001 - it is of this class
        turns = [follower.under(later, past) for follower in list(self._followers)]
        # What `_hold` has set; but others keep the quotas, so these stay, and become the later ones.
        held = {name: value for name, value in vars(later).items() if value is not vars(past)[name]}
        held["quotas"] = self.quotas
        # From here on nothing can fail. Whoever follows is either wholly in the past or wholly here.
        for turn in turns:
            turn.leave()
        self.quotas.become(later.quotas)
        self._caps.become(Caps(policy))
        self._order.prover.count_by(later.quotas)
        vars(self).update(held)
        for turn in turns:
            turn.enter()
        self._order.prover.forget_lanes()  # they would keep the lists and rules of every policy that ever was
        self._order.dry.announce()

    def followed_by(self, follower: Follower) -> None:
        """Have this follow when the policy changes, as long as it lives. For doors."""
        with self._changing:
            self._followers.add(follower)

    @property
    def needs_await(self) -> bool:
        """Whether the store or the limiter is async, so that only the ASGI door can use this gate."""
        return self.keys.needs_await or self.limits.needs_await

    @property
    def clock(self) -> Callable[[], float]:
        """Unix seconds."""
        return self._shop.clock

    def on_event(self, listener: L) -> L:
        """Call this plain, quick function with every `events.Event`, on the path of requests. Works as a decorator too.

        Raises:
            ConfigurationError: it cannot be called, or is async.
        """
        return self.events.listen(listener)

    def flush(self) -> None:
        """Write what this process has counted of its keys' requests, as happens every ten seconds; never raises. For
        processes that are stopped without notice. If the store is async, use `aflush`."""
        if self.keys.needs_await:
            raise ConfigurationError("the store is async: await aflush() instead", key="store")
        run_now(self._counting.flush(inline))

    async def aflush(self) -> None:
        """The same, awaited."""
        await self._counting.flush(pooled)

    def close(self) -> None:
        """Write what was counted, and release the files and connections of the store and the limiter. If one of them is
        async, use `aclose`."""
        if self.needs_await:
            raise ConfigurationError("the store or the limiter is async: await aclose() instead", key="store")
        run_now(self._counting.finish(inline))
        self._shop.close_store()
        self.limits.limiter.close()

    async def aclose(self) -> None:
        """The same, awaited."""
        await self._counting.finish(pooled)
        for close in (*self._shop.closes(), *(each.close for each in self.limits.limiters())):
            closing = close()
            if closing is not None:
                await closing
