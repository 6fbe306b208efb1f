"""Quick proofs: what makes one, what it decides, and that no verdict ever depends on whether there is one."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keystile import Argon2Hasher, ConfigurationError, Gate, HmacHasher, _sync
from keystile._ground.subkeys import QUICK_PROOF, subkey
from keystile.config.file import load
from keystile.exceptions import KeystileError
from keystile.keys.format import PrefixedFormat, keyed_check
from keystile.keys.quick import QuickProofs
from keystile.keys.workshop import STORE_QUEUE, STORE_SLOTS
from keystile.model import ApiKey, Refused, Request, SecretHash
from keystile.stores.memory import MemoryStore
from tests.command_line import Desk
from tests.doors import Door
from tests.selection import often
from tests.stage import KINDS, HeldHasher, hosting, until

OLD, NEW, FOREIGN = b"an older pepper!", b"the newest pepper", b"somebody's pepper"
RAW = b"acme_live_0123456789abABCDEFGHIJKLMNOPQRSTUVWXYZabcdefgh12"
QUICK = QuickProofs([NEW, OLD])
NOW = 1_768_473_000.0


def secret_of(raw: bytes, *peppers: bytes) -> SecretHash:
    return SecretHash("$never$asked$", "h12", quick=QuickProofs(peppers).made(raw))


def forged(secret: str, pepper: bytes, number: int = 0, id: str | None = None) -> str:
    """Another secret of the same key, or of one with this id, with a right check."""
    body = f"{secret[:-50]}{secret[-50:-38] if id is None else id}{number:032d}"
    return body + keyed_check(body.encode(), pepper)


# What one is


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_it_is_a_mac_of_the_whole_key_under_a_part_of_the_pepper_and_proves_that_key_alone(
    raw: bytes, other: bytes
) -> None:
    found = secret_of(raw, NEW)
    assert found.quick is not None
    key = hmac.digest(NEW, b"keystile: quick proof", "sha256")
    assert found.quick.split("$") == [
        *("", "quick", hmac.digest(key, b"", "sha256")[:8].hex()),
        hmac.digest(key, raw, "sha256").hex(),
    ]
    assert QUICK.decides(found)
    assert QUICK.proves(found, raw)
    assert QUICK.proves(found, other) == (raw == other)


def test_it_is_worth_nothing_for_another_use_of_the_pepper_and_no_other_mac_is_one() -> None:
    quick = str(secret_of(RAW, NEW).quick)
    others = [HmacHasher(NEW).hash(RAW), "$quick$" + "0" * 16 + "$" + hmac.digest(NEW, RAW, "sha256").hex()]
    assert not HmacHasher(NEW).verify(quick, RAW)
    assert quick.rpartition("$")[2] not in "".join(others)
    assert [QUICK.decides(SecretHash("", "", quick=each)) for each in others] == [False, False]
    assert subkey(NEW, QUICK_PROOF) not in (NEW, hashlib.sha256(NEW).digest())


def test_the_first_pepper_makes_and_all_check_and_one_that_is_not_ours_decides_nothing() -> None:
    assert QUICK.made(RAW) == QuickProofs([NEW]).made(RAW)
    assert QUICK.proves(secret_of(RAW, OLD), RAW)
    assert not QUICK.proves(secret_of(RAW[:-1], OLD), RAW)
    assert not QUICK.decides(secret_of(RAW, FOREIGN))
    renewed = QUICK.renewed(secret_of(RAW, OLD), RAW, adopted=False)
    assert renewed == secret_of(RAW, NEW)
    assert QUICK.renewed(renewed, RAW, adopted=False) is renewed


def test_without_the_setting_none_is_made_or_believed() -> None:
    off = QuickProofs()
    found = secret_of(RAW, NEW)
    assert (off.on, off.made(RAW), off.decides(found)) == (False, None, False)
    assert off.renewed(found, RAW, adopted=False) is found


def test_what_was_brought_in_is_marked_and_never_gets_one() -> None:
    marked = SecretHash("$held$1$x", "h12", quick=QuickProofs(imports=True).made(RAW))
    assert not QUICK.decides(marked)
    assert QUICK.renewed(marked, RAW, adopted=False) is marked
    for proofs in (QUICK, QuickProofs()):
        assert proofs.renewed(secret_of(RAW), RAW, adopted=True).quick == marked.quick


@given(st.one_of(st.text(max_size=120), st.text(max_size=80).map(lambda text: str(QUICK.made(RAW))[:24] + text)))
@example("\ud800")
@example(str(QUICK.made(RAW))[:24] + "\ud800")
@example(str(QUICK.made(RAW))[:-1])
@example(str(QUICK.made(RAW)).upper())
def test_whatever_else_stands_in_the_store_proves_nothing_and_never_raises(quick: str) -> None:
    found = SecretHash("", "", quick=quick)
    assert not QUICK.decides(found) or not QUICK.proves(found, RAW)


def test_a_decoy_costs_what_one_costs_and_nothing_proves_it() -> None:
    decoy = QUICK.decoy()
    assert decoy.quick is not None
    assert QUICK.decides(decoy)
    assert not QUICK.proves(decoy, RAW)
    assert len(decoy.quick) == len(str(QUICK.made(RAW)))
    assert QUICK.decoy() != decoy


def test_no_repr_shows_it() -> None:
    found = secret_of(RAW, NEW)
    key = ApiKey(id="a", name="n", created_at=datetime(2026, 1, 1, tzinfo=UTC), hashes=(found,))
    assert "quick$" not in repr([found, key, key.principal, vars(QUICK).keys()]) + str([found])


# What contradicts it


class Finds:
    """A store that only finds keys."""

    def find(self, key_id: str) -> None: ...


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "needs a pepper; set peppers"),
        ({"peppers": [NEW], "accept_crc": True}, "accept_crc lets in those that anybody can make; leave one of them"),
        ({"peppers": [NEW], "key_format": "opaque"}, "key_format names another"),
        ({"peppers": [NEW], "key_format": PrefixedFormat("acme", [NEW])}, "key_format names another"),
        ({"peppers": [NEW], "hasher": "hmac-sha256"}, "no use with this hasher"),
        ({"peppers": [NEW], "hasher": HmacHasher(NEW)}, "no use with this hasher"),
        ({"peppers": [NEW], "store": Finds()}, "a store that only finds keys"),
    ],
)
def test_what_contradicts_it_is_refused_at_start_naming_both(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        Gate(**given, quick_proofs=True)
    assert caught.value.key == "quick_proofs"
    Gate(**given, quick_proofs=False)


# Through both doors


@pytest.fixture
def hasher() -> HeldHasher:
    """One that counts what it is asked; it is never held in these tests."""
    return HeldHasher()


def reopened(door: Door, hasher: HeldHasher, *peppers: bytes, **given: Any) -> Gate:
    """The gate of a new process, which remembers no proof."""
    hasher.runs.clear()
    return door.open(**{"hasher": hasher, "peppers": peppers or [NEW], "quick_proofs": True} | given)


def use(door: Door, secret: str) -> str:
    """What becomes of a request with this key, when all that it left to do later is done."""

    async def one() -> Any:
        sent = [("x-api-key", secret)]
        if door.kind == "wsgi":
            return door.through_wsgi("GET", "/v1", sent, None, None)
        answer = await door.asgi_call("GET", "/v1", sent, None)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return answer

    answer = door.run(one)
    assert _sync.settled()
    return answer.code or "ok"


def record(door: Door, key_id: str) -> ApiKey:
    found: ApiKey = door.run(door.gate.keys.aget, key_id)
    return found


def rewrite(door: Door, key_id: str, **changes: Any) -> None:
    """Change what stands in a record's first secret."""
    [old] = record(door, key_id).hashes
    rehash = door.gate._shop.adapted("rehash", blocking=False, patience=5)
    door.run(rehash, _sync.pooled, key_id, old, replace(old, **changes))


def test_a_new_process_proves_a_key_without_the_hasher(door: Door, hasher: HeldHasher) -> None:
    reopened(door, hasher)
    issued = door.create()
    assert issued.key.hashes[0].quick == QuickProofs([NEW]).made(issued.secret.encode())
    for _ in range(3):
        reopened(door, hasher)
        assert [use(door, issued.secret) for _ in range(2)] == ["ok", "ok"]
        assert hasher.runs == []


def test_a_key_from_before_gets_one_at_its_first_proof_and_nothing_else_of_it_changes(
    door: Door, hasher: HeldHasher
) -> None:
    reopened(door, hasher, quick_proofs=False)
    issued = door.create(scopes=["a"], metadata={"b": 1})
    assert issued.key.hashes[0].quick is None
    reopened(door, hasher)
    assert use(door, issued.secret) == "ok"
    assert hasher.runs == [issued.secret.encode()]
    found = record(door, issued.key.id)
    [old] = issued.key.hashes
    assert found.hashes == (replace(old, quick=QuickProofs([NEW]).made(issued.secret.encode())),)
    assert replace(found, hashes=(old,), last_used_at=None) == issued.key
    reopened(door, hasher)
    assert use(door, issued.secret) == "ok"
    assert hasher.runs == []


def test_it_decides_alone_both_ways(door: Door, hasher: HeldHasher) -> None:
    reopened(door, hasher)
    good, other = door.create(), door.create()
    rewrite(door, good.key.id, hash="$held$0$nothing")
    rewrite(door, other.key.id, quick=QuickProofs([NEW]).made(good.secret.encode()))
    reopened(door, hasher)
    assert use(door, good.secret) == "ok"
    assert use(door, other.secret) == "invalid_api_key"
    assert hasher.runs == []


def test_a_wrong_secret_and_an_unknown_id_are_one_answer_and_neither_asks_the_hasher(
    door: Door, hasher: HeldHasher
) -> None:
    reopened(door, hasher)
    issued = door.create()
    wrong = forged(issued.secret, NEW)
    rewrite(door, issued.key.id, hint=wrong[-4:])  # else it is not even tried
    reopened(door, hasher)
    tried = [wrong, forged(issued.secret, NEW, 1), forged(issued.secret, NEW, id="0" * 12)]
    answers = [door.get(key=each) for each in tried]
    assert {answer.code for answer in answers} == {"invalid_api_key"}
    same = {
        (answer.status, tuple(pair for pair in answer.headers if pair[0] not in {"x-request-id", "date"}))
        for answer in answers
    }
    assert len(same) == 1
    assert hasher.runs == []


def test_where_the_setting_is_off_a_stored_one_is_not_believed(door: Door, hasher: HeldHasher) -> None:
    reopened(door, hasher)
    issued = door.create()
    reopened(door, hasher, quick_proofs=False)
    assert use(door, issued.secret) == "ok"
    assert len(hasher.runs) == 1
    rewrite(door, issued.key.id, hash="$held$0$nothing")
    reopened(door, hasher, quick_proofs=False)
    assert use(door, issued.secret) == "invalid_api_key"
    assert len(hasher.runs) == 1


def test_peppers_rotate_the_newest_signs_all_check_and_an_older_one_is_renewed_on_use(
    door: Door, hasher: HeldHasher
) -> None:
    reopened(door, hasher, OLD)
    issued = door.create()
    raw = issued.secret.encode()
    reopened(door, hasher, NEW, OLD)
    assert use(door, issued.secret) == "ok"
    assert record(door, issued.key.id).hashes == (replace(issued.key.hashes[0], quick=QuickProofs([NEW]).made(raw)),)
    reopened(door, hasher, NEW, OLD)
    assert use(door, issued.secret) == "ok"
    assert hasher.runs == []
    # Somebody goes back to the older pepper alone: one that it has not made is not believed, and made anew.
    reopened(door, hasher, OLD)
    assert use(door, issued.secret) == "ok"
    assert hasher.runs == [raw]
    assert record(door, issued.key.id).hashes == issued.key.hashes
    reopened(door, hasher, NEW)
    assert use(door, issued.secret) == "invalid_api_key"
    assert hasher.runs == []


def test_it_ends_with_its_secret(door: Door, hasher: HeldHasher) -> None:
    now = [NOW]

    def anew() -> None:
        reopened(door, hasher, clock=lambda: now[0])

    anew()
    first = door.create()
    second = door.run(door.gate.keys.arotate, first.key.id, grace=60)
    anew()
    assert [use(door, each.secret) for each in (first, second)] == ["ok", "ok"]
    now[0] += 60
    anew()
    assert [use(door, each.secret) for each in (first, second)] == ["expired_api_key", "ok"]
    third = door.run(door.gate.keys.arotate, first.key.id)
    for _ in range(2):
        assert [use(door, each.secret) for each in (first, second, third)] == ["invalid_api_key"] * 2 + ["ok"]
        anew()
    assert hasher.runs == []
    door.run(door.gate.keys.arevoke, first.key.id)
    anew()
    assert [use(door, each.secret) for each in (second, third)] == ["invalid_api_key", "revoked_api_key"]
    ending = door.create(expires_at=datetime.fromtimestamp(now[0] + 5, UTC))
    assert use(door, ending.secret) == "ok"
    now[0] += 5
    anew()
    assert use(door, ending.secret) == "expired_api_key"
    assert hasher.runs == []


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("way", ["raw", "hash"])
def test_a_key_that_was_imported_never_gets_one(door: Door, hasher: HeldHasher, way: str, setting: bool) -> None:
    minted = Gate(prefix="acme", peppers=[NEW], hasher=hasher).keys.create("key")
    brought = {"raw": minted.secret}
    if way == "hash":
        digest = hashlib.sha256(minted.secret.encode()).hexdigest()
        brought = {"hash": digest, "id": minted.key.id}
    reopened(door, hasher, quick_proofs=setting)
    door.run(door.gate.keys.aimport_key, "old", **brought)
    for _ in range(3):
        reopened(door, hasher)
        assert [use(door, minted.secret) for _ in range(2)] == ["ok", "ok"]
        assert hasher.runs
    # What is rotated was made here, and is a secret like any other.
    issued = door.run(door.gate.keys.arotate, minted.key.id)
    reopened(door, hasher)
    assert [use(door, issued.secret), use(door, minted.secret)] == ["ok", "invalid_api_key"]
    assert hasher.runs == []


def test_a_hash_with_other_settings_is_still_renewed_on_use(door: Door, hasher: HeldHasher) -> None:
    gate = reopened(door, hasher)
    issued = door.create()
    [old] = issued.key.hashes
    hasher.stale.add(old.hash)
    places = gate._order.prover._budget.places
    taken = [places.take("hashing", _sync.worker_count()) for _ in range(_sync.worker_count())]
    assert use(door, issued.secret) == "ok"
    assert record(door, issued.key.id).hashes == (old,), "others compute, and nobody waits for a place"
    for each in taken:
        assert each is not None
        places.leave(each)
    reopened(door, hasher)
    assert use(door, issued.secret) == "ok"
    [renewed] = record(door, issued.key.id).hashes
    assert (renewed.hash == old.hash, renewed.quick, renewed.hint) == (False, old.quick, old.hint)
    assert use(door, issued.secret) == "ok"
    assert hasher.runs == []
    reopened(door, hasher, quick_proofs=False)
    assert use(door, issued.secret) == "ok"


def test_wrong_secrets_are_counted_as_ever_and_lock_no_good_key_out(door: Door, hasher: HeldHasher) -> None:
    reopened(door, hasher)
    issued = door.create()
    reopened(door, hasher, failure_limits="2/minute")
    codes = [door.get(key=forged(issued.secret, NEW, number)).code for number in range(4)]
    assert codes == ["invalid_api_key"] * 2 + ["too_many_failures"] * 2
    assert door.get(key=issued.secret).status == 200
    assert hasher.runs == []


def test_whose_key_was_found_somewhere_is_told_by_it_too(door: Door, hasher: HeldHasher) -> None:
    reopened(door, hasher)
    issued = door.create()
    rewrite(door, issued.key.id, hint=forged(issued.secret, NEW)[-4:])
    identify = door.gate.keys.aidentify
    assert door.run(identify, forged(issued.secret, NEW)) is None
    rewrite(door, issued.key.id, hint=issued.secret[-4:])
    assert door.run(identify, issued.secret).id == issued.key.id
    assert hasher.runs == []


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_given_during_a_revocation_or_a_rotation_takes_nothing_back(kind: str) -> None:
    hasher, store = HeldHasher(), MemoryStore()
    before = Gate(store, prefix="acme", hasher=hasher, peppers=[NEW])
    revoked, rotated = before.keys.create("a"), before.keys.create("b")
    gate = Gate(store, prefix="acme", hasher=hasher, peppers=[NEW], quick_proofs=True)
    hasher.held = True
    with hosting(kind) as host:
        actors = [host.ask(gate, each.secret) for each in (revoked, rotated)]
        until(lambda: hasher.under_way)
        before.keys.revoke(revoked.key.id)
        again = before.keys.rotate(rotated.key.id)
        hasher.open()
        assert [actor.code for actor in actors] == ["revoked_api_key", "invalid_api_key"]
        assert _sync.settled()
        assert store.find(revoked.key.id).revoked_at is not None  # type: ignore[union-attr]
        assert store.find(rotated.key.id).hashes == again.key.hashes  # type: ignore[union-attr]
        host.close(gate)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("peers", ["one address", "many addresses"])
def test_first_uses_at_once_wait_for_no_place_where_hashes_are_computed(kind: str, peers: str) -> None:
    hasher = HeldHasher()
    gate = Gate(prefix="acme", hasher=hasher, peppers=[NEW], quick_proofs=True, hashing_wait=3600.0)
    keys = [gate.keys.create("key").secret for _ in range(200)]
    hasher.held = True
    with hosting(kind, threads=50) as host:
        addresses = ["192.0.2.1" if peers == "one address" else f"192.0.2.{number}" for number in range(200)]
        actors = [host.ask(gate, key, peer) for key, peer in zip(keys, addresses, strict=True)]
        assert [actor.code for actor in actors] == ["ok"] * 200
        host.close(gate)
    assert hasher.runs == []


class Slow(MemoryStore):
    """A store whose calls go to the worker pool, and that answers when the test lets it."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self.answers = threading.Event()

    def find(self, key_id: str) -> ApiKey | None:
        assert self.answers.wait(60)
        return super().find(key_id)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", [{"hasher": HeldHasher(), "quick_proofs": True}, {"hasher": "hmac-sha256"}])
def test_more_first_uses_than_a_slow_store_has_room_for_wait_for_it_in_turn(kind: str, given: dict[str, Any]) -> None:
    store, number = Slow(), STORE_SLOTS + STORE_QUEUE + 30
    gate = Gate(store, prefix="acme", peppers=[NEW], hashing_wait=3600.0, **given)
    keys = [gate.keys.create("key").secret for _ in range(number)]
    with hosting(kind, threads=number) as host:
        places = gate._order.prover._budget.places
        actors = [host.ask(gate, key, f"10.0.{at // 250}.{at % 250}") for at, key in enumerate(keys)]
        until(lambda: places.waiting("looking") == number - STORE_SLOTS)
        store.answers.set()
        assert [actor.code for actor in actors] == ["ok"] * number
        host.close(gate)


def test_nothing_that_people_or_programs_are_shown_has_it(tmp_path: Path) -> None:
    file = tmp_path / "keystile.toml"
    file.touch(0o600)
    file.write_text(
        f'store = "sqlite:///{tmp_path}/keys.db"\nprefix = "acme"\npeppers = ["a pepper of enough bytes"]\n'
        "quick_proofs = true\n"
    )
    desk = Desk(tmp_path, ("-c", str(file)))
    made = desk.said("keys", "create", "CI")
    shown = [json.dumps(made), json.dumps(desk.said("keys", "rotate", made["key"]["id"], "--grace", "1h"))]
    commands = (("keys", "list"), ("keys", "show", made["key"]["id"]), ("audit",))
    shown += [json.dumps(desk.said(*command)) for command in commands]
    shown += [desk.did(*command) for command in (*commands, ("check",))]
    gate = Gate(**load(file, {}).gate)
    key = gate.keys.get(made["key"]["id"])
    shown += [repr(key), repr(key.principal), repr(list(gate.audit()))]
    gate.close()
    assert [str(each.quick)[:7] for each in key.hashes] == ["$quick$", "$quick$"]
    macs = ["$quick$", *(str(each.quick)[24:] for each in key.hashes)]
    assert [text for text in shown if any(mac in text for mac in macs)] == []


# No verdict depends on it


class World:
    """A service whose processes come and go, with or without quick proofs."""

    def __init__(self, *, quick: bool) -> None:
        self.quick, self.store, self.now = quick, MemoryStore(), NOW
        self.secrets: list[list[str]] = []
        self.ids: list[str] = []
        self.restart((OLD,))

    def restart(self, peppers: tuple[bytes, ...]) -> None:
        self.peppers = peppers
        self.gate = Gate(
            self.store,
            prefix="acme",
            hasher=CHEAP,
            peppers=peppers,
            quick_proofs=self.quick,
            failure_limits=None,
            clock=lambda: self.now,
        )

    def make(self, seconds: int | None) -> None:
        ends = None if seconds is None else datetime.fromtimestamp(self.now + seconds, UTC)
        issued = self.gate.keys.create("key", expires_at=ends)
        self.ids.append(issued.key.id)
        self.secrets.append([issued.secret])

    def act(self, name: str, number: int, seconds: int) -> str:
        """Do one thing to one of the keys; what the ring says of it."""
        if name == "restart":
            self.restart(PEPPERS[number % len(PEPPERS)])
        elif name == "wait":
            self.now += seconds
        elif name == "make" or not self.ids:
            self.make(max(1, seconds) if number % 2 else None)
        else:
            return self.change(name, number % len(self.ids), seconds)
        return "done"

    def change(self, name: str, at: int, seconds: int) -> str:
        try:
            if name == "rotate":
                self.secrets[at].append(self.gate.keys.rotate(self.ids[at], grace=seconds).secret)
            elif name == "revoke":
                self.gate.keys.revoke(self.ids[at])
        except KeystileError as error:
            return type(error).__name__
        return "done"

    def verdicts(self, at: int) -> list[str]:
        """What each secret that a key ever had gets, and wrong ones and an unknown id."""
        newest = self.secrets[at][-1]
        tried = [*self.secrets[at], forged(newest, self.peppers[0]), forged(newest, self.peppers[0], id="0" * 12)]
        tried += [newest[:-1] + ("0" if newest[-1] != "0" else "1"), newest + "0"]
        found = []
        for each in tried:
            request = Request("GET", "/v1", b"", [(b"x-api-key", each.encode())], "192.0.2.1")
            outcome = _sync.run_now(self.gate.check(request, _sync.inline))
            found.append(outcome.reason.code if isinstance(outcome, Refused) else str(outcome.principal is not None))
        # Otherwise it would be by luck what the next step finds.
        assert _sync.settled()
        return found


CHEAP = Argon2Hasher(memory_kib=8, time_cost=1)
PEPPERS = ((OLD,), (NEW, OLD), (NEW,), (FOREIGN, NEW, OLD), (OLD, NEW))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["make", "use", "use", "rotate", "revoke", "wait", "restart", "restart"]),
        st.integers(0, 9),
        st.sampled_from([0, 1, 10, 100]),
    ),
    max_size=12,
)


@settings(max_examples=often(60, 1000), deadline=None)
@given(STEPS)
@example([("make", 0, 0), ("restart", 1, 0), ("use", 0, 0), ("restart", 0, 0), ("use", 0, 0)])
@example([("make", 0, 0), ("rotate", 0, 10), ("restart", 1, 0), ("use", 0, 0), ("wait", 0, 10), ("use", 0, 0)])
@example([("make", 1, 10), ("restart", 3, 0), ("rotate", 0, 100), ("wait", 0, 10), ("restart", 2, 0), ("use", 0, 0)])
def test_every_verdict_is_the_same_with_and_without_it(steps: list[tuple[str, int, int]]) -> None:
    """Over random sequences of making, using, rotating, revoking, expiring, restarting and other peppers."""
    worlds = [World(quick=True), World(quick=False)]
    for name, number, seconds in [("make", 0, 0), *steps]:
        told = [world.act(name, number, seconds) for world in worlds]
        assert told[0] == told[1]
        at = number % len(worlds[0].ids)
        verdicts = [world.verdicts(at) for world in worlds]
        assert verdicts[0] == verdicts[1]


def test_that_the_setting_comes_and_goes_changes_no_verdict_either() -> None:
    world = World(quick=False)
    world.make(None)
    first = world.verdicts(0)
    for quick in (True, True, False, True, False):
        world.quick = quick
        for peppers in ((NEW, OLD), (OLD, NEW), (OLD,)):
            world.restart(peppers)
            assert world.verdicts(0) == first
