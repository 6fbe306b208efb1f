"""How a request can end badly: the table of refusals, and nothing that decides between them.

A caller who has not proved a secret gets the same answer whatever was wrong (RFC 6750 section 3.1): a difference would
reveal which ids exist.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import get_args

from .._ground.frozen import FrozenDict
from ..model import Reason, Window
from ..policy import RedirectStatus
from .requests.credentials import Unusable
from .requests.querykeys import MOST_PARAMETERS, MOST_QUERY

_NONE = FrozenDict()
_INVALID_TOKEN = ', error="invalid_token"'  # noqa: S105 - RFC 6750's word
_BUSY = "The service is temporarily unavailable."

MISSING = Reason(401, "missing_api_key", "An API key is required.", _NONE, "")
INVALID = Reason(401, "invalid_api_key", "The API key is not valid.", _NONE, _INVALID_TOKEN)
REVOKED = Reason(401, "revoked_api_key", "The API key has been revoked.", _NONE, _INVALID_TOKEN)
SUSPENDED = Reason(401, "suspended_api_key", "The API key is suspended.", _NONE, _INVALID_TOKEN)
EXPIRED = Reason(401, "expired_api_key", "The API key has expired.", _NONE, _INVALID_TOKEN)
AMBIGUOUS = Reason(
    400,
    "invalid_request",
    "The request must present exactly one API key, in one header line.",
    _NONE,
    ', error="invalid_request"',
)
AMBIENT = Reason(403, "cross_site", "A browser sent this API key on its own, for a page of another site.")
ADDRESS = Reason(403, "ip_not_allowed", "The API key may not be used from this address.")
BARRED = Reason(403, "ip_not_allowed", "Requests from this address are not allowed here.")
USES = Reason(
    403,
    "insufficient_scope",
    "The API key may not be used for this request.",
    _NONE,
    ', error="insufficient_scope"',
)
PLAN = Reason(403, "plan_required", "The plan of this API key has no access.")
# A store that is down takes a while to come back; an overloaded one may have room in the next second.
STORE_DOWN = Reason(503, "unavailable", _BUSY, retry_after=5)
OVERLOADED = Reason(503, "unavailable", _BUSY, retry_after=1)

HTTPS_REQUIRED = Reason(403, "https_required", "This service is reached over https.")
# What a CORS preflight gets. It says nothing of the request that follows it.
PREFLIGHT = Reason(204, "preflight", "")
# By status: `Policy.redirect_status`.
HTTPS_REDIRECTS = {status: replace(HTTPS_REQUIRED, status=status) for status in get_args(RedirectStatus)}
NOT_JSON = Reason(415, "unsupported_media_type", "The request body must be JSON, sent as application/json.")
MALFORMED = Reason(400, "invalid_request", "The request body is malformed")
LONG_QUERY = Reason(
    400, "invalid_request", f"The query must have at most {MOST_QUERY} bytes and {MOST_PARAMETERS} parameters."
)
INVALID_SIGNATURE = Reason(400, "invalid_signature", "The message is not signed as it should be.")
UNDER_WAY = Reason(409, "already_under_way", "The message with this id is being worked on.")
UNREADABLE = Reason(400, "invalid_request", "The path or method can be read in more than one way.")

UNUSABLE = {
    Unusable.MISSING: MISSING,
    Unusable.ELSEWHERE: MISSING,
    Unusable.MALFORMED: INVALID,
    Unusable.AMBIGUOUS: AMBIGUOUS,
    Unusable.AMBIENT: AMBIENT,
}


@lru_cache(maxsize=4096)
def limited(window: Window, retry_after: int | None) -> Reason:
    """A window is full; None if waiting does not help."""
    details = {"limit": window.limit, "window_seconds": window.seconds, "retry_after": retry_after}
    unit = {"unit": window.unit} if window.unit else {}
    message = f"Too many {window.unit or 'requests'}."
    return Reason(429, "rate_limited", message, FrozenDict(details | unit), retry_after=retry_after)


@lru_cache(maxsize=1024)
def too_many_failures(retry_after: int | None) -> Reason:
    """Too many keys from this address were wrong."""
    message = "Too many invalid API keys from this address."
    return Reason(429, "too_many_failures", message, _NONE, retry_after=retry_after)


@lru_cache(maxsize=1024)
def lacking(scopes: frozenset[str]) -> Reason:
    """The key is good, but lacks one of these scopes or more."""
    wanted = sorted(scopes)
    return Reason(
        403,
        "insufficient_scope",
        "The API key does not hold every scope that this request needs.",
        FrozenDict(required_scopes=tuple(wanted)),
        f', error="insufficient_scope", scope="{" ".join(wanted)}"',
    )


@lru_cache(maxsize=64)
def too_large(most: int) -> Reason:
    """The body has more bytes than this."""
    return Reason(413, "payload_too_large", "The request body is too large.", FrozenDict(max_bytes=most))
