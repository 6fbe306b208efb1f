"""Webhooks: what feeds the parsers of signed messages and of the places that messages are sent to."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio

from keystile import ConfigurationError, Gate, asgi, wsgi
from keystile.model import Request
from keystile.policy.matches import parse_match
from keystile.rules.messages import check_types, payload_of, wants
from keystile.webhooks import InvalidSignature, Receiver, Scheme, Secret, Targets, sign, verify
from keystile.webhooks.outbox.registering import check_scheme, check_secret, check_url, types_text
from keystile.webhooks.receiving.paths import Paths
from keystile.webhooks.sending import check_fields
from tests.doors import asgi_scope, wsgi_environ

PATH, NOW = "/hooks/a", 1_800_000_000
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUBLIC = "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
TEXT = "a secret of more than 16 bytes"
SCHEMES = {
    "standard": (Scheme.standard(), [Secret(WHSEC), Secret(WHSEC)], ("webhook-id", "webhook-timestamp")),
    "hex": (Scheme.hex_body("X-S"), [Secret(TEXT)], ("x-s",)),
    "time": (Scheme.timestamped("X-S"), [Secret(TEXT)], ("x-s",)),
}
MOMENT = datetime.fromtimestamp(NOW, UTC)
PATHS = Paths([parse_match(f"/hooks/{name}") for name in "abcdefgh"])
GATE = Gate(clock=lambda: float(NOW))
GATE.on_event(lambda event: None)
RECEIVERS = [Receiver(PATH, secrets=[WHSEC, WHSEC]), Receiver("/hooks/b", secrets=[WHSEC])]


def verifying(name: str) -> Callable[[bytes], object]:
    """Headers that are nothing else, headers that begin well, and a body that nobody signed."""
    scheme, secrets, names = SCHEMES[name]
    good = sign(scheme, secrets[:1], b"", id="a", now=NOW)

    def read(sent: bytes) -> None:
        value = sent.decode("latin-1")
        for headers in (
            [*((each, value) for each in (*names, "webhook-signature"))],
            [*good[:-1], (good[-1][0], good[-1][1] + value)],
            [*good[:-1], (good[-1][0], value[:4096])],
            good,
        ):
            with suppress(InvalidSignature):
                verify(scheme, secrets, headers, sent, now=NOW)

    return read


def verify_many(sent: bytes) -> None:
    """As many signatures as one message may carry, of the kind that costs most."""
    line = " ".join([f"v1a,{base64.b64encode(bytes(64)).decode()}"] * 16)
    headers = [("webhook-id", "a"), ("webhook-timestamp", str(NOW)), ("webhook-signature", line)]
    with suppress(InvalidSignature):
        verify(Scheme.standard(), [Secret(PUBLIC)], headers, sent, now=NOW)


def find_path(sent: str) -> None:
    for path in (sent, PATH + sent, f"/{sent}/a"):
        PATHS.find(Request("POST", path, b"", (), None))


def read_target(sent: str) -> None:
    targets = Targets()
    targets.permits(sent)
    for url in (sent, f"https://{sent}", f"https://a.example/{sent}"):
        with suppress(ConfigurationError):
            targets.read(url)


def read_fields(sent: str) -> None:
    for given in ({sent: "x"}, {"X-A": sent}, {f"X-{at}": sent[at:] for at in range(20)}):
        with suppress(ConfigurationError):
            check_fields(given)


def read_types(sent: str) -> None:
    for given in (sent, [sent], sent.split(","), [sent[:100]] * 100):
        with suppress(ConfigurationError):
            wants(check_types(given), sent)


def make_payload(sent: str) -> None:
    listed = sent.split(",")
    for data in ({"a": sent}, {sent: 1}, {"a": listed}, dict.fromkeys(listed, 1.5)):
        with suppress(ConfigurationError):
            payload_of("a.b", data, MOMENT, 20_000)


def read_endpoint(sent: str) -> None:
    for check in (check_url, check_scheme, types_text, partial(check_secret, Scheme.standard())):
        with suppress(ConfigurationError):
            check(sent)


def message(sent: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """A message whose body is these octets, with a right signature of something else."""
    return sign(Scheme.standard(), [Secret(WHSEC)], b"", id="a", now=NOW), sent


async def _asgi_app(_scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def _wsgi_app(environ: Any, start_response: Any) -> list[bytes]:
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [b""]


ASGI = asgi.WebhookMiddleware(_asgi_app, RECEIVERS, gate=GATE, ids="memory://")
WSGI = wsgi.WebhookMiddleware(_wsgi_app, RECEIVERS, gate=GATE, ids="memory://")


def through_wsgi(sent: bytes) -> Callable[[], object]:
    """Three requests: an odd path, odd headers, a long body."""
    headers, body = message(sent)
    odd = sent.decode("latin-1")

    def call() -> None:
        for path, fields in ((f"/hooks/{odd}", []), (PATH, [(name, odd) for name, _ in headers]), (PATH, headers)):
            environ = wsgi_environ("POST", PATH, fields, "10.0.0.1") | {"PATH_INFO": path}
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
            WSGI(environ, lambda status, fields, exc_info=None: lambda data: None)

    return call


def through_asgi(sent: bytes) -> Callable[[], object]:
    """The same, and a body that comes in small pieces."""
    headers, body = message(sent)
    odd = sent.decode("latin-1")
    size = max(len(body) // 100, 1)

    async def send(_message: Any) -> None:
        """Nobody looks at the answer."""

    async def all_of_them() -> None:
        for path, fields in ((f"/hooks/{odd}", []), (PATH, [(name, odd) for name, _ in headers]), (PATH, headers)):
            pieces = [body[at : at + size] for at in range(0, len(body), size)] or [b""]

            async def receive(pieces: list[bytes] = pieces) -> Any:
                return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

            await ASGI(asgi_scope("POST", PATH, fields, "10.0.0.1") | {"path": path}, receive, send)

    return lambda: anyio.run(all_of_them)


_DOORS = "a part of a door: through_asgi and through_wsgi send whole requests through it"
_SETTING = "takes settings, when something is built"
_BOUNDED = "takes what was found short or well-formed before"
_STORED = "takes what keystile itself has stored or made"
_SHORT_ID = "looks an id up in a database, and it has at most 200 characters"
_TYPED = "takes what somebody typed who runs this service"

NOT_FED = {
    "webhooks.ed25519.PrivateKey.sign": "signs what this service sends",
    "webhooks.ed25519.PrivateKey.verifies": "see PublicKey.verifies",
    "webhooks.ed25519.PublicKey.sign": "signs nothing",
    "webhooks.outbox.history.check_page_of": _BOUNDED,
    "webhooks.outbox.history.check_since": "takes a moment",
    "webhooks.outbox.history.of": "one look at two ids; see EndpointOperations",
    "webhooks.outbox.outbox.Outbox.of": _SETTING,
    "webhooks.outbox.registering.end": _SHORT_ID,
    "webhooks.outbox.registering.living": _SHORT_ID,
    "webhooks.outbox.registering.was_ended": _SHORT_ID,
    "webhooks.receiving.ids.IdStore.begin": "a protocol",
    "webhooks.receiving.ids.IdStore.end": "a protocol",
    "webhooks.receiving.memory.MemoryIds.begin": _BOUNDED,
    "webhooks.receiving.memory.MemoryIds.end": _BOUNDED,
    "webhooks.receiving.opening.open_ids": _SETTING,
    "webhooks.receiving.order.Receiving.refused": _BOUNDED,
    "webhooks.schemes.Scheme.hex_body": _SETTING,
    "webhooks.schemes.Scheme.timestamped": _SETTING,
    "webhooks.schemes.Scheme.write": "signs what this service sends",
    "webhooks.secrets.HmacKey.sign": "see HmacKey.verifies",
    "webhooks.secrets.Key.sign": "a protocol",
    "webhooks.secrets.Key.verifies": "a protocol",
    "webhooks.sending.attempt.Sender.send": "tests/test_webhook_sending.py has servers that answer with too much",
    "webhooks.sending.attempt.send": "see Sender.send",
    "webhooks.sending.network.Guarded.connect_tcp": "takes what Targets.read gave, and addresses of the resolver",
    "webhooks.sending.network.Guarded.connect_unix_socket": "connects to nothing",
    "webhooks.sending.network.resolve": "takes what Targets.read gave",
    "webhooks.signing.sign": "signs what this service sends",
}
NO_STRANGERS = {
    "policy.webhooks": _SETTING,
    "webhooks": "only names what others hold",
    "cli.dashboard.command": _TYPED,
    "cli.webhooks.deliveries": _TYPED,
    "cli.webhooks.endpoints": _TYPED,
    "cli.webhooks.group": _TYPED,
    "cli.webhooks.opening": _TYPED,
    "cli.webhooks.shown": _STORED,
    "cli.webhooks.work": _TYPED,
    "rules.deliveries": "takes numbers and a word of ours: sending.attempt has read the answer",
    "stores.sql.sqlite": "talks to a file",
    "webhooks.outbox.adding": _BOUNDED,
    "webhooks.outbox.claiming": _STORED,
    "webhooks.outbox.database": _SETTING,
    "webhooks.outbox.records": _STORED,
    "webhooks.outbox.rows": _STORED,
    "webhooks.outbox.sealing": _BOUNDED,
    "webhooks.outbox.stamps": _STORED,
    "webhooks.receiving": "only says what is in it",
    "webhooks.receiving.sqlite": _STORED,
    "webhooks.sending": "only names what others hold",
    "webhooks.working": "only says what is in it",
    "webhooks.working.delivering": _STORED,
    "webhooks.working.ledger": _STORED,
    "webhooks.working.own": _STORED,
    "webhooks.working.places": _STORED,
    "webhooks.working.pump": _SETTING,
    "webhooks.working.shift": _SETTING,
    "webhooks.working.telling": _STORED,
    "webhooks.working.worker": _SETTING,
}
