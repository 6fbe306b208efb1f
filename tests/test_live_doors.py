"""Streams of events through both doors, with every kind of store: what is told, when they end, what is left."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from openapi_spec_validator import validate

from keystile import ConfigurationError, Gate, Rule, _sync, asgi, wsgi
from keystile.manage import asgi as over_asgi
from keystile.manage import wsgi as over_wsgi
from keystile.manage.answers import Answers
from keystile.manage.authority import ALL, Authority
from keystile.manage.live import serving
from keystile.manage.live.hub import Bounds, Hub, hub_of
from keystile.manage.live.sending import send_all
from keystile.manage.live.serving import LiveEvents
from keystile.manage.live.stream import Pace, Stream
from tests.doors import Door
from tests.streams import PATIENCE, Came, Step, came, told

NOW = 1_768_473_000.0
QUICK = Pace(look=0.001, beat=3600, patience=20.0)


class Served:
    """A gate behind which its own events are served."""

    def __init__(self, door: Door, pace: Pace = QUICK, **settings: Any) -> None:
        self.now = NOW
        self.door, self.gate = door, door.open(clock=lambda: self.now, rules=[Rule("/admin", scopes=["x"])], **settings)
        self.live = LiveEvents(
            self.gate, Answers(self.gate), Hub(self.gate.events, self.gate.clock, Bounds(threads=16)), pace
        )
        self.asgi = asgi.GateMiddleware(over_asgi.served(self.handle, self.gate, most_body=100), gate=self.gate)
        if door.kind == "wsgi":
            self.wsgi = wsgi.GateMiddleware(over_wsgi.served(self.handle, self.gate, most_body=100), gate=self.gate)

    async def handle(self, request: Any, offload: Any) -> Any:
        caller = request.admitted.principal
        return await self.live.serve(request, frozenset([caller.organization_id]), self.live.judge_of(caller), offload)

    async def refuse(self, secret: str) -> None:
        """Have a request with this key refused."""
        if self.door.kind == "wsgi":
            self.door.through_wsgi("GET", "/admin", [("x-api-key", secret)], None, None)
        else:
            await self.door.asgi_call("GET", "/admin", [("x-api-key", secret)], None)

    def stream(self, secret: str, *steps: Step, method: str = "GET") -> Came:
        """What a caller with this key gets."""
        app = self.wsgi if self.door.kind == "wsgi" else self.asgi
        return came(self.door, app, "/events", [("x-api-key", secret)], steps, method)


async def nothing() -> None:
    """Go on."""


def test_refusals_of_the_own_organization_are_told(door: Door) -> None:
    served = Served(door)
    own, other = door.create(organization_id="one"), door.create(organization_id="two")

    async def refuse() -> None:
        await served.refuse(other.secret)
        await served.refuse(own.secret)

    status, headers, found, ended = served.stream(own.secret, refuse, refuse)
    assert (status, headers["content-type"], ended) == (200, "text/event-stream", False)
    assert found[0] == b"retry: 2000\n\n"
    events = [each for octets in found for each in told(octets)]
    assert [(each["code"], each["key_id"]) for each in events] == [("insufficient_scope", own.key.id)] * 2
    assert served.live.hub.count == 0


@pytest.mark.parametrize("end", ["revoke", "suspend", "update", "rotate", "organization"])
def test_a_change_in_this_process_ends_the_stream_at_once(door: Door, end: str) -> None:
    served = Served(door)  # whose heart would beat in an hour
    keys = served.gate.keys
    issued = door.create(organization_id="one")
    door.run(served.gate.organizations.acreate, "one")
    acts: dict[str, Step] = {
        "revoke": lambda: keys.arevoke(issued.key.id),
        "suspend": lambda: keys.asuspend(issued.key.id),
        "update": lambda: keys.aupdate(issued.key.id, ip_allowlist=["192.0.2.1"]),
        "rotate": lambda: keys.arotate(issued.key.id, grace=3600),
        "organization": lambda: served.gate.organizations.asuspend("one"),
    }
    status, _, found, ended = served.stream(issued.secret, lambda: served.refuse(issued.secret), acts[end], nothing)
    assert (status, len(found), ended) == (200, 2, True)
    assert served.live.hub.count == 0


@pytest.mark.parametrize("end", ["scopes", "update", "rotate"])
def test_a_change_before_anything_was_told_ends_the_stream_too(door: Door, end: str) -> None:
    served = Served(door, Pace(look=0.001, beat=0.3))
    keys = served.gate.keys
    issued = door.create(organization_id="one", scopes=["keys:read"])
    acts: dict[str, Step] = {
        "scopes": lambda: keys.aupdate(issued.key.id, scopes=[]),
        "update": lambda: keys.aupdate(issued.key.id, may=["GET /v1"]),
        "rotate": lambda: keys.arotate(issued.key.id),
    }
    status, _, found, ended = served.stream(issued.secret, acts[end], nothing)
    assert (status, len(found), ended) == (200, 1, True)


def test_a_change_between_the_gate_and_the_stream_ends_it(door: Door) -> None:
    served = Served(door, Pace(look=0.001, beat=0.3))
    issued = door.create(organization_id="one", scopes=["keys:read"])
    serve = served.live.serve

    async def late(*given: Any, **named: Any) -> Any:
        if door.kind == "wsgi":
            served.gate.keys.update(issued.key.id, scopes=[])
        else:
            await served.gate.keys.aupdate(issued.key.id, scopes=[])
        return await serve(*given, **named)

    served.live.serve = late  # type: ignore[method-assign]
    assert served.stream(issued.secret, nothing)[2:] == ([], True)


def test_uses_of_a_key_do_not_end_its_stream(door: Door) -> None:
    served = Served(door, Pace(look=0.001, beat=0.001))
    issued = door.create(organization_id="one")

    async def use() -> None:
        served.now += 90
        await served.refuse(issued.secret)
        await served.gate.aflush()

    assert served.stream(issued.secret, use, nothing, use, nothing, nothing)[-1] is False


def test_a_stream_ends_when_its_key_or_its_older_secret_expires(door: Door) -> None:
    served = Served(door, Pace(look=0.001, beat=0.001))
    expires = datetime.fromtimestamp(NOW + 60, UTC)
    expiring, rotated = (door.create(organization_id="one", expires_at=each) for each in (expires, None))
    newer = door.run(served.gate.keys.arotate, rotated.key.id, grace=60)

    async def later() -> None:
        served.now += 60

    assert served.stream(expiring.secret, nothing, later, *[nothing] * 5)[-1] is True
    served.now = NOW
    assert served.stream(rotated.secret, nothing, later, *[nothing] * 5)[-1] is True
    served.now = NOW
    assert served.stream(newer.secret, nothing, later, *[nothing] * 5)[-1] is False


def test_a_head_opens_no_stream(door: Door) -> None:
    served = Served(door)
    status, headers, found, _ = served.stream(door.create(organization_id="one").secret, method="HEAD")
    assert (status, headers["content-type"], found) == (200, "text/event-stream", [])
    assert served.live.hub.count == served.live.hub.kept == 0


# As a part of the management API


class Sessions:
    """The management API for people whom a host has logged in; `who` is the one who asks."""

    def __init__(self, door: Door) -> None:
        self.door, self.who = door, seeing("one", "two")
        self.gate = door.open(rules=[Rule("/admin", scopes=["x"])], cursor_secrets=["c" * 16])
        module: Any = wsgi if door.kind == "wsgi" else asgi
        self.app = module.management_app(self.gate, authorize=lambda _request: self.who, live=True)

    def stream(self, *steps: Step, path: str = "/events") -> Came:
        return came(self.door, self.app, path, [], steps)

    async def refuse(self, *secrets: str) -> None:
        for secret in secrets:
            if self.door.kind == "wsgi":
                self.door.through_wsgi("GET", "/admin", [("x-api-key", secret)], None, None)
            else:
                await self.door.asgi_call("GET", "/admin", [("x-api-key", secret)], None)


def seeing(*organizations: str, **more: Any) -> Authority | None:
    given: dict[str, Any] = {"organization_ids": frozenset(organizations), "may": frozenset(["keys:read"])} | more
    return Authority(id="ann", name="Ann", **given)


@pytest.fixture
def sessions(door: Door, monkeypatch: pytest.MonkeyPatch) -> Sessions:
    monkeypatch.setattr(serving, "USUAL", QUICK)
    return Sessions(door)


def test_people_see_what_a_host_lets_them_see(sessions: Sessions) -> None:
    keys = {name: sessions.door.create(organization_id=name) for name in ("one", "two", "three")}

    def seen(path: str = "/events") -> list[Any]:
        async def refuse() -> None:
            await sessions.refuse(*[issued.secret for issued in keys.values()], "nobody's", keys["one"].secret)

        status, _, found, _ = sessions.stream(refuse, path=path)
        assert status == 200
        return [each.get("organization_id") for octets in found for each in told(octets)]

    assert seen() == ["one", "two", "one"]
    assert seen("/events?organization_id=two") == ["two"]
    sessions.who = seeing(organization_ids=ALL)
    assert seen() == ["one", "two", "three", None, "one"]
    assert seen("/events?organization_id=three") == ["three"]
    assert hub_of(sessions.gate).count == 0


def test_organizations_of_others_are_answered_like_such_as_never_existed(sessions: Sessions) -> None:
    door, app = sessions.door, sessions.app
    answers = [came(door, app, f"/events?organization_id={name}", [], []) for name in ("three", "never")]
    assert [status for status, *_ in answers] == [404, 404]
    sessions.who = seeing("one", may=frozenset(["audit:read"]))
    assert came(door, app, "/events", [], [])[0] == 403
    sessions.who = None
    assert came(door, app, "/events", [], [])[0] == 401
    assert hub_of(sessions.gate).kept == 0


@pytest.mark.parametrize("end", ["gone", "narrowed", "other", "may not"])
def test_a_stream_of_people_ends_with_what_the_host_says(sessions: Sessions, end: str) -> None:
    own = sessions.door.create(organization_id="one")
    ends = {
        "gone": None,
        "narrowed": seeing("one"),
        "other": seeing("one", "two", type="key"),
        "may not": seeing("one", "two", may=frozenset()),
    }

    async def change() -> None:
        sessions.who = ends[end]
        await sessions.refuse(own.secret)

    async def same() -> None:
        sessions.who = seeing("one", "two", scopes=frozenset(["more"]))
        await sessions.refuse(own.secret)

    status, _, found, ended = sessions.stream(same, change, nothing)
    assert (status, len(found), ended) == (200, 2, True)
    assert hub_of(sessions.gate).count == 0


def test_the_route_is_there_only_where_it_is_asked_for(door: Door) -> None:
    module: Any = wsgi if door.kind == "wsgi" else asgi
    gate = door.open(cursor_secrets=["c" * 16])
    who = seeing(organization_ids=ALL)
    paths = []
    for live in (False, True):
        app = module.management_app(gate, authorize=lambda _request: who, live=live)
        document = json.loads(b"".join(came(door, app, "/openapi.json", [], [])[2]))
        validate(document)
        paths.append("/events" in document["paths"])
        assert came(door, app, "/events", [], [], "HEAD")[0] == (200 if live else 404)
        assert came(door, app, "/events", [], [], "POST")[0] == (405 if live else 404)
    assert paths == [False, True]
    with pytest.raises(ConfigurationError, match="live"):
        module.management_app(gate, live="yes")


# What clients of ASGI do


class Client:
    """An ASGI client that behaves as it is told."""

    def __init__(self, send: Callable[[Any], Awaitable[None]]) -> None:
        self.send, self.left = send, anyio.Event()

    async def receive(self) -> Any:
        await self.left.wait()
        return {"type": "http.disconnect"}


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def opened(pace: Pace) -> tuple[LiveEvents, Stream]:
    gate = Gate()
    live = LiveEvents(gate, Answers(gate), pace=pace)

    async def may(_offload: Any) -> bool:
        return True

    reader: Any = live.hub.join(frozenset("a"), _sync.pooled)
    return live, Stream(reader, may, lambda: False, pace)


def test_a_client_that_accepts_nothing_is_left_after_a_while(backend: str) -> None:
    live, stream = opened(Pace(look=0.001, beat=0.001, patience=0.05))

    async def stuck(message: Any) -> None:
        if message.get("body"):
            await anyio.sleep_forever()

    async def serve() -> None:
        with anyio.fail_after(PATIENCE):
            await send_all(stream, {"type": "http.response.start"}, Client(stuck).receive, stuck)

    anyio.run(serve, backend=backend)
    assert live.hub.count == 0


@pytest.mark.parametrize("where", ["head", "body"])
def test_a_server_that_says_that_the_client_left_is_believed(backend: str, where: str) -> None:
    live, stream = opened(QUICK)

    async def broken(message: Any) -> None:
        if (where == "head") == ("body" not in message):
            raise OSError("gone")

    anyio.run(send_all, stream, {"type": "http.response.start"}, Client(broken).receive, broken, backend=backend)
    assert live.hub.count == 0


def test_a_fault_in_the_server_is_raised_as_it_is_and_leaves_nothing(backend: str) -> None:
    live, stream = opened(QUICK)

    async def faulty(_message: Any) -> None:
        raise RuntimeError("a fault")

    with pytest.raises(RuntimeError, match="a fault"):
        anyio.run(send_all, stream, {"type": "http.response.start"}, Client(faulty).receive, faulty, backend=backend)
    assert live.hub.count == 0


def test_a_client_that_leaves_in_the_middle_ends_its_stream(backend: str) -> None:
    live, stream = opened(QUICK)

    async def serve() -> None:
        async def leaves(message: Any) -> None:
            if message.get("body"):
                client.left.set()

        client = Client(leaves)
        with anyio.fail_after(PATIENCE):
            await send_all(stream, {"type": "http.response.start"}, client.receive, client.send)

    anyio.run(serve, backend=backend)
    assert live.hub.count == 0


def test_a_server_that_cancels_the_request_leaves_nothing(backend: str) -> None:
    live, stream = opened(QUICK)

    async def serve() -> None:
        async def accepts(message: Any) -> None:
            if message.get("body"):
                scope.cancel()

        with anyio.CancelScope() as scope:
            await send_all(stream, {"type": "http.response.start"}, Client(accepts).receive, accepts)

    anyio.run(serve, backend=backend)
    assert live.hub.count == 0
