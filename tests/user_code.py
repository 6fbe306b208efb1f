"""Code as hosts write it, for the type checkers: they must report each line that is marked as wrong, and no other."""
# pyright: strict

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from typing import Any, assert_type

import httpx
import httpx2

from keystile import ConfigurationError, Gate, HmacHasher, IssuedKey, PageStyle, Plan, Principal, Rule, current
from keystile import asgi as asgi_door
from keystile import wsgi as wsgi_door
from keystile.client import ApiError, KeyAuth, ReadPage, Retry, aitems, gate_transport, items, pages, raise_for
from keystile.events import Event
from keystile.pagination import Page

gate = Gate(
    store="sqlite:///keystile.db",
    limiter="sqlite:///keystile.db",
    prefix="acme",
    peppers=[b"at least sixteen bytes"],
    plans={"free": Plan("60/minute; 5000/day"), "pro": Plan(["1000/minute"]), "enterprise": Plan(None)},
    default_plan="free",
    public=["/", "/health/"],
    rules=[Rule("POST /v1/exports", limits="10/hour", scopes=["exports:write"], cost=5, envelope=False)],
    trusted_proxies=["10.0.0.0/8"],
    allow=["10.0.0.0/8"],
    deny=("192.0.2.7",),
    cors_origins=["https://app.example.com"],
    cors_credentials=True,
    https="redirect",
    redirect_status=308,
    public_url="https://api.example.com",
    limit_by="organization",
    anonymous_limits="60/minute",
    on_limiter_error="deny",
    error_format="problem",
    event_format="json",
    preflight="pass",
    hasher="hmac-sha256",
    envelope=True,
    page_style=PageStyle(member=None, meta=False),
)
Gate("memory://", hasher=HmacHasher(b"at least sixteen bytes"), clock=lambda: 0.0)

# What a handler is given.
assert_type(current().caller, Principal)
assert_type(current().caller.name, str)
assert_type(current().caller.organization_id, str | None)
assert_type(current().principal, Principal | None)
assert_type(current().request_id, str)
current().add_meta(region="eu")
listed = current().paginate(Page.from_sequence([1, 2], current().page_params(), key=lambda item: (item,)))
assert_type(listed, list[int])

principal = current().principal
if principal is not None:
    assert_type(principal.name, str)

name: str = current().principal.name  # wrong
number: int = current().caller.name  # wrong
current().caller.nmae  # wrong
current().caller.name = "other"  # wrong
current().caller = principal  # wrong
current().paginate([1, 2])  # wrong

# Settings that there are not.
Gate(stor="memory://")  # wrong
Gate("memory://", "acme")  # wrong
Rule("/v1/exports", scope=["exports:write"])  # wrong
Plan(limit="60/minute")  # wrong
PageStyle(has_mroe="more")  # wrong

# Settings with a few values.
Gate(https="always")  # wrong
Gate(https=True)  # wrong
Gate(redirect_status=302)  # wrong
Gate(redirect_status="308")  # wrong
Gate(limit_by="team")  # wrong
Gate(on_limiter_error="ignore")  # wrong
Gate(hasher="md5")  # wrong
Gate(error_format="xml")  # wrong
Gate(event_format="xml")  # wrong
Gate(preflight="allow")  # wrong
Gate(preflight=True)  # wrong

# Settings of another type.
Gate(store=5)  # wrong
Gate(rules=["/v1/exports"])  # wrong
Gate(plans=["free"])  # wrong
Gate(envelope="yes")  # wrong
Gate(allow=5)  # wrong
Gate(cors_origins=None)  # wrong
Rule("/v1/exports", deny=[5])  # wrong
Rule("/v1/exports", public="yes")  # wrong
Rule(["/v1/exports"])  # wrong

# Keys.
issued = gate.keys.create("CI/CD", environment="staging", scopes=["exports:write"], expires_at=datetime.now(UTC))
assert_type(issued, IssuedKey)
assert_type(issued.secret, str)
gate.keys.create("CI/CD", environment="test")  # wrong
gate.keys.create("CI/CD", scope=["exports:write"])  # wrong
gate.keys.revoke(issued)  # wrong


@gate.on_event
def watch(event: Event) -> None:
    assert_type(event.code, str)


async def asgi_app(
    scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
) -> None: ...


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return []


asgi_door.GateMiddleware(asgi_app, gate=gate)
wsgi_door.GateMiddleware(wsgi_app, gate=gate)
asgi_door.GateMiddleware(wsgi_app, gate=gate)  # wrong
wsgi_door.GateMiddleware(asgi_app, gate=gate)  # wrong
asgi_door.GateMiddleware(asgi_app, gate="memory://")  # wrong
wsgi_door.GateMiddleware(wsgi_app)  # wrong

# Programs that call an API behind a gate, with either library.
auth = KeyAuth("acme_live_", "X-API-Key", origin="https://api.example.com")
transport = gate_transport(httpx2.HTTPTransport(retries=2), Retry(attempts=2))
assert_type(transport, httpx2.HTTPTransport)
client = httpx2.Client(auth=auth, transport=transport, event_hooks={"response": [raise_for]})
older = httpx.Client(auth=auth, transport=gate_transport(httpx.HTTPTransport()), event_hooks={"response": [raise_for]})
waiting = httpx2.AsyncClient(auth=auth, transport=gate_transport(httpx2.AsyncHTTPTransport()))
for page in pages(client, "/v1/apps", limit=5, style=PageStyle(member=None)):
    assert_type(page, ReadPage)
    assert_type(page.next_cursor, str | None)
for _ in items(older, "/v1/apps"):
    pass


async def walk() -> None:
    async for _ in aitems(waiting, "/v1/apps"):
        pass
    async for _ in aitems(client, "/v1/apps"):  # wrong
        pass


pages(waiting, "/v1/apps")  # wrong
gate_transport(httpx2.HTTPTransport(), attempts=2)  # wrong
KeyAuth(b"acme_live_")  # wrong
Retry(5)
Retry(attempt=5)  # wrong
raise_for(client.get("/v1/apps"))
raise_for(older.get("/v1/apps"))
raise_for(200)  # wrong
try:
    client.get("/v1/apps")
except ApiError as failed:
    assert_type(failed.status, int)
    assert_type(failed.retry_after, float | None)

try:
    Gate()
except ConfigurationError as error:
    assert_type(error.key, str | None)
