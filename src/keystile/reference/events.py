"""The page docs/reference/events.md: each event, its level, and what happened."""

from __future__ import annotations

from typing import NamedTuple

from .tables import code, table


class Told(NamedTuple):
    """Events that are told alike.

    Attributes:
        codes: their codes.
        level: of `logging`, and how often at most.
        what: what happened.
    """

    codes: tuple[str, ...]
    level: str
    what: str


KEYS = (
    Told(
        ("key.create", "key.import", "key.update", "key.rotate", "key.suspend", "key.resume", "key.revoke"),
        "INFO",
        "a key was changed: [keys](../guides/keys.md#the-audit)",
    ),
    Told(
        ("project.create", "project.update", "project.suspend", "project.resume", "project.delete"),
        "INFO",
        "a project was changed",
    ),
    Told(
        (
            "organization.create",
            "organization.update",
            "organization.plan",
            "organization.suspend",
            "organization.resume",
        ),
        "INFO",
        "an organization was changed",
    ),
    Told(("store.purge",), "INFO", "what ended long ago was removed for good"),
    Told(("first_use",), "INFO", "a key was used for the first time"),
    Told(
        ("expires_soon",),
        "WARNING, once a day in each process for a key in use",
        "it expires within `expiry_notice`, a week by default",
    ),
    Told(
        ("grace_secret_used",),
        "WARNING, at most once a minute for a key",
        "somebody still sends the secret from before a [rotation](../guides/keys.md#rotate)",
    ),
    Told(
        ("key_leaked",),
        "WARNING",
        "a key was found in public: [leaks](../guides/leaks.md#be-told-by-github)",
    ),
    Told(("leaks_unhandled",), "ERROR", "reported keys could not be looked up or revoked"),
)
REQUESTS = (
    Told(
        ("preflight",),
        "INFO",
        "a CORS preflight was answered (204), or passed to the app ([CORS](../guides/cors.md))",
    ),
    Told(
        ("would_refuse",),
        "INFO",
        "let through in [dry run](../guides/rules.md#dry-run); `reason` is the code of the refusal",
    ),
    Told(("dry_run",), "WARNING, at start", "what is in dry run"),
    Told(
        ("principal_overridden",),
        "WARNING",
        "a test has put a principal in the place of keys: [testing](../guides/testing.md)",
    ),
    Told(
        ("overdrawn",),
        "INFO",
        "a request used more [units](../guides/units.md#how-it-is-counted) than a window had left",
    ),
    Told(("charged_late",), "WARNING", "units were charged after the answer had ended, and are not counted"),
    Told(
        ("not_settled",),
        "WARNING, at most once a minute",
        "the limiter did not answer at the end; the reservation stands",
    ),
    Told(
        ("not_json",),
        "WARNING, once in a process",
        "an answer whose type is JSON is not JSON, and went out unchanged",
    ),
    Told(("credential_over_http",), "WARNING, at most once a minute, else INFO", "a key was sent in the clear"),
    Told(
        ("peer_rewritten", "trailers_merged"),
        "WARNING, at most once a minute",
        "the server hides what the gate must know: see [servers](servers.md)",
    ),
    Told(
        ("reloaded",),
        "WARNING",
        "the policy was replaced while the gate serves; `reason` names the settings that changed: "
        "[an existing service](../guides/existing-service.md#change-rules-without-a-restart)",
    ),
    Told(
        ("not_reloaded",),
        "ERROR",
        "the file was read again and is not used: what held before still holds; `reason` says why",
    ),
    Told(("wide_trusted_proxies",), "WARNING, at start", "`trusted_proxies` holds more than proxies"),
)
PARTS = (
    Told(
        ("unreadable_record",),
        "WARNING, at most once a minute for a key",
        "one key's record cannot be read; that key alone is refused",
    ),
    Told(("store_down", "limiter_down"), "ERROR", "no answer"),
    Told(("store_up", "limiter_up"), "WARNING", "it answers again"),
    Told(
        ("limiter_refused",),
        "WARNING, at most once a minute",
        "the limiter answered one call with an error, or had no place for it",
    ),
    Told(
        ("limiter_unreadable",),
        "WARNING, at most once a minute",
        "what was stored for one caller was not ours; its windows start afresh",
    ),
    Told(("usage_delayed",), "WARNING", "the store did not take counts of usage: they wait; once an outage"),
    Told(
        ("usage_lost",),
        "WARNING",
        "more counts of usage waited than are kept: `reason` says how many are lost",
    ),
)
WEBHOOKS = (
    Told(
        ("webhook_ids_down",),
        "ERROR",
        "ids of signed messages cannot be kept: the messages are refused with 503",
    ),
    Told(("webhook_ids_up",), "WARNING", "they can again"),
    Told(
        ("repeated_message",),
        "INFO",
        "a signed message came again, and was answered with 200: "
        "[webhooks](../guides/webhooks.md#the-same-message-twice)",
    ),
    Told(
        ("webhook.endpoint_disabled",),
        "WARNING",
        "an endpoint answered 410, or nothing arrived there for five days: "
        "[delivery](../guides/delivery.md#what-to-watch)",
    ),
    Told(
        ("webhook.exhausted", "webhook.blocked"),
        "WARNING",
        "a message has failed: ten times, or because its endpoint leads to an address that is not public",
    ),
    Told(("webhook.unsendable",), "WARNING", "a message could not be signed or sent as its endpoint says"),
    Told(("webhook.clock",), "WARNING, once", "this host's clock differs from those of most receivers"),
    Told(
        ("outbox_down", "own_events_down"),
        "ERROR",
        "no message is sent, or no change is told to endpoints, until the database answers",
    ),
    Told(("outbox_up", "own_events_up"), "WARNING", "it answers again"),
)

_HEAD = """\
# Events

What is told of what happens. This page is made from the code (`make docs`), and a test compares the two.

The logger `keystile` and every function given to `gate.on_event` get one `keystile.events.Event` for each decision that
matters, with key id and organization, client, method, path and request id, and never with a secret. Keys that clients
put into a path, a method or a request id are masked; the id of the key stays visible. Control characters are escaped.
`event_format="json"` writes lines of JSON.

```python
from keystile import Gate

gate = Gate(store="sqlite:///keystile.db", event_format="json")


@gate.on_event
def watch(event):
    print(event.code, event.client, event.key_id)
```

A listener is a plain, quick function: it runs on the path of requests. If it fails, that is logged and harms no
request. For people who want to watch, there is a stream: [live](../guides/live.md). What to alert on is in
[hardening](../guides/hardening.md#logs).

A refusal is an event too: each `error.code` of [errors](errors.md#refusals), at level INFO.
"""
_TITLES = ("event", "level", "what happened")
_SECTIONS = {
    "Keys and who owns them": KEYS,
    "Requests": REQUESTS,
    "Stores and limiters": PARTS,
    "Webhooks": WEBHOOKS,
}


def page() -> str:
    """The whole page, in Markdown."""
    sections = [
        f"## {title}\n\n{table(_TITLES, [(code(*each.codes), each.level, each.what) for each in told])}"
        for title, told in _SECTIONS.items()
    ]
    return "\n".join([_HEAD, *sections])
