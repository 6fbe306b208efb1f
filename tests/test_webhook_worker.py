"""The worker with a real outbox, over real sockets: what arrives, what comes again, and who waits for whom."""

from __future__ import annotations

import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import accumulate
from typing import Any

import anyio
import pytest
import standardwebhooks
import stripe

from keystile.events import Event
from keystile.rules.deliveries import DAY, SCHEDULE
from keystile.webhooks import Scheme, Secret, Targets, verify
from keystile.webhooks.outbox import Next
from keystile.webhooks.sending import Attempt
from tests.queues import Queue, queue
from tests.receivers import CLOSING, OK, Receiver, certificates, drips, hangs, receiving, resolving

__all__ = ["certificates", "queue", "receiving"]

Make = Callable[..., Receiver]


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def answering(status: str, *fields: str) -> bytes:
    lines = "".join(f"{each}\r\n" for each in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n{lines}\r\n".encode()


def split(request: bytes) -> tuple[dict[str, str], bytes]:
    """The fields of a request, by their lower-case names, and its body."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = [line.partition(": ") for line in head.decode().split("\r\n")[1:]]
    return {name.lower(): value for name, _, value in lines}, body


def test_what_arrives_is_what_standard_webhooks_says(backend: str, queue: Queue, receiving: Make) -> None:
    receiver = receiving()
    issued = queue.endpoint(receiver)
    message = queue.add("invoice.paid", {"id": 1, "name": "Zoë"})
    queue.work(backend)
    fields, body = split(receiver.requests[0])
    assert fields["webhook-id"] == message
    assert abs(int(fields["webhook-timestamp"]) - time.time()) < 60
    found = standardwebhooks.Webhook(issued.secret).verify(body, fields)
    assert (found["type"], found["data"]) == ("invoice.paid", {"id": 1, "name": "Zoë"})
    assert set(found) == {"type", "timestamp", "data"}
    assert queue.states() == {"done": 1}


def test_stripes_library_verifies_a_timestamped_message(queue: Queue, receiving: Make) -> None:
    receiver = receiving()
    issued = queue.endpoint(receiver, scheme="timestamped", header="Stripe-Signature")
    queue.add()
    queue.work()
    fields, body = split(receiver.requests[0])
    stripe.WebhookSignature.verify_header(body.decode(), fields["stripe-signature"], issued.secret, tolerance=300)


def test_a_message_that_comes_again_has_its_id_and_its_octets_and_another_time(queue: Queue, receiving: Make) -> None:
    receiver = receiving(answering("500 No"))
    queue.endpoint(receiver)
    queue.add(data={"b": 1, "a": [2.5, None]})
    for ahead in (0, 10, 600):
        queue.work(ahead=ahead)
    came = [split(each) for each in receiver.requests]
    assert len(came) == 3
    assert len({(fields["webhook-id"], body) for fields, body in came}) == 1
    assert len({fields["webhook-timestamp"] for fields, _ in came}) == 3
    assert queue.states() == {"due": 1}


def test_all_secrets_in_force_sign_the_newest_first(queue: Queue, receiving: Make) -> None:
    receiver = receiving()
    old = queue.endpoint(receiver)
    new = queue.outbox.endpoints.rotate(old.endpoint.id, grace=3600)
    queue.add()
    queue.work()
    fields, body = split(receiver.requests[0])
    for place, secret in enumerate((new.secret, old.secret)):
        found = verify(Scheme.standard(), [Secret(secret)], fields, body, now=time.time())
        assert found.secret_index == 0
        alone = dict(fields, **{"webhook-signature": fields["webhook-signature"].split()[place]})
        verify(Scheme.standard(), [Secret(secret)], alone, body, now=time.time())


OUTCOMES: dict[str, tuple[Any, str, str | None]] = {
    "2xx": (answering("202 Accepted"), "done", None),
    "500": (answering("500 No"), "due", None),
    "404": (answering("404 No"), "due", None),
    "hang": (hangs, "due", "timeout"),
    "drip": (drips(b"HTTP/1.1 2"), "due", "timeout"),
    "redirect": (answering("307 Go", "Location: http://169.254.169.254/latest/meta-data"), "due", None),
    "not HTTP": (b"SSH-2.0-x\r\n\r\n", "due", "broken"),
    "410": (answering("410 Gone"), "failed", None),
}


# Both event loops for what takes time, and for the others one of them in turn.
ON = [(each, backend) for each in ("hang", "drip") for backend in ("asyncio", "trio")]
ON += [(each, ("asyncio", "trio")[at % 2]) for at, each in enumerate(OUTCOMES) if each not in ("hang", "drip")]


@pytest.mark.parametrize(("outcome", "backend"), ON)
def test_what_each_outcome_means(backend: str, queue: Queue, receiving: Make, outcome: str) -> None:
    answer, state, error = OUTCOMES[outcome]
    receiver = receiving(answer)
    issued = queue.endpoint(receiver)
    queue.add()
    events = queue.work(backend, seconds=0.5)
    assert queue.states() == {state: 1}
    [attempt] = queue.attempts(issued)
    assert attempt.error == error
    assert receiver.connections == 1
    endpoint = queue.outbox.endpoints.get(issued.endpoint.id)
    assert (endpoint.disabled_at is not None) is (outcome == "410")
    assert (endpoint.first_failure_at is None) is (state == "done")
    assert [each.code for each in events if each.code.startswith("webhook.e")] == (
        ["webhook.endpoint_disabled"] if outcome == "410" else []
    )


@pytest.mark.parametrize(("asked", "least", "most"), [("60", 5, 10), ("7", 7, 7), ("1", 5, 5), (None, 4, 6)])
def test_retry_after_counts_within_bounds(
    queue: Queue, receiving: Make, asked: str | None, least: float, most: float
) -> None:
    fields = [] if asked is None else [f"Retry-After: {asked}"]
    receiver = receiving(answering("429 Slow Down", *fields))
    issued = queue.endpoint(receiver)
    queue.add()
    queue.work()
    [attempt], [delivery] = queue.attempts(issued), queue.outbox.deliveries(issued.endpoint.id)
    pause = queue.seconds(delivery.due_at) - queue.seconds(attempt.at)
    assert least - 0.01 <= pause <= most + 2


def test_a_name_that_leads_inside_a_moment_later_is_blocked_and_told(queue: Queue, receiving: Make) -> None:
    receiver = receiving(answering("200 OK", "Connection: close"))
    issued = queue.endpoint(receiver, host="evil.example")
    for _ in range(2):
        queue.add()
    resolve = resolving(["127.0.0.1"], ["169.254.169.254"])
    events = queue.work(resolve=resolve, each=1)
    assert queue.states() == {"done": 1, "failed": 1}
    assert receiver.connections == 1
    assert sorted(each.error or "" for each in queue.attempts(issued)) == ["", "blocked"]
    assert [each.code for each in events] == ["webhook.blocked"]


def test_a_certificate_of_another_name_is_no_success(
    queue: Queue, receiving: Make, certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    server, client = certificates
    receiver = receiving(context=server)
    for name in ("one.example", "two.example"):
        queue.endpoint(receiver, host=name, tls=True)
    queue.add()
    queue.work(ssl_context=client, resolve=resolving(["127.0.0.1"]))
    assert queue.states() == {"done": 1, "due": 1}
    assert len(receiver.requests) == 1


def test_after_ten_attempts_a_message_has_failed_and_that_is_told(queue: Queue, receiving: Make) -> None:
    receiver = receiving(answering("503 No"))
    queue.endpoint(receiver)
    message = queue.add()
    told: list[Event] = []
    for seconds in (*accumulate(SCHEDULE), 5 * DAY, 6 * DAY):
        told += queue.work(ahead=1.21 * seconds + 1)
    assert len(receiver.requests) == 10
    assert queue.states() == {"failed": 1}
    [exhausted] = [each for each in told if each.code == "webhook.exhausted"]
    assert message in exhausted.reason


def test_an_endpoint_is_disabled_after_five_days_without_success(queue: Queue, receiving: Make) -> None:
    receiver = receiving(answering("503 No"))
    issued = queue.endpoint(receiver)
    queue.add()
    queue.work()
    queue.add()
    told = queue.work(ahead=5 * 86_400 + 60)
    assert [each.code for each in told] == ["webhook.endpoint_disabled"]
    assert queue.outbox.endpoints.get(issued.endpoint.id).disabled_reason
    sent = len(receiver.requests)
    queue.work(ahead=6 * 86_400)
    assert len(receiver.requests) == sent


def test_a_clock_that_is_wrong_is_told_once(queue: Queue, receiving: Make) -> None:
    receiver = receiving(OK)  # whose Date is years ago
    queue.endpoint(receiver)
    for _ in range(3):
        queue.add()
    told = queue.work()
    assert [each.code for each in told] == ["webhook.clock"]
    assert "ahead of" in told[0].reason


def test_what_is_allowed_no_more_is_not_sent(queue: Queue, receiving: Make) -> None:
    receiver = receiving()
    queue.endpoint(receiver)
    queue.add()
    queue.outbox.targets = Targets()
    told = queue.work()
    assert queue.states() == {"failed": 1}
    assert receiver.connections == 0
    assert {each.code for each in told} == {"webhook.unsendable", "webhook.blocked"}


# Who waits for whom


def test_an_endpoint_that_hangs_keeps_nobody_waiting(backend: str, queue: Queue, receiving: Make) -> None:
    """200 messages to 20 endpoints: the one that hangs answers when all others have theirs, and never before."""
    others = threading.Event()

    def wait(connection: Any) -> None:
        others.wait(30)
        connection.sendall(CLOSING)

    dead, well = receiving(wait), [receiving(CLOSING) for _ in range(19)]
    for each in (dead, *well):
        queue.endpoint(each)
    for _ in range(10):
        queue.add()

    async def run() -> None:
        async with queue.worker():
            await until(lambda: sum(len(each.requests) for each in well) == 190)
            assert queue.states()["due"] >= 10
            others.set()

    anyio.run(run, backend=backend)
    assert {len(set(map(id_of, each.requests))) for each in well} == {10}
    assert {len(each.requests) for each in well} == {10}
    assert 1 <= len(dead.requests) <= 4


def test_a_worker_that_has_just_begun_knows_which_endpoints_hang(queue: Queue, receiving: Make) -> None:
    ended = threading.Event()
    bad, good = [receiving(lambda _connection: ended.wait(30)) for _ in range(4)], receiving()
    for each in bad:
        queue.endpoint(each)
    queue.add()
    claimed = queue.outbox.claim("one", 10, now=time.time())
    for one in claimed:
        queue.outbox.finish(one, Attempt(None, "timeout"), Next.retry(time.time()), now=time.time())
    queue.endpoint(good)
    queue.add()

    async def run() -> None:
        async with queue.worker(most=4):
            await until(lambda: len(good.requests) == 1)
            assert sum(len(each.requests) for each in bad) == 1
            ended.set()

    anyio.run(run)


async def until(holds: Callable[[], bool]) -> None:
    with anyio.fail_after(60):
        while not holds():  # noqa: ASYNC110 - other threads make it so
            await anyio.sleep(0.01)


def id_of(request: bytes) -> str:
    return split(request)[0]["webhook-id"]


def test_an_endpoint_has_four_messages_under_way_at_most(queue: Queue, receiving: Make) -> None:
    lock, now, most = threading.Lock(), Counter[str](), Counter[str]()

    def slow(connection: Any) -> None:
        with lock:
            now["all"] += 1
            most["all"] = max(most["all"], now["all"])
        time.sleep(0.05)
        with lock:
            now["all"] -= 1
        connection.sendall(CLOSING)

    receiver = receiving(slow)
    queue.endpoint(receiver)
    for _ in range(12):
        queue.add()
    queue.work()
    assert (queue.states(), most["all"]) == ({"done": 12}, 4)


@pytest.mark.parametrize("workers", [2, 4])
def test_several_workers_send_nothing_twice(queue: Queue, receiving: Make, workers: int) -> None:
    receivers = [receiving(CLOSING) for _ in range(3)]
    for each in receivers:
        queue.endpoint(each)
    for _ in range(30):
        queue.add()

    async def run() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(workers):
                group.start_soon(partial(queue.worker().run, once=True))

    anyio.run(run)
    assert queue.states() == {"done": 90}
    assert [len(each.requests) for each in receivers] == [30] * 3
    assert [len(set(map(id_of, each.requests))) for each in receivers] == [30] * 3
