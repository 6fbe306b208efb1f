"""Keys that exist already, brought in: by the key ring under each of its two names, and by `keystile keys import`."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate, StoreUnavailable
from keystile.cli.commands import main
from keystile.cli.records.lines import MOST_LINE, LineFault, csv_lines, json_lines
from keystile.config.file import load, open_gate
from keystile.keys.existing.opaque import OpaqueFormat
from keystile.keys.format import PrefixedFormat
from keystile.stores.memory import MemoryStore
from tests.async_store import AsyncStore
from tests.leaks import WATCH
from tests.test_keyring import STORES, WAYS, Ways

PEPPER = "a pepper of enough bytes"
OPAQUE: dict[str, Any] = {"key_format": "opaque", "peppers": [PEPPER]}
RAW = "4eC39HqLyjWDarjtT1zdp7dc"


@pytest.fixture(params=WAYS, ids="-".join)
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> Ways:
    store, way = request.param
    return Ways(Gate(STORES[store](tmp_path), **OPAQUE).keys, way)


def test_a_key_is_new_once_and_known_ever_after(keys: Ways) -> None:
    first = keys.import_key("CI", RAW, scopes=["read"], owner_id="o", metadata={"a": 1})
    again = keys.import_key("another name", RAW)
    assert (first.new, again.new) == (True, False)
    assert again.key == first.key == keys.get(first.key.id)
    assert (first.key.name, first.key.scopes, first.key.owner_id) == ("CI", ("read",), "o")


def test_the_key_and_its_hash_are_one_key(keys: Ways) -> None:
    for kind in ("sha256", "sha512"):
        digest = hashlib.new(kind, RAW.encode()).hexdigest()
        by_hash = keys.import_key("CI", hash=digest)
        assert not keys.import_key("CI", hash=digest.upper()).new
        assert not keys.import_key("CI", RAW).new
        assert keys.identify(RAW) is not None
        assert by_hash.key.id in {key.id for key in keys.list()}


def test_a_dry_run_keeps_nothing_and_checks_everything(keys: Ways) -> None:
    assert keys.import_key("CI", RAW, dry_run=True).new
    assert list(keys.list()) == []
    with pytest.raises(ConfigurationError, match="scope"):
        keys.import_key("CI", RAW, dry_run=True, scopes=["a b"])
    keys.import_key("CI", RAW)
    assert not keys.import_key("CI", RAW, dry_run=True).new


def test_a_raw_key_finds_its_record_whatever_its_state(keys: Ways) -> None:
    key = keys.import_key("CI", RAW).key
    assert keys.identify(RAW) == key
    assert keys.identify(RAW[:-1]) is None
    assert keys.identify("") is None
    keys.revoke(key.id)
    assert keys.identify(RAW).revoked_at is not None


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({}, "key"),
        ({"raw": RAW, "hash": "0" * 64}, "key"),
        ({"raw": RAW, "id": "x"}, "id"),
        ({"raw": "short"}, "key"),
        ({"raw": "with a blank in it, too"}, "key"),
        ({"raw": 5}, "key"),
        ({"raw": "\ud800" * 20}, "key"),
        ({"raw": "x" * 513}, "key"),
        ({"hash": "0" * 64, "id": "x"}, "id"),
        ({"hash": "0" * 63}, "id"),
        ({"hash": "0" * 63, "id": "x"}, "hash"),
        ({"hash": ""}, "hash"),
        ({"raw": RAW, "name": ""}, "name"),
        ({"raw": RAW, "plan": "no such plan"}, "plan"),
    ],
)
def test_what_cannot_be_a_key_is_refused_and_named(given: dict[str, Any], key: str) -> None:
    keys = Gate(**OPAQUE).keys
    with pytest.raises(ConfigurationError) as caught:
        keys.import_key(**{"name": "CI"} | given)
    assert caught.value.key == key
    assert list(keys.list()) == []


@pytest.mark.parametrize("id", ["Ab12Cd34", "sk_a b", "sk_\0", "sk_\ud800", "sk_" + "x" * 500, "sk_a="])
def test_a_public_part_that_no_key_can_have_is_refused(id: str) -> None:
    keys = Gate(key_format=OpaqueFormat([PEPPER.encode()], prefix="sk", separator=".")).keys
    stored = "pbkdf2_sha256$1$s$" + "A" * 43 + "="
    with pytest.raises(ConfigurationError) as caught:
        keys.import_key("CI", hash=stored, id=id)
    assert caught.value.key == "id"
    assert keys.import_key("CI", hash=stored, id="sk_Ab12Cd34").new


@pytest.mark.parametrize(
    ("given", "key"),
    [({"raw": RAW}, "key"), ({"hash": "0" * 64}, "id"), ({"hash": "0" * 64, "id": "short"}, "id")],
)
def test_the_default_format_takes_its_own_keys_alone(given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Gate(peppers=[PEPPER]).keys.import_key("CI", **given)
    assert caught.value.key == key


def test_another_key_with_the_same_id_is_refused() -> None:
    keys = Gate(prefix="acme", hasher="hmac-sha256", peppers=[PEPPER], store=(store := MemoryStore())).keys
    made = iter(["i" * 12, "0a1b2c3d4e5f6g7h8i9jAkBlCmDnEoFp", "i" * 12, "Zy9Xw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0Fe"])
    one, other = (PrefixedFormat("acme", [PEPPER.encode()]).mint("production", lambda _: next(made)) for _ in range(2))
    key = keys.import_key("CI", one).key
    with pytest.raises(ConfigurationError, match="another key") as caught:
        keys.import_key("CI", other)
    assert caught.value.key == "key"
    assert store.find(key.id) == key


def test_a_key_that_another_process_brings_in_meanwhile_is_known() -> None:
    class Late(MemoryStore):
        """Has the record the moment after it was looked for."""

        def add(self, key: Any, entries: Any, cap: Any = None) -> Any:
            super().add(key, entries, cap)
            raise KeyError(key.id)

    keys = Gate(Late(), **OPAQUE).keys
    assert not keys.import_key("CI", RAW).new


def test_a_store_that_contradicts_itself_is_no_endless_loop() -> None:
    class Taken(MemoryStore):
        def add(self, key: Any, entries: Any, cap: Any = None) -> Any:
            raise KeyError(key.id)

    with pytest.raises(StoreUnavailable):
        Gate(Taken(), **OPAQUE).keys.import_key("CI", RAW)


def test_an_async_store_needs_the_awaited_twin() -> None:
    with pytest.raises(ConfigurationError, match="aimport_key"):
        Gate(AsyncStore(), **OPAQUE).keys.import_key("CI", RAW)


# Lines.


def fields(read: Callable[..., Iterable[Any]], octets: bytes, first: int = 1) -> list[tuple[int, dict[str, Any]]]:
    return [(line.number, dict(line.fields)) for line in read(io.BytesIO(octets), first)]


def test_each_json_line_has_its_number_and_null_is_as_good_as_absent() -> None:
    octets = b'\xef\xbb\xbf{"key": "k", "plan": null}\n\n  \n{"name": "n", "scopes": ["a"]}'
    assert fields(json_lines, octets) == [(1, {"key": "k"}), (4, {"name": "n", "scopes": ["a"]})]
    assert fields(json_lines, b"broken\n{}\n", 2) == [(2, {})]


def test_each_row_of_csv_has_the_number_of_its_first_line() -> None:
    octets = b'name,key,scopes,metadata,plan\n"a\nb",k,read  write,"{""x"": 1}",\n\nc,l,,,p\n'
    assert fields(csv_lines, octets) == [
        (2, {"name": "a\nb", "key": "k", "scopes": ["read", "write"], "metadata": {"x": 1}}),
        (5, {"name": "c", "key": "l", "plan": "p"}),
    ]
    assert [number for number, _ in fields(csv_lines, octets, 3)] == [5]


@given(st.lists(st.tuples(*[st.text(st.characters(exclude_categories=["C"]), max_size=9)] * 2), max_size=9))
def test_whatever_is_written_as_csv_is_read_back(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator="\n").writerows([("name", "plan"), *rows])
    read = [(each.get("name", ""), each.get("plan", "")) for _, each in fields(csv_lines, file.getvalue().encode())]
    assert read == rows


@pytest.mark.parametrize("read", [json_lines, csv_lines])
@given(st.binary(max_size=300))
def test_no_octets_make_the_reader_raise_anything_else(read: Callable[..., Iterable[Any]], octets: bytes) -> None:
    with suppress(LineFault):
        assert all(number >= 1 for number, _ in fields(read, octets))


@pytest.mark.parametrize(
    ("read", "octets", "number", "reason"),
    [
        (json_lines, b"{}\n{", 2, "is not JSON"),
        (json_lines, b"[]", 1, "is not a JSON object"),
        (json_lines, b"[" * 100_000, 1, "is not JSON"),
        (json_lines, b"{}\n\xff", 2, "is not UTF-8"),
        (json_lines, b"{}\n" + b" " * (MOST_LINE + 1), 2, "is longer"),
        (json_lines, b'{"expires_at": "soon"}', 1, "expires_at"),
        (json_lines, b'{"expires_at": 5}', 1, "expires_at"),
        (csv_lines, b"a,b\n1,2\n1,2,3\n", 3, "has 3 fields"),
        (csv_lines, b'a,b\n"x\n', 2, "is not CSV"),
        (csv_lines, b"metadata\n[]\n", 2, "is not a JSON object"),
        (json_lines, b'{"key": "a", "key": "b"}', 1, "names one field twice"),
        (csv_lines, b"key, key\na,b\n", 1, "names one field twice"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(
    read: Callable[..., Iterable[Any]], octets: bytes, number: int, reason: str
) -> None:
    with pytest.raises(LineFault, match=reason) as caught:
        fields(read, octets)
    assert caught.value.number == number


@pytest.mark.parametrize("before", [b"\xff", b" " * (MOST_LINE + 1), b"x" * (3 * MOST_LINE), b"{"])
def test_what_stands_before_the_line_to_go_on_at_may_be_anything(before: bytes) -> None:
    assert fields(json_lines, before + b'\n{"name": "a"}', 2) == [(2, {"name": "a"})]


# The command.

CONFIG = f'store = "sqlite:///keys.db"\nkey_format = "opaque"\nprefix = "sk"\npeppers = ["{PEPPER}"]\n[plans.pro]\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("keystile.toml").write_text(CONFIG)
    Path("keystile.toml").chmod(0o600)
    return tmp_path


def run(*arguments: str, stdin: str = "") -> Result:
    result = CliRunner().invoke(main, ["keys", "import", *arguments], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def summary(*arguments: str, stdin: str = "") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json", stdin=stdin).stdout)
    return found


def raw(number: int) -> str:
    return f"sk_live_{hashlib.sha256(b'%d' % number).hexdigest()}"


def line(number: int, **more: Any) -> str:
    return json.dumps({"key": raw(number), "name": f"key {number}"} | more) + "\n"


def written(*lines: str, name: str = "keys.jsonl", mode: int = 0o600) -> str:
    Path(name).write_text("".join(lines))
    Path(name).chmod(mode)
    return name


def names() -> list[str]:
    with closing(open_gate(load(environ={}))) as gate:
        return sorted(key.name for key in gate.keys.list())


def test_every_field_of_a_key_is_taken(folder: Path) -> None:
    described = {
        "plan": "pro",
        "limits": "9/minute",
        "scopes": ["read", "write"],
        "ip_allowlist": ["192.0.2.0/24"],
        "expires_at": "2999-01-31T12:00:00Z",
        "metadata": {"team": "data"},
        "organization_id": "org",
        "owner_id": "own",
        "environment": "staging",
    }
    assert run(stdin=line(1, **described)).stdout == "1 read, 1 new, 0 known\n"
    with closing(open_gate(load(environ={}))) as gate:
        key = gate.keys.identify(raw(1))
    assert key is not None
    assert (key.plan, key.limits, key.scopes) == ("pro", "9/minute", ("read", "write"))
    assert (key.ip_allowlist, key.metadata) == (("192.0.2.0/24",), {"team": "data"})
    assert (key.organization_id, key.owner_id, key.environment) == ("org", "own", "staging")
    assert key.expires_at is not None
    assert key.expires_at.year == 2999


def test_a_second_run_finds_nothing_new_and_that_is_no_error(folder: Path) -> None:
    file = written(*map(line, range(10)))
    assert summary(file) == {"read": 10, "new": 10, "known": 0, "dry_run": False, "failed_line": None}
    again = run(file)
    assert (again.exit_code, again.stdout) == (0, "10 read, 0 new, 10 known\n")


def test_a_broken_line_is_named_what_was_before_it_is_in_and_the_rest_can_follow(folder: Path) -> None:
    lines = [line(number) for number in range(1, 11)]
    lines[6] = line(7, scopes=["a b"])
    broken = run(written(*lines))
    assert broken.exit_code == 1
    assert broken.stdout == ""
    assert "line 7: scopes" in broken.stderr
    assert "--resume 7" in broken.stderr
    assert names() == sorted(f"key {number}" for number in range(1, 7))
    lines[6] = line(7)
    assert summary(written(*lines), "--resume", "7")["new"] == 4
    assert len(names()) == 10


def test_what_failed_is_in_the_summary_for_machines(folder: Path) -> None:
    result = run("--json", stdin=line(1) + "x\n")
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"read": 1, "new": 1, "known": 0, "dry_run": False, "failed_line": 2}


def test_a_dry_run_of_the_command_keeps_nothing(folder: Path) -> None:
    assert summary("--dry-run", stdin=line(1) + line(2) + line(1)) == {
        "read": 3,
        "new": 2,
        "known": 1,
        "dry_run": True,
        "failed_line": None,
    }
    assert names() == []


def test_csv_is_told_by_the_name_or_by_an_option(folder: Path) -> None:
    text = f"name,key,scopes\none,{raw(1)},read write\n"
    assert summary(written(text, name="keys.csv"))["new"] == 1
    assert summary("--format", "csv", stdin=text)["known"] == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_raw_keys_in_a_file_that_others_may_read_are_refused(folder: Path, mode: int) -> None:
    refused = run(written(line(1), mode=mode))
    assert refused.exit_code == 1
    assert "chmod 600" in refused.stderr
    assert names() == []
    hashed = json.dumps({"hash": hashlib.sha256(raw(1).encode()).hexdigest(), "name": "hashed"})
    assert summary(written(hashed, mode=mode))["new"] == 1


@pytest.mark.parametrize(
    "text",
    [
        line(1, scopes=[raw(1)[:20] + " " + raw(1)]),
        line(1, plan=raw(1)),
        line(1, environment=raw(1)),
        line(1, limits=raw(1)),
        json.dumps({raw(1): "x", "name": "n"}),
        json.dumps({"key": raw(1)}),
        json.dumps({"key": raw(1), "hash": "x", "name": "n"}),
        '{"key": "' + raw(1),
    ],
)
def test_no_error_repeats_a_raw_key(folder: Path, text: str) -> None:
    with WATCH.aside():  # the key ring's own error repeats a scope, and whoever calls it gave that himself
        result = run(stdin=text)
    assert result.exit_code == 1
    assert "line 1: " in result.stderr
    assert raw(1)[20:] not in result.output


def test_a_file_without_its_header_shows_no_key(folder: Path) -> None:
    result = run("--format", "csv", stdin=f"{raw(1)},one\n{raw(2)},two\n")
    assert result.exit_code == 1
    assert raw(1)[:20] not in result.output


def test_a_key_that_could_be_a_name_is_not_shown_as_one(folder: Path) -> None:
    result = run("--format", "csv", stdin="sk_abcdefghijklmnop,name\nx,y\n")
    assert result.exit_code == 1
    assert "abcdefgh" not in result.output


def test_the_audit_says_that_keys_came_by_the_command_and_a_line_cannot_say_otherwise(folder: Path) -> None:
    assert run(stdin=line(1)).exit_code == 0
    with closing(open_gate(load(environ={}))) as gate:
        [entry] = gate.audit(event="key.import")
    assert (entry.actor.type, entry.actor.via) == ("cli", "cli")
    assert "there is no such field" in run(stdin=line(2, actor=["cli"])).stderr


def test_an_unknown_field_is_told_with_the_likeliest(folder: Path) -> None:
    assert "did you mean 'scopes'" in run(stdin=line(1, scope=["x"])).stderr


def test_a_missing_file_is_one_line(folder: Path) -> None:
    result = run("nowhere.jsonl")
    assert (result.exit_code, result.stderr) == (1, "Error: No such file or directory\n")


def test_keys_in_memory_end_with_the_command_so_it_refuses(folder: Path) -> None:
    Path("keystile.toml").write_text('key_format = "opaque"\npeppers = ["a pepper of enough bytes"]\n')
    assert "store" in run(stdin=line(1)).stderr


def test_a_whole_process_shows_no_key_anywhere(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "keystile", "keys", "import", "--json"],
        input=line(1) + line(2, plan="none"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "line 2: plan" in done.stderr
    assert "Traceback" not in done.stderr
    assert all(raw(number)[12:] not in done.stdout + done.stderr for number in (1, 2))
