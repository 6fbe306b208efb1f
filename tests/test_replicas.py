"""A replica hears of a revocation later than its primary. None gives a verdict, through whatever door and driver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from click.testing import CliRunner

from keystile import Gate
from keystile._ground import health
from keystile.cli.commands import main
from keystile.events import Event
from keystile.exceptions import StoreUnavailable
from keystile.limiters.redis import RedisLimiter
from keystile.rules.limits.charges import charged
from keystile.rules.limits.windows import Window
from keystile.stores.redis import RedisStore
from tests.doors import Door
from tests.redis_server import Server, redis62_binary, valkey_binary
from tests.stored import a_key
from tests.test_redis_store import put
from tests.test_sql import HASHER

ID = "0123456789AB"
# Each starts two servers of its own.
pytestmark = pytest.mark.stress
DOORS = ["wsgi", "asyncio", "trio"]


@pytest.fixture(
    params=[
        pytest.param(valkey_binary, id="valkey"),
        pytest.param(redis62_binary, id="redis62", marks=pytest.mark.stress),
    ]
)
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Server]]:
    """Two servers, so that the second can become a replica of the first."""
    with Server(request.param()) as first, Server(request.param()) as second:
        yield first, second


@pytest.fixture(params=["reads", "takes writes"])
def takes_writes(request: pytest.FixtureRequest, pair: tuple[Server, Server]) -> bool:
    """Whether the second takes writes while it is a replica."""
    takes = bool(request.param == "takes writes")
    pair[1].command("CONFIG", "SET", "replica-read-only", "no" if takes else "yes")
    return takes


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask at each chance whether a server is back."""
    monkeypatch.setattr(health, "FIRST_PROBE", 0.0)
    monkeypatch.setattr(health, "LAST_PROBE", 0.0)


class LastingDoor(Door):
    """A door whose event loop lasts, so that its connections do."""

    def __init__(self, make: Callable[..., Gate], kind: str, portal: BlockingPortal) -> None:
        super().__init__(make, kind)
        self._portal = portal

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return self._portal.call(partial(function, *args, **named))


Opens = Callable[[str, str], tuple[Door, list[Event]]]


@pytest.fixture
def open_door() -> Iterator[Opens]:
    with ExitStack() as stack:

        def open_it(url: str, kind: str) -> tuple[Door, list[Event]]:
            store = RedisStore(url, socket_timeout=10, socket_connect_timeout=10)
            portal = stack.enter_context(start_blocking_portal("trio" if kind == "trio" else "asyncio"))
            made = partial(Gate, store, prefix="acme", hasher=HASHER)
            door = LastingDoor(made, kind, portal)
            stack.callback(store.close)
            stack.callback(door.run, door.gate.aclose)
            heard: list[Event] = []
            door.gate.on_event(heard.append)
            return door, heard

        yield open_it


def downs(heard: list[Event]) -> list[str]:
    return [event.reason for event in heard if event.code == "store_down"]


@pytest.mark.parametrize(
    ("kind", "driver"), [*((kind, "redis") for kind in DOORS), ("wsgi", "valkey"), ("asyncio", "valkey")]
)
def test_a_url_that_names_a_replica_gets_no_verdicts(
    pair: tuple[Server, Server],
    takes_writes: bool,
    kind: str,
    driver: str,
    open_door: Opens,
) -> None:
    primary, replica = pair
    with closing(Gate(primary.url, prefix="acme", hasher=HASHER)) as gate:
        issued = gate.keys.create("a")
        replica.follow(primary)
        gate.keys.revoke(issued.key.id)
    with closing(RedisStore(replica.url)) as store, pytest.raises(StoreUnavailable, match="it is a replica"):
        store.find(issued.key.id)
    door, heard = open_door(replica.url.replace("redis", driver, 1), kind)
    for _ in range(3):
        answer = door.get(key=issued.secret)
        assert (answer.status, answer.code) == (503, "unavailable")
        assert answer.header("retry-after") is not None
    assert len(downs(heard)) == 1
    assert "it is a replica" in downs(heard)[0]
    replica.command("REPLICAOF", "NO", "ONE")
    assert door.get(key=issued.secret).code == "revoked_api_key"
    assert not door.host.calls


@pytest.mark.parametrize("kind", DOORS)
def test_a_primary_that_becomes_a_replica_gives_no_more_verdicts_over_the_connections_that_there_are(
    pair: tuple[Server, Server],
    takes_writes: bool,
    kind: str,
    open_door: Opens,
) -> None:
    other, server = pair
    door, heard = open_door(server.url, kind)
    issued = door.create()
    assert door.get(key=issued.secret).status == 200
    other.follow(server)
    other.command("REPLICAOF", "NO", "ONE")
    server.follow(other)
    if takes_writes:
        # It refuses nothing by itself, so it is found out when counts are written: within ten seconds.
        door.get(key=issued.secret)
        door.flush()
    for _ in range(3):
        assert door.get(key=issued.secret).status == 503
    assert len(downs(heard)) == 1
    server.command("REPLICAOF", "NO", "ONE")
    assert door.get(key=issued.secret).status == 200


def test_a_sentinel_that_still_names_a_replaced_primary_is_not_believed(
    pair: tuple[Server, Server], takes_writes: bool
) -> None:
    other, server = pair
    config = f"sentinel monitor main 127.0.0.1 {server.port} 1\n"
    with Server(valkey_binary(), "--sentinel", config=config) as sentinel:
        url = f"redis+sentinel://127.0.0.1:{sentinel.port}/main"
        with closing(RedisStore(url, socket_timeout=10)) as store:
            put(store)
            assert store.find(ID) == a_key()
            server.command("REPLICAOF", "127.0.0.1", str(other.port))
            if takes_writes:
                server.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")  # as Sentinels do
            for _ in range(3):
                with pytest.raises(StoreUnavailable):
                    store.find(ID)


def test_a_primary_that_cannot_save_still_answers_and_a_replica_that_cannot_does_not(
    pair: tuple[Server, Server],
) -> None:
    other, server = pair
    with closing(RedisStore(server.url, socket_timeout=10)) as store:
        put(store)
        server.lose_disk()
        with pytest.raises(StoreUnavailable):
            put(store, "more")
        for _ in range(3):
            assert store.find(ID) == a_key()
        server.command("REPLICAOF", "127.0.0.1", str(other.port))
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                store.find(ID)


def test_a_server_that_may_not_tell_its_role_is_taken_as_it_is(pair: tuple[Server, Server]) -> None:
    other, server = pair
    with closing(RedisStore(server.url, socket_timeout=10)) as store:
        server.command("ACL", "SETUSER", "default", "-role")
        put(store)
        store.add_usage([], [])
        assert store.find(ID) == a_key()
        server.command("REPLICAOF", "127.0.0.1", str(other.port))
        with pytest.raises(StoreUnavailable, match="it is a replica"):  # the read itself says so
            store.find(ID)


def test_windows_are_not_counted_in_a_replica(pair: tuple[Server, Server], takes_writes: bool) -> None:
    primary, replica = pair
    replica.follow(primary)
    with closing(RedisLimiter(replica.url, socket_timeout=10)) as limiter:
        for _ in range(2):
            with pytest.raises(StoreUnavailable, match="it is a replica"):
                limiter.hit("k", charged((Window(5, 60),)))
            with pytest.raises(StoreUnavailable, match="it is a replica"):
                limiter.open()
        replica.command("REPLICAOF", "NO", "ONE")
        assert limiter.hit("k", charged((Window(5, 60),)))[0].remaining == 4


def test_the_check_names_the_reason(
    pair: tuple[Server, Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    primary, replica = pair
    replica.follow(primary)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keystile.toml").write_text(f'store = "{replica.url}"\nprefix = "acme"\n')
    result = CliRunner().invoke(main, ["check"])
    assert result.exit_code == 1
    assert "it is a replica" in result.stderr
