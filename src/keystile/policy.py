"""The settings of a gate as frozen values, checked when they are built.

A setting is here only if something enforces it: what nothing implements yet is refused as unknown, because a
setting that is accepted and then ignored is a hole that looks like a fence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ._checks import (
    check_all,
    check_choice,
    check_count,
    check_flag,
    check_limits,
    check_name,
    check_origin,
    check_scopes,
    check_strings,
)
from .exceptions import ConfigurationError
from .model import FrozenDict

Limits = str | Sequence[str] | None
"""Rate notation of the `limits` library, one or several."""

LIMIT_BY = ("key", "project", "organization")
ON_LIMITER_ERROR = ("local", "allow", "deny")
ERROR_FORMATS = ("envelope", "problem")

CREDENTIAL_FORMS = ("Authorization: Bearer", "Authorization: Api-Key", "Api-Key", "X-API-Key")
"""The places a key is read from, as a client would write them."""

# RFC 9110 section 9.1, in upper case only: methods are case-sensitive and all registered ones are upper case.
_MATCH = re.compile(r"(?:([A-Z][A-Z-]*) )?(/[^ ]*)")
# NIST SP 800-107 section 5.3.2 wants a MAC key of at least 112 bits; 16 bytes is the round number above it.
MIN_PEPPER_BYTES = 16
# RFC 9110 section 5.6.4: what may stand in a quoted string without escaping.
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")


@dataclass(frozen=True, slots=True)
class Plan:
    """What the keys of a plan may do.

    Args:
        limits: windows that hold together, ``"60/minute; 5000/day"`` or a list of such; None is unlimited, and a limit
            of 0 admits nothing.

    Raises:
        ConfigurationError: the limits have the wrong type.
    """

    limits: Limits = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "limits", check_limits(self.limits))


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a path.

    Args:
        match: ``"POST /v1/exports"`` or ``"/v1/exports/*"``: an optional method, then a path. The path is exact;
            ``/*`` at its end means everything below it. ``GET`` also holds HEAD and the websocket handshake.
            Relative to the app: a mount's prefix is not part of it.
        public: no key is asked for.
        scopes: the key must hold all of them; there are no wildcards.
        limits: windows for this path alone, beside the caller's own (``"10/hour"``); on a public path they count by
            client address.
        cost: how many units a request counts in each window.
        envelope: whether answers get the envelope; None is as the policy says. Public paths never do.
        require_json: whether a request's body must be JSON; None is as the policy says.

    Raises:
        ConfigurationError: the rule cannot be read or contradicts itself.
    """

    match: str
    public: bool = False
    scopes: Sequence[str] = ()
    limits: Limits = None
    cost: int = 1
    envelope: bool | None = None
    require_json: bool | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.match, str):
            raise ConfigurationError(f"expected a string, got {type(self.match).__name__}", key="match")
        if not _MATCH.fullmatch(self.match):
            raise ConfigurationError(f"{self.match!r} is neither '/path' nor 'METHOD /path'", key="match")
        check_flag(self.public, "public")
        object.__setattr__(self, "scopes", check_scopes(self.scopes))
        object.__setattr__(self, "limits", check_limits(self.limits))
        check_count(self.cost, "cost")
        for key in ("envelope", "require_json"):
            if getattr(self, key) is not None:
                check_flag(getattr(self, key), key)
        if self.public and self.envelope:
            raise ConfigurationError(
                f"{self.match!r} is public, and answers of public paths are never enveloped", key="envelope"
            )
        if self.public and self.scopes:
            raise ConfigurationError(
                f"{self.match!r} is public, yet asks for scopes: nobody could hold them", key="scopes"
            )

    @property
    def method(self) -> str:
        """The method, or an empty string for any."""
        return self.match.rpartition(" ")[0]

    @property
    def path(self) -> str:
        """The path, with ``/*`` at its end if it holds for everything below."""
        return self.match.rpartition(" ")[2]


@dataclass(frozen=True, slots=True)
class PageStyle:
    """What pages of a list look like on the wire, in the answer and in the query.

    The default gives ``{"data": […], "pagination": {"limit": 50, "has_more": true, "next_cursor": "…"}, "meta": …}``.
    ``PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)`` gives
    ``{"data": […], "has_more": true, "next_token": "…"}``.

    Args:
        member: the object that says where the page ends, or None to have its members at the top level.
        limit: the name of the member with the limit that was used, or None to leave it out.
        has_more: the name of the member that says whether there is another page.
        next_cursor: the name of the member that leads to it. On the last page it is null inside `member`, and left out
            at the top level.
        parameter: the query parameter that takes the cursor; the one that takes the limit is ``limit``.
        meta: whether such an answer has ``meta``.
        default_limit: items in a page when the client names no limit.
        max_limit: items in a page at most; a higher limit is clamped to it.

    Raises:
        ConfigurationError: a name is empty, used twice or taken, or the limits are not whole numbers from 1 in order.
    """

    member: str | None = "pagination"
    limit: str | None = "limit"
    has_more: str = "has_more"
    next_cursor: str = "next_cursor"
    parameter: str = "cursor"
    meta: bool = True
    default_limit: int = 50
    max_limit: int = 100

    def __post_init__(self) -> None:
        for key in ("has_more", "next_cursor", "parameter"):
            check_name(getattr(self, key), key)
        for key in ("member", "limit"):
            if getattr(self, key) is not None:
                check_name(getattr(self, key), key)
        check_flag(self.meta, "meta")
        self._check_names_differ()
        check_count(self.default_limit, "default_limit")
        check_count(self.max_limit, "max_limit")
        if self.default_limit > self.max_limit:
            raise ConfigurationError("is above max_limit", key="default_limit")

    def _check_names_differ(self) -> None:
        taken = {"data", "meta"} if self.member is None else set()
        for key in ("limit", "has_more", "next_cursor"):
            name = getattr(self, key)
            if name in taken:
                raise ConfigurationError(f"{name!r} is already the name of another member", key=key)
            taken.add(name)
        if self.member in ("data", "meta"):
            raise ConfigurationError(f"{self.member!r} is already the name of another member", key="member")
        if self.parameter == "limit":
            raise ConfigurationError("'limit' is already the name of another parameter", key="parameter")


DEFAULT_PAGE_STYLE = PageStyle()


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything that a gate is told besides where its keys are.

    Args:
        public: paths that need no key, short for public rules; ``/*`` alone is refused here.
        rules: what holds for which path.
        accept: where keys are read from, out of `CREDENTIAL_FORMS`, in any case.
        realm: the name in ``WWW-Authenticate`` (RFC 9110 section 11.5).
        plans: by name.
        default_plan: the plan of keys that name none; None leaves them unlimited.
        limit_by: whose requests are counted together: ``"key"``, ``"project"`` or ``"organization"``. A key without
            one of these is counted by itself.
        anonymous_limits: windows for each client address on public paths.
        failure_limits: windows for the failed proofs of each client address; None is unlimited.
        on_limiter_error: while the limiter is down, count in this process (``"local"``), admit without counting
            (``"allow"``), or answer 503 (``"deny"``).
        ietf_headers: send ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers) as well.
        envelope: put the app's JSON answers and its errors in the envelope, but for public paths.
        error_format: ``"envelope"``, or ``"problem"`` for problem documents (RFC 9457), which a client also gets whose
            ``Accept`` asks for them.
        echo_request_id: take a request's ``X-Request-ID`` over if it is 1 to 128 letters, digits, ``.``, ``_``, ``-``.
        page_style: what pages of a list look like.
        public_url: where clients reach this service, ``"https://api.example.com"``: for links.
        require_json: refuse requests whose body is not JSON.
        max_json_body: how large such a body may be, in bytes.

    Raises:
        ConfigurationError: a setting has the wrong type or value.
    """

    public: Iterable[str] = ()
    rules: Iterable[Rule] = ()
    accept: Iterable[str] = CREDENTIAL_FORMS
    realm: str = "api"
    plans: Mapping[str, Plan] = field(default_factory=dict)
    default_plan: str | None = None
    limit_by: str = "key"
    anonymous_limits: Limits = None
    failure_limits: Limits = "20/minute"
    on_limiter_error: str = "local"
    ietf_headers: bool = False
    envelope: bool = False
    error_format: str = "envelope"
    echo_request_id: bool = False
    page_style: PageStyle = DEFAULT_PAGE_STYLE
    public_url: str | None = None
    require_json: bool = False
    max_json_body: int = 1_048_576

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "plans", self._checked_plans())
        for name in ("anonymous_limits", "failure_limits"):
            set_field(self, name, check_limits(getattr(self, name), name))
        check_choice(self.limit_by, LIMIT_BY, "limit_by")
        check_choice(self.on_limiter_error, ON_LIMITER_ERROR, "on_limiter_error")
        check_choice(self.error_format, ERROR_FORMATS, "error_format")
        for name in ("ietf_headers", "envelope", "echo_request_id", "require_json"):
            check_flag(getattr(self, name), name)
        check_count(self.max_json_body, "max_json_body")
        if not isinstance(self.page_style, PageStyle):
            raise ConfigurationError(f"expected a PageStyle, got {type(self.page_style).__name__}", key="page_style")
        if self.public_url is not None:
            set_field(self, "public_url", check_origin(self.public_url, "public_url"))
        set_field(self, "public", check_strings(self.public, "public"))
        set_field(self, "rules", check_all(self.rules, Rule, "rules"))
        set_field(self, "accept", self._known_forms())
        if "/*" in self.public:
            raise ConfigurationError("'/*' would make every path public; use no gate instead", key="public")
        if not isinstance(self.realm, str) or not _QUOTABLE.fullmatch(self.realm):
            raise ConfigurationError("expected printable ASCII without quotes and backslashes", key="realm")

    def _checked_plans(self) -> Mapping[str, Plan]:
        if not isinstance(self.plans, Mapping):
            raise ConfigurationError(f"expected plans by name, got {type(self.plans).__name__}", key="plans")
        for name, plan in self.plans.items():
            if not isinstance(name, str) or not name or not isinstance(plan, Plan):
                raise ConfigurationError("expected a Plan for each name", key=f"plans.{name}")
        if self.default_plan is not None and self.default_plan not in self.plans:
            raise ConfigurationError(f"there is no plan {self.default_plan!r}", key="default_plan")
        return FrozenDict(self.plans)

    def _known_forms(self) -> tuple[str, ...]:
        known = {form.lower(): form for form in CREDENTIAL_FORMS}
        accepted = check_strings(self.accept, "accept")
        for form in accepted:
            if form.lower() not in known:
                raise ConfigurationError(f"{form!r} is not one of {', '.join(CREDENTIAL_FORMS)}", key="accept")
        if not accepted:
            raise ConfigurationError("names no place to read a key from", key="accept")
        return tuple(dict.fromkeys(known[form.lower()] for form in accepted))

    def all_rules(self) -> tuple[tuple[str, Rule], ...]:
        """Every rule with the name of the setting it came from, `public` spelled out."""
        listed = [(f"rules[{index}]", rule) for index, rule in enumerate(self.rules)]
        for index, path in enumerate(self.public):
            if not path.startswith("/"):
                raise ConfigurationError(f"{path!r} does not start with '/'", key=f"public[{index}]")
            if " " in path:
                raise ConfigurationError(f"{path!r} has a space", key=f"public[{index}]")
            listed.append((f"public[{index}]", Rule(path, public=True)))
        return tuple(listed)
