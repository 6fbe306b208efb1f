"""What those write who manage keys: ids, members of records, idempotency keys."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from keystile import Gate, KeystileError
from keystile._sync import inline, run_now
from keystile.manage import ALL, Authority
from keystile.manage.operations import Call, Operations

GATE = Gate(prefix="key", hasher="hmac-sha256", peppers=["a pepper of enough bytes"])
KEY = GATE.keys.create("key", organization_id="one", scopes=["a"]).key.id
HELD = {"scopes": frozenset("ab"), "networks": ("10.0.0.0/8",), "uses": ("GET /a/*", "/b/{x}", "WS /c")}
MAY = frozenset(("keys:manage", "plans:manage", "audit:read"))
ONE = Call(Authority(id="u", name="u", organization_ids=frozenset(("one",)), may=MAY, **HELD), inline)
EVERY = Call(Authority(id="u", name="u", organization_ids=ALL, may=MAY), inline)
OPERATIONS = Operations(GATE)
KEYS, PROJECTS, ORGANIZATIONS = OPERATIONS.keys, OPERATIONS.projects, OPERATIONS.organizations


def tried(operation: Callable[..., Any], *args: Any, **named: Any) -> None:
    with suppress(KeystileError):
        run_now(operation(*args, **named))


def ids(sent: str) -> None:
    """Every id that an operation takes."""
    for operation in (KEYS.get, KEYS.usage, KEYS.standing, KEYS.update, KEYS.rotate, KEYS.suspend, KEYS.resume):
        tried(operation, ONE, sent)
    for operation in (KEYS.revoke, PROJECTS.get, PROJECTS.update, PROJECTS.delete, PROJECTS.suspend, PROJECTS.resume):
        tried(operation, ONE, sent)
    for name in ("project_id", "owner_id", "after", "search", "state", "organization_id"):
        tried(KEYS.list, ONE, **{name: sent})
    for name in ("after", "organization_id"):
        tried(PROJECTS.list, ONE, **{name: sent})
    for name in ("target", "event", "after", "organization_id"):
        tried(OPERATIONS.audit, ONE, **{name: sent})
    for call in (ONE, EVERY):
        tried(ORGANIZATIONS.get, call, sent)
        tried(ORGANIZATIONS.set_plan, call, sent, organization_id=sent)


def values(sent: str) -> Iterable[dict[str, Any]]:
    """A text in each member of a record, whole and in pieces."""
    for name in ("name", "project_id", "environment", "plan", "limits", "scopes", "may", "ip_allowlist", "metadata"):
        yield {name: sent}
    for name in ("scopes", "may", "ip_allowlist", "limits"):
        yield {name: [sent]}
        yield {name: [f"/{each}" if name == "may" else each for each in sent.split(",")]}
    yield {"metadata": {"a": sent}}
    yield {sent: sent}


def records(sent: str) -> None:
    """Every member of a record that an operation takes."""
    for given in values(sent):
        tried(KEYS.create, ONE, **{"name": "x"} | given)
    tried(KEYS.update, EVERY, KEY, may=[f"/{each}" for each in sent.split(",")])
    tried(PROJECTS.create, EVERY, sent, organization_id=sent, environment=sent, key={sent: sent})
    for operation in (KEYS.create, PROJECTS.create):
        tried(operation, ONE, sent, idempotency_key=sent)
