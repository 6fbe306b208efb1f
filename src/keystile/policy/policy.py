"""The settings of a gate as frozen values, checked when they are built.

A setting is here only if something enforces it: what nothing implements yet is refused as unknown, because a
setting that is accepted and then ignored is a hole that looks like a fence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from .._ground.checks import (
    check_all,
    check_choice,
    check_count,
    check_flag,
    check_limits,
    check_name,
    check_origin,
    check_root_path,
    check_scopes,
    check_seconds,
    check_strings,
    known,
    names_checked,
)
from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError
from .pages import DEFAULT_PAGE_STYLE, PageStyle

Limits = str | Sequence[str] | None
"""Rate notation of the `limits` library, one or several."""

LimitBy = Literal["key", "project", "organization"]
OnLimiterError = Literal["local", "allow", "deny"]
ErrorFormat = Literal["envelope", "problem"]
EventFormat = Literal["text", "json"]
Https = Literal["off", "redirect", "require"]
RedirectStatus = Literal[301, 308]
Preflight = Literal["refuse", "pass"]

CREDENTIAL_FORMS = ("Authorization: Bearer", "Authorization: Api-Key", "Api-Key", "X-API-Key")
"""The places a key is read from, as a client would write them."""

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
"""The methods that rules tell apart (RFC 9110 section 9.1, RFC 5789); they are case-sensitive."""

_MATCH = re.compile(r"(?:([A-Z][A-Z-]*) )?(/[^ ]*)")
# How routers write a segment that may be anything; literal text in the eyes of a rule, which would guard nothing.
_PARAMETER = re.compile(r"/(?:[^/]*[{<]|:)[^/]*")
# NIST SP 800-107 section 5.3.2 wants a MAC key of at least 112 bits; 16 bytes is the round number above it.
MIN_PEPPER_BYTES = 16
REMEMBERED_KEYS = 100_000
# RFC 9110 section 5.6.4: what may stand in a quoted string without escaping.
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")


@names_checked
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


@names_checked
@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a path.

    Args:
        match: ``"POST /v1/exports"`` or ``"/v1/exports/*"``: an optional method, then a path. The path is exact;
            ``/*`` at its end means everything below it. ``GET`` also holds HEAD and the websocket handshake.
            Relative to the app: a mount's prefix is not part of it. What a rule demands holds with and without a slash
            at the path's end; public is only what is spelled so.
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
        self._check_match()
        check_flag(self.public, "public")
        if self.public and self.path == "/*":
            raise ConfigurationError(f"{self.match!r} would make every path public; use no gate instead", key="public")
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

    def _check_match(self) -> None:
        if self.method and self.method not in METHODS:
            raise ConfigurationError(
                f"{self.method!r} is none of {', '.join(sorted(METHODS))}: leave it out, for a request with another "
                "method has to meet every rule of its path",
                key="match",
            )
        parameter = _PARAMETER.search(self.path)
        if parameter is not None:
            raise ConfigurationError(
                f"{self.match!r}: path parameters like {parameter[0][1:]!r} are not supported yet, and as literal text "
                f"this would guard nothing; write '{self.path[: parameter.start()]}/*' for everything below",
                key="match",
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
        failure_limits: windows for the failed proofs of each client address (IPv6: each /64, with 8 times as much for
            its /56 and 64 times for its /48); None is unlimited. Keys that fail their check are not counted.
        address_wait: for how many seconds a first use of a key may wait while others of its address are proved, once a
            key from there failed.
        hashing_wait: for how many seconds a first use may wait in all. Whoever would wait longer gets 503.
        wsgi_threads: how many threads serve requests in this process, of which a quarter may wait; None takes all
            threads that it has at the moment.
        remembered_keys: of how many keys each process remembers what it proved and read, so that they cost
            microseconds: 1 kB each, with a store in SQLite 2 kB, and there what its metadata needs.
        on_limiter_error: while the limiter is down, count in this process (``"local"``), admit without counting
            (``"allow"``), or answer 503 (``"deny"``).
        ietf_headers: send ``RateLimit`` and ``RateLimit-Policy`` (draft-ietf-httpapi-ratelimit-headers) as well.
        envelope: put the app's JSON answers and its errors in the envelope, but for public paths.
        error_format: ``"envelope"``, or ``"problem"`` for problem documents (RFC 9457), which a client also gets whose
            ``Accept`` asks for them.
        propagate_exceptions: under WSGI, whether an exception of the app goes on to the server instead of being logged
            and answered; None asks the host (Flask's ``PROPAGATE_EXCEPTIONS``, ``TESTING`` and ``DEBUG``, Django's
            ``DEBUG_PROPAGATE_EXCEPTIONS``). Under ASGI it is answered and goes on, always.
        echo_request_id: take a request's ``X-Request-ID`` over if it is 1 to 128 letters, digits, ``.``, ``_``, ``-``.
        page_style: what pages of a list look like.
        public_url: where clients reach this service, ``"https://api.example.com"``: for links.
        require_json: refuse requests whose body is not JSON.
        max_json_body: how large such a body may be, in bytes.
        trusted_proxies: addresses and networks whose word on the client is taken.
        trusted_hops: how many proxies stand before us: the client is the entry that the outermost of them added.
        client_header: where proxies say who the client is: ``"X-Forwarded-For"``, ``"Forwarded"`` (RFC 7239), or a
            header with one value.
        https: ``"off"``, ``"redirect"`` (to `public_url`) or ``"require"`` (403).
        redirect_status: of that redirect: 301, after which clients send a POST again as a GET, or 308, after which
            they keep its method and body. A key that came in the clear has been sent either way, and is told.
        hsts: seconds for ``Strict-Transport-Security`` (RFC 6797) on answers over https, or None.
        recheck_in_flight: judge the caller again, by the key's record as it is then, before the app's answer leaves and
            at each message of a websocket; windows are not asked again.
        root_path: the prefix that the app itself takes off a path, ``"/api"``; rules are relative to what is left.
            ``""`` is none. None is what the server says (ASGI ``root_path``), FastAPI's own ``root_path``, or Django's
            ``FORCE_SCRIPT_NAME``.
        query_parameter: a query parameter that may carry the key, or None. It is taken out before the app sees it.
        event_format: lines of the log as ``"text"`` or ``"json"``.
        preflight: what becomes of a CORS preflight that reaches the gate: ``"refuse"`` judges it like any request, so
            that it needs a key, which no browser sends with one (a CORS layer outside the gate answers it before);
            ``"pass"`` lets the app answer it without a key, counts it in `anonymous_limits` and tells it. Any client
            can send one, so that this runs whatever the app does on OPTIONS.

    Raises:
        ConfigurationError: a setting has the wrong type or value.
    """

    public: Iterable[str] = ()
    rules: Iterable[Rule] = ()
    accept: Iterable[str] = CREDENTIAL_FORMS
    realm: str = "api"
    plans: Mapping[str, Plan] = field(default_factory=dict)
    default_plan: str | None = None
    limit_by: LimitBy = "key"
    anonymous_limits: Limits = None
    failure_limits: Limits = "20/minute"
    address_wait: float = 1.0
    hashing_wait: float = 5.0
    wsgi_threads: int | None = None
    remembered_keys: int = REMEMBERED_KEYS
    on_limiter_error: OnLimiterError = "local"
    ietf_headers: bool = False
    envelope: bool = False
    error_format: ErrorFormat = "envelope"
    propagate_exceptions: bool | None = None
    echo_request_id: bool = False
    page_style: PageStyle = DEFAULT_PAGE_STYLE
    public_url: str | None = None
    require_json: bool = False
    max_json_body: int = 1_048_576
    trusted_proxies: Iterable[str] = ()
    trusted_hops: int | None = None
    client_header: str = "X-Forwarded-For"
    https: Https = "off"
    redirect_status: RedirectStatus = 301
    hsts: int | None = None
    recheck_in_flight: bool = False
    root_path: str | None = None
    query_parameter: str | None = None
    event_format: EventFormat = "text"
    preflight: Preflight = "refuse"

    def __post_init__(self) -> None:
        set_field = object.__setattr__
        set_field(self, "plans", self._checked_plans())
        for name in ("anonymous_limits", "failure_limits"):
            set_field(self, name, check_limits(getattr(self, name), name))
        check_choice(self.limit_by, LimitBy, "limit_by")
        check_choice(self.on_limiter_error, OnLimiterError, "on_limiter_error")
        check_choice(self.error_format, ErrorFormat, "error_format")
        check_choice(self.event_format, EventFormat, "event_format")
        for name in ("ietf_headers", "envelope", "echo_request_id", "require_json", "recheck_in_flight"):
            check_flag(getattr(self, name), name)
        for name in ("max_json_body", "remembered_keys"):
            check_count(getattr(self, name), name)
        for name in ("address_wait", "hashing_wait"):
            check_seconds(getattr(self, name), name)
        if self.propagate_exceptions is not None:
            check_flag(self.propagate_exceptions, "propagate_exceptions")
        if not isinstance(self.page_style, PageStyle):
            raise ConfigurationError(f"expected a PageStyle, got {type(self.page_style).__name__}", key="page_style")
        if self.public_url is not None:
            set_field(self, "public_url", check_origin(self.public_url, "public_url"))
        self._check_network()
        set_field(self, "public", check_strings(self.public, "public"))
        set_field(self, "rules", check_all(self.rules, Rule, "rules"))
        set_field(self, "accept", self._known_forms())
        if "/*" in self.public:
            raise ConfigurationError("'/*' would make every path public; use no gate instead", key="public")
        if not isinstance(self.realm, str) or not _QUOTABLE.fullmatch(self.realm):
            raise ConfigurationError("expected printable ASCII without quotes and backslashes", key="realm")

    def _check_network(self) -> None:
        check_choice(self.https, Https, "https")
        check_choice(self.redirect_status, RedirectStatus, "redirect_status")
        check_choice(self.preflight, Preflight, "preflight")
        if self.https == "redirect" and not str(self.public_url).startswith("https://"):
            raise ConfigurationError("'redirect' needs public_url, an https URL to redirect to", key="https")
        for name in ("hsts", "trusted_hops", "wsgi_threads"):
            if getattr(self, name) is not None:
                check_count(getattr(self, name), name)
        for name in ("client_header", "query_parameter"):
            if getattr(self, name) is not None:
                check_name(getattr(self, name), name)
        if self.root_path is not None:
            check_root_path(self.root_path, "root_path")
        object.__setattr__(self, "trusted_proxies", check_strings(self.trusted_proxies, "trusted_proxies"))

    def _checked_plans(self) -> Mapping[str, Plan]:
        if not isinstance(self.plans, Mapping):
            raise ConfigurationError(f"expected plans by name, got {type(self.plans).__name__}", key="plans")
        for name, plan in self.plans.items():
            if not isinstance(name, str) or not name or not isinstance(plan, Plan):
                raise ConfigurationError("expected a Plan for each name", key=f"plans.{name}")
        if self.default_plan is not None and self.default_plan not in self.plans:
            reason = f"there is no plan {self.default_plan!r}; {known(self.plans, str(self.default_plan))}"
            raise ConfigurationError(reason, key="default_plan")
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
            try:
                rule = Rule(path, public=True)
            except ConfigurationError as error:
                raise ConfigurationError(error.reason, key=f"public[{index}]") from None
            listed.append((f"public[{index}]", rule))
        return tuple(listed)
