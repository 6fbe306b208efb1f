"""Contract D: document workflows on Flask and waitress, point by point."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from keystile import Gate, IssuedKey
from tests.contracts.hosts import Host, commands, copied, ran, serving

PUBLIC = ("/", "/health/", "/schema/", "/docs/")


def gate_of(folder: Path) -> Gate:
    """The host's own gate, in this process: there is no file that describes it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        spec = importlib.util.spec_from_file_location("anyformat", folder / "anyformat.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        os.chdir(before)
    found: Gate = module.gate
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = copied("anyformat", tmp_path_factory.mktemp("contract"))
    with serving("anyformat", folder, gate_of(folder)) as found:
        yield found


def key_of(host: Host, owner: str, organization: str, access: str = "editor") -> IssuedKey:
    return host.gate.keys.create(owner, organization_id=organization, owner_id=owner, metadata={"access": access})


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION", "aUTHORIZATION"])
def test_d1_the_header_s_name_has_any_casing(host: Host, name: str) -> None:
    key = key_of(host, "ada", "casing").secret
    with socket.create_connection(("127.0.0.1", host.server.port), 30) as connection:
        lines = f"GET /workflows/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{name}: Bearer {key}\r\n\r\n"
        connection.sendall(lines.encode())
        with connection.makefile("rb") as answer:
            assert answer.readline().split()[1] == b"200"
    assert host.ask("/workflows/", headers={"X-API-Key": key}).status == 401
    assert host.ask("/workflows/").status == 401


def test_d2_a_key_works_within_one_organization(host: Host) -> None:
    ours, theirs = key_of(host, "ada", "one"), key_of(host, "ada", "another")
    made = host.ask("/workflows/", ours.secret, "POST", {"name": "invoices"})
    assert made.status == 201
    assert host.ask("/workflows/", ours.secret).json == {"workflows": [made.json]}
    assert host.ask("/workflows/", theirs.secret).json == {"workflows": []}
    colleague = key_of(host, "grace", "one")
    assert host.ask("/workflows/", colleague.secret).json == {"workflows": [made.json]}


def test_d3_a_new_key_ends_the_user_s_older_one(host: Host) -> None:
    first = key_of(host, "ada", "capped")
    others = [key_of(host, "grace", "capped"), key_of(host, "ada", "elsewhere")]
    assert host.ask("/workflows/", first.secret).status == 200
    second = key_of(host, "ada", "capped")
    assert second.revoked == (first.key.id,)
    ended = host.ask("/workflows/", first.secret)
    assert (ended.status, ended.json["error"]["code"]) == (401, "revoked_api_key")
    for each in (second, *others):
        assert host.ask("/workflows/", each.secret).status == 200


def test_d4_a_key_has_the_access_of_its_user(host: Host) -> None:
    editor, viewer = key_of(host, "ada", "access"), key_of(host, "grace", "access", "viewer")
    assert editor.key.scopes == viewer.key.scopes == ()
    made = host.ask("/workflows/", editor.secret, "POST", {"name": "invoices"})
    assert (made.status, made.json["owner"]) == (201, "ada")
    assert host.ask("/workflows/", viewer.secret, "POST", {"name": "receipts"}).status == 403
    assert host.ask("/workflows/", viewer.secret).json == {"workflows": [made.json]}


def test_d5_exactly_four_paths_need_no_key(host: Host) -> None:
    for path in PUBLIC:
        answer = host.ask(path)
        assert (answer.status, answer.json["page"]) == (200, path)
    others = (
        *("/health", "/schema", "/docs", "/Health/", "/health/x", "/docs/index.html", "/docs/%2e%2e/workflows/"),
        *("/docs//", "/docs/;x", "/schema/../workflows/", "/workflows/", "/workflows", "/nowhere"),
    )
    for path in others:
        refused = host.ask(path)
        assert (path, refused.status, refused.code) == (path, 401, "missing_api_key")


def test_d6_keys_are_made_in_the_platform_alone(host: Host) -> None:
    key = key_of(host, "ada", "no endpoints").secret
    for path in ("/api-keys", "/projects", "/manage/api-keys", "/manage/whoami", "/keys", "/v1/api-keys", "/audit"):
        for method in ("GET", "POST", "DELETE"):
            assert host.ask(path, key, method, {} if method == "POST" else None).status == 404
    made = ran(host.folder, *commands("anyformat")[1]).strip()
    assert host.ask("/workflows/", made, "POST", {"name": "invoices"}).json["owner"] == "ada"


def test_d7_a_key_is_shown_once(host: Host) -> None:
    before = {each.id for each in host.gate.keys.list()}
    made = ran(host.folder, *commands("anyformat")[1]).strip()
    assert host.ask("/workflows/", made).status == 200
    assert made.startswith("anyformat_live_")
    [new] = [each.id for each in host.gate.keys.list() if each.id not in before]
    for shown in (("list", "--all"), ("show", new)):
        text = ran(host.folder, "keystile", "--gate", "anyformat:gate", "keys", *shown, "--json")
        assert new in json.dumps(json.loads(text))
        assert made not in text
    assert made.encode() not in host.stored()
