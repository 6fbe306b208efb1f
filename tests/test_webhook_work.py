"""`keystile webhooks work`, as a process: what it sends, what it tells, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from keystile import Gate, HmacHasher
from keystile.cli.commands import main
from tests.queues import ORGANIZATION, Queue, queue
from tests.receivers import CLOSING, Receiver, receiving
from tests.test_webhook_worker import id_of

__all__ = ["queue", "receiving"]

FILE = """
prefix = "acme"
store = "{store}"
hasher = "hmac-sha256"
peppers = ["a pepper of enough bytes"]
[webhooks]
outbox = "{outbox}"
allow_networks = ["127.0.0.0/8"]
allow_ports = {ports}
allow_http = true
events = ["key.*"]
"""
Make = Callable[..., Receiver]


class Process:
    """A folder with a file, in which the command runs."""

    def __init__(self, folder: Path, queue: Queue) -> None:
        self.folder, self.queue, self.store = folder, queue, f"sqlite:///{folder}/keys.db"
        self.started: list[subprocess.Popen[str]] = []

    def write(self) -> Path:
        """The file."""
        text = FILE.format(store=self.store, outbox=self.queue.url, ports=self.queue.ports or [8443])
        file = self.folder / "keystile.toml"
        file.write_text(text)
        file.chmod(0o600)
        return file

    def start(self, *options: str, **environ: str) -> subprocess.Popen[str]:
        self.write()
        command = [sys.executable, "-m", "keystile", "webhooks", "work", *options]
        environment = os.environ | {"KEYSTILE_WEBHOOK_KEY": self.queue.key} | environ
        pipe = subprocess.PIPE
        running = subprocess.Popen(command, cwd=self.folder, stdout=pipe, stderr=pipe, text=True, env=environment)
        self.started.append(running)
        return running

    def run(self, *options: str, **environ: str) -> tuple[int, str, str]:
        process = self.start(*options, **environ)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err


@pytest.fixture
def process(tmp_path: Path, queue: Queue) -> Iterator[Process]:
    made = Process(tmp_path, queue)
    yield made
    for each in made.started:
        each.kill()
        each.communicate()


def wait(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_once_sends_what_is_due_and_what_changed(process: Process, receiving: Make) -> None:
    receiver = receiving(CLOSING.replace(b"Date", b"X-Date"))
    process.queue.endpoint(receiver)
    message = process.queue.add()
    assert process.run("--once") == (0, "", "")
    gate = Gate(process.store, prefix="acme", hasher=HmacHasher(b"p" * 16))
    key = gate.keys.create("CI", organization_id=ORGANIZATION).key.id
    gate.close()
    assert process.run("--once") == (0, "", "")
    first, second = receiver.requests
    assert id_of(first) == message
    told = json.loads(second.partition(b"\r\n\r\n")[2])
    assert (told["type"], told["data"]["key"]["id"]) == ("key.created", key)


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.stress)])
def test_a_signal_ends_it_when_what_is_under_way_has_ended(
    process: Process, receiving: Make, number: signal.Signals
) -> None:
    go = threading.Event()

    def answer(connection: socket.socket) -> None:
        go.wait(30)
        connection.sendall(CLOSING)

    receiver = receiving(answer)
    process.queue.endpoint(receiver)
    for _ in range(6):
        process.queue.add()
    running = process.start()
    wait(lambda: len(receiver.requests) == 4)
    running.send_signal(number)
    assert running.stderr is not None
    assert running.stderr.readline() == "Stopping: what is under way is ended first.\n"
    go.set()
    assert running.wait(30) == 0
    assert process.queue.states() == {"done": 4, "due": 2}


def test_a_second_signal_ends_it_at_once(process: Process, receiving: Make) -> None:
    go = threading.Event()
    receiver = receiving(lambda _connection: go.wait(60))
    process.queue.endpoint(receiver)
    process.queue.add()
    running = process.start()
    wait(lambda: len(receiver.requests) == 1)
    running.send_signal(signal.SIGTERM)
    assert running.stderr is not None
    running.stderr.readline()
    running.send_signal(signal.SIGTERM)
    assert running.wait(15) == 128 + signal.SIGTERM
    go.set()
    assert process.queue.states() == {"due": 1}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"store": "memory://"}, "store"),
        ({"key": "short"}, "key"),
        ({"url": "mysql://u:hunter2@h/d"}, "webhooks.outbox"),
    ],
)
def test_what_it_cannot_do_is_one_line(process: Process, change: dict[str, str], words: str) -> None:
    process.store = change.get("store", process.store)
    process.queue.url = change.get("url", process.queue.url)
    process.queue.key = change.get("key", process.queue.key)
    options = ["-c", str(process.write()), "webhooks", "work", "--once"]
    result = CliRunner().invoke(main, options, env={"KEYSTILE_WEBHOOK_KEY": process.queue.key})
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert result.stderr.startswith("Error: ")
    assert words in result.stderr
    assert "hunter2" not in result.stderr
