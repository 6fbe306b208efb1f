"""Which signed messages a service receives."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .._ground.checks import check_all, check_form, errors_under, names_checked
from ..exceptions import ConfigurationError
from .matches import Pattern, parse_match
from .settings import check_settings, described, setting

SchemeName = Literal["standard", "hex_body", "timestamped"]
TOLERANCE = 300
"""Seconds that a clock may be off, both ways. Standard Webhooks and Stripe say five minutes."""
KEEP_IDS = 345_600
"""Seconds for which an id is kept: longer than senders go on trying."""
LONGEST_GRACE = 30 * 86_400
"""Seconds for which the secret of an endpoint signs, at most, beside the one that replaced it."""
MAX_PAYLOAD = 20_000
"""Bytes of a message that is sent. Standard Webhooks says less than 20 kB."""
KEEP_MESSAGES = 30
"""Days for which messages are kept that are not on their way any more."""

RECEIVING = ("receive", "ids", "keep_ids")
"""The settings of `Webhooks` that are arguments of `WebhookMiddleware`; the others are of `Outbox`."""

_DONE = {
    "create": "created",
    "import": "imported",
    "update": "updated",
    "rotate": "rotated",
    "suspend": "suspended",
    "resume": "resumed",
    "revoke": "revoked",
    "delete": "deleted",
    "plan": "plan_changed",
}
_CHANGES = {
    "key": ("create", "import", "update", "rotate", "suspend", "resume", "revoke"),
    "project": ("create", "update", "suspend", "resume", "delete"),
    "organization": ("create", "update", "suspend", "resume", "plan"),
}
LEAKED = "key.leaked"
OWN_TYPES = {f"{what}.{each}": f"{what}.{_DONE[each]}" for what, changes in _CHANGES.items() for each in changes}
"""What a change is called in the audit, and in the message about it: that something is to be done, and that it was."""

# A field name (RFC 9110 section 5.6.2) that every server hands over: some drop names with an underscore.
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_PREFIX = re.compile(r"[\x21-\x7e]{0,32}")


def check_header(name: Any, key: str) -> str:
    """A header that may carry a signature, or ConfigurationError."""
    return check_form(name, _HEADER, "a header name of letters, digits and '-'", key)


def check_prefix(prefix: Any, key: str) -> str:
    """What may stand before a signature in hex, or ConfigurationError."""
    return check_form(prefix, _PREFIX, "at most 32 printable ASCII characters", key)


def check_own_types(wanted: tuple[str, ...], key: str) -> tuple[str, ...]:
    """Types of messages about changes of keys, or ``key.*`` for all that begin so, or ``*``; or ConfigurationError."""
    known = {*OWN_TYPES.values(), LEAKED}
    allowed = {*known, *(f"{what}.*" for what in _CHANGES), "*"}
    for place, each in enumerate(wanted):
        if each not in allowed:
            near = f": it is {OWN_TYPES[each]!r} when it has happened" if each in OWN_TYPES else ""
            reason = f"{each!r:.80} is not the type of a message{near}; there are {', '.join(sorted(allowed))}"
            raise ConfigurationError(reason, key=f"{key}[{place}]")
    return tuple(dict.fromkeys(wanted))


def own_types(wanted: Sequence[str]) -> frozenset[str]:
    """The types of messages that a checked list names."""
    known = {*OWN_TYPES.values(), LEAKED}
    return frozenset(each for each in known if {each, f"{each.partition('.')[0]}.*", "*"} & set(wanted))


def _check_match(text: str, key: str) -> str:
    with errors_under(key):
        pattern = parse_match(text)
    if pattern.below or None in pattern.segments:
        raise ConfigurationError(f"{text!r}: name one path, without '{{name}}' and '/*'", key=key)
    return text


@names_checked
@dataclass(frozen=True, slots=True)
class Receiver:
    """Where signed messages arrive, and how they are signed:
    ``Receiver("/hooks/billing", secrets=[os.environ["BILLING_SECRET"]])``. docs/reference/settings.md describes
    each setting.

    Raises:
        ConfigurationError: a setting has the wrong type, or does not belong to the scheme.
    """

    match: str = field(
        metadata=described(
            "The path at which messages arrive, with methods before it if the rule is for these alone: "
            '`"/hooks/billing"`, `"POST /hooks/billing"`. Nothing reaches the app there that is not signed.',
            check=_check_match,
        )
    )
    secrets: Sequence[str | bytes] = field(
        repr=False,
        metadata=described(
            "What messages are signed with; several while a secret is replaced: each of them is accepted. In "
            "`standard` `whsec_` and base64 of 24 to 64 bytes (or `whpk_…`, a public key), in the other schemes text "
            "of at least 16 bytes, used as it is.",
        ),
    )
    scheme: SchemeName = setting(
        "How messages are signed: `standard` (Standard Webhooks), `hex_body` (the HMAC of the body in hex, as GitHub "
        "does) or `timestamped` (`t=…,v1=…`, as Stripe does).",
        default="standard",
    )
    header: str | None = setting(
        "The header with the signature, for `hex_body` and `timestamped`; `standard` has names of its own.",
        default=None,
        check=check_header,
    )
    prefix: str = setting("What stands before the hex digits, for `hex_body`.", default="sha256=", check=check_prefix)
    tolerance: float = setting(
        "How many seconds the time in a message may be off, both ways. `hex_body` has no time.", default=TOLERANCE
    )
    max_body: int = setting("The most bytes that a message may have; more is 413.", default=262_144)

    def __post_init__(self) -> None:
        check_settings(self)
        object.__setattr__(self, "secrets", check_all(self.secrets, object, "secrets"))
        if not self.secrets:
            raise ConfigurationError("expected a list of at least one secret", key="secrets")
        if self.scheme == "standard" and self.header is not None:
            raise ConfigurationError("scheme 'standard' names its headers itself; leave header out", key="header")
        if self.scheme != "standard" and self.header is None:
            raise ConfigurationError(f"is missing: scheme {self.scheme!r} needs a header", key="header")
        if self.scheme != "hex_body" and self.prefix != "sha256=":
            raise ConfigurationError(f"belongs to 'hex_body', but scheme is {self.scheme!r}", key="prefix")

    @property
    def pattern(self) -> Pattern:
        """What it matches, read."""
        return parse_match(self.match)


@names_checked
@dataclass(frozen=True, slots=True)
class Webhooks:
    """What a file says about webhooks. docs/reference/settings.md describes each setting.

    Raises:
        ConfigurationError: a setting has the wrong type.
    """

    receive: Sequence[Receiver] = setting("Where signed messages arrive.", default=())
    events: Sequence[str] = setting(
        "Which changes of keys, projects and organizations are sent to the endpoints of the organization that they "
        'concern: types of messages like `"key.revoked"`, or `"key.*"`, or `"*"`. The worker reads them in the audit.',
        default=(),
        check=check_own_types,
    )
    ids: str | None = setting(
        "Where the ids of messages are kept, so that one that comes again is answered with 200 and the app does not "
        "run: `memory://` (of one process) or `sqlite:///file.db` (of all on one machine). Only `standard` has ids. "
        "None keeps none.",
        default=None,
    )
    keep_ids: int = setting(
        "For how many seconds an id is kept. Senders try again for days, so the default is four days.",
        default=KEEP_IDS,
    )
    outbox: str | None = setting(
        "Where messages wait that this service sends, with the endpoints of its customers: `postgresql://…` or "
        "`sqlite:///file.db`, the database of the service's own transactions. In code, `Outbox(url)`. "
        "`KEYSTILE_WEBHOOK_KEY` holds the key that secrets are sealed with. None sends nothing.",
        default=None,
        show=False,
    )
    allow_networks: Sequence[str] = setting(
        "Addresses and networks that messages may be sent to though they are not public: those of receivers inside. "
        "In code, `Targets(allow_networks=…)`.",
        default=(),
    )
    allow_ports: Sequence[int] = setting("Ports that messages may be sent to, beside 443.", default=())
    allow_http: bool = setting("Whether messages may be sent in the clear.", default=False)
    max_payload: int = setting(
        "How many bytes a message may have that this service sends; Standard Webhooks says less than 20 kB.",
        default=MAX_PAYLOAD,
    )
    keep_messages: int = setting(
        "For how many days messages are kept that have arrived, or were given up, with what came of each attempt.",
        default=KEEP_MESSAGES,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        check_ids(self.receive, self.ids, self.keep_ids)


def check_ids(receive: Sequence[Receiver], ids: object, keep_ids: int) -> None:
    """ConfigurationError if ids are to be kept and no message has one, or not for as long as it could be replayed."""
    signing = [each for each in receive if each.scheme == "standard"]
    if ids is not None and not signing:
        raise ConfigurationError("keeps ids, but no receiver has scheme 'standard', which alone has ids", key="ids")
    least = 2 * max((each.tolerance for each in signing), default=0)
    if ids is not None and keep_ids < least:
        raise ConfigurationError(f"expected at least {least:.0f}, twice the tolerance of a receiver", key="keep_ids")
