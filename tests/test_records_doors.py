"""Records that cannot be read, and records of rarely used keys, through both doors."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from keystile import _sync
from keystile.events import Event
from tests.doors import Door

MINUTE = 60.0


def by_hand(door: Door, tmp_path: Path, sql: str) -> None:
    """Change the only store that the fixture opens as a file; other stores hold no such record."""
    with closing(sqlite3.connect(tmp_path / "keys.db", isolation_level=None)) as connection:
        connection.execute(sql)


@pytest.fixture
def filed(door: Door, tmp_path: Path) -> Door:
    """Whatever the kind of store: one in a file."""
    door.open(store=f"sqlite:///{tmp_path}/keys.db")
    return door


@pytest.mark.parametrize(
    "edit",
    ["scopes = 'admin'", "limits = 'often'", "ip_allowlist = '[\"everywhere\"]'", "expires_at = 'tomorrow'"],
)
def test_an_unreadable_record_is_503_for_that_key_alone_and_told_once_a_minute(
    filed: Door, tmp_path: Path, edit: str
) -> None:
    door, told, now = filed, list[Event](), [0.0]
    door.gate.on_event(told.append)
    door.gate._order.outage._unreadable = _sync.Seldom(lambda: now[0])
    broken, good = door.create("broken"), door.create("good")
    assert [door.get(key=each.secret).status for each in (broken, good)] == [200, 200]
    door.flush()
    by_hand(door, tmp_path, f"UPDATE keystile_keys SET {edit} WHERE id = '{broken.key.id}'")
    told.clear()

    def codes() -> list[str]:
        for _ in range(5):
            answer = door.get(key=broken.secret)
            assert (answer.status, answer.code) == (503, "unavailable")
            assert answer.header("retry-after") is not None
            assert door.get(key=good.secret).status == 200
        found = [event.code for event in told if event.code != "unavailable"]
        told.clear()
        return found

    assert codes() == ["unreadable_record"]
    now[0] = MINUTE - 1
    assert codes() == []
    now[0] = MINUTE
    assert codes() == ["unreadable_record"]
    by_hand(door, tmp_path, "UPDATE keystile_keys SET scopes = '[]', limits = NULL, ip_allowlist = NULL")
    by_hand(door, tmp_path, "UPDATE keystile_keys SET expires_at = NULL")
    assert door.get(key=broken.secret).status == 200


def test_what_is_remembered_of_unreadable_records_is_bounded(filed: Door) -> None:
    from keystile.exceptions import UnreadableRecord

    outage = filed.gate._order.outage
    for number in range(5000):
        outage.begins(UnreadableRecord("store", f"key{number}", "x"))
    assert len(outage._unreadable) <= 1000
    assert not outage.lasts


def test_a_key_that_is_used_now_and_then_is_read_once_and_first_used_once(door: Door) -> None:
    now = [1e9]
    door.open(clock=lambda: now[0])
    told: list[Event] = []
    door.gate.on_event(told.append)
    issued = door.create()
    callers: list[Any] = []
    for _ in range(5):
        assert door.get(key=issued.secret).status == 200
        door.flush()
        callers.append(door.gate._order.callers.known[issued.key.id])
        used = datetime.fromtimestamp(now[0], UTC)
        now[0] += 2 * MINUTE
        assert door.run(door.gate.keys.aget, issued.key.id).last_used_at == used
        assert [each.last_used_at for each in door.run(door.gate.keys.alist)] == [used]
    assert all(each is callers[0] for each in callers), "what follows from the record is not worked out again"
    assert [event.code for event in told] == ["key.create", "first_use"]


def test_another_process_that_noted_the_use_spares_us_the_write(filed: Door, tmp_path: Path) -> None:
    now = [1e9]
    filed.open(store=f"sqlite:///{tmp_path}/keys.db", clock=lambda: now[0])
    issued = filed.create()
    assert filed.get(key=issued.secret).status == 200
    filed.flush()
    at = 1e9 + 5 * MINUTE
    by_hand(filed, tmp_path, f"UPDATE keystile_keys SET last_used_at = {int(at * 1e6)}")
    for seconds, expected in ((30, at), (59, at), (61, at + 61)):
        now[0] = at + seconds
        order = filed.gate._order
        order.callers.known[issued.key.id].touch_due = 0.0
        for proof in order.prover._proofs._proofs.values():
            proof.lanes.clear()
        assert filed.get(key=issued.secret).status == 200
        filed.flush()
        shown: Any = filed.run(filed.gate.keys.aget, issued.key.id)
        assert shown.last_used_at == datetime.fromtimestamp(expected, UTC)
