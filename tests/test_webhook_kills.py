"""A worker that is killed, at each step: nothing is lost, and nothing is sent more than once again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Callable

import pytest

from tests.queues import Queue, postgres_url, queue
from tests.receivers import CLOSING, Receiver, receiving
from tests.test_webhook_worker import id_of

__all__ = ["postgres_url", "queue", "receiving"]

MESSAGES = 6
WORK = """
    import json, os, signal, sys
    from functools import partial
    import anyio
    from keystile.webhooks import Targets
    from keystile.webhooks.outbox import Outbox
    from keystile.webhooks.working import Worker
    from keystile.webhooks.working.delivering import Delivering

    url, key, ports, step = sys.argv[1:]

    async def dies(*_unused):
        os.kill(os.getpid(), signal.SIGKILL)

    async def notes_and_dies(*args):
        await noting(*args)
        await dies()

    noting = Delivering._note
    if step == "before it is sent":
        Delivering._attempt = dies
    if step == "before it is noted":
        Delivering._note = dies
    if step == "when it is noted":
        Delivering._note = notes_and_dies
    targets = Targets(allow_networks=["127.0.0.0/8"], allow_ports=json.loads(ports), allow_http=True)
    print("ready", flush=True)
    anyio.run(partial(Worker(Outbox(url, key=key, targets=targets)).run, once=True))
    """


STEPS = ("before it is sent", "while it is sent", "before it is noted", "when it is noted")
EVERYWHERE = [(kind, step) for step in STEPS for kind in ("sqlite", "postgresql")]
# What differs between databases is whether a commit is there that nobody has heard of.
USUALLY = [*(("sqlite", step) for step in STEPS[:3]), ("postgresql", STEPS[2]), ("postgresql", STEPS[3])]


@pytest.mark.parametrize(
    ("queue", "step"),
    [pytest.param(*each, marks=[] if each in USUALLY else [pytest.mark.stress]) for each in EVERYWHERE],
    indirect=["queue"],
)
def test_a_worker_that_is_killed_loses_nothing_and_sends_at_most_twice(
    queue: Queue, receiving: Callable[..., Receiver], step: str
) -> None:
    running: list[subprocess.Popen[str]] = []

    def answer(connection: socket.socket) -> None:
        if step == "while it is sent" and running[0].poll() is None:
            os.kill(running[0].pid, signal.SIGKILL)
            running[0].wait()
        connection.sendall(CLOSING)

    receiver = receiving(answer)
    queue.endpoint(receiver)
    added = {queue.add() for _ in range(MESSAGES)}
    command = [sys.executable, "-c", textwrap.dedent(WORK), queue.url, queue.key, f"[{receiver.port}]", step]
    running.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    running[0].communicate(timeout=60)
    assert running[0].returncode == -signal.SIGKILL
    receiver.settle()
    before = Counter(map(id_of, receiver.requests))
    queue.work()
    assert queue.states().get("due", 0) > 0 or step == "when it is noted"  # its leases hold: nobody takes them yet
    queue.work(ahead=70)
    found = Counter(map(id_of, receiver.requests))
    assert queue.states() == {"done": MESSAGES}
    assert set(found) == added
    assert max(found.values()) <= 2
    assert {each for each, times in found.items() if times == 2} <= set(before)
    if step in ("before it is sent", "when it is noted"):
        assert max(before.values(), default=0) <= 1
