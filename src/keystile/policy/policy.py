"""What a gate is told to do, as frozen values that are checked when they are built.

A setting is here only if something enforces it. What nothing implements yet is refused as unknown, because a setting
that is accepted and then ignored is a hole that looks like a fence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .._ground.checks import check_name, check_origin, check_root_path, known
from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError
from .beside.management import Management
from .choices import ErrorFormat, EventFormat, Foreign, Https, LimitBy, OnLimiterError, Preflight, RedirectStatus
from .origins import check_credentials, check_origins
from .pages import DEFAULT_PAGE_STYLE, PageStyle
from .places import CREDENTIAL_FORMS, check_accept, check_client_header
from .plans import Limits, Plan
from .rules import Rule, check_addresses, check_public, public_rules
from .settings import check_settings, setting

# NIST SP 800-107 section 5.3.2 requires a MAC key of at least 112 bits; 16 bytes is the next round number.
MIN_PEPPER_BYTES = 16
# What was begun before a purge's moment must have ended by now, on every machine, whatever its clock says.
MIN_RETENTION = 3600
REMEMBERED_KEYS = 100_000
# RFC 9110 section 5.6.4: what may stand in a quoted string without escaping.
_QUOTABLE = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")


def _check_retention(seconds: int, key: str) -> int:
    if seconds < MIN_RETENTION:
        raise ConfigurationError(f"expected at least {MIN_RETENTION} seconds, or None", key=key)
    return seconds


def _check_realm(realm: str, key: str) -> str:
    if not _QUOTABLE.fullmatch(realm):
        raise ConfigurationError("expected printable ASCII without quotes and backslashes, not empty", key=key)
    return realm


@dataclass(frozen=True, slots=True)
class Policy:
    """All settings of a gate except the parts that it works with. docs/reference/settings.md describes each setting.

    Raises:
        ConfigurationError: a setting has the wrong type or value.
    """

    public: Iterable[str] = setting(
        'Paths that need no key, short for public rules; "/static/*" is everything below /static/. `/*` alone is '
        "refused.",
        default=(),
        check=check_public,
        example='["/health"]',
        begins=True,
    )
    rules: Iterable[Rule] = setting(
        "What requests ask of a key. Every rule that matches holds.",
        default=(),
        example='[[rules]]\nmatch = "POST /v1/exports"\nscopes = ["exports:write"]\nlimits = "10/hour"',
    )
    accept: Iterable[str] = setting(
        "Where keys are read from, as a client writes it: a header's name, `Authorization: <scheme>`, "
        "`Authorization: Basic` (the key as user or as password), `Sec-WebSocket-Protocol` (websockets alone), or "
        "`?name` for a parameter of the query. Upper or lower case does not matter but in the query. Not every header "
        "can carry one: docs/guides/credentials.md.",
        default=CREDENTIAL_FORMS,
        check=check_accept,
        example='["Authorization: Bearer", "X-API-Key"]',
    )
    foreign: Foreign = setting(
        'What happens to a credential that does not begin with the gate\'s own prefix: "refuse" takes it for a wrong '
        'key; "ignore" leaves it to the app where it stands alone, which then has logins of its own. It opens nothing: '
        "a path that needs a key still needs one.",
        default="refuse",
    )
    hide_credentials: bool = setting(
        "Take everything that looks like one of the gate's keys out of what the app sees: headers, cookies, the query, "
        "subprotocols of websockets. Without it the app sees headers as they were sent.",
        default=False,
    )
    realm: str = setting("The name in `WWW-Authenticate` (RFC 9110 section 11.5).", default="api", check=_check_realm)
    plans: Mapping[str, Plan] = setting(
        "What the keys of a plan may do, by the plan's name.",
        default=FrozenDict(),
        example='[plans.free]\nlimits = "60/minute; 5000/day"\n\n[plans.pro]\nlimits = "1000/minute"',
    )
    default_plan: str | None = setting(
        "The plan of keys that name none. Without it, such keys are unlimited.", default=None, example='"free"'
    )
    limit_by: LimitBy = setting(
        'Whose requests are counted together: those of one "key", "project" or "organization". A key without a project '
        "or an organization is counted by itself.",
        default="key",
    )
    anonymous_limits: Limits = setting("Windows for each client address on public paths.", default=None)
    failure_limits: Limits = setting(
        "How many wrong keys each client address may try (IPv6: each /64, with 8 times as much for its /56 and 64 "
        "times for its /48). None, in a file false, is no limit. Keys that fail their check are not counted.",
        default="20/minute",
        example='"20/minute"',
    )
    address_wait: float = setting(
        "For how many seconds a first use of a key may wait while other keys from its address are proved, once a key "
        "from there has failed.",
        default=1.0,
    )
    hashing_wait: float = setting(
        "For how many seconds a first use of a key may wait in all. One that would wait longer gets 503.", default=5.0
    )
    wsgi_threads: int | None = setting(
        "How many threads serve requests in this process; a quarter of them may wait. None counts all threads that the "
        "process has at the moment.",
        default=None,
    )
    remembered_keys: int = setting(
        "For how many keys each process remembers what it proved, what it read of them and what follows from that, so "
        "that they cost microseconds. Each takes 1 kB with a store in memory, 2 kB with SQLite, PostgreSQL or MySQL, "
        "3 kB with Redis, and what its metadata needs; and up to 2 kB more, as a mean of all, for what follows on the "
        "paths that it is used for.",
        default=REMEMBERED_KEYS,
    )
    on_limiter_error: OnLimiterError = setting(
        'While the limiter is down: count in this process ("local"), admit without counting ("allow"), or answer 503 '
        '("deny").',
        default="local",
    )
    enforce: bool = setting(
        "False is a dry run of the whole gate: nothing is refused but malformed requests (400), what is down (503) and "
        "too many wrong keys from one address, and what would have been refused is told as the event `would_refuse`. "
        "A caller without a key that is good and alive has no principal.",
        default=True,
    )
    ietf_headers: bool = setting(
        "Send `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers) as well.", default=False
    )
    envelope: bool = setting(
        'Give the app\'s JSON answers and its errors one shape, {"data": …, "meta": …} and {"error": …, "meta": …}, '
        "except on public paths.",
        default=False,
        example="true",
    )
    error_format: ErrorFormat = setting(
        'The shape of errors: "envelope", or "problem" for problem documents (RFC 9457). A client whose `Accept` asks '
        "for problem documents gets them in either case.",
        default="envelope",
    )
    propagate_exceptions: bool | None = setting(
        "Under WSGI, whether an exception of the app propagates to the server instead of being logged and answered. "
        "None asks the host (Flask's `PROPAGATE_EXCEPTIONS`, `TESTING` and `DEBUG`, Django's "
        "`DEBUG_PROPAGATE_EXCEPTIONS`). Under ASGI it is always answered and propagates as well.",
        default=None,
    )
    echo_request_id: bool = setting(
        "Keep a request's own `X-Request-ID` if it is 1 to 128 letters, digits, `.`, `_`, `-`.", default=False
    )
    page_style: PageStyle = setting("What pages of a list look like.", default=DEFAULT_PAGE_STYLE)
    public_url: str | None = setting(
        "The URL at which clients reach this service, for links and redirects: a scheme and a host.",
        default=None,
        check=check_origin,
        example='"https://api.example.com"',
    )
    require_json: bool = setting("Refuse requests whose body is not JSON.", default=False)
    max_json_body: int = setting(
        "The largest body that is accepted where it must be JSON, in bytes.", default=1_048_576
    )
    trusted_proxies: Iterable[str] = setting(
        "The addresses and networks of the proxies in front of this service. What they say of the client's address and "
        "scheme is trusted.",
        default=(),
        example='["10.0.0.0/8"]',
    )
    allow: Iterable[str] | None = setting(
        "The only addresses and networks that requests may come from, to any path, or None for all. A client whose "
        "address is unknown is refused. Rules have lists of their own; all that hold for a request must admit it.",
        default=None,
        check=check_addresses,
    )
    deny: Iterable[str] | None = setting(
        "Addresses and networks that no request may come from, whatever is allowed; or None. With it, a client whose "
        "address is unknown is refused.",
        default=None,
        check=check_addresses,
    )
    trusted_hops: int | None = setting(
        "How many proxies are in front of this service: the client is the entry that the outermost of them added.",
        default=None,
    )
    client_header: str = setting(
        'The header in which proxies name the client: "X-Forwarded-For", "Forwarded" (RFC 7239), or a header with one '
        "value.",
        default="X-Forwarded-For",
        check=check_name,
    )
    max_grace: int = setting(
        "The longest time for which a rotated key's older secret may remain valid, in seconds.", default=7_776_000
    )
    expiry_notice: int = setting(
        "How long before a key expires this is told, in seconds: as an event once a day for each key in use.",
        default=604_800,
    )
    usage_retention: int = setting(
        "For how long it is kept how often each key was used in each hour, in seconds; 0 counts nothing.",
        default=7_776_000,
        kind="WHOLE",
    )
    retention: int | None = setting(
        "For how long `gate.purge` and `keystile purge` leave what has ended, in seconds, at least 3600: keys that are "
        "revoked or expired, deleted projects, and the audit. None keeps all of it.",
        default=7_776_000,
        check=_check_retention,
    )
    https: Https = setting(
        'What happens to plain http: "off" lets it through, "redirect" redirects to `public_url`, "require" answers '
        "403.",
        default="off",
        example='"redirect"',
    )
    redirect_status: RedirectStatus = setting(
        "The status of that redirect: 301, after which clients send a POST again as a GET, or 308, after which they "
        "keep its method and body. Either way a key that came in the clear has already been sent, and is reported.",
        default=301,
    )
    hsts: int | None = setting(
        "Seconds for `Strict-Transport-Security` (RFC 6797) on answers over https, or None.", default=None
    )
    recheck_in_flight: bool = setting(
        "Judge the caller again, by the key's record as it is then, before the app's answer leaves, at each further "
        "chunk of a stream, and at each message of a websocket. Windows are not asked again.",
        default=False,
    )
    root_path: str | None = setting(
        'The prefix that the app itself takes off a path, such as "/api"; rules are relative to what is left. "" is no '
        "prefix. None uses what the server says (ASGI `root_path`), FastAPI's own `root_path`, or Django's "
        "`FORCE_SCRIPT_NAME`.",
        default=None,
        check=check_root_path,
    )
    management: Management | None = setting(
        "Serve the management API: keys, projects, audit and usage as JSON. A host can mount it itself instead.",
        default=None,
        example='[management]\npath = "/manage"',
    )
    event_format: EventFormat = setting('The format of log lines: "text" or "json".', default="text")
    cors_origins: Iterable[str] = setting(
        'The origins of pages whose scripts may read answers, each as browsers send it: "https://app.example.com". For '
        "these the gate answers preflights and adds CORS headers to every answer that has none; docs/guides/cors.md. "
        '"*" alone is every origin.',
        default=(),
        check=check_origins,
        example='["https://app.example.com"]',
    )
    cors_credentials: bool = setting(
        "Whether scripts of `cors_origins` may send cookies and what else a browser adds by itself. Keys that a script "
        "sends in a header do not need this.",
        default=False,
    )
    preflight: Preflight = setting(
        'What happens to a CORS preflight that `cors_origins` does not answer: "refuse" judges it like any request, so '
        "it needs a key, which no browser sends with a preflight (a CORS layer outside the gate answers it before); "
        '"pass" lets the app answer it without a key, counts it in `anonymous_limits` and reports it. Any client can '
        "send a preflight, so this runs whatever the app does on OPTIONS.",
        default="refuse",
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if self.default_plan is not None and self.default_plan not in self.plans:
            reason = f"there is no plan {self.default_plan!r}; {known(self.plans, self.default_plan)}"
            raise ConfigurationError(reason, key="default_plan")
        if self.https == "redirect" and not str(self.public_url).startswith("https://"):
            raise ConfigurationError("'redirect' needs public_url, the https URL to redirect to", key="https")
        check_credentials(tuple(self.cors_origins), credentials=self.cors_credentials)
        check_client_header(self.client_header, self.all_accepted())

    def dry_runs(self) -> tuple[str, ...]:
        """The names of the settings by which the gate, plans or rules are in dry run."""
        rules = [f"{key}.enforce" for key, rule in self.own_rules() if not rule.enforce]
        plans = [f"plans.{name}.enforce" for name, plan in self.plans.items() if not plan.enforce]
        return (*([] if self.enforce else ["enforce"]), *plans, *rules)

    def all_accepted(self) -> tuple[str, ...]:
        """Every place that a key is read from on any path."""
        return (*self.accept, *(form for rule in self.rules for form in rule.accept or ()))

    def own_rules(self) -> tuple[tuple[str, Rule], ...]:
        """Each of `rules` with the name of the setting that it came from. A path of `public` says nothing more."""
        return tuple((f"rules[{index}]", rule) for index, rule in enumerate(self.rules))

    def all_rules(self) -> tuple[tuple[str, Rule], ...]:
        """The same, each path of `public` as a rule, which is made anew with each call, and those of `management`."""
        managing = () if self.management is None else self.management.rules()
        return (*self.own_rules(), *public_rules(self.public), *managing)
