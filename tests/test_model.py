"""Records and outcomes: nobody can change them, and none of them shows a secret."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from keystile import Admitted, ApiKey, Gate, HmacHasher, IssuedKey, Principal
from keystile._ground.frozen import FrozenDict, frozen
from keystile.model import Reason, SecretHash

PEPPER = b"a pepper of enough bytes"
HASH = "$hmac-sha256$0123456789abcdef"
NOW = datetime(2026, 1, 15, 10, 30, 0, 123456, UTC)
KEY = ApiKey(
    id="0123456789AB",
    name="CI",
    organization_id="org",
    project_id="project",
    owner_id="owner",
    environment="staging",
    plan="pro",
    limits="5/second",
    scopes=("a", "b"),
    ip_allowlist=("10.0.0.0/8",),
    created_at=NOW,
    expires_at=NOW.replace(year=2027),
    revoked_at=NOW.replace(year=2028),
    last_used_at=NOW.replace(year=2029),
    metadata=frozen({"team": {"name": "x", "tags": ["a", {"b": None}]}, "n": 1.5}),
    hashes=(SecretHash(HASH, "wxyz"), SecretHash(HASH[::-1], "abcd", NOW)),
)
EDITS: list[Callable[[Any], object]] = [
    lambda mapping: mapping.__setitem__("new", 1),
    lambda mapping: mapping.__setitem__("n", 1),
    lambda mapping: mapping.__delitem__("n"),
    lambda mapping: mapping.__ior__({"new": 1}),
    lambda mapping: mapping.update(new=1),
    lambda mapping: mapping.update({}),
    lambda mapping: mapping.setdefault("new", 1),
    lambda mapping: mapping.pop("n"),
    lambda mapping: mapping.pop("none", None),
    lambda mapping: mapping.popitem(),
    lambda mapping: mapping.clear(),
]


@pytest.mark.parametrize("value", [KEY, KEY.principal, KEY.hashes[0], IssuedKey(KEY, "raw"), Reason(401, "c", "m")])
def test_records_are_frozen_and_slotted(value: Any) -> None:
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)
        with pytest.raises(FrozenInstanceError):
            delattr(value, field.name)
    with pytest.raises((FrozenInstanceError, TypeError)):  # TypeError: CPython issue 90562, slots with super()
        value.something_new = 1
    assert not hasattr(value, "__dict__")


def test_outcomes_are_frozen() -> None:
    admitted = Admitted(None, "req_x")
    with pytest.raises(AttributeError):
        admitted.request_id = "req_y"  # type: ignore[misc]


@pytest.mark.parametrize("edit", EDITS)
def test_metadata_cannot_be_changed_at_any_depth(edit: Callable[[Any], object]) -> None:
    for mapping in (KEY.metadata, KEY.metadata["team"], KEY.metadata["team"]["tags"][1]):
        before = dict(mapping)
        with pytest.raises(TypeError, match="cannot be changed"):
            edit(mapping)
        assert mapping == before
    assert isinstance(KEY.metadata["team"]["tags"], tuple)


def test_a_frozen_dict_is_still_a_dict() -> None:
    plain = {"team": {"name": "x", "tags": ["a", {"b": None}]}, "n": 1.5}
    mapping = frozen(plain)
    assert isinstance(mapping, dict)
    assert json.loads(json.dumps(mapping)) == plain
    assert mapping | {"more": 1} == {**mapping, "more": 1}
    assert dict(mapping) == mapping
    assert {**mapping} == mapping


def test_a_frozen_dict_copies_and_pickles_as_one_and_hashes_by_content() -> None:
    mapping = frozen({"a": {"b": [1, {"c": 2}]}})
    for twin in (pickle.loads(pickle.dumps(mapping)), copy.deepcopy(mapping), copy.copy(mapping)):
        assert twin == mapping
        assert hash(twin) == hash(mapping)
        assert isinstance(twin, FrozenDict)
        assert isinstance(twin["a"]["b"][1], FrozenDict)


def test_freezing_takes_a_copy() -> None:
    inner: list[Any] = [1]
    outer = {"inner": inner}
    mapping = frozen(outer)
    inner.append(2)
    outer["more"] = []
    assert mapping == {"inner": (1,)}


def test_the_principal_is_the_record_without_its_hashes() -> None:
    principal = KEY.principal
    assert type(principal) is Principal
    assert not hasattr(principal, "hashes")
    assert not isinstance(principal, ApiKey)
    assert {field.name: getattr(KEY, field.name) for field in fields(Principal)} == {
        field.name: getattr(principal, field.name) for field in fields(Principal)
    }
    assert KEY.principal is principal


def test_a_changed_record_has_a_principal_of_its_own() -> None:
    assert KEY.principal.name == "CI"
    assert replace(KEY, name="CD").principal.name == "CD"
    assert replace(KEY) == KEY


def test_the_principal_pickles_and_no_hash_goes_with_it() -> None:
    pickled = pickle.dumps(KEY.principal)
    assert pickle.loads(pickled) == KEY.principal
    assert b"hmac" not in pickled
    assert b"wxyz" not in pickled


@pytest.mark.parametrize("asked_before", [False, True])
def test_a_record_pickles(asked_before: bool) -> None:
    key = replace(KEY)
    if asked_before:
        assert key.principal
    again = pickle.loads(pickle.dumps(key))
    assert again == key
    assert again.principal == key.principal


def test_no_repr_shows_a_raw_key_a_hash_or_a_pepper() -> None:
    hasher = HmacHasher(PEPPER)
    gate = Gate(prefix="acme", peppers=[PEPPER], hasher=hasher)
    issued = gate.keys.create("CI")
    stored = issued.key.hashes[0].hash
    outcome = Admitted(issued.key.principal, "req_x")
    shown = [issued, issued.key, issued.key.hashes, issued.key.principal, outcome, gate, gate.keys, gate.policy, hasher]
    text = " ".join(f"{each!r} {each!s}" for each in shown)
    assert issued.key.id in text
    assert issued.secret not in text
    assert issued.secret[-44:-6] not in text
    assert stored not in text
    assert stored.rpartition("$")[2] not in text
    assert PEPPER.decode() not in text
