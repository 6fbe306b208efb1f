"""No raw key, no secret part, no hash and no server secret gets out, whatever fails.

What every other test lets out is watched by `tests/leaks.py`; here is the proof that it sees a leak, and what no other
test looks at: representations, exceptions as they are pickled, and the local variables that error pages and error
trackers show.
"""

from __future__ import annotations

import gc
import logging
import pickle
import secrets
import sqlite3
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from keystile import (
    Argon2Hasher,
    ConfigurationError,
    Gate,
    HmacHasher,
    KeyNotFound,
    Overloaded,
    Rule,
    StoreUnavailable,
    _sync,
)
from keystile._sync import background, loops
from keystile.answers.current import Current, shaper
from keystile.answers.cursors import Cursor
from keystile.answers.pages import PageParams
from keystile.config import file as config
from keystile.exceptions import InvalidRequest
from keystile.keys.format import Parsed, PrefixedFormat
from keystile.keys.hashing import Proof, ProofCache
from keystile.model import Request
from keystile.policy import CREDENTIAL_FORMS
from keystile.stores.memory import MemoryStore
from keystile.stores.sqlite import SQLiteStore
from tests.doors import Answer, Door
from tests.leaks import WATCH, shown, shown_here

PEPPER = secrets.token_urlsafe(24)
CURSOR_SECRET = secrets.token_urlsafe(24)


class ShopError(Exception):
    """What a host's own store, hasher or format may raise."""


def fail(*_: Any) -> Any:
    raise ShopError("the store is gone")


class Broken:
    """What a store keeps its records in, gone."""

    path = "keys.db"
    __contains__ = __getitem__ = __setitem__ = fail

    def __getattr__(self, name: str) -> Any:
        return fail()


def break_store(gate: Gate, patch: pytest.MonkeyPatch) -> None:
    """Have the inside of a built-in store fail, so that the store's own frames are seen as well."""
    store: Any = gate._shop.store
    inner = getattr(store, "inner", store)
    patch.setattr(inner, "_file" if isinstance(inner, SQLiteStore) else "_keys", Broken())


def leaks_of(error: BaseException) -> list[str]:
    """What an exception tells of any secret: as text, pickled, and in the local variables on its way."""
    places = [*shown(error), ("its repr", repr(error)), ("its attributes", repr(vars(error)))]
    # What cannot be pickled does not leave the process in this way.
    with suppress(TypeError, AttributeError, pickle.PicklingError):
        places.append(("its pickle", pickle.dumps(error).decode("latin-1")))
    return found_in(places)


def found_in(places: list[tuple[str, str]]) -> list[str]:
    return sorted({f"{name} in {place}" for place, text in places for name in WATCH.secrets.names_in(text)})


def listening(gate: Gate) -> list[str]:
    """What an error tracker would collect with each event of this gate: all calls under way and the exception."""
    found: list[str] = []

    @gate.on_event
    def track(event: Any) -> None:
        error = sys.exc_info()[1]
        places = [*shown_here(sys._getframe()), *(shown(error) if error else ()), ("the event", repr(event))]
        found.extend(found_in(places))

    return found


def raised_by(call: Callable[..., Any], *args: Any, **named: Any) -> Exception:
    try:
        call(*args, **named)
    except Exception as error:  # noqa: BLE001 - whatever a store or a hasher raises
        return error
    raise AssertionError("nothing was raised")


# The watch


def test_every_test_is_watched(request: pytest.FixtureRequest) -> None:
    assert {"watching", "no_leak"} <= set(request.fixturenames)


def plant_in_a_line(secret: str) -> None:
    logging.getLogger("keystile").debug("a key: %s", secret)


def plant_in_a_foreign_line(secret: str) -> None:
    logging.getLogger("somebody.else").warning("a key: %s", secret)


def plant_in_a_field(secret: str) -> None:
    logging.getLogger("keystile").info("a key", extra={"event": {"key": secret}})


def fail_with(secret: str) -> None:
    raise ShopError(secret)


def plant_in_a_traceback(secret: str) -> None:
    try:
        fail_with(secret)
    except ShopError:
        logging.getLogger("keystile").exception("it failed")


def plant_in_a_cause(secret: str) -> None:
    try:
        try:
            fail_with(secret)
        except ShopError as error:
            raise StoreUnavailable("memory://", "gone") from error
    except StoreUnavailable:
        logging.getLogger("keystile").exception("it failed")


def plant_in_an_exception(secret: str) -> None:
    ConfigurationError(f"{secret} is no name", key="name")


def plant_in_a_local(secret: str) -> None:
    try:
        # A frame of ours with the key in a local variable, whatever it is wrapped in elsewhere.
        _sync.run_now(secret)  # type: ignore[arg-type]
    except AttributeError:
        logging.getLogger("keystile").exception("it failed")


@pytest.mark.parametrize(
    ("plant", "place"),
    [
        (lambda secret: Answer(200, [], f'{{"key": "{secret}"}}'.encode()), "the body of an answer with 200"),
        (lambda secret: Answer(301, [("location", f"/?k={secret}")], b""), "the header location of an answer"),
        (lambda secret: Answer(200, [("link", f"</?k={secret[-38:-6]}>")], b""), "the header link of an answer"),
        (lambda secret: Answer(200, [], f"ends in {secret[-30:]}".encode()), "the body of an answer"),
        (plant_in_a_line, "the message of a log record DEBUG of keystile"),
        (plant_in_a_foreign_line, "the message of a log record WARNING of somebody.else"),
        (plant_in_a_field, "the field event of a log record INFO of keystile"),
        (plant_in_a_traceback, "the traceback of a log record ERROR of keystile"),
        (plant_in_a_cause, "the traceback of a log record ERROR of keystile"),
        (plant_in_a_local, "the local coroutine of run_now in _sync/running.py of a log record ERROR of keystile"),
        (plant_in_an_exception, "the arguments of a ConfigurationError"),
    ],
)
def test_a_key_that_gets_out_fails_the_test_and_is_not_repeated(plant: Callable[[str], object], place: str) -> None:
    issued = Gate(prefix="acme", hasher=HmacHasher(b"p" * 16)).keys.create("planted")
    with WATCH.aside():
        plant(issued.secret)
        with pytest.raises(pytest.fail.Exception) as caught:
            WATCH.verdict()
        WATCH.verdict()  # a finding of this test is not reported for the next one
    said = str(caught.value)
    assert f"the key {issued.key.id} is in {place}" in said
    assert not WATCH.secrets.names_in(said)


@pytest.mark.parametrize("hasher", [Argon2Hasher(memory_kib=8, time_cost=1), HmacHasher(PEPPER.encode())])
def test_a_hash_and_a_pepper_that_get_out_are_seen(hasher: Any) -> None:
    gate = Gate(hasher=hasher, peppers=[PEPPER], cursor_secrets=[CURSOR_SECRET])
    [stored] = gate.keys.create("planted").key.hashes
    for secret in (stored.hash, PEPPER, CURSOR_SECRET):
        with WATCH.aside() as found:
            Answer(200, [], f'{{"of": "{secret}"}}'.encode())
        assert len(found) == 1, found


def test_no_level_that_a_test_sets_is_changed(caplog: pytest.LogCaptureFixture) -> None:
    gate = Gate()
    key = "key_live_" + "0" * 50
    request = Request("GET", "/", b"", [(b"x-api-key", key.encode())], None)
    _sync.run_now(gate.check(request, _sync.inline))
    assert caplog.records == []
    with caplog.at_level(logging.INFO):
        _sync.run_now(gate.check(request, _sync.inline))
    assert len(caplog.records) == 1
    with caplog.at_level(logging.INFO, logger="keystile"):
        _sync.run_now(gate.check(request, _sync.inline))
    assert len(caplog.records) == 2


# What an object says of itself


def objects() -> Iterator[Any]:
    """Everything that handles a secret."""
    for hasher in (Argon2Hasher(memory_kib=8, time_cost=1), HmacHasher(PEPPER.encode())):
        gate = Gate(hasher=hasher, peppers=[PEPPER], cursor_secrets=[CURSOR_SECRET], rules=[Rule("/*", envelope=True)])
        issued = gate.keys.create("shown")
        request = Request("GET", "/v1", b"", [(b"x-api-key", issued.secret.encode())], "127.0.0.1")
        admitted = _sync.run_now(gate.check(request, _sync.inline))
        events: list[Any] = []
        gate.on_event(events.append)
        refused = _sync.run_now(gate.check(request._replace(credentials=[*request.credentials] * 2), _sync.inline))
        assert (admitted.principal, refused.reason.status) == (issued.key.principal, 400)
        yield from (gate, gate.keys, gate.policy, gate.events, gate.limits, gate.transport, gate.quotas, gate._shop)
        order = gate._order
        yield from (order.prover, order.prover._proofs, order.callers, hasher, gate._shop.key_format, gate._shop.store)
        yield from (request, issued, issued.key, issued.key.hashes, issued.key.hashes[0], admitted, refused, *events)
        shape = shaper(gate)
        assert isinstance(shape, partial)
        yield from (admitted.principal, refused.reason, Current(admitted), shape(admitted), shape, *shape.args)
        yield from shape.args[0].args
        yield Proof(issued.key.id, issued.key.hashes[0].hash)
    keyed = (CURSOR_SECRET.encode(),)
    yield PageParams(10, secrets=keyed)
    yield from (PageParams.read("limit=5", secrets=keyed), Cursor((1,), "/v1", (), "key:1"), ProofCache())
    yield PrefixedFormat("acme", [PEPPER.encode()])


def test_nothing_shows_a_secret_by_itself() -> None:
    for each in objects():
        for said in (repr(each), str(each), format(each), f"{each!r:}", repr([each]), repr({"it": each})):
            assert not WATCH.secrets.names_in(said), type(each).__name__


def test_what_is_passed_on_to_an_app_holds_no_secret_even_pickled() -> None:
    issued = Gate(hasher=HmacHasher(PEPPER.encode())).keys.create("shown")
    assert WATCH.secrets.names_in(pickle.dumps(issued).decode("latin-1"))
    assert not WATCH.secrets.names_in(pickle.dumps(issued.key.principal).decode("latin-1"))


# Wrong set-ups


PASSWORD = secrets.token_hex(16)
SHORT = "s3cr3t-s3cr3t"


@pytest.mark.parametrize(
    "settings",
    [
        {"peppers": PEPPER},
        {"peppers": [PEPPER, 5]},
        {"peppers": [PEPPER, SHORT]},
        {"peppers": [PEPPER], "prefix": "no prefix"},
        {"peppers": {PEPPER: 1}, "hasher": "md5"},
        {"peppers": PEPPER.encode()},
        {"peppers": [SHORT]},
        {"peppers": [bytearray(PEPPER.encode())]},
        {"hasher": PEPPER},
        {"hasher": PEPPER, "peppers": [PEPPER]},
        {"cursor_secrets": CURSOR_SECRET},
        {"cursor_secrets": [CURSOR_SECRET, SHORT]},
        {"cursor_secrets": [CURSOR_SECRET, None]},
        {"store": f"postgresql://user:{PASSWORD}@host/db"},
        {"store": f"sqlite://user:{PASSWORD}@host/db"},
        {"store": f"memory://user:{PASSWORD}@host"},
        {"store": f"{PASSWORD}://host"},
        {"store": PASSWORD},
        {"limiter": f"redis://user:{PASSWORD}@host:port/0"},
        {"limiter": f"redis://user:{PASSWORD}@127.0.0.1/0?no_such_option={PASSWORD}"},
        {"limiter": f"rediss://:{PASSWORD}@[::1/0"},
        {"limiter": f"nonsense://user:{PASSWORD}@host"},
        {"limiter": f"sqlite://user:{PASSWORD}@host"},
        {"limiter": f"memory://user:{PASSWORD}@host"},
        {"public_url": f"https://user:{PASSWORD}@api.example.com"},
        {"key_format": PrefixedFormat("acme", [PEPPER.encode()]), "prefix": "acme"},
    ],
    ids="-".join,
)
def test_a_wrong_setting_shows_no_secret(settings: dict[str, Any]) -> None:
    error = raised_by(Gate, **settings)
    said = everything_of(error)
    for secret in (PEPPER, CURSOR_SECRET, SHORT):
        assert secret not in said
    # What stands where a scheme belongs is repeated: no password stands there.
    assert PASSWORD not in said or settings.get("store", "").startswith(PASSWORD + ":")


def everything_of(error: Exception) -> str:
    texts = [text for place, text in shown(error) if place == "the traceback"]
    pickled = pickle.dumps(error).decode("latin-1")
    return "\n".join([*texts, str(error), repr(error), repr(vars(error)), repr(error.args), pickled])


@pytest.mark.parametrize(
    "make",
    [
        lambda: HmacHasher(PEPPER),  # type: ignore[arg-type]
        lambda: HmacHasher(PEPPER.encode(), SHORT.encode()),
        lambda: PrefixedFormat("acme", [PEPPER]),  # type: ignore[list-item]
        lambda: PrefixedFormat("acme", [PEPPER.encode(), SHORT.encode()]),
        lambda: PrefixedFormat("acme", PEPPER.encode()),  # type: ignore[arg-type]
        lambda: Cursor((1,), "/", (), "").sign([SHORT.encode()]),
        lambda: Cursor((1,), "/", (), "").sign([PEPPER]),  # type: ignore[list-item]
        lambda: PageParams.read("", secrets=PEPPER.encode()),  # type: ignore[arg-type]
        lambda: PageParams.read(f"cursor={PEPPER}", secrets=[CURSOR_SECRET.encode()]),
        lambda: PageParams.read(f"limit={PEPPER}", secrets=[CURSOR_SECRET.encode()]),
    ],
)
def test_a_wrong_argument_shows_no_secret(make: Callable[[], object]) -> None:
    error = raised_by(make)
    assert isinstance(error, (ConfigurationError, InvalidRequest))
    for secret in (PEPPER, CURSOR_SECRET, SHORT):
        assert secret not in everything_of(error)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        ("", {"KEYSTILE_PEPPER": SHORT}),
        ('hasher = "md5"', {"KEYSTILE_PEPPER": PEPPER}),
        ('prefix = "${PEPPER}"', {"PEPPER": PEPPER}),
        ('peppers = ["${PEPPER}"]', {"PEPPER": SHORT}),
        ('cursor_secrets = ["${PEPPER}"]', {"PEPPER": SHORT}),
        ('store = "postgresql://user:${PASSWORD}@host/db"', {"PASSWORD": PASSWORD}),
        ('store = "${STORE}"', {"STORE": f"postgresql://user:{PASSWORD}@host/db"}),
        ('limiter = "redis://:${PASSWORD}@host:port"', {"PASSWORD": PASSWORD}),
        ('realm = "${PEPPER}\\""', {"PEPPER": PEPPER}),
    ],
)
def test_a_wrong_configuration_shows_nothing_of_the_environment(
    tmp_path: Path, text: str, environ: dict[str, str]
) -> None:
    file = tmp_path / "keystile.toml"
    file.write_text(text)
    error = raised_by(lambda: config.open_gate(config.load(file, environ)))
    assert isinstance(error, ConfigurationError)
    for secret in (PEPPER, SHORT, PASSWORD):
        assert secret not in everything_of(error)


def test_settings_show_nothing_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "keystile.toml"
    file.write_text('cursor_secrets = ["${SECRET}"]\nlimiter = "redis://:${PASSWORD}@host"')
    settings = config.load(file, {"KEYSTILE_PEPPER": PEPPER, "SECRET": CURSOR_SECRET, "PASSWORD": PASSWORD})
    for said in (repr(settings), str(settings), format(settings), repr(settings._origin)):
        assert not any(secret in said for secret in (PEPPER, CURSOR_SECRET, PASSWORD))


def test_an_id_that_nobody_has_is_repeated_no_further_than_an_id_goes() -> None:
    gate = Gate(hasher=HmacHasher(b"p" * 16))
    secret = gate.keys.create("key").secret
    for operation in (gate.keys.get, gate.keys.revoke):
        error = raised_by(operation, secret)
        assert isinstance(error, KeyNotFound)
        assert not WATCH.secrets.names_in(everything_of(error))


# What local variables show, when something fails: error pages (Django, Werkzeug) and error trackers collect them


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_a_store_that_fails_under_a_request(door: Door, monkeypatch: pytest.MonkeyPatch, warm: bool) -> None:
    secret = door.create().secret
    if warm:
        assert door.get(key=secret).status == 200
        door.flush()
    found = listening(door.gate)
    break_store(door.gate, monkeypatch)
    assert door.get(key=secret).status == 503
    assert found == []


def test_a_refused_key_under_a_listener(door: Door) -> None:
    issued = door.create()
    found = listening(door.gate)
    assert door.get(key=issued.secret[:-1]).status == 401
    door.run(door.gate.keys.arevoke, issued.key.id)
    assert door.get(key=issued.secret).code == "revoked_api_key"
    assert found == []


def test_a_key_that_is_known_and_refused_under_a_listener(door: Door) -> None:
    door.open(rules=[Rule("/v1/exports/*", scopes=["exports"])])
    secret = door.create(limits="2/minute").secret
    assert [door.get(path, key=secret).status for path in ("/v1/exports/1", "/v1/x", "/v1/x")] == [403, 200, 200]
    found = listening(door.gate)
    assert [door.get(path, key=secret).status for path in ("/v1/exports/1", "/v1/x")] == [403, 429]
    assert found == []


@pytest.mark.parametrize("operation", ["create", "get", "list", "revoke"])
def test_a_store_that_fails_under_the_key_ring(door: Door, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
    issued = door.create()
    break_store(door.gate, monkeypatch)
    args = {"create": ["another"], "list": []}.get(operation, [issued.key.id])
    error = raised_by(door.run, getattr(door.gate.keys, f"a{operation}"), *args)
    assert isinstance(error, StoreUnavailable)
    assert isinstance(error.__cause__, ShopError)
    assert leaks_of(error) == []
    if not door.gate.needs_await:
        error = raised_by(getattr(door.gate.keys, operation), *args)
        assert isinstance(error, StoreUnavailable)
        assert leaks_of(error) == []


class Failing:
    """A hasher that works until the test makes it fail.

    Its own frames are the host's; what ours pass on to it is looked at.
    """

    def __init__(self, blocking: bool) -> None:
        self.blocking, self.fails, self._inner = blocking, "", HmacHasher(PEPPER.encode())

    def __getattr__(self, name: str) -> Any:
        return fail if name == self.fails else getattr(self._inner, name)


@pytest.mark.parametrize("blocking", [True, False], ids=["pool", "in-place"])
@pytest.mark.parametrize("fails", ["hash", "verify", "needs_rehash"])
def test_a_hasher_that_fails(door: Door, fails: str, blocking: bool) -> None:
    hasher = Failing(blocking)
    door.open(hasher=hasher)
    secret = door.create().secret
    found = listening(door.gate)
    hasher.fails = fails
    if fails == "hash":
        assert leaks_of(raised_by(door.run, door.gate.keys.acreate, "another")) == []
    else:
        assert door.get(key=secret).status == 503
    assert found == []


def test_a_hasher_that_needs_memory_which_is_not_there(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = door.create().secret
    found = listening(door.gate)

    def no_memory(*_: Any) -> bool:
        raise Overloaded("no memory")

    monkeypatch.setattr(door.gate._shop.hasher.own, "_argon2", types.SimpleNamespace(verify=no_memory, hash=no_memory))
    assert door.get(key=secret).status == 503
    assert leaks_of(raised_by(door.run, door.gate.keys.acreate, "another")) == []
    assert found == []


def test_a_pool_that_is_full(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = door.create().secret
    found = listening(door.gate)
    pool = door.gate._shop.hash_pool
    monkeypatch.setattr(pool, "_inside", pool.places)
    assert door.get(key=secret).status == 503
    error = raised_by(door.run, door.gate.keys.acreate, "another")
    assert isinstance(error, Overloaded)
    assert leaks_of(error) == []
    assert found == []


class Misreading(PrefixedFormat):
    """A format of a host's own that fails to read some keys."""

    def parse(self, raw: bytes) -> Parsed | None:
        return fail()  # type: ignore[no-any-return]


def test_a_key_format_that_fails() -> None:
    store = MemoryStore()
    secret = Gate(store, prefix="acme", hasher=HmacHasher(b"p" * 16)).keys.create("key").secret
    gate = Gate(store, key_format=Misreading("acme"), hasher=HmacHasher(b"p" * 16))
    found = listening(gate)
    request = Request("GET", "/", b"", [(b"x-api-key", secret.encode())], None)
    assert _sync.run_now(gate.check(request, _sync.inline)).reason.status == 503
    assert leaks_of(raised_by(gate.keys.create, "another")) == []
    assert found == []


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("scopes", "'{'"),
        ("created_at", "'yesterday'"),
        ("hashes", "substr(hashes, 1, length(hashes) - 1)"),
        ("hashes", "'[' || hashes || ']'"),
    ],
)
def test_a_record_that_cannot_be_read(tmp_path: Path, column: str, value: str) -> None:
    gate = Gate(f"sqlite:///{tmp_path}/keys.db", hasher=HmacHasher(PEPPER.encode()))
    issued = gate.keys.create("broken")
    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection:
        connection.execute(f"UPDATE keystile_keys SET {column} = {value}")
        connection.commit()
    found = listening(gate)
    assert gate.keys.list() == []
    for operation in (gate.keys.get, gate.keys.revoke):
        assert leaks_of(raised_by(operation, issued.key.id)) == []
    request = Request("GET", "/", b"", [(b"x-api-key", issued.secret.encode())], None)
    assert _sync.run_now(gate.check(request, _sync.inline)).reason.status == 503
    assert found == []
    gate.close()


@pytest.mark.parametrize("act", ["INSERT", "UPDATE"])
def test_a_file_that_takes_no_more(tmp_path: Path, act: str) -> None:
    store = SQLiteStore(tmp_path / "keys.db")
    gate = Gate(store, hasher=HmacHasher(PEPPER.encode()))
    issued = gate.keys.create("full")
    with closing(sqlite3.connect(tmp_path / "keys.db")) as connection:
        connection.execute(
            f"CREATE TRIGGER full BEFORE {act} ON keystile_keys BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        connection.commit()
    if act == "INSERT":
        assert leaks_of(raised_by(store.add, issued.key)) == []
        assert leaks_of(raised_by(gate.keys.create, "another")) == []
    else:
        [old] = issued.key.hashes
        assert leaks_of(raised_by(gate.keys.revoke, issued.key.id)) == []
        assert leaks_of(raised_by(store.rehash, issued.key.id, old, old)) == []
    gate.close()


def test_a_rehash_that_fails_off_the_path_of_requests(
    door: Door, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    door.open(hasher=HmacHasher(b"o" * 16))
    secret = door.create().secret
    door.open(hasher=HmacHasher(b"n" * 16, b"o" * 16))
    store = getattr(door.gate._shop.store, "inner", door.gate._shop.store)
    monkeypatch.setattr(type(store), "rehash", fail)
    monkeypatch.setattr(background, "seldom", _sync.Seldom())  # which said so less than a minute ago
    assert door.get(key=secret).status == 200
    assert _sync.settled()
    # One line without a traceback; the watch looks it over.
    if door.gate._shop.store is store:
        [record] = [each for each in caplog.records if "background work failed" in each.getMessage()]
        assert record.exc_info is None


def test_a_redirect_and_a_link_carry_no_key(door: Door) -> None:
    secret = door.create().secret
    settings = {"public_url": "https://api.example.com", "accept": [*CREDENTIAL_FORMS, "?api_key"]}
    door.open(https="redirect", **settings)
    answer = door.get(f"/v1?a=1&api_key={secret}&b=2")
    assert (answer.status, answer.header("location")) == (301, "https://api.example.com/v1?a=1&b=2")

    def paginate() -> None:
        admitted = door.host.calls[-1]
        from keystile.answers.pages import Page

        params = admitted.page_params()
        admitted.paginate(Page.from_sequence(range(100), params, lambda item: item))

    door.open(envelope=True, cursor_secrets=[CURSOR_SECRET], **settings)
    door.host.acts = paginate
    answer = door.get(f"/v1?a=1&api_key={secret}&limit=2")
    assert answer.status == 200
    assert (answer.header("link") or "").startswith("<https://api.example.com/v1?a=1&limit=2&cursor=")


# The memory of proofs


def reachable(roots: list[Any], most: int) -> Iterator[Any]:
    """Everything that can be reached from the roots but through modules, classes and the globals of functions, which
    lead to the whole process."""
    todo, seen = list(roots), set[int]()
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, (types.ModuleType, type, types.FrameType)):
            continue
        seen.add(id(each))
        assert len(seen) < most, "this is more than a gate holds"
        yield each
        if isinstance(each, types.FunctionType):
            todo += [each.__closure__, each.__defaults__, each.__kwdefaults__, each.__dict__]
        else:
            todo += gc.get_referents(each)


def test_nothing_that_a_gate_holds_is_a_key_that_it_admitted(door: Door) -> None:
    door.open(envelope=True, anonymous_limits="10/minute", cursor_secrets=[CURSOR_SECRET])
    issued = [door.create(organization_id="org_1") for _ in range(5)]
    for _ in range(20):
        for each in issued:
            assert door.get(key=each.secret).status == 200
    door.flush()
    keys = {f"the key {each.key.id}" for each in issued}
    known = 0
    for each in reachable([door.gate, background._background, loops._tasks], 500_000):
        known += isinstance(each, Proof)
        if isinstance(each, (str, bytes, bytearray)):
            text = each if isinstance(each, str) else each.decode("latin-1")
            assert not keys & WATCH.secrets.names_in(text)
    assert known == len(issued), "the walk did not come by the memory of proofs"


def test_the_walk_would_find_a_key_that_is_kept() -> None:
    gate = Gate(hasher=HmacHasher(b"p" * 16))
    secret = gate.keys.create("kept").secret
    gate._order.prover._proofs.remember(secret.encode(), Proof("id", "hash"))
    assert secret.encode() in [each for each in reachable([gate], 500_000) if isinstance(each, bytes)]
