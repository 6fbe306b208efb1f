"""What organizations are told of changes that concern them: types, what a message holds, and what it never does."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from keystile import ConfigurationError, Gate, HmacHasher
from keystile.model import Actor, AuditEntry, Target
from keystile.policy.webhooks import LEAKED, OWN_TYPES, Webhooks, own_types
from keystile.stores.memory import MemoryStore
from keystile.webhooks.working.own import Own, told

ALL = own_types(["*"])
T0 = datetime(2026, 1, 15, tzinfo=UTC)


def entry(event: str, **more: Any) -> AuditEntry:
    kind = event.partition(".")[0]
    given: dict[str, Any] = {"actor": Actor("key", "k1", "CI", client="192.0.2.1"), "organization_id": "org_1"}
    return AuditEntry(
        id="aud_1", at=T0, event=event, targets=(Target(kind, "t1", "name"),), correlation_id="aud_1", **given | more
    )


def test_a_message_says_what_happened_to_what_and_who_did_it() -> None:
    changed = entry("key.update", before={"plan": "free", "metadata": {"a": 1}}, after={"plan": "pro", "metadata": {}})
    [own] = told(changed, ALL)
    assert own == Own(
        "key.updated",
        {
            "id": "aud_1",
            "correlation_id": "aud_1",
            "at": "2026-01-15T00:00:00+00:00",
            "organization_id": "org_1",
            "key": {"id": "t1", "name": "name"},
            "changed": ["metadata", "plan"],
            "actor": {"type": "key", "via": "python"},
        },
        "aud_1",
    )


def test_a_key_that_was_found_in_public_is_told_as_revoked_and_as_leaked() -> None:
    leaked = entry("key.revoke", actor=Actor(via="leak_scan"))
    found = {each.type: each for each in told(leaked, ALL)}
    assert set(found) == {"key.revoked", LEAKED}
    assert found["key.revoked"].dedupe_key != found[LEAKED].dedupe_key
    assert [each.type for each in told(leaked, own_types([LEAKED]))] == [LEAKED]
    assert [each.type for each in told(entry("key.revoke"), ALL)] == ["key.revoked"]


def test_only_what_is_wanted_is_told() -> None:
    assert list(told(entry("key.create"), own_types(["key.revoked", "project.*"]))) == []
    assert list(told(entry("something.new"), ALL)) == []


def test_every_change_of_a_gate_is_told_without_secrets_hashes_metadata_and_addresses() -> None:
    """Whatever `gate.audit` holds has a type, and the message holds none of what must stay here."""
    gate = Gate(MemoryStore(), prefix="acme", hasher=HmacHasher(b"p" * 16))
    actor = Actor("session", "u1", "eve@example.com", client="192.0.2.77", request_id="req_1")
    gate.organizations.create("org_1", name="Acme", actor=actor)
    made = gate.projects.create("web", organization_id="org_1", actor=actor)
    issued = gate.keys.create("CI", organization_id="org_1", metadata={"note": "internal words"}, actor=actor)
    rotated = gate.keys.rotate(issued.key.id, grace=60, actor=actor)
    gate.keys.update(issued.key.id, metadata={"note": "other internal words"}, actor=actor)
    gate.keys.suspend(issued.key.id, actor=actor)
    gate.keys.resume(issued.key.id, actor=actor)
    gate.keys.revoke(issued.key.id, actor=actor)
    gate.projects.delete(made.project.id, actor=actor)
    entries = gate.audit(limit=1000)
    messages = [each for entry in entries for each in told(entry, ALL)]
    assert len(messages) == len(entries) == 11
    text = json.dumps([each.data for each in messages])
    hashes = [each.hash for each in rotated.key.hashes]
    for hidden in (issued.secret, rotated.secret, *hashes, "internal words", "192.0.2.77", "eve@example.com", "req_1"):
        assert hidden not in text
    for hint in (each.hint for each in rotated.key.hashes):
        assert f'"{hint}"' not in text


def test_the_types_are_those_that_a_list_names() -> None:
    assert own_types(["*"]) == {*OWN_TYPES.values(), LEAKED}
    assert own_types(["key.*", "project.deleted"]) == {
        *(each for each in OWN_TYPES.values() if each.startswith("key.")),
        LEAKED,
        "project.deleted",
    }
    assert own_types([]) == frozenset()


@pytest.mark.parametrize("wrong", ["key.create", "key.craeted", "key", "key.c*", "**", "", "invoice.paid", "KEY.*"])
def test_a_type_that_is_none_is_refused_when_it_is_read(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match=r"events\[1\]"):
        Webhooks(events=["key.*", wrong])


def test_the_name_in_the_audit_leads_to_the_type() -> None:
    with pytest.raises(ConfigurationError, match=r"'key\.created' when it has happened"):
        Webhooks(events=["key.create"])
