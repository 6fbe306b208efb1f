"""GitHub's reports of published keys, through both doors: who is believed, what is answered, and what happens then."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from keystile import Argon2Hasher, ConfigurationError, Gate, _sync
from keystile.keys.format import crc_check
from keystile.leaks import MOST_BODY, Fetched, Partner, asgi_app, wsgi_app
from keystile.leaks.acting import BATCH
from keystile.leaks.reports import MOST_REPORTS, MOST_TOKEN, read_reports
from keystile.leaks.signatures import FETCH_ANYWAY, FETCH_EVERY, KeysUnavailable, PublicKeys, is_signed, read_keys
from tests.conftest import DOORS, STORES
from tests.doors import Answer, asgi_scope, wsgi_environ

SIGNER, STRANGER = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
# What GitHub's own documentation gives as an example. One of the signature's two integers has 31 octets.
SAMPLE_ID = "bcb53661c06b4728e59d897fb6165d5c9cda0fd9cdf9d09ead458168deb7518c"
SAMPLE_KEY = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEYAGMWO8XgCamYKMJS6jc/qgvSlAd
AjPuDPRcXU22YxgBrz+zoN19MzuRyW87qEt9/AmtoNP5GrobzUvQSyJFVw==
-----END PUBLIC KEY-----
"""
SAMPLE_SIGNATURE = "MEQCIQDaMKqrGnE27S0kgMrEK0eYBmyG0LeZismAEz/BgZyt7AIfXt9fErtRS4XaeSt/AO1RtBY66YcAdjxji410VQV4xg=="
SAMPLE_BODY = (
    b'[{"source":"commit","token":"some_token","type":"some_type","url":"https://example.com/base-repo-url/"}]'
)


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def document(**keys: str) -> bytes:
    listed = [{"key_identifier": name, "key": text, "is_current": True} for name, text in keys.items()]
    return json.dumps({"public_keys": listed}).encode()


def signature(body: bytes, key: ec.EllipticCurvePrivateKey = SIGNER) -> str:
    return base64.b64encode(key.sign(body, ec.ECDSA(hashes.SHA256()))).decode()


def report(token: str, url: str = "https://github.com/a/b", **more: Any) -> dict[str, Any]:
    return {"token": token, "type": "acme_api_key", "url": url, "source": "commit"} | more


class KeyServer:
    """A server that has public keys, with an ETag, and counts who asks.

    Attributes:
        keys: by identifier.
        asked: the ``If-None-Match`` of each request.
        fails: answers with 500.
    """

    def __init__(self) -> None:
        self.keys = {"one": pem(SIGNER)}
        self.asked: list[str | None] = []
        self.fails = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = document(**outer.keys)
                etag = f'"{hashlib.sha256(body).hexdigest()}"'
                outer.asked.append(self.headers["if-none-match"])
                same = self.headers["if-none-match"] == etag
                self.send_response(500 if outer.fails else 304 if same else 200)
                self.send_header("etag", etag)
                self.send_header("content-length", "0" if outer.fails or same else str(len(body)))
                self.end_headers()
                if not outer.fails and not same:
                    self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/meta"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server() -> Iterator[KeyServer]:
    made = KeyServer()
    yield made
    made.close()


class Ends:
    """The endpoint of one gate, through one door."""

    def __init__(self, kind: str, store: Any, **settings: Any) -> None:
        self.kind, self.events = kind, list[Any]()
        given: dict[str, Any] = {"prefix": "acme", "hasher": Argon2Hasher(memory_kib=8, time_cost=1)} | settings
        self.gate = Gate(store, **given)
        self.gate.on_event(self.events.append)

    def open(self, url: str, **settings: Any) -> None:
        make: Any = wsgi_app if self.kind == "wsgi" else asgi_app
        self.app = make(self.gate, keys_url=url, **settings)

    def believe(self, **settings: Any) -> None:
        """Replace the endpoint by one that has the signer's public key."""
        self.open("", fetch=lambda _: Fetched(document(one=pem(SIGNER))), **settings)

    def run(self, function: Callable[..., Any], *args: Any, **named: Any) -> Any:
        async def call() -> Any:
            return await function(*args, **named)

        return anyio.run(call, backend="trio" if self.kind == "trio" else "asyncio")

    def create(self, **settings: Any) -> Any:
        return self.run(self.gate.keys.acreate, "leaked", **settings)

    def is_revoked(self, issued: Any) -> bool:
        return self.run(self.gate.keys.aget, issued.key.id).revoked_at is not None

    def post(
        self, body: bytes, *, signed: str | None = None, by: str = "one", method: str = "POST", leaks: int = 0
    ) -> Answer:
        """Send a body; return when as many keys as that were dealt with."""
        length = ("content-length", str(len(body)))
        headers = [length, ("github-public-key-identifier", by)]
        headers.append(("GitHub-Public-Key-Signature", signature(body) if signed is None else signed))
        return self.send(method, headers, body, leaks)

    def send(self, method: str, headers: list[tuple[str, str]], body: bytes, leaks: int = 0) -> Answer:
        if self.kind == "wsgi":
            answer = self._through_wsgi(method, headers, body)
            self.settle(leaks)
            return answer
        return self.run(self._through_asgi, method, headers, body, leaks)

    def settle(self, leaks: int) -> None:
        while len(self.events) < leaks:
            assert _sync.settled()

    def _through_wsgi(self, method: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
        started: list[Any] = []
        environ = wsgi_environ(method, "/", headers, "10.0.0.1") | {"wsgi.input": io.BytesIO(body)}
        chunks = self.app(environ, lambda status, fields: started.extend((status, fields)))
        return Answer(int(started[0].split()[0]), started[1], b"".join(chunks))

    async def _through_asgi(self, method: str, headers: list[tuple[str, str]], body: bytes, leaks: int) -> Answer:
        sent: list[Any] = []
        chunks = [body[at : at + 100_000] for at in range(0, len(body), 100_000)] or [b""]

        async def receive() -> Any:
            return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(asgi_scope(method, "/", headers, "10.0.0.1"), receive, send)
        while len(self.events) < leaks:  # noqa: ASYNC110 - events come from another thread as well
            await anyio.sleep(0.001)
        fields = [(name.decode(), value.decode()) for name, value in sent[0]["headers"]]
        return Answer(sent[0]["status"], fields, sent[1]["body"])


@pytest.fixture(params=DOORS, ids="-".join)
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ends]:
    kind, store = request.param
    made = Ends(kind, STORES[store](tmp_path))
    made.believe()
    yield made
    if not made.gate.needs_await:
        made.gate.close()


def forged(secret: str) -> str:
    """A text with the same id, another secret, and a right check."""
    body = secret[:-38] + "0" * 32
    return body + crc_check(body.encode())


def test_a_reported_key_is_revoked_and_told_with_its_place(ends: Ends) -> None:
    issued = ends.create()
    answer = ends.post(json.dumps([report(issued.secret)]).encode(), leaks=1)
    assert (answer.status, answer.header("content-type")) == (200, "application/json")
    digest = hashlib.sha256(issued.secret.encode()).hexdigest()
    assert answer.json == [{"token_hash": digest, "token_type": "acme_api_key", "label": "true_positive"}]
    [event] = ends.events
    assert (event.code, event.key_id) == ("key_leaked", issued.key.id)
    assert event.reason == "revoked; found in: commit https://github.com/a/b"
    assert ends.is_revoked(issued)


def test_what_only_looks_like_somebodys_key_harms_nobody(ends: Ends) -> None:
    issued, real = ends.create(), ends.create()
    tokens = [forged(issued.secret), issued.secret[:-1] + "_", "some_token", real.secret]
    answer = ends.post(json.dumps([report(token) for token in tokens]).encode(), leaks=1)
    labels = [each["label"] for each in answer.json]
    assert labels == ["true_positive", "false_positive", "false_positive", "true_positive"]
    assert [event.key_id for event in ends.events] == [real.key.id]
    assert not ends.is_revoked(issued)
    assert ends.is_revoked(real)


@pytest.mark.parametrize(
    ("on_leak", "environment", "ends_it"),
    [
        (None, "production", True),
        (None, "staging", True),
        (None, "development", False),
        ("notify", "production", False),
        ("revoke", "development", True),
    ],
)
def test_the_policy_says_what_becomes_of_a_key(ends: Ends, on_leak: Any, environment: str, ends_it: bool) -> None:
    ends.believe(on_leak=on_leak)
    issued = ends.create(environment=environment)
    ends.post(json.dumps([report(issued.secret)]).encode(), leaks=1)
    assert ends.is_revoked(issued) is ends_it
    assert ends.events[0].reason.startswith("revoked;" if ends_it else "still valid;")


def test_a_key_is_dealt_with_once_a_report_and_is_told_again_when_it_is_dead(ends: Ends) -> None:
    issued = ends.create()
    body = json.dumps([report(issued.secret, url=f"https://github.com/{number}") for number in range(9)]).encode()
    ends.post(body, leaks=1)
    ends.post(body, leaks=2)
    assert [event.reason for event in ends.events] == [
        "revoked; found in: commit https://github.com/0",
        "it was revoked before; found in: commit https://github.com/0",
    ]


def test_many_keys_are_dealt_with_in_batches(ends: Ends) -> None:
    issued = [ends.create() for _ in range(2 * BATCH + 1)]
    answer = ends.post(json.dumps([report(each.secret) for each in issued]).encode(), leaks=len(issued))
    assert len(answer.json) == len(issued)
    assert {event.key_id for event in ends.events} == {each.key.id for each in issued}
    assert all(map(ends.is_revoked, issued))


@pytest.mark.parametrize(
    ("signed", "by", "status", "code"),
    [
        (None, "two", 403, "invalid_signature"),
        ("MEQ=", "one", 403, "invalid_signature"),
        ("not base64", "one", 403, "invalid_signature"),
        ("", "one", 400, "invalid_request"),
        (None, "", 400, "invalid_request"),
        ("A" * 201, "one", 400, "invalid_request"),
        (None, "x" * 201, 400, "invalid_request"),
    ],
)
def test_what_github_did_not_sign_is_refused(ends: Ends, signed: str | None, by: str, status: int, code: str) -> None:
    issued = ends.create()
    answer = ends.post(json.dumps([report(issued.secret)]).encode(), signed=signed, by=by)
    assert (answer.status, answer.code) == (status, code)
    assert _sync.settled()
    assert not ends.is_revoked(issued)


def test_a_signature_of_somebody_else_or_of_another_body_is_refused(ends: Ends) -> None:
    body = json.dumps([report("x")]).encode()
    assert ends.post(body, signed=signature(body, STRANGER)).code == "invalid_signature"
    assert ends.post(body + b" ", signed=signature(body)).code == "invalid_signature"
    assert ends.post(body).status == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[1]",
        b"[{}]",
        b'[{"token": 5}]',
        b'[{"token": ""}]',
        json.dumps([report("x" * (MOST_TOKEN + 1))]).encode(),
        b"[" * 100_000,
        b"\xff",
        json.dumps([{"token": "x"}] * (MOST_REPORTS + 1)).encode(),
    ],
)
def test_a_signed_body_that_is_no_list_of_reports_is_told_so(ends: Ends, body: bytes) -> None:
    answer = ends.post(body)
    assert (answer.status, answer.code) == (400, "invalid_request")


def test_a_body_has_a_bound(ends: Ends) -> None:
    for body in (b"x" * (MOST_BODY + 1), b"x" * (MOST_BODY + 200_000)):
        assert ends.post(body, signed="MEQ=").code == "body_too_large"
    most = b"x" * MOST_BODY
    assert ends.post(most, signed="MEQ=").code == "invalid_signature"


def test_a_body_that_is_longer_than_it_says_is_cut_off(ends: Ends) -> None:
    named = [("github-public-key-identifier", "one"), ("github-public-key-signature", "MEQ=")]
    for headers in (named, [*named, ("content-length", "5")]):
        assert ends.send("POST", headers, b"x" * (2 * MOST_BODY)).status in (403, 413)
    assert ends.send("POST", [*named, ("content-length", "many")], b"x").status == 413


def test_only_post_is_answered(ends: Ends) -> None:
    answer = ends.post(b"[]", method="GET")
    assert (answer.status, answer.header("allow")) == (405, "POST")


def test_public_keys_are_fetched_once_and_with_the_etag(ends: Ends, server: KeyServer) -> None:
    ends.open(server.url)
    assert server.asked == []
    for _ in range(3):
        assert ends.post(b"[]").status == 200
    for number in range(5):  # a stranger who names keys that do not exist
        assert ends.post(b"[]", by=f"unknown {number}").code == "invalid_signature"
    assert server.asked == [None]


def test_where_the_keys_cannot_be_fetched_github_is_asked_to_come_again(ends: Ends, server: KeyServer) -> None:
    ends.open(server.url)
    server.fails = True
    for _ in range(3):
        answer = ends.post(b"[]")
        assert (answer.status, answer.code, answer.header("retry-after")) == (503, "unavailable", "60")
    assert len(server.asked) == 1


# The rules, without a door.


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def found(keys: PublicKeys, identifier: str) -> bool:
    return _sync.run_now(keys.find(identifier, _sync.inline)) is not None


def test_public_keys_are_fetched_again_for_a_new_one_and_at_most_once_a_minute(server: KeyServer) -> None:
    from keystile.leaks.signatures import fetch_from

    clock = Clock()
    keys = PublicKeys(fetch_from(server.url), clock)
    assert found(keys, "one")
    server.keys["two"] = pem(STRANGER)
    clock.now = FETCH_EVERY - 0.001
    assert not found(keys, "two")
    clock.now = FETCH_EVERY
    assert found(keys, "two")
    clock.now *= 2
    assert not found(keys, "three")
    assert len(server.asked) == 3
    assert server.asked[0] is None
    assert server.asked[1] != server.asked[2]


def test_a_key_that_was_withdrawn_is_forgotten_within_a_day(server: KeyServer) -> None:
    from keystile.leaks.signatures import fetch_from

    clock = Clock()
    keys = PublicKeys(fetch_from(server.url), clock)
    assert found(keys, "one")
    server.keys = {"two": pem(STRANGER)}
    clock.now = FETCH_ANYWAY - 0.001
    assert found(keys, "one")
    clock.now = FETCH_ANYWAY
    assert not found(keys, "one")


def test_known_keys_outlast_an_outage_and_unknown_ones_are_nobodys_fault() -> None:
    answers: list[Any] = [Fetched(document(one=pem(SIGNER)), "etag"), OSError("no route"), Fetched(b"nonsense")]

    def fetch(etag: str | None) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    clock = Clock()
    keys = PublicKeys(fetch, clock)
    for day in range(3):
        clock.now = day * FETCH_ANYWAY
        assert found(keys, "one")
        if day:
            with pytest.raises(KeysUnavailable):
                found(keys, "two")
    assert answers == []


def test_reports_that_come_at_once_wait_for_one_fetch() -> None:
    asked, fetching, goes_on = list[Any](), threading.Event(), threading.Event()

    def fetch(etag: str | None) -> Fetched:
        asked.append(etag)
        fetching.set()
        assert goes_on.wait(30)
        return Fetched(document(one=pem(SIGNER)))

    keys, results = PublicKeys(fetch), list[bool]()
    threads = [threading.Thread(target=lambda: results.append(found(keys, "one"))) for _ in range(8)]
    threads[0].start()
    assert fetching.wait(30)
    for thread in threads[1:]:
        thread.start()
    goes_on.set()
    for thread in threads:
        thread.join()
    assert results == [True] * 8
    assert asked == [None]


def test_githubs_own_example_is_believed() -> None:
    key = read_keys(document(**{SAMPLE_ID: SAMPLE_KEY}))[SAMPLE_ID]
    assert base64.b64decode(SAMPLE_SIGNATURE)[38] == 31
    assert is_signed(key, SAMPLE_SIGNATURE, SAMPLE_BODY)
    assert not is_signed(key, SAMPLE_SIGNATURE, SAMPLE_BODY + b"\n")
    assert [each.token for each in read_reports(SAMPLE_BODY)] == ["some_token"]


@pytest.mark.parametrize(
    "key",
    [pem(ec.generate_private_key(ec.SECP384R1())), pem(ed25519.Ed25519PrivateKey.generate()), "nonsense", ""],
)
def test_a_key_that_is_not_on_p256_is_left_out(key: str) -> None:
    assert list(read_keys(document(bad=key, good=pem(SIGNER)))) == ["good"]


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"public_keys": {}}', b"[" * 100_000, b"x" * 2_000_000, b"\xff"])
def test_a_document_without_keys_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"document|list|value|byte|column|decode"):
        read_keys(body)


@given(st.text(max_size=300), st.binary(max_size=100))
def test_no_signature_makes_it_raise(text: str, body: bytes) -> None:
    key = SIGNER.public_key()
    assert not is_signed(key, text, body)
    assert not is_signed(key, base64.b64encode(body).decode(), body)


@given(st.binary(max_size=300))
def test_no_body_makes_the_reader_raise_anything_else(body: bytes) -> None:
    try:
        reports = read_reports(body)
    except ValueError as error:
        assert str(error).startswith("expected")  # noqa: PT017 - most bodies are refused, and some are not
    else:
        assert isinstance(reports, tuple)


def test_an_event_repeats_no_key_that_stands_in_a_url() -> None:
    ends = Ends("wsgi", "memory://")
    ends.believe()
    issued, other = ends.create(), ends.create()
    ends.post(json.dumps([report(issued.secret, url=f"https://x/{issued.secret}/{other.secret}")]).encode(), leaks=1)
    assert issued.secret[-20:] not in ends.events[0].reason
    assert other.secret[-20:] not in ends.events[0].reason


def test_what_could_not_be_looked_up_is_told_and_not_lost_in_silence() -> None:
    ends = Ends("wsgi", "memory://")
    ends.believe()
    issued = ends.create()

    def fail(_key_id: str) -> Any:
        raise ConfigurationError("down")

    ends.gate._shop.store.find = fail  # type: ignore[method-assign,assignment]
    ends.gate.keys._store_find = _sync.adapt(fail, ends.gate._shop.store_pool, blocking=False, patience=0)
    ends.post(json.dumps([report(issued.secret)]).encode(), leaks=1)
    assert [(event.code, event.reason[:1]) for event in ends.events] == [("leaks_unhandled", "1")]


@pytest.mark.parametrize(
    ("settings", "given", "key"),
    [
        ({}, {"on_leak": "delete"}, "on_leak"),
        ({"key_format": "opaque", "peppers": ["x" * 16], "prefix": None, "hasher": "argon2id"}, {}, "prefix"),
    ],
)
def test_what_cannot_work_is_refused_at_start(settings: dict[str, Any], given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Partner(Gate(**settings), **given)
    assert caught.value.key == key


@pytest.mark.parametrize(("module", "given"), [("cryptography", {"fetch": lambda _: None}), ("httpx2", {})])
def test_a_missing_library_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, module: str, given: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigurationError, match=r"keystile\[leaks\]"):
        Partner(Gate(), **given)


def test_many_reports_are_answered_before_their_keys_are_proved() -> None:
    at_work, goes_on = threading.Event(), threading.Event()

    class Slow(Argon2Hasher):
        def verify(self, stored: str, raw: bytes) -> bool:
            at_work.set()
            return goes_on.wait(30) and super().verify(stored, raw)

    ends = Ends("wsgi", "memory://", hasher=Slow(memory_kib=8, time_cost=1))
    ends.believe()
    issued = ends.create()
    assert ends.post(json.dumps([report(issued.secret)]).encode()).status == 200
    assert at_work.wait(30)
    assert not ends.is_revoked(issued)
    goes_on.set()
    ends.settle(1)
    assert ends.is_revoked(issued)
