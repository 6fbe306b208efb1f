"""What organizations are told of changes that concern them: types, what a message holds, and what it never does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError, Gate, HmacHasher
from keystile.model import Actor, AuditEntry, Target
from keystile.policy.webhooks import LEAKED, OWN_TYPES, Webhooks, own_types
from keystile.stores.memory import MemoryStore
from keystile.stores.sql import SQLStore
from keystile.webhooks.working import Worker
from keystile.webhooks.working.own import Own, told
from tests.queues import ORGANIZATION, Queue, postgres_url, queue
from tests.receivers import Receiver, receiving
from tests.sql_stores import emptied

__all__ = ["postgres_url", "queue", "receiving"]

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


# From the audit to the endpoint


class Service:
    """A gate, and an organization that wants to be told of its keys."""

    def __init__(self, queue: Queue, receiver: Receiver, store: Any = None) -> None:
        self.queue, self.receiver = queue, receiver
        queue.endpoint(receiver)
        self.now = time.time()
        self.gate = Gate(store or MemoryStore(), prefix="acme", hasher=HmacHasher(b"p" * 16), clock=lambda: self.now)

    def create(self, name: str = "CI", **named: Any) -> str:
        """A key; its id."""
        self.now += 1
        return self.gate.keys.create(name, **{"organization_id": ORGANIZATION} | named).key.id

    def work(self, *events: str, backend: str = "asyncio") -> None:
        """Have a worker of its own tell what there is to tell."""
        worker = partial(Worker, self.queue.outbox, gate=self.gate, events=events or ["*"])
        anyio.run(self.queue.once, worker, backend=backend)

    def told(self) -> list[tuple[str, str]]:
        """The messages that have arrived: type, and what it is about."""
        found = [json.loads(request.partition(b"\r\n\r\n")[2]) for request in self.receiver.requests]
        return sorted((each["type"], each["data"].get("key", {}).get("id", "")) for each in found)


@pytest.fixture
def service(queue: Queue, receiving: Callable[..., Receiver]) -> Service:
    made = Service(queue, receiving())
    made.work()  # from now on
    return made


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_changes_are_told_to_their_organization_and_to_no_other(service: Service, backend: str) -> None:
    mine = service.create()
    service.create(organization_id="org_2")
    service.create(organization_id=None)
    service.gate.keys.revoke(mine)
    service.work("key.*", backend=backend)
    assert service.told() == [("key.created", mine), ("key.revoked", mine)]


def test_what_happened_while_no_worker_ran_is_told_later_and_each_change_once(service: Service) -> None:
    ids = [service.create() for _ in range(5)]
    service.now += 20 * 86_400
    ids.append(service.create())
    for _ in range(3):
        service.work("key.created")
    assert service.told() == sorted(("key.created", each) for each in ids)


def test_two_workers_tell_each_change_once(service: Service) -> None:
    ids = [service.create() for _ in range(20)]

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(2):
                worker = Worker(service.queue.outbox, gate=service.gate, events=["*"])
                group.start_soon(partial(worker.run, once=True))

    anyio.run(run)
    assert service.told() == sorted(("key.created", each) for each in ids)


def test_what_happened_before_the_first_worker_is_not_told(queue: Queue, receiving: Callable[..., Receiver]) -> None:
    service = Service(queue, receiving())
    service.create()
    service.now += 1
    service.work()
    after = service.create()
    service.work()
    assert service.told() == [("key.created", after)]


def test_a_transaction_that_is_seen_late_is_told_all_the_same(service: Service) -> None:
    """Entries become visible in another order than they were made."""
    hidden: list[AuditEntry] = []
    audit = service.gate.aaudit

    async def without_hidden(**asked: Any) -> list[AuditEntry]:
        return [each for each in await audit(**asked) if each.id not in {one.id for one in hidden}]

    slow = service.create("slow")
    hidden[:] = service.gate.audit(limit=1)
    service.gate.aaudit = without_hidden  # type: ignore[method-assign, assignment]
    service.now += 300
    quick = service.create("quick")
    service.work()
    assert service.told() == [("key.created", quick)]
    hidden.clear()
    service.work()
    assert service.told() == sorted([("key.created", quick), ("key.created", slow)])


def test_many_changes_are_read_page_by_page(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystile.webhooks.working.pump.PAGE", 3)
    ids = [service.create() for _ in range(11)]
    service.work()
    assert service.told() == sorted(("key.created", each) for each in ids)


def test_a_clock_that_was_ahead_hides_nothing(service: Service) -> None:
    service.now += 10 * 365 * 86_400
    future = service.create()
    service.now -= 10 * 365 * 86_400
    service.work()
    later = service.create()
    service.work()
    assert service.told() == sorted([("key.created", future), ("key.created", later)])


def test_events_need_a_gate(queue: Queue) -> None:
    with pytest.raises(ConfigurationError, match=r"events: .*give gate"):
        Worker(queue.outbox, events=["key.*"])
    with pytest.raises(ConfigurationError, match=r"events\[0\]"):
        Worker(queue.outbox, gate=Gate(), events=["nonsense"])


@pytest.mark.parametrize("queue", ["postgresql"], indirect=True)
def test_keys_in_postgresql_are_told_from_postgresql(
    queue: Queue, receiving: Callable[..., Receiver], request: pytest.FixtureRequest
) -> None:
    service = Service(queue, receiving(), SQLStore(emptied(request.getfixturevalue("postgres_url"))))
    service.work()
    ids = [service.create() for _ in range(3)]
    service.work()
    service.work()
    assert service.told() == sorted(("key.created", each) for each in ids)
    service.gate.close()


def test_a_change_that_is_too_long_for_a_message_keeps_back_no_others(
    queue: Queue, receiving: Callable[..., Receiver]
) -> None:
    issued = queue.endpoint(receiving())
    queue.outbox._max_payload = 420
    events: list[str] = []
    queue.gate.on_event(lambda event: events.append(event.code))
    anyio.run(partial(queue.once, partial(queue.worker, events=["key.*"])))
    for name in ("before", "x" * 200, "after"):
        queue.gate.keys.create(name, organization_id=ORGANIZATION)
    anyio.run(partial(queue.once, partial(queue.worker, events=["key.*"])))
    assert [each.type for each in queue.outbox.deliveries(issued.endpoint.id)] == ["key.created"] * 2
    assert events.count("webhook.unsendable") == 1
