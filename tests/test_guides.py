"""What the guides to people's own services say, tried through both doors on the files and the code that they show."""

from __future__ import annotations

import re
import sys
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from keystile import Gate
from keystile.cli import main
from keystile.config.file import load, open_gate
from tests.doors import Answer, Door
from tests.pages import ROOT, shown

GUIDES = ROOT / "docs" / "guides"
KINDS = pytest.mark.parametrize("kind", ["asyncio", "trio", "wsgi"])
TOKEN = ("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2ln")
NAME_AND_PASSWORD = ("authorization", "Basic " + b64encode(b"ada:lovelace").decode())
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def text_of(guide: str) -> str:
    return (GUIDES / f"{guide}.md").read_text(encoding="utf-8")


def files_of(guide: str) -> list[str]:
    """Each `keystile.toml` that the guide shows, in order."""
    return shown(text_of(guide), "toml")


def code_of(guide: str) -> Any:
    """The gate that the guide shows in code."""
    names: dict[str, Any] = {}
    source = next(block for block in shown(text_of(guide), "python") if "gate = Gate(" in block)
    exec(source, names)
    return names["gate"]


class Shown:
    """The gate of a guide's file, behind one door.

    Attributes:
        door: the door; its host answers.
        gate: the gate.
    """

    def __init__(self, folder: Path, kind: str, file: str) -> None:
        (folder / "keystile.toml").write_text(file)
        self.gate = open_gate(load(folder / "keystile.toml"))
        self.door = Door(Gate, kind)
        self.door.serve(self.gate)

    def key(self, *scopes: str) -> tuple[str, str]:
        """The header with a new key."""
        return ("x-api-key", self.door.create(scopes=scopes).secret)

    def get(self, path: str, *headers: tuple[str, str], method: str = "GET") -> Answer:
        return self.door.get(path, headers=headers, method=method)

    def is_let_through(self, path: str, *headers: tuple[str, str], method: str = "GET") -> bool:
        """Whether the app is asked, with all that the client sent."""
        before = len(self.door.host.calls)
        self.get(path, *headers, method=method)
        asked = len(self.door.host.calls) - before
        return asked == 1

    def code(self, path: str, *headers: tuple[str, str], method: str = "GET") -> tuple[int, str | None]:
        """The refusal of the gate."""
        before = len(self.door.host.calls)
        answer = self.get(path, *headers, method=method)
        assert len(self.door.host.calls) == before
        return answer.status, answer.code


@pytest.fixture
def seen(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shown]:
    guide, number = request.param
    made = Shown(tmp_path, kind, files_of(guide)[number])
    with closing(made.gate):
        yield made


def of(guide: str, number: int = 0) -> Any:
    return pytest.mark.parametrize("seen", [(guide, number)], indirect=True, ids=[guide])


@pytest.mark.parametrize("guide", ["own-logins", "cors-inside", "oauth-and-html"])
def test_the_file_and_the_code_say_the_same(guide: str, tmp_path: Path) -> None:
    (tmp_path / "keystile.toml").write_text(files_of(guide)[0])
    with closing(open_gate(load(tmp_path / "keystile.toml"))) as file:
        assert code_of(guide).policy == file.policy


@KINDS
@of("own-logins")
def test_people_log_in_and_programs_have_keys(seen: Shown) -> None:
    key = seen.key("export")
    cookie = ("cookie", "session=1")
    for headers in ((), (TOKEN,), (NAME_AND_PASSWORD,), (cookie,), (key,), (key, cookie), (key, NAME_AND_PASSWORD)):
        assert seen.is_let_through("/notes", *headers)
    assert seen.is_let_through("/export", key)
    assert not seen.door.host.calls[0].principal
    for headers in ((), (TOKEN,), (cookie,), (NAME_AND_PASSWORD,)):
        assert seen.code("/export", *headers) == (401, "missing_api_key")
    bad = ("x-api-key", "acme_live_wrong")
    assert seen.code("/notes", bad) == seen.code("/notes", bad, TOKEN) == (401, "invalid_api_key")
    assert seen.code("/notes", key, TOKEN) == (400, "invalid_request")


@KINDS
@of("own-logins", 1)
def test_keys_in_a_place_of_their_own_go_with_every_login(seen: Shown) -> None:
    key = seen.key()
    for login in ((), (TOKEN,), (NAME_AND_PASSWORD,), (("cookie", "session=1"),)):
        assert seen.is_let_through("/notes", key, *login)
        assert seen.code("/notes", *login) == (401, "missing_api_key")
    assert seen.code("/notes", ("authorization", f"Bearer {key[1]}")) == (401, "missing_api_key")


@KINDS
def test_what_goes_wrong_with_logins_goes_wrong_as_it_says(kind: str, tmp_path: Path) -> None:
    seen = Shown(tmp_path, kind, 'store = "sqlite:///keystile.db"\nprefix = "acme"\n')
    with closing(seen.gate):
        for sent in ((TOKEN,), (TOKEN, seen.key())):
            answer = seen.get("/notes", *sent)
            assert f'"code": "{answer.code}", "message": "{answer.json["error"]["message"]}"' in text_of("own-logins")
        assert seen.is_let_through("/notes", seen.key(), NAME_AND_PASSWORD)


@KINDS
@of("oauth-and-html")
def test_answers_whose_shape_is_fixed_keep_it(seen: Shown) -> None:
    key = seen.key()
    own = seen.door.host.chunks[0]
    for path, headers in (("/oauth/token", (NAME_AND_PASSWORD,)), ("/.well-known/jwks", ()), ("/v1/rpc", (key,))):
        assert seen.get(path, *headers).body == own
    assert seen.get("/v1/things", key).json["data"] == {"ok": True}
    assert seen.code("/v1/rpc") == (401, "missing_api_key")
    seen.door.host.headers.append(("Keystile-Envelope", "off"))
    answer = seen.get("/v1/things", key)
    assert (answer.body, answer.header("keystile-envelope")) == (own, None)


@KINDS
def test_an_optional_path_gets_an_envelope_unless_a_rule_says_no(kind: str, tmp_path: Path) -> None:
    optional = '[[rules]]\nmatch = "/*"\npublic = "optional"\n'
    file = f'store = "sqlite:///keystile.db"\nprefix = "acme"\nenvelope = true\n{optional}'
    seen = Shown(tmp_path, kind, file)
    with closing(seen.gate):
        assert seen.get("/oauth/token").json["data"] == {"ok": True}
    seen = Shown(tmp_path, kind, f'{file}[[rules]]\nmatch = "/oauth/*"\nenvelope = false\n')
    with closing(seen.gate):
        assert seen.get("/oauth/token").json == {"ok": True}


@KINDS
@of("oauth-and-html")
def test_error_pages_are_for_those_who_prefer_them(seen: Shown) -> None:
    key, host = seen.key(), seen.door.host
    host.status, host.headers, host.chunks = 404, [("content-type", "text/html; charset=utf-8")], [b"<title>no</title>"]
    assert seen.get("/v1/things", key, ("accept", BROWSER)).body == b"<title>no</title>"
    for accept in ([], [("accept", "*/*")], [("accept", "application/json")]):
        assert seen.get("/v1/things", key, *accept).code == "not_found"
    assert seen.code("/v1/things", ("accept", BROWSER)) == (401, "missing_api_key")
    host.fails = (ValueError("what the app does not handle"), "call")
    answer = seen.get("/v1/things", key, ("accept", BROWSER))
    assert (answer.status, answer.code) == (500, "internal_error")


@KINDS
@of("pip-and-git")
def test_a_key_is_a_password_for_those_who_know_nothing_else(seen: Shown) -> None:
    key, publish = seen.key()[1], seen.key("publish")[1]
    for given in (f"ci:{key}", f"{key}:", f"{key}:x", f":{key}"):
        sent = ("authorization", "Basic " + b64encode(given.encode()).decode())
        assert seen.is_let_through("/simple/", sent)
        scope = str(seen.door.host.seen)
        assert key not in scope
        assert sent[1] not in scope
        assert seen.code("/", sent, method="POST") == (403, "insufficient_scope")
        assert seen.code("/simple/", sent, ("sec-fetch-site", "cross-site")) == (403, "cross_site")
    sent = ("authorization", "Basic " + b64encode(f"ci:{publish}".encode()).decode())
    assert seen.is_let_through("/", sent, method="POST")
    refused = seen.get("/simple/")
    assert "Basic" in ", ".join(refused.all("www-authenticate"))


SERVICE = """
def create_app(mode, *, debug=False):
    async def app(scope, receive, send): pass
    return app

async def make(): pass

class Site:
    def __init__(self, settings): pass
"""
# What stands in the file, and what is said of it.
SAID = {
    "service.main:create_app": "is it a factory? then call it",
    "service.main:create_app()": "cannot be called with these arguments: missing a required argument: 'mode'",
    "service.main:Site({}).app()": "expected one call, with literals as its arguments",
    "service.main:make()": "is async, and nothing can await it here: name a plain function",
    "service.main:Site({})": "'service.main:Site(…)' gives no app: Site cannot be called",
}


@pytest.fixture
def guided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a service, which can be imported from while the test runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "guided.py").write_text(SERVICE)
    yield tmp_path
    sys.modules.pop("guided", None)


def test_check_says_of_factories_what_the_guide_says(guided: Path) -> None:
    rows = re.findall(r"^\| `(.*?)` \|", text_of("app-factories"), re.MULTILINE)
    assert len(rows) == len(SAID) + 1  # and that it raised, which test_factories has
    for app, said in SAID.items():
        named = app.replace("service.main", "guided")
        (guided / "keystile.toml").write_text(f'app = "{named}"\nstore = "sqlite:///keystile.db"\n')
        result = CliRunner().invoke(main, ["check"])
        assert result.exit_code == 1
        assert said.replace("service.main", "guided") in result.stderr
        assert said in rows
