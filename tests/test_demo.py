"""The demo and the examples, run as their users run them."""

import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from keystile import ConfigurationError, demo
from keystile.demo.servers import DemoBroken, clean_environment, example_folder, started
from keystile.demo.transcript import Answer, Call, Promise, Quota, Transcript, ask, hide
from tests.selection import some

COMMAND = [sys.executable, "-m", "keystile", "demo"]
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
CHALLENGE = 'Bearer realm="api"'
MISSING = Promise(401, "missing_api_key", CHALLENGE)
REFUSED = Answer(
    401,
    {"www-authenticate": CHALLENGE, "x-request-id": "req_1"},
    {"error": {"code": "missing_api_key"}},
)


FULL = Promise(429, "rate_limited", quota=Quota(5, 60, 0))
LIMITED = Answer(
    429,
    {
        "x-request-id": "req_1",
        "retry-after": "42",
        "x-ratelimit-limit": "5",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": "1043",
    },
    {"error": {"code": "rate_limited", "details": {"limit": 5, "window_seconds": 60, "retry_after": 42}}},
    began=1000.5,
    ended=1000.9,
)


def ports(transcript: str) -> list[int]:
    return [int(port) for port in re.findall(r"http://127\.0\.0\.1:(\d+)", transcript)]


def listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_every_promise_is_kept_and_no_secret_is_shown(tmp_path):
    done = subprocess.run(COMMAND, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("as promised, 0 not.")
    assert re.search(r"acme_live_[0-9A-Za-z]{12}\W", done.stdout)
    assert not re.search(r"acme_live_[0-9A-Za-z]{13}", done.stdout + done.stderr)
    assert done.stdout.count("ok 429   rate_limited") == 3
    assert len(ports(done.stdout)) == 2
    assert not any(map(listening, ports(done.stdout)))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=some([signal.SIG_DFL, signal.SIG_IGN], signal.SIG_IGN), ids=lambda action: action.name)
def started_like_this(request):
    """What a shell does with SIGINT for a command: `make test &` in a script starts with it ignored."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


# Runs a command as a shell does in the foreground.
IN_THE_FOREGROUND = "import os, signal, sys; signal.signal(2, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"


@pytest.mark.usefixtures("started_like_this")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_server_behind(sent, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", IN_THE_FOREGROUND, *COMMAND],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        head = "".join(process.stdout.readline() for _ in range(3))
        process.send_signal(sent)
        process.communicate(timeout=30)
    assert process.returncode != 0
    assert len(ports(head)) == 2
    assert not any(map(listening, ports(head)))


def test_an_answer_as_promised_has_no_fault():
    assert MISSING.faults(REFUSED) == []
    assert FULL.faults(LIMITED) == []
    admitted = LIMITED._replace(status=200, body={})
    del (headers := dict(LIMITED.headers))["retry-after"]
    assert Promise(200, quota=Quota(5, 60, 0)).faults(admitted._replace(headers=headers)) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"x-ratelimit-limit": None},
        {"x-ratelimit-remaining": "many"},
        {"x-ratelimit-remaining": "1"},
        {"x-ratelimit-limit": "100"},
        {"x-ratelimit-reset": "1000"},
        {"x-ratelimit-reset": "1044"},
        {"x-ratelimit-reset": "1042"},
        {"x-ratelimit-reset": "1062"},
        {"retry-after": None},
        {"retry-after": "41"},
    ],
    ids=str,
)
def test_a_window_that_is_told_wrong_is_a_fault(changed):
    headers = {name: value for name, value in {**LIMITED.headers, **changed}.items() if value is not None}
    assert FULL.faults(LIMITED._replace(headers=headers))


def test_details_that_say_otherwise_than_the_headers_are_a_fault():
    details = {"limit": 5, "window_seconds": 60, "retry_after": 43}
    assert FULL.faults(LIMITED._replace(body={"error": {"code": "rate_limited", "details": details}}))


def test_a_wait_without_a_reason_is_a_fault():
    answer = Answer(200, {"x-request-id": "req_1", "retry-after": "1"}, {})
    assert Promise(200).faults(answer)


def test_anything_else_that_is_promised_counts_too():
    lines = []
    transcript = Transcript([], lines.append)
    transcript.expect("left", {60: 0}, {60: 0})
    transcript.expect("left", {60: 0}, {60: 1})
    assert (transcript.kept, transcript.broken) == (1, 1)
    assert "BROKEN" in "".join(lines)


@pytest.mark.parametrize(
    ("promise", "answer"),
    [
        (Promise(200), REFUSED),
        (Promise(401, "invalid_api_key", CHALLENGE), REFUSED),
        (Promise(401, "missing_api_key", "Basic"), REFUSED),
        (MISSING, REFUSED._replace(headers={"x-request-id": "req_1"})),
        (MISSING, REFUSED._replace(headers={"www-authenticate": CHALLENGE})),
        (Promise(200, body={"id": "a"}), Answer(200, {"x-request-id": "req_1"}, {"id": "b"})),
        (Promise(200), Answer(0, {}, "ConnectionRefusedError")),
    ],
)
def test_a_broken_promise_is_counted_and_ends_the_demo_with_1(promise, answer, monkeypatch):
    lines = []
    transcript = Transcript([], lines.append)
    transcript.check(MISSING, REFUSED)
    transcript.check(promise, answer)
    assert (transcript.kept, transcript.broken) == (1, 1)
    assert "BROKEN" in "".join(lines)
    monkeypatch.setattr(demo, "_show", lambda folder, echo: transcript)
    assert demo.run(lines.append) == 1
    assert lines[-1].strip() == "1 answers as promised, 1 not."


def test_a_demo_that_checked_nothing_ends_with_1(monkeypatch):
    monkeypatch.setattr(demo, "_show", lambda folder, echo: Transcript([], echo))
    assert demo.run(lambda line: None) == 1


def test_a_server_that_does_not_start_ends_the_demo_with_the_end_of_its_log(monkeypatch):
    monkeypatch.setattr(demo, "commands", lambda examples, folder: {"FastAPI": ["no_such_server"]})
    lines = []
    assert demo.run(lines.append) == 1
    assert "FastAPI did not start" in lines[-1]
    assert "No module named no_such_server" in lines[-1]


def test_a_server_that_stays_silent_is_given_up_and_stopped(monkeypatch, tmp_path):
    monkeypatch.setattr("keystile.demo.servers.START_SECONDS", 0.2)
    with (
        started("silent", ["http.server", "--bind", "127.0.0.1", "0"], tmp_path, clean_environment()) as server,
        pytest.raises(DemoBroken),
    ):
        server.wait_until_up()
    assert server.process.returncode is not None


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name in ("flask", "gunicorn") else object())
    with pytest.raises(ConfigurationError, match=r"flask, gunicorn: pip install 'keystile\[demo\]'"):
        demo.run(lambda line: None)


@pytest.mark.parametrize("environment", ["live", "stage", "test"])
def test_secrets_are_cut_off_wherever_they_stand(environment):
    key = f"acme_{environment}_" + "a1B2c3D4e5F6" + "x" * 38
    assert hide(f"X-API-Key: {key}, {key[:-1]}") == "X-API-Key: {0}…, {0}…".format(key[:-38])


@pytest.mark.parametrize("name", ["fastapi_app.py", "flask_app.py"])
def test_the_demo_runs_the_examples_that_people_read(name):
    assert (example_folder() / name).read_bytes() == (EXAMPLES / name).read_bytes()


@pytest.mark.parametrize(
    ("app", "command"),
    [
        ("service.main:app", ["uvicorn", "--host", "127.0.0.1", "--port", "0", "keystile.wrap:asgi"]),
        ("service.flask_main:app", ["gunicorn", "--bind", "127.0.0.1:0", "keystile.wrap:wsgi"]),
    ],
)
def test_the_existing_service_is_guarded_by_its_toml_alone(app, command, tmp_path):
    folder = tmp_path / "service"
    shutil.copytree(EXAMPLES / "existing_service", folder)
    (folder / "gunicorn.conf.py").write_text("control_socket_disable = True\n")
    toml = folder / "keystile.toml"
    toml.write_text(toml.read_text().replace('app = "service.main:app"', f'app = "{app}"'))
    with started("service", command, folder, clean_environment()) as server:
        server.wait_until_up()
        assert MISSING.faults(ask(server, Call("GET", "/v1/exports"))) == []
        assert Promise(200).faults(ask(server, Call("GET", "/"))) == []
        command = [sys.executable, "-m", "keystile", "keys", "create", "ci"]
        made = subprocess.run(
            command, cwd=folder, env=clean_environment(), capture_output=True, text=True, check=True
        ).stdout
        call = Call("GET", "/v1/exports", {"X-API-Key": made.strip()})
        assert ask(server, call).headers["x-ratelimit-limit"] == "60"
