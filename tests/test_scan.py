"""Keys in files and commits: found once, shown shortened, told live from dead; and what other scanners get."""

from __future__ import annotations

import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from keystile import ConfigurationError, Gate
from keystile.cli.commands import main
from keystile.config.file import load, open_gate
from keystile.keys.existing.opaque import OpaqueFormat
from keystile.keys.format import PrefixedFormat, crc_check
from keystile.keys.leaks import pattern_of, shortened
from keystile.rules.leaks import BLOCK, find

PEPPER = b"a pepper of enough bytes"
PREFIXED = PrefixedFormat("acme")
KEY = re.compile(rb"k_[0-9a-f]{6}")
GIT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


def cut(octets: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(octets) + 1) for place in places} | {len(octets)})
    return [octets[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]


@given(
    st.lists(st.sampled_from([b"k_0123ab", b"k_", b"\n", b"x", b"k_k_ffffff", b"\r\n", b"k_01", b"23ab", b" " * 20])),
    st.lists(st.integers(0, 500)),
)
def test_however_a_stream_is_cut_each_key_is_found_once_and_in_its_place(parts: list[bytes], places: list[int]) -> None:
    octets = b"".join(parts)
    expected = []
    for number, line in enumerate(octets.split(b"\n"), 1):
        expected += [(number, match.start() + 1, match[0]) for match in KEY.finditer(line)]
    assert [tuple(each) for each in find(cut(octets, places), KEY, 8)] == expected


def test_only_a_block_and_its_end_are_in_memory() -> None:
    def blocks() -> Iterator[bytes]:
        for number in range(300):
            yield b"x" * 65_530 + b"k_%06x" % number

    found = find(blocks(), KEY, 8)
    assert sum(1 for _ in found) == 300


def test_what_is_found_shows_in_no_repr() -> None:
    [found] = find([b"k_0123ab"], KEY, 8)
    assert "0123ab" not in repr(found)


# What scanners get.


@pytest.mark.parametrize("key_format", [PREFIXED, OpaqueFormat([PEPPER], prefix="sk", separator=".")])
def test_the_pattern_finds_the_keys_of_its_format_and_no_others(key_format: Any) -> None:
    pattern = pattern_of(key_format)
    compiled = re.compile(pattern.expression)
    assert not re.search(r"\(\?[=!<]|\\\d", pattern.expression)
    assert len(pattern.finds) == 3
    for text in pattern.finds:
        assert compiled.fullmatch(text)
        assert len(text) <= pattern.longest
        assert pattern.checks(text.encode())
    assert not any(compiled.search(text) for text in pattern.passes)


def test_keys_that_do_not_begin_alike_have_no_pattern() -> None:
    for key_format in (OpaqueFormat([PEPPER]), object()):
        with pytest.raises(ConfigurationError, match="prefix"):
            pattern_of(key_format)  # type: ignore[arg-type]


def test_a_key_is_shown_by_its_prefix_and_the_first_of_its_public_id() -> None:
    raw = Gate(prefix="acme").keys.create("CI").secret
    assert shortened("acme", raw.encode()) == f"{raw[:14]}…"
    assert shortened("sk", b"sk_live_4eC39HqLyjWDarjtT1zdp7dc") == "sk_…"
    assert shortened("sk", b"sk_" + b"x" * 50) == "sk_…"


# The command.


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("KEYSTILE_CONFIG", raising=False)
    for name, value in GIT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    Path("keystile.toml").write_text('store = "sqlite:///keys.db"\nprefix = "acme"\n')
    Path("src").mkdir()
    return tmp_path


def run(*arguments: str, stdin: str | bytes = b"") -> Result:
    result = CliRunner().invoke(main, arguments, input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def made(**settings: Any) -> tuple[str, str]:
    """The id and the raw key of a new one."""
    with closing(open_gate(load(environ={}))) as gate:
        issued = gate.keys.create("CI", **settings)
        return issued.key.id, issued.secret


def revoke(key_id: str) -> None:
    with closing(open_gate(load(environ={}))) as gate:
        gate.keys.revoke(key_id)


def revoked(key_id: str) -> bool:
    with closing(open_gate(load(environ={}))) as gate:
        return gate.keys.get(key_id).revoked_at is not None


def unknown() -> str:
    body = "acme_live_" + "a" * 44
    return body + crc_check(body.encode())


def test_a_live_key_is_found_with_its_place_and_ends_with_1(folder: Path) -> None:
    key_id, raw = made()
    Path("src/a.py").write_text(f"import os\n\nKEY = '{raw}'\n")
    result = run("scan", "src")
    assert result.stdout == f"src/a.py:3:8  {raw[:14]}…  live  {key_id} (CI)\n"
    assert result.exit_code == 1


def test_revoked_expired_and_unknown_keys_are_told_and_end_with_0(folder: Path) -> None:
    key_id, dead = made()
    revoke(key_id)
    old, expired = made()
    with closing(sqlite3.connect("keys.db")) as connection, connection:
        connection.execute("UPDATE keystile_keys SET expires_at = 1 WHERE id = ?", (old,))
    Path("src/a").write_text(f"{dead} {expired} {unknown()}")
    result = run("scan", "src", "--json")
    assert [each["state"] for each in json.loads(result.stdout)] == ["revoked", "expired", "unknown"]
    assert result.exit_code == 0


def test_a_string_whose_check_fails_is_no_key(folder: Path) -> None:
    made()
    Path("src/a").write_text(unknown()[:-1] + "_" + unknown()[:-1] + "0 acme_live_short")
    result = run("scan", "src")
    assert (result.stdout, result.exit_code) == ("", 0)


def test_a_text_with_somebodys_id_and_a_right_check_is_not_that_key(folder: Path) -> None:
    key_id, raw = made()
    body = raw[: len("acme_live_") + 12] + "0" * 32
    Path("src/a").write_text(body + crc_check(body.encode()))
    result = run("scan", "src", "--revoke", "--yes")
    assert (result.stdout.split()[-1], result.exit_code) == ("unknown", 0)
    assert not revoked(key_id)


def test_nothing_that_is_printed_holds_a_key(folder: Path) -> None:
    _, raw = made()
    Path("src/a").write_text(f"{raw} {unknown()}")
    for output in (run("scan", "src").output, run("scan", "src", "--json").output):
        assert raw[14:] not in output
        assert unknown()[14:] not in output


def test_standard_input_is_read_as_a_stream(folder: Path) -> None:
    _, raw = made()
    result = run("scan", "--stdin", stdin=b"\n" * BLOCK + b"x" * (BLOCK - 30) + raw.encode())
    assert result.stdout.startswith(f"<stdin>:{BLOCK + 1}:{BLOCK - 29}  ")


def test_binaries_are_read_only_if_asked_for(folder: Path) -> None:
    _, raw = made()
    Path("src/a.bin").write_bytes(b"\0" + raw.encode())
    assert run("scan", "src").exit_code == 0
    assert run("scan", "src", "--binary").exit_code == 1
    Path("src/a.bin").write_bytes(b" " * 8192 + b"\0" + raw.encode())
    assert run("scan", "src").exit_code == 1


def test_links_and_pipes_in_a_folder_are_passed_over(folder: Path) -> None:
    _, raw = made()
    Path("secret").write_text(raw)
    Path("src/link").symlink_to(Path("secret").absolute())
    Path("src/loop").symlink_to(Path("src").absolute())
    os.mkfifo("src/pipe")
    assert run("scan", "src").exit_code == 0
    assert run("scan", "src", "secret").exit_code == 1


def test_a_link_that_is_named_is_read_and_a_pipe_that_is_named_is_told(folder: Path) -> None:
    _, raw = made()
    Path("secret").write_text(raw)
    Path("link").symlink_to("secret")
    assert run("scan", "link").exit_code == 1
    os.mkfifo("pipe")
    result = run("scan", "pipe")
    assert (result.exit_code, result.stderr) == (2, "pipe: cannot be read\n")


def test_what_cannot_be_read_is_told_and_ends_with_2(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("src/a").write_text("")
    opened = Path.open

    def refuse(self: Path, *args: Any, **named: Any) -> Any:
        if self.name == "a":
            raise PermissionError(13, "Permission denied")
        return opened(self, *args, **named)

    monkeypatch.setattr(Path, "open", refuse)
    result = run("scan", "src")
    assert (result.exit_code, result.stderr) == (2, "src/a: cannot be read\n")


def test_a_name_cannot_write_to_the_terminal(folder: Path) -> None:
    _, raw = made()
    Path("src/\x1b[31mred\n").write_text(raw)
    assert run("scan", "src").stdout.startswith("src/\\x1b[31mred\\n:1:1  ")


def test_live_keys_are_revoked_when_that_is_confirmed(folder: Path) -> None:
    key_id, raw = made()
    Path("src/a").write_text(f"{raw}\n{raw}")
    assert run("scan", "src").exit_code == 1
    assert not revoked(key_id)
    refused = run("scan", "src", "--revoke", stdin="n\n")
    assert f"Revoke {key_id} (CI) for good?" in refused.stderr
    assert not revoked(key_id)
    agreed = run("scan", "src", "--revoke", stdin="y\n")
    assert agreed.stderr.count("Revoked") == 1
    assert agreed.exit_code == 1
    assert revoked(key_id)
    assert run("scan", "src").exit_code == 0


def test_yes_revokes_without_asking(folder: Path) -> None:
    key_id, raw = made()
    assert run("scan", "--stdin", "--revoke", "--yes", stdin=raw).exit_code == 1
    assert revoked(key_id)
    with closing(open_gate(load(environ={}))) as gate:
        [entry] = gate.audit(event="key.revoke")
        assert (entry.actor.type, entry.actor.via) == ("cli", "leak_scan")


def git(*arguments: str) -> None:
    subprocess.run(["git", "-C", "src", *arguments], check=True, capture_output=True)


def test_every_commit_is_read_and_what_was_taken_out_again_is_found(folder: Path) -> None:
    _, raw = made()
    _, said = made()
    git("init", "-q", "-b", "main")
    Path("src/a.py").write_text(f"KEY = '{raw}'\n")
    git("add", ".")
    git("commit", "-qm", f"add {said}")
    Path("src/a.py").write_text("KEY = ''\n")
    git("commit", "-qam", "take it out")
    assert run("scan", "src").exit_code == 0
    result = run("scan", "--git", "src", "--json")
    found = [(each["shown"], each["path"].partition(":")[2]) for each in json.loads(result.stdout)]
    assert set(found) == {(f"{raw[:14]}…", "a.py"), (f"{said[:14]}…", "")}
    assert all(re.match(r"[0-9a-f]{12}:", each["path"]) for each in json.loads(result.stdout))
    assert result.exit_code == 1


def test_no_attribute_and_no_setting_of_a_repository_hides_a_key_or_its_file(folder: Path) -> None:
    _, raw = made()
    git("init", "-q", "-b", "main")
    git("config", "diff.noprefix", "true")
    Path("src/.gitattributes").write_text("*.env -diff\n")
    Path("src/a.env").write_text(f"KEY={raw}\n")
    git("add", ".")
    git("commit", "-qm", "add")
    [found] = json.loads(run("scan", "--git", "src", "--json").stdout)
    assert (found["state"], found["path"].partition(":")[2]) == ("live", "a.env")


def test_a_folder_that_is_no_repository_is_an_error(folder: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "keystile", "scan", "--git", "src"], check=False, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "Error: src: git ended with" in result.stderr


def test_it_wants_to_know_where_to_look(folder: Path) -> None:
    assert run("scan").exit_code == 2


@pytest.mark.parametrize("scanner", ["github", "gitleaks", "trufflehog"])
def test_what_a_scanner_gets_holds_the_pattern_and_test_strings(folder: Path, scanner: str) -> None:
    shown = run("pattern", "--for", scanner).stdout
    assert "acme_(?:live|stage|test)_[0-9A-Za-z]{50}" in shown.replace("\\\\", "\\")
    [example] = re.findall(r"acme_live_[0-9A-Za-z]{50}", shown)
    assert PREFIXED.parse(example.encode()) is not None


def test_gitleaks_gets_toml_that_finds_its_own_test_strings(folder: Path) -> None:
    shown = run("pattern", "--for", "gitleaks").stdout
    [rule] = tomllib.load(io.BytesIO(shown.encode()))["rules"]
    comments = [each.removeprefix("# finds ") for each in shown.splitlines() if each.startswith("#")]
    assert len(comments) == 3
    assert all(re.fullmatch(rule["regex"], each) and rule["keywords"][0] in each for each in comments)
