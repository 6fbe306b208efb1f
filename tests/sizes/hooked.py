"""Webhook endpoints in the management API and on pages: what feeds their operations and the fields of their forms."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from keystile import Gate, KeystileError
from keystile._sync import inline, run_now
from keystile.manage import Authority
from keystile.manage.dashboard.pages.webhooks.fields import CHANGED, members_of
from keystile.manage.dashboard.rules.forms import BadField
from keystile.manage.dashboard.rules.links import is_of_webhooks
from keystile.manage.operations import Call, Operations
from keystile.webhooks.outbox import Outbox, new_key

_FOLDER = tempfile.TemporaryDirectory(prefix="keystile-sizes-")
OUTBOX = Outbox(f"sqlite:///{Path(_FOLDER.name) / 'outbox.db'}", new_key())
GATE = Gate(prefix="key", hasher="hmac-sha256", peppers=["a pepper of enough bytes"])
ENDPOINTS = Operations(GATE, OUTBOX).endpoints
OPERATIONS = (
    *("delete", "deliveries", "delivery", "disable", "enable", "get", "list", "retry", "retry_failed", "rotate"),
    "test",
)
_MAY = frozenset(("webhooks:manage",))
ONE = Call(Authority(id="u", name="u", organization_ids=frozenset(("one",)), may=_MAY), inline)
_EPOCH = datetime.fromtimestamp(0, UTC)
_KNOWN = OUTBOX.endpoints.create("https://hooks.example/", organization_id="one").endpoint.id


def tried(operation: Any, *args: Any, **named: Any) -> None:
    with suppress(KeystileError):
        run_now(operation(*args, **named))


def ids(sent: str) -> None:
    """Every id that an operation takes."""
    for operation in (ENDPOINTS.get, ENDPOINTS.rotate, ENDPOINTS.enable, ENDPOINTS.disable, ENDPOINTS.delete):
        tried(operation, ONE, sent)
    for operation in (ENDPOINTS.update, ENDPOINTS.test, ENDPOINTS.deliveries):
        tried(operation, ONE, sent)
    for operation in (ENDPOINTS.delivery, ENDPOINTS.retry):
        tried(operation, ONE, sent, sent)
        tried(operation, ONE, _KNOWN, sent)
    tried(ENDPOINTS.retry_failed, ONE, sent, since=_EPOCH)
    tried(ENDPOINTS.list, ONE, after=sent, organization_id=sent)
    with suppress(KeystileError):
        ONE.organizations(sent)


def members(sent: str) -> None:
    """A text in each member of an endpoint, whole and in pieces."""
    listed = sent.split(",")
    for given in (
        {"url": sent},
        {"description": sent},
        {"event_types": [sent]},
        {"event_types": listed},
        {"headers": {"X-A": sent}},
        {"headers": {sent: sent}},
        {"headers": dict.fromkeys(listed, "a")},
    ):
        tried(ENDPOINTS.update, ONE, _KNOWN, revision=0, **given)  # that of no record, so that nothing is written
    tried(ENDPOINTS.create, ONE, sent)
    for scheme in (sent, "hex_body"):
        tried(ENDPOINTS.create, ONE, "", scheme=scheme, signature_header=sent)


def form(sent: str) -> None:
    """What stands in each field of the form for an endpoint."""
    for name in CHANGED:
        with suppress(BadField):
            members_of(dict.fromkeys(CHANGED, "") | {name: sent})
    is_of_webhooks(sent)
