"""What is kept for those who listen to the gate: who sees what, how much, and for how long."""

from __future__ import annotations

import gc
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keystile import Gate, HmacHasher, Rule, _sync
from keystile.events import Event, Events
from keystile.manage.live import rings
from keystile.manage.live.hub import Bounds, Full, Hub, Reader
from keystile.manage.live.rings import MOST_KEPT, Ring
from keystile.manage.live.stopping import server_stops
from keystile.manage.live.stream import Pace, Stream
from keystile.model import Admitted, Refused, Request

QUICK = Pace(look=0.001, beat=3600)


def refusal(organization: str | None, code: str = "rate_limited", **more: Any) -> Event:
    return Event(
        code, logging.INFO, 429, "k" * 12, "192.0.2.1", "GET", "/v1", "req_1", organization_id=organization
    )._replace(**more)


@pytest.fixture
def events() -> Events:
    return Events("text")


@pytest.fixture
def hub(events: Events) -> Hub:
    return Hub(events, lambda: 1_768_473_000.0)


def joined(hub: Hub, *organizations: str, last_id: str | None = None, offload: Any = _sync.pooled) -> Reader:
    found = hub.join(frozenset(organizations), offload, last_id)
    assert isinstance(found, Reader)
    return found


def codes(reader: Reader) -> list[str]:
    return [told.event.code for told in reader.news().told]


# Rings


@given(st.lists(st.integers(0, 12), max_size=20), st.integers(1, 8))
def test_a_reader_is_told_every_event_once_in_order_or_how_many_it_missed(bursts: list[int], most: int) -> None:
    ring, number, seen, missed = Ring("ab", most), 0, list[int](), 0
    for burst in bursts:
        for _ in range(burst):
            ring.add(refusal("a"), 0.0)
        news = ring.after(number)
        assert news.dropped == max(0, burst - most)
        assert len(news.told) == min(burst, most)
        assert bool(news) == bool(burst)
        number, missed = news.last, missed + news.dropped
        seen += [int(told.id.split("-")[1]) for told in news.told]
    assert seen == sorted(set(seen))
    assert len(seen) + missed == sum(bursts) == number


@given(st.text(max_size=40) | st.from_regex(r"\A[0-9a-f]{2}-[0-9]{1,20}\Z"))
def test_an_id_that_a_ring_did_not_give_is_unknown(text: str) -> None:
    ring = Ring("ab")
    for _ in range(3):
        ring.add(refusal("a"), 0.0)
    number = ring.number(text)
    assert number is None or (text.startswith("ab-") and int(text[3:]) == number <= 3)
    assert ring.number("ab-3") == 3
    assert ring.number("ac-3") is ring.number("ab-4") is ring.number(None) is None


def test_long_texts_of_clients_are_kept_by_their_beginning() -> None:
    kept = rings.shortened(refusal("a", path="/" + "p" * 8000, method="M" * 8000, client="c" * 8000))
    assert (len(kept.path), len(kept.method), len(kept.client or "")) == (257, 256, 256)
    event = refusal("a", client=None)
    assert rings.shortened(event) is event


# Who sees what


def test_each_sees_the_refusals_and_first_uses_of_its_own_organizations(hub: Hub, events: Events) -> None:
    own, both, everybody = joined(hub, "a"), joined(hub, "a", "b"), hub.join(None, _sync.pooled)
    nobodys = joined(hub)
    assert isinstance(everybody, Reader)
    for organization in ("a", "b", "c", None):
        events.tell(refusal(organization, f"of_{organization}"))
    events.tell(refusal("a", "first_use", status=None))
    events.tell(refusal("a", "would_refuse", status=403))
    events.tell(refusal("a", "preflight", status=204))
    events.tell(refusal("a", "expires_soon", status=None))
    assert codes(own) == ["of_a", "first_use", "would_refuse"]
    assert codes(both) == ["of_a", "of_b", "first_use", "would_refuse"]
    assert codes(everybody) == ["of_a", "of_b", "of_c", "of_None", "first_use", "would_refuse"]
    assert codes(nobodys) == []


@given(
    st.lists(st.frozensets(st.sampled_from("abc")) | st.none(), min_size=1, max_size=6),
    st.lists(st.sampled_from([*"abcd", None]), max_size=30),
)
def test_nobody_sees_an_event_of_another_organization(
    listeners: list[frozenset[str] | None], told: list[str | None]
) -> None:
    events = Events("text")
    hub = Hub(events, time.time)
    readers = [(whose, hub.join(whose, _sync.pooled)) for whose in listeners]
    for organization in told:
        events.tell(refusal(organization))
    for whose, reader in readers:
        assert isinstance(reader, Reader)
        seen = [each.event.organization_id for each in reader.news().told]
        assert seen == [each for each in told if whose is None or each in whose]


def test_an_event_of_the_gate_says_whose_key_it_is_about() -> None:
    gate = Gate(hasher=HmacHasher(b"p" * 16), rules=[Rule("/admin", scopes=["admin"])])
    told: list[Event] = []
    secret = gate.keys.create("key", organization_id="org_a").secret
    gate.on_event(told.append)

    def asked(path: str, *keys: str) -> Any:
        sent = [(b"x-api-key", key.encode()) for key in keys]
        return _sync.run_now(gate.check(Request("GET", path, b"", sent, "192.0.2.1"), _sync.inline))

    assert isinstance(asked("/v1", secret), Admitted)
    assert all(isinstance(asked(*each), Refused) for each in (("/admin", secret), ("/v1", secret[:-1]), ("/v1",)))
    assert [(event.code, event.organization_id) for event in told] == [
        ("first_use", "org_a"),
        ("insufficient_scope", "org_a"),
        ("invalid_api_key", None),
        ("missing_api_key", None),
    ]


def test_a_change_in_an_organization_stirs_its_readers_and_no_others(hub: Hub, events: Events) -> None:
    one, other = joined(hub, "a"), joined(hub, "b")
    events.tell(Event("key.revoke", logging.INFO, organization_id="a"))
    assert (one.stirred(), other.stirred()) == (True, False)
    assert not one.stirred()
    assert not one.news()


# How much


def test_a_refusal_costs_nothing_while_nobody_listens(hub: Hub, events: Events) -> None:
    def wanted() -> bool:
        return events.wanted(logging.DEBUG)

    level = logging.getLogger("keystile").level
    logging.getLogger("keystile").setLevel(logging.WARNING)
    try:
        assert not wanted()
        reader = joined(hub, "a")
        assert wanted()
        reader.close()
        hub._bounds = hub._bounds._replace(lingers=-1.0)
        hub._forget()
        assert not wanted()
    finally:
        logging.getLogger("keystile").setLevel(level)


def test_there_is_room_for_so_many_and_for_another_when_one_has_left(events: Events) -> None:
    hub = Hub(events, time.time, Bounds(streams=5, each=2))
    first, second = joined(hub, "a"), joined(hub, "a")
    assert hub.join(frozenset("a"), _sync.pooled) is Full.OWN
    others = [joined(hub, name) for name in "bcd"]
    assert hub.join(frozenset("e"), _sync.pooled) is Full.ALL
    first.close()
    first.close()
    assert hub.count == 4
    joined(hub, "e")
    for reader in (second, *others):
        reader.close()
    assert hub.count == 1


@pytest.mark.parametrize(("threads", "room"), [(1, 1), (4, 1), (8, 2), (100, 25)])
def test_streams_hold_a_quarter_of_the_threads_at_most(events: Events, threads: int, room: int) -> None:
    hub = Hub(events, time.time, Bounds(threads=threads))
    for number in range(room):
        joined(hub, str(number), offload=_sync.inline)
    assert hub.join(frozenset("x"), _sync.inline) is Full.ALL
    joined(hub, "x", offload=_sync.pooled)


def test_a_flood_keeps_what_is_newest_and_no_more(hub: Hub, events: Events) -> None:
    reader, other = joined(hub, "a"), joined(hub, "b")
    for number in range(10_000):
        events.tell(refusal("a", path=f"/{number}"))
    news = reader.news()
    assert news.dropped == 10_000 - MOST_KEPT
    assert [told.event.path for told in news.told] == [f"/{number}" for number in range(10_000 - MOST_KEPT, 10_000)]
    assert not other.news()


def test_what_an_event_costs_does_not_grow_with_those_who_listen(events: Events) -> None:
    hub, event = Hub(events, time.time, Bounds(each=64)), refusal("a")

    def calls() -> int:
        found = 0

        def note(_frame: Any, event: str, _called: Any) -> None:
            nonlocal found
            found += event in {"call", "c_call"}

        sys.setprofile(note)
        hub._hear(event)
        sys.setprofile(None)
        return found

    joined(hub, "a")
    before = calls()
    for _ in range(50):
        joined(hub, "a")
    assert calls() == before


def test_a_listener_that_leaves_while_it_is_told_hides_nothing_from_others(events: Events) -> None:
    told: list[str] = []

    def leaves(_event: Event) -> None:
        told.append("first")
        events.leave(leaves)

    events.listen(leaves)
    events.listen(lambda _event: told.append("second"))
    for _ in range(2):
        events.tell(refusal("a"))
    assert told == ["first", "second", "second"]


def test_events_from_many_threads_are_told_once_each_or_counted(hub: Hub, events: Events) -> None:
    reader, other = joined(hub, "a"), joined(hub, "a", "b")
    seen = {reader: 0, other: 0}
    numbers: list[int] = []

    def read() -> None:
        for each in seen:
            news = each.news()
            seen[each] += news.dropped + len(news.told)
            numbers.extend(told.number for told in news.told if each is reader)

    with ThreadPoolExecutor(8) as threads:
        telling = [threads.submit(lambda: [events.tell(refusal("a")) for _ in range(250)]) for _ in range(8)]
        while not all(each.done() for each in telling):
            read()
    read()
    assert set(seen.values()) == {2000}
    assert numbers == sorted(set(numbers))


# For how long


def test_who_comes_again_soon_misses_nothing(hub: Hub, events: Events) -> None:
    reader = joined(hub, "a")
    events.tell(refusal("a", "first"))
    last = reader.news().told[-1].id
    reader.close()
    events.tell(refusal("a", "second"))
    assert codes(joined(hub, "a", last_id=last)) == ["second"]
    # An id of a ring that is not kept, or of another's, is no place to go on from.
    assert codes(joined(hub, "a")) == codes(joined(hub, "b", last_id=last)) == []


def test_after_a_while_nothing_is_kept_for_nobody(events: Events) -> None:
    hub = Hub(events, time.time, Bounds(lingers=0.01))
    joined(hub, "a").close()
    stays = joined(hub, "b")
    deadline = time.monotonic() + 20
    while hub.kept > 1:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    stays.close()
    while hub.kept:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert events._listeners == ()


def test_a_page_that_is_looked_at_again_shows_what_came_meanwhile(hub: Hub, events: Events) -> None:
    whose = frozenset("a")
    assert not hub.recent(whose)
    events.tell(refusal("a", "first"))
    assert [told.event.code for told in hub.recent(whose).told] == ["first"]
    assert hub.count == 0


def test_pages_of_many_organizations_keep_no_more_rings_than_there_may_be_streams(events: Events) -> None:
    hub = Hub(events, time.time, Bounds(streams=5))
    kept = joined(hub, "kept")
    for number in range(50):
        hub.recent(frozenset([str(number)]))
    assert hub.kept == 5
    events.tell(refusal("kept"))
    assert codes(kept) == ["rate_limited"]


def test_a_forked_child_begins_with_nobody_who_listens(hub: Hub, events: Events) -> None:
    joined(hub, "a")
    child = os.fork()
    if not child:
        events.tell(refusal("a"))
        os._exit(hub.count or hub.kept)
    assert os.waitpid(child, 0)[1] == 0
    assert hub.count == hub.kept == 1


# Streams


async def may(_offload: Any) -> bool:
    return True


def run(kind: str, function: Callable[..., Any]) -> Any:
    return _sync.run_now(function(_sync.inline)) if kind == "wsgi" else anyio.run(function, _sync.pooled, backend=kind)


@pytest.fixture(params=["asyncio", "trio", "wsgi"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_a_stream_tells_what_happened_as_server_sent_events(kind: str, hub: Hub, events: Events) -> None:
    stream = Stream(joined(hub, "a"), may, lambda: False, QUICK)

    async def read(offload: Any) -> list[bytes | None]:
        first = await stream.next(offload)
        events.tell(refusal("a", path="/ü\r\n\ndata: x"))
        events.tell(refusal("a", "first_use", status=None))
        return [first, await stream.next(offload)]

    first, second = run(kind, read)
    assert first == b"retry: 2000\n\n"
    blocks = [block.split("\n") for block in second.decode("ascii").split("\n\n")]
    assert [[line.partition(": ")[0] for line in block] for block in blocks] == [["id", "event", "data"]] * 2 + [[""]]
    assert [block[1] for block in blocks[:2]] == ["event: refused", "event: first_use"]
    assert json.loads(blocks[0][2].removeprefix("data: ")) == {
        "code": "rate_limited",
        "at": "2026-01-15T10:30:00.000Z",
        "status": 429,
        "key_id": "k" * 12,
        "client": "192.0.2.1",
        "method": "GET",
        "path": "/ü\r\n\ndata: x",
        "request_id": "req_1",
        "organization_id": "a",
    }


def test_a_slow_reader_is_told_how_many_it_missed(kind: str, hub: Hub, events: Events) -> None:
    stream = Stream(joined(hub, "a"), may, lambda: False, QUICK)

    async def read(offload: Any) -> bytes | None:
        await stream.next(offload)
        for _ in range(1000):
            events.tell(refusal("a"))
        return await stream.next(offload)  # type: ignore[no-any-return]

    found = run(kind, read)
    assert found.startswith(b'event: dropped\ndata: {"dropped": 744}\n\n')
    assert found.count(b"event: refused") == MOST_KEPT


def test_a_stream_without_events_beats_and_ends_after_its_time(kind: str, hub: Hub) -> None:
    stream = Stream(joined(hub, "a"), may, lambda: False, Pace(look=0.001, beat=0.01, most=0.1))

    async def read(offload: Any) -> list[bytes]:
        found = []
        while (octets := await stream.next(offload)) is not None:
            found.append(octets)
        return found

    found = run(kind, read)
    assert found[0] == b"retry: 2000\n\n"
    assert set(found[1:]) == {b":\n\n"}


@pytest.mark.parametrize("fails", [False, True])
def test_whoever_may_listen_no_longer_is_told_nothing_more(kind: str, hub: Hub, events: Events, fails: bool) -> None:
    asked: list[Any] = []

    async def judge(offload: Any) -> bool:
        asked.append(offload)
        if len(asked) % 2:  # when a stream begins
            return True
        if fails:
            raise RuntimeError("the store is down")
        return False

    def told_after(cause: Callable[[], object], pace: Pace) -> Any:
        stream = Stream(joined(hub, "a"), judge, lambda: False, pace)

        async def read(offload: Any) -> bytes | None:
            await stream.next(offload)
            cause()
            return await stream.next(offload)

        return run(kind, read)

    suspended = Event("organization.suspend", logging.INFO, organization_id="a")
    assert told_after(lambda: events.tell(refusal("a")), QUICK) is None
    assert told_after(lambda: events.tell(suspended), QUICK) is None
    assert told_after(lambda: None, Pace(look=0.001, beat=0.0)) is None
    assert len(asked) == 6


def test_whoever_may_not_listen_any_more_when_a_stream_begins_is_told_nothing(kind: str, hub: Hub) -> None:
    async def judge(_offload: Any) -> bool:
        return False

    stream = Stream(joined(hub, "a"), judge, lambda: False, QUICK)

    async def read(offload: Any) -> bytes | None:
        return await stream.next(offload)

    assert run(kind, read) is None


def test_a_stream_ends_when_its_server_stops(kind: str, hub: Hub) -> None:
    stops: list[bool] = []
    stream = Stream(joined(hub, "a"), may, lambda: bool(stops), QUICK)

    async def read(offload: Any) -> bytes | None:
        await stream.next(offload)
        stops.append(True)
        return await stream.next(offload)  # type: ignore[no-any-return]

    assert run(kind, read) is None


@pytest.mark.parametrize(("name", "stops"), [("should_exit", True), ("alive", False)])
def test_what_a_server_says_of_itself_is_read_from_its_handler_of_signals(name: str, stops: bool) -> None:
    class Server:
        def handle(self, *_args: Any) -> None:
            """Whatever it does."""

    server = Server()
    before = signal.signal(signal.SIGTERM, server.handle)
    try:
        assert not server_stops()
        setattr(server, name, not stops)
        assert not server_stops()
        setattr(server, name, stops)
        assert server_stops()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert not server_stops()


def test_a_stream_that_nobody_finished_leaves_when_it_is_closed(hub: Hub) -> None:
    stream = Stream(joined(hub, "a", offload=_sync.inline), may, lambda: False, QUICK)
    assert next(stream) == b"retry: 2000\n\n"
    stream.close()
    del stream
    gc.collect()
    assert hub.count == 0
