"""Keys as their owner handles them: the same operations, blocking and awaited."""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError, Gate, IssuedKey, KeyNotFound, StoreUnavailable
from keystile.keys.changes.fields import MAX_LEVELS, MAX_METADATA_BYTES, MAX_NAME, MAX_PAGE
from keystile.keys.ring import KeyRing
from keystile.stores import KeyFilter
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.async_store import AsyncStore

NOW = 1_768_473_000.25
PEPPER = "a pepper of enough bytes"
OPERATIONS = ("create", "get", "identify", "import_key", "list", "revoke")
BACKENDS = ("asyncio", "trio")


def moment(seconds: float = 0) -> datetime:
    return datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=seconds)


def nested(levels: int) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for _ in range(levels - 1):
        made = {"in": made}
    return made


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def ring(store: Any = None, **settings: Any) -> KeyRing:
    given = {"prefix": "acme", "peppers": [PEPPER], "hasher": "hmac-sha256", "clock": Clock()} | settings
    return Gate(store or MemoryStore(), **given).keys


class BlockingStore(MemoryStore):
    """A store whose calls must leave the event loop, as a synchronous driver's do."""

    blocking = True


STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda folder: SQLiteStore(folder / "keys.db"),
    "blocking": lambda _: BlockingStore(),
    "async": lambda _: AsyncStore(),
}
WAYS = [("blocking", "sync"), ("memory", "sync"), ("sqlite", "sync")] + [
    (store, backend) for store in STORES for backend in BACKENDS
]


class Ways:
    """A key ring called by one of its two names: `keys.create` blocks, or `keys.acreate` is run to its end."""

    def __init__(self, keys: KeyRing, way: str) -> None:
        self.keys, self.way = keys, way

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if self.way == "sync":
            method: Callable[..., Any] = getattr(self.keys, name)
            return method
        awaited = getattr(self.keys, f"a{name}")

        async def run(*args: Any, **named: Any) -> Any:
            return await awaited(*args, **named)

        return lambda *args, **named: anyio.run(lambda: run(*args, **named), backend=self.way)


@pytest.fixture(params=WAYS, ids="-".join)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Ways:
    store, way = request.param
    return Ways(ring(STORES[store](tmp_path)), way)


FULL: dict[str, Any] = {
    "organization_id": "org",
    "owner_id": "owner",
    "environment": "staging",
    "scopes": ["b", "a", "b"],
    "ip_allowlist": ["::ffff:10.0.0.0/104", "2001:DB8::1"],
    "expires_at": datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))),
    "metadata": {"team": ["x", {"y": None}]},
}


def test_a_key_is_made_found_listed_and_revoked(keys: Ways) -> None:
    issued = keys.create("CI")
    assert keys.get(issued.key.id) == issued.key
    assert list(keys.list()) == [issued.key]
    revoked = keys.revoke(issued.key.id)
    assert revoked.revoked_at == moment()
    assert keys.get(issued.key.id) == revoked
    assert list(keys.list()) == [revoked]


def test_a_made_key_has_all_that_was_asked_for_and_its_secret_once(keys: Ways) -> None:
    issued = keys.create("CI / CD", **FULL)
    assert isinstance(issued, IssuedKey)
    assert issued.secret.startswith(f"acme_stage_{issued.key.id}")
    key = keys.get(issued.key.id)
    assert (key.name, key.organization_id, key.owner_id, key.environment) == ("CI / CD", "org", "owner", "staging")
    assert key.scopes == ("b", "a")
    assert key.ip_allowlist == ("10.0.0.0/8", "2001:db8::1/128")
    assert key.expires_at == datetime(2030, 1, 1, tzinfo=UTC)
    assert key.expires_at.utcoffset() == timedelta(0)
    assert key.metadata == {"team": ("x", {"y": None})}
    assert (key.created_at, key.revoked_at, key.last_used_at) == (moment(), None, None)
    assert [each.hint for each in key.hashes] == [issued.secret[-4:]]
    assert key.hashes[0].expires_at is None
    assert issued.secret not in json.dumps([each.hash for each in key.hashes])


def test_what_is_not_said_is_unrestricted_and_empty(keys: Ways) -> None:
    key = keys.create("CI").key
    assert (key.organization_id, key.owner_id, key.project_id, key.plan, key.limits) == (None,) * 5
    assert (key.scopes, key.ip_allowlist, key.expires_at, key.metadata) == ((), None, None, {})
    assert key.environment == "production"


def test_no_two_keys_are_alike(keys: Ways) -> None:
    issued = [keys.create("CI") for _ in range(5)]
    assert len({each.secret for each in issued}) == 5
    assert len({each.key.id for each in issued}) == 5
    assert len({each.key.hashes[0].hash for each in issued}) == 5


def test_lists_are_paged_and_filtered(keys: Ways) -> None:
    made = [keys.create(f"{number}", organization_id="xy"[number % 2], owner_id="o").key for number in range(5)]
    in_order = sorted(made, key=lambda key: (key.created_at, key.id))
    assert list(keys.list()) == in_order
    assert list(keys.list(limit=2)) == in_order[:2]
    assert list(keys.list(after=in_order[1].id, limit=2)) == in_order[2:4]
    assert list(keys.list(organization_id="y")) == [key for key in in_order if key.organization_id == "y"]
    assert list(keys.list(owner_id="somebody else")) == []


def test_lists_are_filtered_by_state_and_text(keys: Ways) -> None:
    now = datetime.fromtimestamp(keys.keys._records._workshop.clock.now, UTC)
    first, second, third, fourth = (
        keys.create(each, expires_at=now + timedelta(seconds=9) if each == "Third" else None).key.id
        for each in ("First", "Second", "Third", "Fourth")
    )
    keys.suspend(second)
    keys.revoke(fourth)
    keys.keys._records._workshop.clock.now += 9
    states = ("active", "suspended", "expired", "revoked")
    assert [[key.id for key in keys.list(state=each)] for each in states] == [[first], [second], [third], [fourth]]
    assert {key.id for key in keys.list(live=True)} == {first, second}
    assert [key.id for key in keys.list(search="IRD")] == [third]
    assert [key.id for key in keys.list(search=first[:11])] == [first]
    assert [key.id for key in keys.list(search="ir", state="active")] == [first]


def test_a_second_revocation_is_like_the_first(keys: Ways) -> None:
    key_id = keys.create("CI").key.id
    first = keys.revoke(key_id)
    keys.keys._records._workshop.clock.now += 100
    assert keys.revoke(key_id) == first


def test_an_unknown_id_is_not_found_and_is_named(keys: Ways) -> None:
    for call in (keys.get, keys.revoke):
        with pytest.raises(KeyNotFound, match="no key has the id 'unknown'") as caught:
            call("unknown")
        assert caught.value.key_id == "unknown"
        assert isinstance(caught.value, LookupError)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": None}, "name"),
    ({"name": 7}, "name"),
    ({"name": b"CI"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "a\x00"}, "name"),
    ({"name": "\ud800"}, "name"),
    ({"name": "x" * (MAX_NAME + 1)}, "name"),
    ({"organization_id": ""}, "organization_id"),
    ({"organization_id": 7}, "organization_id"),
    ({"owner_id": "a\tb"}, "owner_id"),
    ({"owner_id": ["o"]}, "owner_id"),
    ({"environment": "live"}, "environment"),
    ({"environment": None}, "environment"),
    ({"environment": ["production"]}, "environment"),
    ({"environment": {}}, "environment"),
    ({"scopes": "read"}, "scopes"),
    ({"scopes": None}, "scopes"),
    ({"scopes": ["a b"]}, "scopes"),
    ({"scopes": [7]}, "scopes"),
    ({"ip_allowlist": []}, "ip_allowlist"),
    ({"ip_allowlist": "10.0.0.1"}, "ip_allowlist"),
    ({"ip_allowlist": ["localhost"]}, "ip_allowlist"),
    ({"ip_allowlist": ["10.0.0.1/8"]}, "ip_allowlist"),
    ({"expires_at": "2030-01-01"}, "expires_at"),
    ({"expires_at": 1_900_000_000}, "expires_at"),
    ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),
    ({"expires_at": moment()}, "expires_at"),
    ({"expires_at": moment(-1)}, "expires_at"),
    ({"metadata": []}, "metadata"),
    ({"metadata": "x"}, "metadata"),
    ({"metadata": 7}, "metadata"),
    ({"metadata": {"a": object()}}, "metadata"),
    ({"metadata": {"a": b"x"}}, "metadata"),
    ({"metadata": {"a": {1, 2}}}, "metadata"),
    ({"metadata": {"a": float("nan")}}, "metadata"),
    ({"metadata": {"a": float("inf")}}, "metadata"),
    ({"metadata": {("a",): 1}}, "metadata"),
    ({"metadata": nested(MAX_LEVELS + 1)}, "metadata"),
    ({"metadata": nested(400)}, "metadata"),
    ({"metadata": {"a": "x" * MAX_METADATA_BYTES}}, "metadata"),
]


@pytest.mark.parametrize("way", ["sync", *BACKENDS])
@pytest.mark.parametrize(("given", "key"), BAD)
def test_a_bad_argument_makes_no_key_and_is_named(way: str, given: dict[str, Any], key: str) -> None:
    keys = Ways(ring(), way)
    with pytest.raises(ConfigurationError) as caught:
        keys.create(**{"name": "CI"} | given)
    assert caught.value.key == key
    assert keys.keys._records._workshop.store.list(KeyFilter(), None, 1) == []


def test_metadata_that_holds_itself_is_refused() -> None:
    circle: dict[str, Any] = {}
    circle["circle"] = circle
    deep: Any = {}
    for _ in range(100_000):
        deep = {"deep": deep}
    for metadata in (circle, deep):
        with pytest.raises(ConfigurationError) as caught:
            ring().create("CI", metadata=metadata)
        assert caught.value.key == "metadata"


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": -1}, "limit"),
        ({"limit": MAX_PAGE + 1}, "limit"),
        ({"limit": "10"}, "limit"),
        ({"limit": 10.0}, "limit"),
        ({"limit": True}, "limit"),
        ({"limit": None}, "limit"),
        ({"after": ""}, "after"),
        ({"after": 7}, "after"),
        ({"organization_id": ""}, "organization_id"),
        ({"owner_id": 7}, "owner_id"),
        ({"state": "live"}, "state"),
        ({"state": ["active"]}, "state"),
        ({"state": "active", "live": True}, "state"),
        ({"search": ""}, "search"),
        ({"search": "a" * 201}, "search"),
        ({"search": "a\0"}, "search"),
        ({"search": 7}, "search"),
    ],
)
def test_a_bad_argument_of_list_is_named(given: dict[str, Any], key: str) -> None:
    for way in ("sync", *BACKENDS):
        with pytest.raises(ConfigurationError) as caught:
            Ways(ring(), way).list(**given)
        assert caught.value.key == key


def test_metadata_may_have_as_many_levels_as_are_said(keys: Ways) -> None:
    assert keys.create("CI", metadata=nested(MAX_LEVELS)).key.metadata == nested(MAX_LEVELS)


@pytest.mark.parametrize("wrong", [None, 7, b"acme_live_x", ["acme_live_x"]])
def test_only_a_text_can_be_identified(wrong: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ring().identify(wrong)
    assert caught.value.key == "raw"


@pytest.mark.parametrize("grace", [10**400, float("inf"), float("nan"), -1, "1", True])
def test_a_grace_that_is_no_number_of_seconds_is_named(grace: Any) -> None:
    keys = ring()
    with pytest.raises(ConfigurationError) as caught:
        keys.rotate(keys.create("CI").key.id, grace=grace)
    assert caught.value.key == "grace"


@pytest.mark.parametrize("way", ["sync", *BACKENDS])
def test_whatever_a_store_of_ones_own_raises_it_is_down(way: str) -> None:
    class Failing(MemoryStore):
        def find(self, key_id: str) -> Any:
            raise OSError("a password")

        list = find  # type: ignore[assignment]

    keys = Ways(ring(Failing()), way)
    for call in (lambda: keys.get("x"), lambda: keys.revoke("x"), lambda: keys.rotate("x")):
        with pytest.raises(StoreUnavailable) as caught:
            call()
        assert "password" not in str(caught.value)


@pytest.mark.parametrize("id", ["", None, 7, b"0123456789AB", "a\nb", "x" * (MAX_NAME + 1)])
def test_a_bad_id_is_named(id: Any) -> None:
    for call in (ring().get, ring().revoke):
        with pytest.raises(ConfigurationError) as caught:
            call(id)
        assert caught.value.key == "key_id"


@pytest.mark.parametrize(
    ("operation", "args"), [("create", ("CI",)), ("get", ("x",)), ("list", ()), ("revoke", ("x",))]
)
def test_over_an_async_store_the_blocking_names_say_what_to_await(operation: str, args: tuple[str, ...]) -> None:
    keys = ring(AsyncStore())
    assert keys.needs_await
    with pytest.raises(ConfigurationError, match=rf"await a{operation}\(\)") as caught:
        getattr(keys, operation)(*args)
    assert caught.value.key == "store"


def test_over_a_plain_store_nothing_needs_to_be_awaited() -> None:
    assert not ring().needs_await


@pytest.mark.parametrize("operation", OPERATIONS)
def test_both_names_show_one_signature_without_the_inner_works(operation: str) -> None:
    blocking, awaited = getattr(KeyRing, operation), getattr(KeyRing, f"a{operation}")
    assert inspect.signature(blocking) == inspect.signature(awaited)
    assert next(iter(inspect.signature(blocking).parameters)) == "self"
    assert "offload" not in str(inspect.signature(blocking))
    assert "offload" not in str(inspect.signature(getattr(ring(), operation)))
    assert blocking.__doc__ == awaited.__doc__
    assert blocking.__doc__
    assert not inspect.iscoroutinefunction(blocking)
    assert inspect.iscoroutinefunction(awaited)


@pytest.mark.parametrize("name", [*OPERATIONS, *(f"a{operation}" for operation in OPERATIONS)])
def test_each_operation_is_known_by_the_name_it_is_called_by(name: str) -> None:
    assert getattr(KeyRing, name).__name__ == name
    assert getattr(KeyRing, name).__qualname__.rpartition(".")[2] == name


def test_an_unknown_argument_is_a_type_error_as_python_has_it() -> None:
    for name in ("plan_name", "offload", "revoked_at", "hashes", "created_at"):
        with pytest.raises(TypeError):
            ring().create("CI", **{name: "x"})


@pytest.mark.parametrize("backend", BACKENDS)
def test_many_keys_can_be_made_at_once(backend: str) -> None:
    keys = ring(BlockingStore())

    async def make_all() -> Sequence[Any]:
        made: list[Any] = []

        async def make(number: int) -> None:
            made.append(await keys.acreate(f"{number}"))

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(make, number)
        return made

    made = anyio.run(make_all, backend=backend)
    assert {each.key.id for each in made} == {
        key.id for key in keys._records._workshop.store.list(KeyFilter(), None, 100)
    }
    assert len(made) == 20


@pytest.mark.parametrize("way", ["sync", *BACKENDS])
def test_a_store_that_is_down_says_so(tmp_path: Path, way: str) -> None:
    store = SQLiteStore(tmp_path / "keys.db")
    keys = Ways(ring(store), way)
    key_id = keys.create("CI").key.id
    store.close()
    (tmp_path / "keys.db").unlink()
    calls: list[Callable[[], Awaitable[Any] | Any]] = [
        lambda: keys.create("CI"),
        lambda: keys.get(key_id),
        keys.list,
        lambda: keys.revoke(key_id),
    ]
    for call in calls:
        with pytest.raises(StoreUnavailable):
            call()


def test_a_format_that_cannot_read_its_own_keys_is_a_configuration_error() -> None:
    class Broken:
        def mint(self, environment: str, draw: Callable[[int], str]) -> str:
            return draw(20)

        def parse(self, raw: bytes) -> None:
            return None

    with pytest.raises(ConfigurationError) as caught:
        ring(key_format=Broken(), prefix=None).create("CI")
    assert caught.value.key == "key_format"
