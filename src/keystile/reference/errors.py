"""The page docs/reference/errors.md: each refusal, when it comes, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from .tables import NONE, code, table


class Error(NamedTuple):
    """A code with everything that people want to know of it.

    Attributes:
        code: the ``error.code``.
        statuses: with which it comes.
        when: what has happened.
        caller: what the client can do.
        operator: what whoever runs the service can do; empty if nothing is wrong there.
    """

    code: str
    statuses: tuple[int, ...]
    when: str
    caller: str
    operator: str = ""


_LATER = "wait `Retry-After` seconds, then send it again"
_OTHER_KEY = "ask for a key that may, or for another plan"

GATE = (
    Error(
        "missing_api_key",
        (401,),
        "no credential that is accepted",
        "send the key as `WWW-Authenticate` says",
        "clients that send it elsewhere: `accept`; a path for everybody: `public`",
    ),
    Error(
        "invalid_api_key",
        (401,),
        "malformed, unknown or wrong: identical answers",
        "look for a typing error or a key of another environment; do not try again unchanged",
        "after a restore or a deploy: are all `peppers` there?",
    ),
    Error("revoked_api_key", (401,), "only for a caller who proved the secret", "ask for a new key"),
    Error(
        "suspended_api_key",
        (401,),
        "the same; the key, its project or its organization is suspended",
        "ask whoever runs the service",
        "`keys resume`, `projects resume`, `organizations resume`",
    ),
    Error(
        "expired_api_key",
        (401,),
        "the same; `API-Key-Expires` told it beforehand",
        "ask for a new key, or rotate in time",
        "the event `expires_soon` names the keys that are still in use",
    ),
    Error(
        "invalid_request",
        (400,),
        "two credentials that differ, or one that may be several joined; a request that reads in more than one way, "
        "with "
        "more than 32 windows; a query that is too long to look for keys or pages in; a page's limit or cursor that "
        "cannot "
        "be used; with `require_json`, a malformed body",
        "mend the request: the message says what is wrong",
        "many at once: does a proxy add a credential, or change the path?",
    ),
    Error(
        "ip_not_allowed",
        (403,),
        "not from this address: by a list of the gate or of a rule, before any key "
        "([rules](../guides/rules.md#addresses)), or by the key's own",
        "send from an address that is listed",
        "behind a proxy: `trusted_proxies`, or all clients have its address",
    ),
    Error(
        "insufficient_scope",
        (403,),
        "a good key, but not for this request: `details` names the scopes; or the key's `may` does not hold it",
        _OTHER_KEY,
        '`keystile explain "GET /path"` says what the path asks for',
    ),
    Error(
        "plan_required",
        (403,),
        "a good key, but its plan has no access, or is not one of the gate's",
        _OTHER_KEY,
        "a plan that was removed from `plans` and that keys still have",
    ),
    Error(
        "cross_site",
        (403,),
        "a key by Basic alone, which a browser sent for a page of another site "
        "([credentials](../guides/credentials.md#basic-and-browsers))",
        "send the key in a header of its own",
    ),
    Error(
        "https_required",
        (301, 308, 403),
        'over http, where the policy wants https; 301 and 308 with `https="redirect"`, as `redirect_status` says',
        "use https, and replace a key that was sent in the clear",
        "behind a proxy that ends TLS: `trusted_proxies`, and `X-Forwarded-Proto`",
    ),
    Error(
        "invalid_signature",
        (400,),
        "a message that is not signed as it should be: [webhooks](../guides/webhooks.md#what-is-refused)",
        "sign the octets that are sent, with the secret of this receiver and the time of now",
        "is the secret the sender's? is the clock right?",
    ),
    Error(
        "already_under_way",
        (409,),
        "the same message a second time, while the app works on it: "
        "[webhooks](../guides/webhooks.md#the-same-message-twice)",
        "send it again later, with the same id",
    ),
    Error(
        "not_found",
        (404,),
        "with `[[apps]]`: no app is below this path ([several apps](../guides/existing-service.md#several-apps))",
        "look at the path",
        "an app with the prefix `/` gets the rest",
    ),
    Error("unsupported_media_type", (415,), "with `require_json`: not JSON", "send JSON as `application/json`"),
    Error(
        "payload_too_large",
        (413,),
        "with `require_json`: more than `max_json_body`; a message of more than `max_body`",
        "send less; `details.max_bytes` says how much",
        "the setting that is named",
    ),
    Error(
        "rate_limited",
        (429,),
        "a window is full; `details` has `limit`, `window_seconds` and `retry_after`, and `unit` where it is not "
        "requests "
        "([units](../guides/units.md))",
        _LATER + "; it is then admitted, if nobody else took the place. Without `Retry-After` waiting does not help",
        "a higher plan, or limits of the key's own: `keystile limits show`",
    ),
    Error(
        "too_many_failures",
        (429,),
        "too many wrong keys from this address",
        _LATER + ", and with the right key",
        "one address for many clients: `trusted_proxies`, `failure_limits`",
    ),
    Error(
        "too_many_streams",
        (429,),
        "as many [streams](../guides/live.md) as may be are open of the same events",
        "close one, or " + _LATER,
    ),
    Error(
        "unavailable",
        (503,),
        "the store of keys, or of ids of messages, is down; or too many unproved keys at once, or no room for another "
        "stream of events",
        _LATER + ". Without `Retry-After` waiting does not help",
        "[events](events.md): `store_down`, `limiter_down`, `webhook_ids_down`",
    ),
    Error(
        "preflight",
        (204,),
        "no refusal: a CORS preflight that the gate answers ([CORS](../guides/cors.md)); without a body, so the code "
        "is in "
        "events alone",
        NONE,
    ),
)

MANAGEMENT = (
    Error("login_required", (401,), "`authorize` of the host knows nobody", "log in"),
    Error(
        "more_than_held",
        (403,),
        "somebody would get or hand on more than the caller holds",
        "ask for less: `details.field` says of what",
    ),
    Error("own_key", (403,), "a managing key cannot change itself, or suspend its project", "use another key"),
    Error(
        "organization_required", (403,), "the caller's key belongs to no organization", "use a key of an organization"
    ),
    Error("not_found", (404,), "there is nothing here that the caller may see", "look at the id and the path"),
    Error("method_not_allowed", (405,), "the path does not know this method", "use one that `Allow` names"),
    Error("request_timeout", (408,), "the body did not arrive in time", "send it again"),
    Error("key_limit_reached", (409,), "the plan allows no more keys", "revoke one, or ask for another plan"),
    Error("key_not_active", (409,), "the key is revoked or expired: `details.state`", "make a new one"),
    Error(
        "force_required",
        (409,),
        "the caller would lock out itself, or everybody",
        "ask again with `force=true`, if that is meant",
    ),
    Error("endpoint_limit_reached", (409,), "the organization has as many endpoints as may be", "delete one"),
    Error("endpoint_disabled", (409,), "the endpoint is disabled", "enable it first"),
    Error("precondition_failed", (412,), "the record was changed since it was read", "read it again"),
    Error(
        "invalid_fields",
        (422,),
        '`details.fields` names each, as `{"path", "code", "message"}`',
        "mend what is named",
    ),
    Error(
        "idempotency_key_reused",
        (422,),
        "the same `Idempotency-Key` came with another request",
        "use a new one for each",
    ),
    Error(
        "internal_error", (500,), "the server failed", "try again later", "the log has the exception and the request id"
    ),
)

_HEAD = """\
# Errors

Each answer that the gate itself gives, with what to do about it. This page is made from the code (`make docs`), and a
test compares the two. Codes are stable, messages are for people.

```http
HTTP/1.1 401 Unauthorized
content-type: application/json
cache-control: no-store
vary: api-key, authorization, x-api-key
www-authenticate: Bearer realm="api"
x-request-id: req_5Zr8sUqWbPp0vYw3n1QdTtLm

{"error": {"code": "missing_api_key", "message": "An API key is required.", "details": {}},
 "meta": {"request_id": "req_5Zr8sUqWbPp0vYw3n1QdTtLm", "timestamp": "2026-01-15T10:30:00Z"}}
```

A client that prefers `application/problem+json` gets that instead
([envelopes](../guides/envelopes.md#problem-documents)). The fields of the head are in [headers](headers.md). The app's
own errors have codes of their own where answers are enveloped: [envelopes](../guides/envelopes.md#errors).

Whoever runs the service finds a refusal by its request id in the log, as an [event](events.md) of this code.
"""
_TITLES = ("status", "`error.code`", "when", "the caller", "the operator")


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(
        [
            _HEAD,
            "## Refusals\n",
            table(_TITLES, _rows(GATE)),
            "## The management API\n",
            "Beside those above, the [management API](../guides/management.md) and the dashboard answer these:\n",
            table(_TITLES, _rows(MANAGEMENT)),
        ]
    )


def _rows(errors: Iterable[Error]) -> list[tuple[str, ...]]:
    return [
        (", ".join(map(str, each.statuses)), code(each.code), each.when, each.caller, each.operator or NONE)
        for each in errors
    ]
