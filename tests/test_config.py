"""keystile.toml and the environment: what is read, and how what is wrong is said."""

from __future__ import annotations

import inspect
import os
import tomllib
from pathlib import Path

import pytest

from keystile import ConfigurationError, Gate, KeystileError, Rule
from keystile.config import _SETTINGS, EXAMPLE, load, open_gate

PEPPER = "a pepper of more than 16 bytes"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keystile.toml"


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("KEYSTILE_"):
            monkeypatch.delenv(name)


def refusal(file: Path, text: str, environ: dict[str, str] | None = None) -> ConfigurationError:
    """How this file is refused."""
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as caught:
        open_gate(load(file, environ or {})).close()
    assert caught.value.source == str(file)
    assert caught.value.__cause__ is None
    return caught.value


def test_all_settings_reach_the_gate(file: Path) -> None:
    file.write_text(
        """
        app = "service.main:app"
        store = "sqlite:///keys.db"
        prefix = "acme"
        public = ["/health", "/static/*"]
        accept = ["x-api-key"]
        realm = "acme"
        peppers = ["a pepper of more than 16 bytes"]
        accept_crc = true
        hasher = "hmac-sha256"
        [[rules]]
        match = "POST /v1/exports"
        scopes = ["exports:write"]
        [[rules]]
        match = "/v1/status"
        public = true
        """
    )
    settings = load(file, {})
    assert settings.source == str(file)
    assert settings.app == "service.main:app"
    gate = open_gate(settings)
    assert gate.policy.rules == (Rule("POST /v1/exports", scopes=("exports:write",)), Rule("/v1/status", public=True))
    assert gate.policy.public == ("/health", "/static/*")
    assert gate.policy.accept == ("X-API-Key",)
    assert gate.policy.realm == "acme"
    issued = gate.keys.create(name="ci")
    assert issued.secret.startswith("acme_live_")
    assert gate.keys.get(issued.key.id) == issued.key
    gate.close()


def test_an_empty_file_is_a_gate_with_the_defaults(file: Path) -> None:
    file.write_text("")
    settings = load(file, {})
    assert (settings.app, dict(settings.gate)) == (None, {})
    open_gate(settings).close()


def test_the_names_are_those_of_the_gate() -> None:
    only_in_code = {"key_format", "clock", "unknown"}
    assert set(_SETTINGS) - {"app"} == set(inspect.signature(Gate).parameters) - only_in_code


def test_the_example_can_be_used_as_it_is_and_uncommented(file: Path) -> None:
    file.write_text(EXAMPLE)
    open_gate(load(file, {})).close()
    lines = EXAMPLE.splitlines()
    settings = [line.removeprefix("# ") for line in lines if not line.startswith("# ") or " = " in line or "[[" in line]
    file.write_text("\n".join(settings))
    assert {"app", "rules"} <= set(tomllib.loads(file.read_text()))
    open_gate(load(file, {})).close()


WRONG = {
    "unknown": ('plans = "x"', "plans", "no such setting; there are app, store"),
    "unknown table": ('[plans.free]\nlimits = ["60/minute"]', "plans", "no such setting"),
    "not yet: limiter": ('limiter = "memory://"', "limiter", "no such setting"),
    "not yet: proxies": ("trusted_proxies = []", "trusted_proxies", "no such setting"),
    "not yet: envelope": ("envelope = true", "envelope", "no such setting"),
    "not yet: https": ('https = "redirect"', "https", "no such setting"),
    "not yet: management": ('[management]\npath = "/manage"', "management", "no such setting"),
    "only in code": ("clock = 1", "clock", "no such setting"),
    "misspelt": ('perfix = "acme"', "perfix", "did you mean 'prefix'?"),
    "misspelt in a rule": ('[[rules]]\nmatch = "/a"\nscope = []', "rules[0].scope", "did you mean 'scopes'?"),
    "not yet in a rule": ('[[rules]]\nmatch = "/a"\ncost = 2', "rules[0].cost", "no such setting"),
    "text: number": ("store = 1", "store", "expected a string, got a number"),
    "text: date": ("prefix = 2030-01-31", "prefix", "expected a string, got a date"),
    "app: list": ("app = []", "app", "expected a string, got a list"),
    "flag: number": ("accept_crc = 1", "accept_crc", "expected true or false, got a number"),
    "flag: text": ('accept_crc = "true"', "accept_crc", "expected true or false, got a string"),
    "texts: text": ('public = "/a"', "public", "expected a list of strings, got a string"),
    "texts: number in it": ('public = ["/a", 2]', "public[1]", "expected a string, got a number"),
    "texts: nested": ('accept = [["Api-Key"]]', "accept[0]", "expected a string, got a list"),
    "peppers: table": ("[peppers]\na = 1", "peppers", "expected a list of strings, got a table"),
    "rules: one table": ('[rules]\nmatch = "/a"', "rules", "expected a list of tables, got a table"),
    "rules: texts": ('rules = ["/a"]', "rules[0]", "expected a table, got a string"),
    "rule: scopes": ('[[rules]]\nmatch = "/a"\nscopes = "a"', "rules[0].scopes", "expected a list of strings"),
    "rule: public": ('[[rules]]\nmatch = "/a"\npublic = "yes"', "rules[0].public", "expected true or false"),
    "rule: no match": ("[[rules]]\npublic = true", "rules[0].match", "is missing"),
    "rule: bad match": ('[[rules]]\nmatch = "v1"', "rules[0].match", "neither '/path' nor 'METHOD /path'"),
    "rule: bad scope": ('[[rules]]\nmatch = "/a"\nscopes = ["a b"]', "rules[0].scopes", "'a b' is no scope"),
    "rule: public with scopes": (
        '[[rules]]\nmatch = "/a"\npublic = true\nscopes = ["a"]',
        "rules[0].scopes",
        "nobody could hold them",
    ),
    "rule: not canonical": ('[[rules]]\nmatch = "/a//b"', "rules[0]", "not canonical"),
    "rules contradict": (
        '[[rules]]\nmatch = "/a"\nscopes = ["a"]\n[[rules]]\nmatch = "/a"\nscopes = ["b"]',
        "rules[1]",
        "contradicts rules[0]",
    ),
    "public contradicts a rule": (
        'public = ["/a"]\n[[rules]]\nmatch = "/a"\nscopes = ["a"]',
        "public[0]",
        "contradicts rules[0]",
    ),
    "public: not canonical": ('public = ["/ok", "/a/../b"]', "public[1]", "not canonical"),
    "public: everything": ('public = ["/*"]', "public", "would make every path public"),
    "public: relative": ('public = ["health"]', "public[0]", "neither '/path'"),
    "public: with a method": ('public = ["GET /a"]', "public[0]", "does not start with '/'"),
    "public: with a space": ('public = ["/ok", "/a b"]', "public[1]", "neither '/path'"),
    "accept: unknown": ('accept = ["Cookie"]', "accept", "'Cookie' is not one of"),
    "accept: nothing": ("accept = []", "accept", "names no place"),
    "realm": ("realm = 'a\"b'", "realm", "printable ASCII"),
    "prefix": ('prefix = "a_b"', "prefix", "a letter, then at most 19"),
    "hasher: unknown": ('hasher = "md5"', "hasher", "expected 'argon2id' or 'hmac-sha256'"),
    "hasher: no pepper": ('hasher = "hmac-sha256"', "hasher", "needs a pepper"),
    "pepper: short": ('peppers = ["short"]', "peppers", "at least 16 bytes"),
    "accept_crc without peppers": ("accept_crc = true", "accept_crc", "means nothing without peppers"),
    "store: unknown": ('store = "ftp://host/keys"', "store", "no key store for the scheme 'ftp'"),
    "store: no path": ('store = "sqlite://keys.db"', "store", "is not 'sqlite:///file.db'"),
    "store: in memory": ('store = "sqlite:///:memory:"', "store", "is not 'sqlite:///file.db'"),
    "store: no folder": ('store = "sqlite:///no/such/folder/keys.db"', "store", "No such file or directory"),
    "store: no database": ('store = "sqlite:///keystile.toml"', "store", "file is not a database"),
    "store: NUL": ('store = "sqlite:///a\\u0000.db"', "store", "NUL"),
    "reference: unset": ('prefix = "${NOWHERE}"', "prefix", "environment variable NOWHERE is unset"),
    "reference: empty": ('prefix = "${EMPTY}"', "prefix", "environment variable EMPTY is unset or empty"),
    "reference: in a list": ('peppers = ["${NOWHERE}"]', "peppers[0]", "NOWHERE"),
    "reference: in a rule": ('[[rules]]\nmatch = "/a"\nscopes = ["b", "${NOWHERE}"]', "rules[0].scopes[1]", "NOWHERE"),
    "reference: in the middle": ('store = "sqlite:///${NOWHERE}/keys.db"', "store", "NOWHERE"),
    "reference: no name": ('prefix = "${}"', "prefix", "begins a reference"),
    "reference: open": ('prefix = "${HERE"', "prefix", "begins a reference"),
    "reference: with a default": ('prefix = "${HERE:-x}"', "prefix", "begins a reference"),
    "TOML: syntax": ("prefix = ", None, "is not TOML"),
    "TOML: twice": ('prefix = "a"\nprefix = "b"', None, "is not TOML"),
}


@pytest.mark.parametrize(("text", "key", "reason"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_file_key_and_reason(file: Path, text: str, key: str | None, reason: str) -> None:
    error = refusal(file, text, {"EMPTY": "", "HERE": "here"})
    assert error.key == key
    assert reason in error.reason
    assert str(error) == ": ".join(part for part in (str(file), key, error.reason) if part)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: cannot be read: No such file"):
        load(tmp_path / "nowhere.toml", {})


@pytest.mark.parametrize("content", [b'prefix = "\xff"', b"\x00"], ids=["not UTF-8", "NUL"])
def test_a_file_that_is_no_text_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert caught.value.source == str(file)


@pytest.mark.parametrize("path", [".", "a\0b"], ids=["folder", "NUL"])
def test_a_path_that_is_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(path, {})


def test_a_configuration_error_has_the_one_root() -> None:
    assert issubclass(ConfigurationError, KeystileError)


def test_references_are_resolved_everywhere(file: Path) -> None:
    file.write_text(
        """
        app = "${MODULE}:${NAME}"
        prefix = "${NAME}"
        public = ["/${NAME}/*", "/$${NAME}", "/$NAME"]
        peppers = ["${PEPPER}"]
        [[rules]]
        match = "POST /${NAME}"
        scopes = ["${NAME}:read", "x"]
        """
    )
    settings = load(file, {"MODULE": "service", "NAME": "acme", "PEPPER": PEPPER})
    assert settings.app == "service:acme"
    assert settings.gate["prefix"] == "acme"
    assert settings.gate["public"] == ("/acme/*", "/${NAME}", "/$NAME")
    assert settings.gate["peppers"] == (PEPPER,)
    assert settings.gate["rules"] == (Rule("POST /acme", scopes=("acme:read", "x")),)


def test_what_a_variable_holds_is_not_resolved_again(file: Path) -> None:
    file.write_text('realm = "${OUTER}"')
    assert load(file, {"OUTER": "${INNER}", "INNER": "x"}).gate["realm"] == "${INNER}"


LEAKS = {
    "store without a scheme": ('store = "${V}"', "hunter2-hunter2"),
    "store with a password": ('store = "${V}"', "ftp+hunter2://me:hunter2@host/db"),
    "sqlite with a password": ('store = "${V}"', "sqlite://me:hunter2@host/db"),
    "part of a path": ('store = "sqlite:///no/such/${V}/keys.db"', "hunter2"),
    "prefix": ('prefix = "${V}"', "hunter2_hunter2"),
    "public": ('public = ["/ok", "${V}"]', "hunter2"),
    "public, escaped": ('public = ["/ok", "${V}"]', "/hunter2\\\n'\"//"),
    "short": ('public = ["${V}"]', "ü2"),
    "scope": ('[[rules]]\nmatch = "/a"\nscopes = ["${V}"]', "hunter2 hunter2"),
    "match": ('[[rules]]\nmatch = "${V}"', "hunter2"),
    "contradicting match": ('[[rules]]\nmatch = "${V}"\nscopes = ["a"]\n[[rules]]\nmatch = "/hunter2"', "/hunter2"),
    "accept": ('accept = ["${V}"]', "Hunter2"),
    "realm": ('realm = "${V}"', 'hunter2"'),
    "hasher": ('hasher = "${V}"', "hunter2"),
    "pepper": ('peppers = ["${V}"]', "hunter2"),
    "not UTF-8": ('peppers = ["${V}"]', "hunter2-hunter2-\udcff"),
    "NUL": ('prefix = "${V}"', "hunter2\0"),
}


@pytest.mark.parametrize(("text", "value"), LEAKS.values(), ids=LEAKS)
def test_no_error_shows_what_the_environment_holds(file: Path, text: str, value: str) -> None:
    error = refusal(file, text, {"V": value})
    assert len(error.reason) > len("cannot")
    for shown in (str(error).replace(str(file), ""), repr(error).replace(str(file), ""), error.reason):
        assert value not in shown
        assert "hunter2" not in shown.lower()


def test_an_error_names_the_variable_that_the_value_came_from(file: Path) -> None:
    error = refusal(file, 'store = "sqlite:///no/such/${FOLDER}/keys.db"', {"FOLDER": "secret-folder"})
    assert "no/such/${FOLDER}/keys.db" in error.reason
    assert "No such file or directory" in error.reason


def test_an_unset_reference_is_named_whatever_else_was_resolved(file: Path) -> None:
    error = refusal(file, 'store = "sqlite:///${A}/${MISSING}"', {"A": "environment variable MISSING is unset"})
    assert "MISSING is unset" in error.reason


def test_the_settings_show_no_value(file: Path) -> None:
    file.write_text('app = "${A}:app"\nrealm = "${A}"\npeppers = ["${P}"]')
    shown = repr(load(file, {"A": "hunter2", "P": PEPPER}))
    assert "hunter2" not in shown
    assert PEPPER not in shown
    assert str(file) in shown


def test_the_settings_cannot_be_changed(file: Path) -> None:
    file.write_text('prefix = "acme"')
    settings = load(file, {})
    with pytest.raises(AttributeError):
        settings.app = "other:app"  # type: ignore[misc]
    with pytest.raises(TypeError):
        settings.gate["prefix"] = "other"  # type: ignore[index]


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other.toml"
    other.write_text('prefix = "other"')
    monkeypatch.setenv("KEYSTILE_CONFIG", str(other))
    assert load().gate["prefix"] == "other"
    assert load(environ={"KEYSTILE_CONFIG": str(other)}).source == str(other)


def test_without_a_name_the_file_is_in_the_working_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('prefix = "here"')
    monkeypatch.chdir(file.parent)
    assert load().source == "keystile.toml"
    assert load(environ={"KEYSTILE_CONFIG": ""}).gate["prefix"] == "here"


def test_the_pepper_comes_from_the_environment_if_the_file_names_none(file: Path) -> None:
    file.write_text('hasher = "hmac-sha256"')
    settings = load(file, {"KEYSTILE_PEPPER": PEPPER})
    assert settings.gate["peppers"] == (PEPPER,)
    open_gate(settings).close()


def test_the_peppers_of_the_file_come_before_the_environment(file: Path) -> None:
    file.write_text('peppers = ["another pepper of 16 bytes"]')
    assert load(file, {"KEYSTILE_PEPPER": PEPPER}).gate["peppers"] == ("another pepper of 16 bytes",)


@pytest.mark.parametrize("pepper", ["", "short"])
def test_a_pepper_that_is_none_is_not_passed_over(file: Path, pepper: str) -> None:
    error = refusal(file, "", {"KEYSTILE_PEPPER": pepper})
    assert error.key in ("peppers", "peppers[0]")
    assert "KEYSTILE_PEPPER" in error.reason


def test_a_relative_store_lies_beside_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    etc, elsewhere = tmp_path / "etc", tmp_path / "elsewhere"
    etc.mkdir()
    elsewhere.mkdir()
    (etc / "keystile.toml").write_text('store = "sqlite:///keys.db"')
    for folder, path in ((elsewhere, etc / "keystile.toml"), (tmp_path, Path("etc/keystile.toml"))):
        monkeypatch.chdir(folder)
        settings = load(path, {})
        assert settings.gate["store"] == f"sqlite:///{etc / 'keys.db'}"
        open_gate(settings).close()
    assert (etc / "keys.db").is_file()
    assert not list(elsewhere.iterdir())


def test_an_absolute_store_stays_where_it_is(file: Path, tmp_path: Path) -> None:
    file.write_text(f'store = "sqlite:///{tmp_path / "absolute.db"}"')
    assert load(file, {}).gate["store"] == f"sqlite:///{tmp_path / 'absolute.db'}"
