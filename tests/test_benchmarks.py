"""`make bench`: what it starts is loaded and answers, and what it writes is what it measured."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from benchmarks.bare import asgi_app, run, scope_of
from benchmarks.harness import Spread, in_turn_for
from benchmarks.prototype import prototype
from benchmarks.report.aims import AIMS, compared
from benchmarks.report.charts import drawn
from benchmarks.report.pages import PAGE, RESULTS, ROOT, renewed, write
from benchmarks.report.parts import read_restarts
from benchmarks.report.tables import Table, shown
from benchmarks.served.apps import CONTROLS, GUARDS
from benchmarks.served.load import Load
from benchmarks.served.servers import measured, serving


@pytest.mark.stress
def test_every_guard_of_a_server_is_loaded_in_turn() -> None:
    rounds = measured("uvicorn", "FastAPI", 0.01, length=0.05)
    assert list(rounds) == list(GUARDS["FastAPI"])
    assert len({len(each) for each in rounds.values()}) == 1, "what is compared is of one round"
    for each in rounds.values():
        assert all(taken.rate > 0 and taken.cpu > 0 for taken in each)
        assert all(0 < taken.load < taken.server for taken in each), "the load is not the bottleneck"


@pytest.mark.parametrize("guard", ["keystile", *CONTROLS])
def test_a_server_that_closes_connections_is_loaded_too(guard: str, tmp_path: Path) -> None:
    with serving("gunicorn sync", "Flask", guard, tmp_path) as server:
        assert ("Authorization" in server.request) == (guard != "other work")
        with Load(server.port, server.request.encode(), 2, keep=False) as load:
            load.run(0.2)
            load.finish()
    assert load.done > 0


def test_an_answer_that_is_no_success_ends_a_measurement(tmp_path: Path) -> None:
    with serving("uvicorn", "Starlette", "keystile", tmp_path) as server:
        request = re.sub(r"Authorization.*\r\n", "", server.request)
        with Load(server.port, request.encode(), 1, keep=True) as load, pytest.raises(ConnectionError, match="401"):
            load.run(30)


def test_rounds_go_forwards_and_backwards() -> None:
    order: list[str] = []
    found = in_turn_for(0, {name: lambda name=name: order.append(name) for name in "abc"})
    assert "".join(order).startswith("abc" + "abc" + "cba" + "abc")
    assert {name: len(each) for name, each in found.items()} == {"a": 5, "b": 5, "c": 5}


def test_an_aim_is_met_where_each_figure_is_within_it() -> None:
    aims = {aim.work: aim for aim in AIMS}
    assert len(aims) == len(AIMS)
    most, least = aims["the key in SQLite: added"], aims["how many times less than slowapi in Starlette"]
    figures = dict.fromkeys(most.figures, most.limit) | {least.figures[0]: 5.0, least.over[0]: 49.0}
    rows = {row[0]: row for row in compared(figures).rows}
    assert rows[most.work][2:4] == ("13 / 13", "met")
    assert rows[least.work][2:4] == ("9.80", "**short**")
    assert rows["longest stall of the event loop in a flood of wrong secrets"][3] == "not in this run"
    figures[most.figures[1]] += 0.5
    assert {row[0]: row for row in compared(figures).rows}[most.work][3] == "**short**"


def table() -> Table:
    found = Table("of-a-test", "Whose <title> & note", "What it says.", ("", "µs"))
    found.add("ours", "1.50", bar=Spread(1.5, 1.0, 2.0))
    found.add("a peer's", "90", bar=Spread(90.0, -5.0, 900.0), ours=False)
    return found


def test_a_picture_is_whole_and_says_what_the_table_says() -> None:
    picture = ElementTree.fromstring(drawn(table()))
    words = ["".join(each.itertext()) for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert words == ["Whose <title> & note", "µs", "ours", "1.50", "a peer's", "90"]
    _, _, width, height = map(float, picture.attrib["viewBox"].split())
    for each in picture.iter("{http://www.w3.org/2000/svg}rect"):
        assert float(each.attrib["x"]) + float(each.attrib["width"]) <= width
        assert float(each.attrib["y"]) + float(each.attrib["height"]) <= height


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (12, "12"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1,234")])
def test_a_figure_has_the_digits_that_mean_something(value: float, text: str) -> None:
    assert shown(value) == text


def test_what_the_restart_prints_is_read() -> None:
    head = "milliseconds                          200   429   503 first 503       p50      p99  longest"
    lines = [head]
    for name, refused in (("quick proofs, ASGI, one address", 0), ("argon2, WSGI, many addresses", 7)):
        lines.append(
            f"{name:34}{200 - refused:6}{2 if refused else 0:6}{refused:6}{'-':>9}{1234.5:10,.1f}{2.5:9,.1f}{3.5:9,.1f}"
        )
    [found], figures = read_restarts("\n".join(lines))
    assert [row[0] for row in found.rows] == ["quick proofs, ASGI, one address", "argon2, WSGI, many addresses"]
    assert found.rows[1][1:] == ("193", "2", "7", "-", "1,234.5", "2.5", "3.5")
    assert figures == {"restart quick": 0, "restart argon2": 2}


def test_the_page_is_written_between_its_lines_and_nowhere_else(tmp_path: Path) -> None:
    written = {str(path.relative_to(tmp_path)) for path in write(tmp_path, "Measured by hand.", [table()])}
    assert written == {RESULTS, PAGE, "docs/images/performance-of-a-test.svg"}
    once = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert table().markdown() in once
    assert table().markdown() in (tmp_path / RESULTS).read_text(encoding="utf-8")
    write(tmp_path, "Measured by hand.", [table()])
    assert (tmp_path / PAGE).read_text(encoding="utf-8") == once
    kept = (ROOT / PAGE).read_text(encoding="utf-8")
    assert once.partition("<!-- measured")[0] == kept.partition("<!-- measured")[0]
    assert once.rpartition("<!-- measured")[2] == kept.rpartition("<!-- measured")[2]
    with pytest.raises(ValueError, match="has no lines"):
        renewed("# A page without them", "", [])


def test_the_page_shows_what_the_results_say() -> None:
    results = (ROOT / RESULTS).read_text(encoding="utf-8")
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    lines = [line for line in results.splitlines() if line.startswith("|")]
    assert len(lines) > len(AIMS)
    assert [line for line in lines if line not in page] == []


def test_an_aim_in_microseconds_follows_the_machine_by_the_yardstick() -> None:
    name = "a warm key, 2 windows, added to a raw app"
    figures = {"raw ASGI: keystile added": 11.0, "raw WSGI: keystile added": 13.0, "raw ASGI: one function added": 5.8}
    (row,) = (row for row in compared(figures).rows if row[0] == name)
    assert row[1:4] == ("≤ 6 µs, here 12", "11 / 13", "**short**")
    (row,) = (row for row in compared(figures | {"raw WSGI: keystile added": 12.0}).rows if row[0] == name)
    assert row[3] == "met"


def test_the_yardstick_lets_its_key_in_until_a_window_is_full() -> None:
    app, statuses = prototype(asgi_app, "k", (2, 9)), []

    async def send(message: dict[str, Any]) -> None:
        statuses.append((message.get("status"), dict(message.get("headers", ())).get(b"x-ratelimit-remaining")))

    for key in ("k", "k", "k", "other", None):
        run(app(scope_of(key), None, send))
    assert [each for each in statuses if each[0]] == [(200, b"1"), (200, b"0"), (401, None), (401, None), (401, None)]
