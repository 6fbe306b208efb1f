"""An app that has logins of its own loses none of its tests behind a gate that leaves them to it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.selection import some

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "app_with_logins"


def passed(app: str) -> list[str]:
    """The names of the app's own tests that pass; none fails."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "-v", "test_notes.py"],
        cwd=EXAMPLE,
        env=os.environ | {"NOTES": app, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert not re.search(r"SKIPPED|XFAIL", ran.stdout)
    return sorted(re.findall(r"::(\S.*?) PASSED", ran.stdout))


@pytest.mark.parametrize(
    ("bare", "gated"),
    some(
        [("notes_fastapi:app", "gated:asgi_app"), ("notes_flask:app", "gated:wsgi_app")],
        ("notes_fastapi:app", "gated:asgi_app"),
    ),
)
def test_the_apps_own_tests_pass_bare_and_behind_the_gate(bare: str, gated: str) -> None:
    tests = passed(bare)
    assert len(tests) == 15
    assert passed(gated) == tests


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> Any:
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield importlib.import_module("gated")
    for name in {"gated", "tokens", "notes_fastapi", "notes_flask", "test_notes"} - before:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("door", ["asgi", "wsgi"])
def test_behind_the_gate_programs_have_keys_beside_the_logins(gated: Any, door: str) -> None:
    key = gated.gate.keys.create("program", scopes=["export"])
    caller = importlib.import_module("test_notes").Caller
    client = caller(gated.wsgi_app, wsgi=True) if door == "wsgi" else caller(gated.asgi_app, wsgi=False)
    # No such route yet: that the app says so shows who was let through to it.
    assert client.get("/export", headers={"X-API-Key": key.secret}).status_code == 404
    assert client.get("/export").status_code == 401
    token = sys.modules["tokens"].token_for("ada")
    assert client.get("/export", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    both = {"Authorization": f"Bearer {token}", "X-API-Key": key.secret}
    assert client.get("/notes", headers=both).status_code == 400
    assert client.get("/notes", headers={"X-API-Key": key.secret[:-1]}).status_code == 401
    gated.gate.keys.revoke(key.key.id)
    assert client.get("/", headers={"X-API-Key": key.secret}).status_code == 401
