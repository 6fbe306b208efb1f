"""Servers on loopback that receive messages and answer as a test says, and what else a message may meet on its way."""

from __future__ import annotations

import datetime as dt
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nDate: Wed, 21 Oct 2015 07:28:00 GMT\r\n\r\nok"
CLOSING = OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
LOOPBACK = ["127.0.0.0/8"]

Answer = Callable[[socket.socket], object]


class Receiver:
    """A server on loopback that answers with the octets, or does, what the test says; it notes what it got."""

    def __init__(self, answer: bytes | Answer = OK, context: ssl.SSLContext | None = None) -> None:
        self._answer, self._context = answer, context
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.ended = threading.Event()
        self._talking: list[threading.Thread] = []
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()

    def close(self) -> None:
        self.ended.set()
        # The thread that accepts must be gone: of a socket that is closed only, it would accept what is meant for the
        # next one that is given the same number.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._serving.join()
        self._listening.close()

    def settle(self) -> None:
        """Wait until all that was sent so far is noted. Connections are accepted in their order."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as last:
            last.shutdown(socket.SHUT_WR)
            last.recv(1)
        for each in self._talking:
            each.join(20)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._talking.append(threading.Thread(target=self._talk, args=(connection,), daemon=True))
            self._talking[-1].start()

    def _talk(self, connection: socket.socket) -> None:
        with suppress(OSError), closing(connection):
            connection.settimeout(20)
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with closing(connection):
                while request := read_request(connection):
                    self.requests.append(request)
                    if isinstance(self._answer, bytes):
                        connection.sendall(self._answer)
                        if b"Connection: close" in self._answer:
                            return
                    else:
                        self._answer(connection)
                        return


def read_request(connection: socket.socket) -> bytes:
    octets = b""
    while b"\r\n\r\n" not in octets:
        chunk = connection.recv(65536)
        if not chunk:
            return b""
        octets += chunk
    head, _, body = octets.partition(b"\r\n\r\n")
    [length] = [int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
    while len(body) < length:
        if not (chunk := connection.recv(65536)):
            return b""
        body += chunk
    return head + b"\r\n\r\n" + body


@pytest.fixture
def receiving() -> Iterator[Callable[..., Receiver]]:
    made: list[Receiver] = []

    def make(*args: Any, **named: Any) -> Receiver:
        made.append(Receiver(*args, **named))
        return made[-1]

    yield make
    for each in made:
        each.close()


def hangs(connection: socket.socket) -> None:
    connection.recv(1)


def drips(*first: bytes) -> Answer:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"".join(first))
        with suppress(OSError):
            while True:
                connection.sendall(b"x")
                threading.Event().wait(0.02)

    return answer


def resolving(*rounds: list[str]) -> Callable[[str, int], list[str]]:
    """A resolver that answers differently each time, and in the end always as the last time."""
    waiting = list(rounds)

    def resolve(_host: str, _port: int) -> list[str]:
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    return resolve


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server for ``one.example`` shows, and what trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one.example")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("one.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return server, ssl.create_default_context(cafile=os.fspath(folder / "cert.pem"))
