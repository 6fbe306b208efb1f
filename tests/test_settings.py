"""A setting has one home: what else tells of settings follows from it, or is compared with it here."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator

from keystile import ConfigurationError, Gate, PageStyle, Plan, Rule
from keystile._ground.frozen import FrozenDict
from keystile.cli import main
from keystile.config import example as example_file
from keystile.config import reference, schema, tables
from keystile.config.example import example
from keystile.config.file import load
from keystile.config.origin import Origin
from keystile.config.reference import page
from keystile.config.schema import schema_of_file
from keystile.config.tables import SETTINGS, FileAlone, in_files, read_table
from keystile.keys.parts import Parts
from keystile.policy import Policy
from keystile.policy.settings import REQUIRED, check_settings, described, setting, settings_of
from keystile.policy.webhooks import Receiver, Webhooks
from tests import test_config

CLASSES: list[Any] = [Parts, Policy, Rule, Plan, PageStyle, Webhooks, Receiver, FileAlone]
DOCS = Path(__file__).parents[1] / "docs" / "reference" / "settings.md"


def test_the_signature_of_a_gate_has_every_setting_with_its_type_and_default() -> None:
    shown = inspect.signature(Gate).parameters
    described_ones = {each.name: each for kind in (Parts, Policy) for each in fields(kind)}
    assert sorted(shown) == sorted(described_ones)
    for name, each in described_ones.items():
        assert (name, shown[name].annotation, shown[name].default) == (name, each.type, each.default)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_field_of_a_settings_class_is_described(kind: Any) -> None:
    assert list(settings_of(kind)) == [each.name for each in fields(kind)]
    for each in settings_of(kind).values():
        assert each.meaning.endswith("."), each.name


@pytest.mark.parametrize("kind", CLASSES)
def test_every_default_passes_its_own_check_unchanged(kind: Any) -> None:
    for each in settings_of(kind).values():
        if each.default is not REQUIRED:
            assert each.checked(each.default) == each.default, each.name


def test_no_name_stands_for_two_settings_of_a_file() -> None:
    assert len(SETTINGS) == sum(len(in_files(kind)) for kind in tables.CLASSES)


def test_a_repr_shows_no_secret() -> None:
    given: dict[str, Any] = {"peppers": ["hunter2-hunter2-hunter2"], "cursor_secrets": [b"hunter2-hunter2-hunter2"]}
    urls = dict.fromkeys(("store", "limiter"), "redis://:hunter2@localhost")
    assert "hunter2" not in repr(Parts(**given, **urls))


def test_the_page_of_settings_is_the_one_that_the_code_makes() -> None:
    assert DOCS.read_text(encoding="utf-8") == page(), "`make docs` writes it anew"


@pytest.mark.parametrize("pepper", [None, "a pepper of more than 16 bytes"])
def test_the_file_of_init_has_every_setting_with_an_example_and_can_be_read(pepper: str | None, tmp_path: Path) -> None:
    text = example(pepper)
    file = tmp_path / "keystile.toml"
    file.write_text(text)
    begun = {each.name for each in SETTINGS.values() if each.begins} | ({"peppers"} if pepper else set())
    assert set(load(file, {}).gate) == begun
    for each in SETTINGS.values():
        stands = f"\n# {each.name} = " in text or f"\n{each.name} = " in text
        stands |= f"# [[{each.name}]]" in text or f"# [{each.name}." in text or f"# [{each.name}]" in text
        assert stands == (each.example is not None), each.name
    assert all(len(line) <= 120 for line in text.splitlines())


VALIDATOR = Draft202012Validator(schema_of_file())


def accepted_by_schema(text: str) -> bool:
    return bool(VALIDATOR.is_valid(tomllib.loads(text)))


def accepted_by_loader(text: str, folder: Path) -> bool:
    file = folder / "keystile.toml"
    file.write_text(text, encoding="utf-8")
    try:
        load(file, {"HERE": "here"})
    except ConfigurationError:
        return False
    return True


RIGHT = [
    "",
    'store = "memory://"\nprefix = "acme"\napp = "service:app"',
    'key_format = "opaque"\nprefix = "sk"\npeppers = ["a pepper of 16 bytes"]',
    'https = "redirect"\nredirect_status = 308\npublic_url = "https://a.example"',
    'https = "${HERE}"\nhasher = "hmac-sha256"',
    'failure_limits = false\nanonymous_limits = ["5/minute", "9/hour"]',
    "address_wait = 1\nhashing_wait = 2.5\nwsgi_threads = 4\nenvelope = true",
    '[page_style]\nmember = false\nlimit = "n"\nmeta = false\nmax_limit = 70',
    '[plans.free]\nlimits = "60/minute"\n[plans.pro]\nlimits = ["1/day"]\n[plans.none]',
    '[[rules]]\nmatch = "/a"\npublic = true\n[[rules]]\nmatch = "POST /b"\nscopes = ["x"]\ncost = 2\nenvelope = false',
    'peppers = ["a pepper of 16 bytes"]\ncursor_secrets = ["a secret of 16 bytes"]\naccept_crc = true',
    '[webhooks]\nids = "memory://"\n[[webhooks.receive]]\nmatch = "POST /a"\nsecrets = ["whsec_x"]\ntolerance = 60',
    'store = "memory://"\n[[apps]]\napp = "a:b"\n[[apps]]\napp = "a:${HERE}"\nprefix = "/b"',
    '[[webhooks.receive]]\nmatch = "/a"\nsecrets = ["${HERE}"]\nscheme = "hex_body"\nheader = "X-Y"\nprefix = ""',
]
WRONG = [
    "colour = 1",
    "clock = 1",
    "key_format = 1",
    "store = 1",
    "store = 2030-01-31",
    "public = '/a'",
    "public = [1]",
    "envelope = 'yes'",
    "envelope = 1",
    "hsts = true",
    "wsgi_threads = 1.5",
    "wsgi_threads = '4'",
    "address_wait = '1'",
    "address_wait = true",
    "https = true",
    "redirect_status = '308'",
    "failure_limits = true",
    "failure_limits = [1]",
    "anonymous_limits = false",
    "peppers = 'one'",
    "page_style = 'flat'",
    "[page_style]\nhas_mor = 'x'",
    "[page_style]\nmember = true",
    "[page_style]\nhas_more = false",
    "plans = 'free'",
    "[[plans]]\nlimits = '5/day'",
    "[plans]\nfree = '5/day'",
    "[plans.free]\nlimits = false",
    "[plans.free]\nlimit = '5/day'",
    "rules = ['/a']",
    "[rules]\nmatch = '/a'",
    "[[rules]]\npublic = true",
    "webhooks = 'x'",
    "[[webhooks]]\nids = 'memory://'",
    "[webhooks]\nreceive = ['/a']",
    "[[webhooks.receive]]\nmatch = '/a'",
    "[[webhooks.receive]]\nmatch = '/a'\nsecrets = 'x'",
    "[[webhooks.receive]]\nmatch = '/a'\nsecrets = ['x']\nscheme = 'md5'",
    "[[rules]]\nmatch = '/a'\nscope = []",
    "[[apps]]\nprefix = '/a'",
    "[[apps]]\napp = 'a:b'\npath = '/a'",
    "apps = ['a:b']",
    "app = 'a:b'\n[[apps]]\napp = 'a:b'",
    "[[rules]]\nmatch = '/a'\nscopes = 'x'",
    "[[rules]]\nmatch = '/a'\ncost = '2'",
]


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(schema_of_file())


@pytest.mark.parametrize("text", [*RIGHT, example(None), example("a pepper of more than 16 bytes")])
def test_what_the_loader_accepts_the_schema_accepts(text: str, tmp_path: Path) -> None:
    assert accepted_by_loader(text, tmp_path)
    assert accepted_by_schema(text)


@pytest.mark.parametrize("text", WRONG)
def test_what_the_loader_refuses_by_name_or_type_the_schema_refuses(text: str, tmp_path: Path) -> None:
    assert not accepted_by_loader(text, tmp_path)
    assert not accepted_by_schema(text)


@pytest.mark.parametrize(
    ("text", "reason"), [(text, reason) for text, key, reason in test_config.WRONG.values() if key is not None]
)
def test_loader_and_schema_agree_on_every_wrong_file(text: str, reason: str, tmp_path: Path) -> None:
    """Where the loader accepts what the gate then refuses, the schema minds nothing but values."""
    if accepted_by_loader(text, tmp_path):
        errors = {leaf.validator for each in VALIDATOR.iter_errors(tomllib.loads(text)) for leaf in leaves(each)}
        assert errors <= {"minimum", "maximum", "enum", "pattern", "minLength"}
    elif "no such setting" in reason or ", got " in reason or "is missing" in reason:
        # That an app needs a store is said across settings, which is not for a schema.
        assert accepted_by_schema(text) == text.startswith('app = "')


def leaves(error: Any) -> list[Any]:
    return [leaf for inner in error.context for leaf in leaves(inner)] if error.context else [error]


def test_the_command_prints_the_schema() -> None:
    result = CliRunner().invoke(main, ["schema"])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == schema_of_file()


def test_the_schema_tells_defaults() -> None:
    told = schema_of_file()["properties"]
    assert (told["https"]["default"], told["failure_limits"]["default"]) == ("off", "20/minute")
    assert "default" not in told["default_plan"]


@pytest.mark.parametrize(
    ("line", "wrong"),
    [("", None), ("prefixx = 1", "prefixx"), ("envelope = 'yes'", "is not of type"), ("https = 'on'", "'on'")],
)
def test_an_editor_checks_a_file_by_the_schema(line: str, wrong: str | None, tmp_path: Path) -> None:
    """Taplo is what editors run for TOML."""
    (tmp_path / "keystile.schema.json").write_text(json.dumps(schema_of_file()))
    (tmp_path / "keystile.toml").write_text(f"#:schema ./keystile.schema.json\n{line}\n{example(None)}")
    taplo = [str(Path(sys.executable).with_name("taplo")), "lint", "keystile.toml"]
    done = subprocess.run(taplo, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode == 0) is (wrong is None), done.stderr
    assert wrong is None or wrong in done.stderr


@dataclass(frozen=True)
class Shade:
    """A table within a table."""

    name: str = setting("What it is called.", default="grey")


def even(value: int, key: str) -> int:
    if value % 2:
        raise ConfigurationError("is odd", key=key)
    return value


@dataclass(frozen=True)
class Colours:
    """Settings that there are not, of every kind that there might be."""

    shade: str = setting("The shade. It matters.", default="grey", example='"blue"')
    pairs: int | None = setting("How many pairs.", default=2, check=even)
    open_to: bool | Literal["some"] = setting("To whom.", default=False)
    mixed: Mapping[str, Sequence[str]] = setting("What is in each.", default=FrozenDict())
    secret: Sequence[str | bytes] = setting("Hidden.", default=(), show=False)
    shades: Sequence[Shade] = setting("Many of them.", default=())

    def __post_init__(self) -> None:
        check_settings(self)


@pytest.fixture
def colours(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """These settings in the place of the gate's own."""
    found = in_files(Colours)
    for module in (tables, schema, example_file):
        monkeypatch.setattr(module, "SETTINGS", found)
    monkeypatch.setattr(reference, "_PARTS", ((Colours, "Colours", "Nowhere."),))
    return found


def test_what_is_told_of_settings_follows_a_new_one(colours: dict[str, Any]) -> None:
    assert '# The shade. It matters.\n# shade = "blue"\n' in example(None)
    said = page()
    assert "### `shade`\n\nThe shade. It matters.\n\n- Type: a string\n- In a file: a string\n" in said
    assert "- Type: a whole number, or None\n- In a file: a whole number or false\n- Default: `2`" in said
    assert "- In a file: true or false or one of some" in said
    check = Draft202012Validator(schema_of_file()).is_valid
    assert check({"shade": "x", "pairs": False, "open_to": "some", "mixed": {"a": ["b"]}, "shades": [{"name": "x"}]})
    for wrong in ({"shape": 1}, {"pairs": True}, {"open_to": "all"}, {"mixed": {"a": "b"}}, {"shades": [{"nam": "x"}]}):
        assert not check(wrong)


def test_a_new_setting_is_read_from_files_by_its_type(colours: dict[str, Any]) -> None:
    origin = Origin("some.toml", {"A": "blue"})
    text = 'shade = "${A}"\npairs = false\nopen_to = "some"\nmixed.a = ["b"]\nsecret = ["s"]\nshades = [{name = "x"}]'
    read = read_table(origin, tomllib.loads(text), colours)
    assert Colours(**read) == Colours("blue", None, "some", {"a": ("b",)}, ("s",), (Shade("x"),))
    for wrong, said in (
        ("shadow = 1", "shadow: there is no such setting; did you mean 'shade'?"),
        ("pairs = 'x'", "pairs: expected a whole number or false, got a string"),
        ("mixed.a = [1]", "mixed.a[0]: expected a string, got a number"),
        ("shades = [{nam = 'x'}]", "shades[0].nam: there is no such setting; did you mean 'name'?"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            read_table(origin, tomllib.loads(wrong), colours)
        assert str(caught.value) == f"some.toml: {said}"


def test_a_new_setting_is_checked_by_its_type_and_its_own_check() -> None:
    assert Colours(pairs=4).pairs == 4
    assert Colours(mixed={"a": ["b"]}).mixed == {"a": ("b",)}
    given: dict[str, Any]
    for given, said in (
        ({"pairs": 3}, "pairs: is odd"),
        ({"pairs": "3"}, "pairs: expected a whole number of at least 1, got '3'"),
        ({"open_to": "all"}, "open_to: expected one of some"),
        ({"open_to": 1}, "open_to: expected true or false or one of some, got int"),
        ({"mixed": {"a": 1}}, "mixed.a: expected a list of strings for each name"),
        ({"shades": ["x"]}, "shades: expected a list of Shades, got str in it"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            Colours(**given)
        assert str(caught.value) == said


def test_a_setting_without_a_default_must_be_given() -> None:
    assert settings_of(Rule)["match"].default is REQUIRED
    assert described("Said once.")
    with pytest.raises(TypeError):
        Rule()  # type: ignore[call-arg]
