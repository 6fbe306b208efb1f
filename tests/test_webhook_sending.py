"""One attempt to deliver, over real sockets: what it reaches, what it never reaches, and what it bears."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest

from keystile import ConfigurationError
from keystile.rules.waits import MOST_SECONDS
from keystile.webhooks import Scheme, Secret, Targets, sign, verify
from keystile.webhooks.sending import Attempt, Sender, network, send
from tests.receivers import CLOSING, LOOPBACK, OK, Answer, Receiver, certificates, drips, hangs, receiving, resolving

__all__ = ["certificates", "receiving"]

BODY = b'{"type": "key.revoked"}'
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def attempts(
    backend: str,
    *urls: str,
    targets: Targets | None = None,
    port: int = 443,
    headers: list[tuple[str, str]] | None = None,
    body: bytes = BODY,
    **settings: Any,
) -> list[Attempt]:
    """Send to each of these, one after the other."""
    permitted = targets or Targets(allow_networks=LOOPBACK, allow_ports=[port], allow_http=True)

    async def run() -> list[Attempt]:
        async with Sender(permitted, **settings) as sender:
            return [await sender.send(url, body, headers or []) for url in urls]

    return anyio.run(run, backend=backend)


def test_what_is_signed_arrives_and_verifies(backend: str, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    headers = sign(Scheme.standard(), [Secret(WHSEC)], BODY, id="msg_1", now=1_800_000_000)
    [attempt] = attempts(
        backend,
        f"http://127.0.0.1:{receiver.port}/hooks?a=b",
        port=receiver.port,
        headers=[*headers, ("X-Tenant", "t")],
    )
    assert attempt.delivered
    assert (attempt.status, attempt.error, attempt.shown, attempt.retry_after) == (200, None, "ok", None)
    assert attempt.clock == 1_445_412_480
    head, _, body = receiver.requests[0].partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    assert (start, body) == ("POST /hooks?a=b HTTP/1.1", BODY)
    fields = [(line.partition(": ")[0], line.partition(": ")[2]) for line in lines]
    assert dict(fields)["Host"] == f"127.0.0.1:{receiver.port}"
    assert dict(fields)["User-Agent"] == "keystile-webhooks"
    assert dict(fields)["X-Tenant"] == "t"
    assert len({name.lower() for name, _ in fields}) == len(fields)
    assert verify(Scheme.standard(), [Secret(WHSEC)], fields, body, now=1_800_000_000).id == "msg_1"


@pytest.mark.parametrize(
    ("addresses", "error"),
    [
        (["127.0.0.1"], "blocked"),
        (["8.8.8.8", "127.0.0.1"], "blocked"),
        (["10.0.0.1", "8.8.8.8"], "blocked"),
        (["169.254.169.254"], "blocked"),
        (["::1"], "blocked"),
        (["::ffff:127.0.0.1"], "blocked"),
        (["fe80::1%lo"], "blocked"),
        (["localhost"], "blocked"),
        ([], "unresolved"),
    ],
)
def test_a_name_that_leads_inside_is_blocked(backend: str, addresses: list[str], error: str) -> None:
    [attempt] = attempts(backend, "https://evil.example/", targets=Targets(), resolve=resolving(addresses))
    assert (attempt.status, attempt.error, attempt.delivered) == (None, error, False)


@pytest.mark.parametrize("text", ["0x7f.1", "2130706433", "127.1", "0177.0.0.1"])
def test_what_the_systems_resolver_takes_for_loopback_is_blocked(backend: str, text: str) -> None:
    async def connect() -> None:
        with pytest.raises(network.Blocked):
            await network.Guarded(Targets()).connect_tcp(text, 443)
        with pytest.raises(network.Blocked):
            await network.Guarded(Targets()).connect_unix_socket("/run/docker.sock")

    anyio.run(connect, backend=backend)


def test_a_name_that_leads_elsewhere_a_moment_later_leads_nowhere(
    backend: str, receiving: Callable[..., Receiver]
) -> None:
    """Rebinding: what was judged is what is connected to, and each connection is judged anew."""
    receiver = receiving(CLOSING)
    url = f"http://evil.example:{receiver.port}/"
    resolve = resolving(["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1", "169.254.169.254"])
    found = attempts(backend, url, url, url, port=receiver.port, resolve=resolve)
    assert [each.error for each in found] == [None, "blocked", "blocked"]
    assert receiver.connections == 1


def test_a_redirect_is_told_and_not_followed(backend: str, receiving: Callable[..., Receiver]) -> None:
    inner = receiving()
    places = [f"http://127.0.0.1:{inner.port}/", "http://169.254.169.254/latest/meta-data", "//x", "\\\\x"]
    for place in places:
        answer = f"HTTP/1.1 307 Go\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n".encode()
        outer = receiving(answer)
        [attempt] = attempts(backend, f"http://127.0.0.1:{outer.port}/", port=outer.port)
        assert (attempt.status, attempt.delivered, attempt.error) == (307, False, None)
    assert inner.connections == 0


def test_no_proxy_of_the_environment_is_asked(
    backend: str, receiving: Callable[..., Receiver], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    proxy, receiver = receiving(), receiving()
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{proxy.port}")
    (tmp_path / ".netrc").write_text("default login user password hunter2\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    [attempt] = attempts(backend, f"http://127.0.0.1:{receiver.port}/", port=receiver.port)
    assert attempt.delivered
    assert proxy.connections == 0
    assert b"uthorization" not in receiver.requests[0]


@pytest.mark.parametrize(
    ("status", "more", "delivered", "after"),
    [
        ("204 No Content", "", True, None),
        ("299 Odd", "", True, None),
        ("301 Moved", "Location: /x\r\n", False, None),
        ("410 Gone", "", False, None),
        ("429 Slow", "Retry-After: 120\r\n", False, 120),
        ("429 Slow", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", False, 0),
        ("503 Later", "Retry-After: soon\r\n", False, None),
        ("503 Later", "Retry-After: -5\r\n", False, None),
        ("503 Later", "Retry-After: 9999999999999999\r\n", False, MOST_SECONDS),
        ("500 Broken", "", False, None),
    ],
)
def test_only_2xx_has_arrived(
    receiving: Callable[..., Receiver], status: str, more: str, delivered: bool, after: int | None
) -> None:
    receiver = receiving(f"HTTP/1.1 {status}\r\n{more}Content-Length: 0\r\n\r\n".encode())
    [attempt] = attempts("asyncio", f"http://127.0.0.1:{receiver.port}/", port=receiver.port)
    assert (attempt.status, attempt.delivered, attempt.retry_after) == (int(status[:3]), delivered, after)


@pytest.fixture
def far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "XXX-9")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("far_from_greenwich")
def test_a_date_that_names_no_zone_is_of_greenwich(receiving: Callable[..., Receiver]) -> None:
    receiver = receiving(b"HTTP/1.1 200 OK\r\nDate: Wed Oct 21 07:28:00 2015\r\nContent-Length: 0\r\n\r\n")
    [attempt] = attempts("asyncio", f"http://127.0.0.1:{receiver.port}/", port=receiver.port)
    assert attempt.clock == 1_445_412_480


def floods(first: bytes, chunk: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.sendall(first)
            while True:
                connection.sendall(chunk)

    return answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (hangs, "timeout"),
        (drips(), "timeout"),
        (drips(b"HTTP/1.1 200 OK\r\nX: "), "timeout"),
        (floods(b"", b"HTTP/1.1 103 Hint\r\n\r\n"), "timeout"),
        (floods(b"HTTP/1.1 200 OK\r\n", b"X: " + b"y" * 1000 + b"\r\n"), "broken"),
        (floods(b"", b"z" * 1000), "broken"),
        (b"SSH-2.0-OpenSSH\r\nConnection: close\r\n\r\n", "broken"),
        (lambda connection: connection.close(), "broken"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\nConnection: close\r\n\r\n", "broken"),
    ],
)
def test_whoever_hangs_drips_or_floods_is_left(
    backend: str, receiving: Callable[..., Receiver], answer: Any, error: str
) -> None:
    receiver = receiving(answer)
    [attempt] = attempts(backend, f"http://127.0.0.1:{receiver.port}/", port=receiver.port, seconds=0.4)
    assert (attempt.status, attempt.error) == (None, error)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        (drips(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nabc"), False),
        (floods(b"HTTP/1.1 200 OK\r\n\r\n", b"abc" * 10_000), True),
        (floods(CHUNKED, b"1000\r\n" + b"abcd" * 1024 + b"\r\n"), True),
        (CHUNKED + b"3\r\nabc\r\nzz\r\nConnection: close", False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc", False),
    ],
    ids=["drips", "endless", "endless chunks", "broken chunks", "short"],
)
def test_once_the_head_has_come_the_body_changes_nothing(
    backend: str, receiving: Callable[..., Receiver], answer: Any, read: bool
) -> None:
    """An endless body is read up to the bound, and not until the time is over: then nothing of it would be kept."""
    receiver = receiving(answer)
    [attempt] = attempts(
        backend, f"http://127.0.0.1:{receiver.port}/", port=receiver.port, seconds=20.0 if read else 1.5
    )
    assert attempt.delivered
    assert len(attempt.shown) == (1024 if read else 0)


def test_what_is_kept_of_an_answer_is_short_and_printable(receiving: Callable[..., Receiver]) -> None:
    for sent in ("<é>\x1b[2J".encode() * 1000, gzip.compress(b"a" * 100_000)):
        receiver = receiving(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(sent) + sent
        )
        [attempt] = attempts("asyncio", f"http://127.0.0.1:{receiver.port}/", port=receiver.port)
        assert len(attempt.shown) == min(1024, len(sent))
        assert attempt.shown.replace("\n", "").isprintable()
        assert attempt.shown.isascii()


def test_a_connection_serves_again_and_one_that_was_closed_is_made_anew(
    backend: str, receiving: Callable[..., Receiver]
) -> None:
    for answer, connections in ((OK, 1), (CLOSING, 3)):
        receiver = receiving(answer)
        url = f"http://127.0.0.1:{receiver.port}/"
        assert [each.status for each in attempts(backend, url, url, url, port=receiver.port)] == [200] * 3
        assert receiver.connections == connections


def test_nobody_listens(backend: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    [attempt] = attempts(backend, f"http://127.0.0.1:{port}/", port=port)
    assert (attempt.status, attempt.error) == (None, "unreachable")


def test_the_next_address_is_tried(backend: str, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    url, resolve = f"http://two.example:{receiver.port}/", resolving(["127.0.0.2", "127.0.0.1"])
    [attempt] = attempts(backend, url, port=receiver.port, resolve=resolve)
    assert attempt.delivered


async def together(calls: Iterable[Callable[[], Awaitable[str | None]]]) -> list[str | None]:
    found: list[str | None] = []

    async def note(call: Callable[[], Awaitable[str | None]]) -> None:
        found.append(await call())

    async with anyio.create_task_group() as group:
        for each in calls:
            group.start_soon(note, each)
    return found


def test_names_whose_look_up_hangs_are_left_and_keep_no_others_waiting(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "RESOLVE_SECONDS", 0.2)
    waiting, asked, ended = [threading.Event()], list[str](), list[str]()

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        if host.startswith("slow"):
            waiting[-1].wait(30)
            ended.append(host)
        return ["127.0.0.1"]

    async def run() -> None:
        async with Sender(Targets(), resolve=resolve) as sender:

            async def error_of(host: str) -> str | None:
                return (await sender.send(f"https://{host}.example/", BODY, [])).error

            async def errors_of_slow_ones() -> list[str | None]:
                return await together(partial(error_of, f"slow{number}") for number in range(network.SLOTS - 1))

            # As many as there are threads, then the same ones, which are asked no more.
            for _ in range(3):
                assert set(await errors_of_slow_ones()) == {"unresolved"}
            assert len(asked) == network.SLOTS - 1
            assert await error_of("well") == "blocked"
            assert await error_of(f"slow{network.SLOTS}") == "unresolved"
            assert await error_of("well") == "busy"  # it has nothing to do with that name
            waiting.append(threading.Event())
            waiting[0].set()
            while len(ended) < network.SLOTS or await error_of("well") != "blocked":
                pass
            # They are known by now: they hang once more, and it is not kept waiting.
            await errors_of_slow_ones()
            assert await error_of(f"slow{network.SLOTS}") in {"unresolved", "busy"}
            assert await error_of("well") == "blocked"

    try:
        anyio.run(run, backend=backend)
    finally:
        for each in waiting:
            each.set()


def test_messages_that_begin_together_share_the_look_up_of_their_host(
    backend: str, receiving: Callable[..., Receiver]
) -> None:
    receiver, asked, go_on = receiving(CLOSING), list[str](), threading.Event()

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        go_on.wait(30)
        return ["127.0.0.1"]

    async def run() -> list[Attempt]:
        found: list[Attempt] = []
        targets = Targets(allow_networks=LOOPBACK, allow_ports=[receiver.port], allow_http=True)
        async with Sender(targets, resolve=resolve) as sender, anyio.create_task_group() as group:

            async def send() -> None:
                found.append(await sender.send(f"http://one.example:{receiver.port}/", BODY, []))

            for _ in range(4):
                group.start_soon(send)
            await anyio.sleep(0.1)
            go_on.set()
        return found

    assert [each.status for each in anyio.run(run, backend=backend)] == [200] * 4
    assert asked == ["one.example"]


def test_a_resolver_that_fails_is_told(backend: str) -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise socket.gaierror(-2, "Name or service not known")

    [attempt] = attempts(backend, "https://gone.example/", targets=Targets(), resolve=resolve)
    assert attempt.error == "unresolved"
    [attempt] = attempts(backend, "https://gone.invalid/", targets=Targets())
    assert attempt.error == "unresolved"


def test_a_url_that_is_none_is_refused_before_anything_is_looked_up() -> None:
    def resolve(_host: str, _port: int) -> list[str]:
        raise AssertionError

    for url in ("http://example.com/", "https://127.0.0.1/", "https://a@b.example/"):
        with pytest.raises(ConfigurationError, match="url"):
            attempts("asyncio", url, targets=Targets(), resolve=resolve)


def test_one_message_can_be_sent_alone(backend: str, receiving: Callable[..., Receiver]) -> None:
    receiver = receiving()
    targets = Targets(allow_networks=LOOPBACK, allow_ports=[receiver.port], allow_http=True)

    async def run() -> Attempt:
        return await send(f"http://127.0.0.1:{receiver.port}/", BODY, [], targets=targets)

    assert anyio.run(run, backend=backend).delivered


# Names and certificates


def test_tls_proves_the_name_though_the_connection_goes_to_the_address(
    backend: str, receiving: Callable[..., Receiver], certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    """A second name at the same address does not ride on the first one's connection, and is not in the certificate."""
    server, client = certificates
    receiver = receiving(OK, server)
    urls = [f"https://{name}.example:{receiver.port}/" for name in ("one", "two", "one")]
    found = attempts(backend, *urls, port=receiver.port, ssl_context=client, resolve=resolving(["127.0.0.1"]))
    assert [(each.status, each.error) for each in found] == [(200, None), (None, "tls"), (200, None)]
    assert [request.split(b"\r\n")[1] for request in receiver.requests] == [
        f"Host: one.example:{receiver.port}".encode()
    ] * 2


def test_an_authority_that_nobody_trusts_is_told(
    backend: str, receiving: Callable[..., Receiver], certificates: tuple[ssl.SSLContext, ssl.SSLContext]
) -> None:
    receiver = receiving(OK, certificates[0])
    url = f"https://one.example:{receiver.port}/"
    [attempt] = attempts(backend, url, port=receiver.port, resolve=resolving(["127.0.0.1"]))
    assert (attempt.status, attempt.error) == (None, "tls")
    assert receiver.requests == []
