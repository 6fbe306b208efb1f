"""pypiserver, a package index: pip finds, fetches and installs packages with a key as its password."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.realapps.running import Both, Service, is_guarded, running

pytestmark = pytest.mark.stress

APP = "pypiserver:app(roots=['packages'], authenticate=[], password_file='.', disable_fallback=True, log_req_frmt='%s')"
SETTINGS = 'accept = ["X-API-Key", "Authorization: Basic"]\nhide_credentials = true\n'
# It tells its log of every request whole, with all that the server knows of it.
TALKATIVE = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {name: {"class": "logging.StreamHandler"} for name in ("console", "error_console")},
    "root": {"level": "INFO", "handlers": ["console"]},
}


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    folder = tmp_path_factory.mktemp("index")
    (folder / "packages").mkdir()
    (folder / "log.json").write_text(json.dumps(TALKATIVE))
    environ = {"GUNICORN_CMD_ARGS": "--log-config-json log.json"}
    with running(Service("gunicorn", APP, SETTINGS, environ), folder) as both:
        yield both


def wheel(name: str, size: int = 0) -> tuple[str, bytes]:
    """A package that holds so many octets which cannot be compressed."""
    info, octets = f"{name}-1.0.dist-info", io.BytesIO()
    with zipfile.ZipFile(octets, "w") as file:
        file.writestr(f"{name}.py", f"NAME = {name!r}\n")
        file.writestr(f"{name}.bin", os.urandom(size))
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "".join(f"{each},,\n" for each in [*file.namelist(), f"{info}/RECORD"]))
    return f"{name}-1.0-py3-none-any.whl", octets.getvalue()


def pip(what: str, both: Both, user: str, *more: str) -> subprocess.CompletedProcess[str]:
    """What pip makes of the index, with this in front of the host; it asks nobody else."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().startswith(("PIP_", "HTTP"))}
    port = both.port if user != "plain" else both.plain.base_url.port
    url = f"http://{user}@127.0.0.1:{port}/simple/".replace("plain@", "")
    command = [
        sys.executable,
        "-m",
        "pip",
        what,
        "--index-url",
        url,
        "--no-deps",
        "--no-cache-dir",
        "--no-input",
        *more,
    ]
    environ = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "HOME": str(both.folder)}
    return subprocess.run(command, env=kept | environ, capture_output=True, text=True, check=False, cwd=both.folder)


def upload(client: str, both: Both, package: tuple[str, bytes], key: str | None = None) -> int:
    """Send a package as twine does."""
    headers = {} if key is None else {"X-API-Key": key}
    answer = getattr(both, client).post(
        "/", data={":action": "file_upload"}, files={"content": package}, headers=headers
    )
    return int(answer.status_code)


def test_the_index_is_guarded(index: Both) -> None:
    is_guarded(index, "/")


def test_redirects_name_the_host_that_was_asked(index: Both) -> None:
    assert index.same("GET", "/simple").headers["location"] == f"{index.gated.base_url}/simple/"


def test_packages_of_megabytes_go_in_and_come_out_as_they_are(index: Both) -> None:
    names, key = {"plain": "big_plain", "gated": "big_gated"}, index.key()
    for client, name in names.items():
        file, octets = package = wheel(name, 4_000_000)
        if client == "gated":
            assert upload(client, index, package) == 401
            assert not (index.folder / "packages" / file).exists()
        assert upload(client, index, package, key) == 200
        assert index.same("GET", f"/packages/{file}", key).content == octets
        assert upload(client, index, package, key) == 409  # the index's own word


def test_parts_and_what_is_unchanged_are_told_as_before(index: Both) -> None:
    file, octets = wheel("parts", 100_000)
    key, path = index.key(), f"/packages/{file}"
    assert upload("plain", index, (file, octets)) == 200
    whole = index.same("GET", path, key)
    part = index.same("GET", path, key, headers={"Range": "bytes=100-1099"})
    assert (part.status_code, part.content) == (206, octets[100:1100])
    assert part.headers["content-range"] == f"bytes 100-1099/{len(octets)}"
    assert index.same("GET", path, key, headers={"Range": f"bytes={len(octets)}-"}).status_code == 416
    unchanged = index.same("GET", path, key, headers={"If-Modified-Since": whole.headers["last-modified"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_pip_installs_with_a_key_as_its_password(index: Both) -> None:
    assert upload("plain", index, wheel("demo")) == 200
    assert pip("download", index, "plain", "-d", "unguarded", "demo").returncode == 0
    assert (index.folder / "unguarded" / wheel("demo")[0]).exists()
    key, into = index.key(), Path("installed")
    refused = pip("download", index, f"ci:{key[:-1]}-", "-d", "refused", "demo")
    assert refused.returncode == 1
    assert "WARNING: 401 Error, Credentials not correct for" in refused.stderr
    done = pip("install", index, f"ci:{key}", "--target", str(into), "demo")
    assert done.returncode == 0, done.stderr
    assert (index.folder / into / "demo.py").read_text() == "NAME = 'demo'\n"
    index.revoke(key)
    assert pip("download", index, f"{key}:", "-d", "refused", "demo").returncode == 1
    assert not (index.folder / "refused").exists() or not list((index.folder / "refused").iterdir())


def test_the_key_is_not_in_what_the_index_sees(index: Both) -> None:
    key = index.key()
    for client in (index.plain, index.gated):
        for sent in ({"auth": ("ci", key)}, {"headers": {"X-API-Key": key}}):
            assert client.get("/simple/", **sent).status_code == 200  # type: ignore[arg-type]
    plain, gated = (log.read_text() for log in index.logs)
    assert key in plain
    assert "HTTP_USER_AGENT" in gated
    assert key not in gated
