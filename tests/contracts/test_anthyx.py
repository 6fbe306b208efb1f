"""Contract E: social publishing on Flask and gunicorn, point by point."""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import anyio
import pytest

from keystile import IssuedKey
from keystile.rules.network.targets import Targets
from keystile.webhooks.outbox import Outbox
from keystile.webhooks.working import Worker
from tests.contracts.hosts import HTTPS, SECRETS, Host, commands, copied, ran, rates, serving
from tests.receivers import receiving

__all__ = ["receiving"]

PUBLIC_URL = "https://api.anthyx.example"
DAY = 86_400
WINDOWS = {
    "free": {60: 60, DAY: 5_000},
    "starter": {60: 60, DAY: 5_000},
    "growth": {60: 300, DAY: 50_000},
    "agency": {60: 1_000},
}
SIGNATURE = "X-Anthyx-Signature"


class Network:
    """The social network that anthyx publishes on.

    Attributes:
        meanwhile: called while a request of anthyx's waits for its answer.
        between: called between the two lines of the feed.
    """

    def __init__(self) -> None:
        network = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                network.meanwhile()
                first, second = b'{"post": 1}\n', b'{"post": 2}\n'
                self.answer(first, len(first + second))
                network.between()
                self.wfile.write(second)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                network.meanwhile()
                self.answer(b'{"id": "post_1"}')

            def answer(self, body: bytes, length: int | None = None) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self.meanwhile: Callable[[], object] = dict
        self.between: Callable[[], object] = dict
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @contextmanager
    def doing(self, act: Callable[[], object]) -> Iterator[None]:
        self.meanwhile = act
        yield
        self.meanwhile = dict


@contextmanager
def threaded(server: Any) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    found = Network()
    with threaded(found.server):
        yield found


@pytest.fixture(scope="module")
def host(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    folder = copied("anthyx", tmp_path_factory.mktemp("contract"))
    address = f"127.0.0.1:{network.server.server_port}"
    with serving("anthyx", folder, always=HTTPS, NETWORK=address) as found:
        for plan in WINDOWS:
            found.did("organizations", "create", plan, "--plan", plan)
        yield found


def key_of(host: Host, organization: str, **fields: Any) -> IssuedKey:
    return host.gate.keys.create("newsroom", organization_id=organization, **fields)


def test_e1_a_key_has_a_name_and_an_allowlist_and_is_shown_once(host: Host) -> None:
    told = ran(host.folder, *commands("anthyx")[1])
    secret = told.strip()
    assert re.fullmatch(r"anthyx_live_[0-9A-Za-z]{16,}", secret)
    inside = {"X-Forwarded-For": "192.0.2.7"}
    assert host.ask("/v1/me", secret, headers=inside).json == {"name": "Newsroom", "plan": None}
    for outside in ({"X-Forwarded-For": "198.51.100.7"}, {"X-Forwarded-For": "192.0.2.7, 198.51.100.7"}, {}):
        refused = host.ask("/v1/me", secret, headers=outside)
        assert (refused.status, refused.code) == (403, "ip_not_allowed")
    assert host.ask("/v1/me", key_of(host, "anywhere").secret).status == 200
    [shown] = json.loads(host.did("keys", "list", "--organization", "acme", "--json"))
    assert (shown["name"], shown["ip_allowlist"]) == ("Newsroom", ["192.0.2.0/24"])
    assert secret not in json.dumps(shown)
    assert secret.encode() not in host.stored()


@pytest.mark.parametrize(("plan", "most"), [("starter", 5), ("growth", 20)])
def test_e2_a_plan_caps_the_number_of_keys(host: Host, plan: str, most: int) -> None:
    organization = f"capped by {plan}"
    host.did("organizations", "create", organization, "--plan", plan)
    console = key_of(host, organization, scopes=["keys:manage"]).secret
    made = [host.ask("/manage/api-keys", console, "POST", {"name": str(each)}) for each in range(1, most)]
    assert [each.status for each in made] == [201] * (most - 1)
    refused = host.ask("/manage/api-keys", console, "POST", {"name": "one more"})
    assert (refused.status, refused.code) == (409, "key_limit_reached")
    assert refused.json["error"]["message"] == "The plan allows no more keys."
    assert refused.json["error"]["details"] == {"limit": most, "plan": plan, "cap_by": ["organization"]}
    command = host.command("keys", "create", "one more", "--organization", organization)
    assert (command.exit_code, command.stdout) == (1, "")
    assert f"the plan '{plan}' allows {most} live keys" in command.stderr
    assert host.ask(f"/manage/api-keys/{made[0].json['id']}", console, "DELETE").status == 204
    assert host.ask("/manage/api-keys", console, "POST", {"name": "in its place"}).status == 201


def test_e2_agency_has_no_cap(host: Host) -> None:
    assert len({key_of(host, "agency").key.id for _ in range(25)}) == 25


def test_e3_plain_http_is_redirected(host: Host) -> None:
    secret = key_of(host, "plain").secret
    authorized = {"Authorization": f"Bearer {secret}"}
    for method in ("GET", "POST"):
        direct = host.server.get("/v1/me?a=1", authorized, method)
        assert (direct.status, direct.header("location")) == (301, f"{PUBLIC_URL}/v1/me?a=1")
    for plain in (
        host.ask("/v1/me", headers={"X-Forwarded-Proto": "http"}),
        host.ask("/v1/me", secret, source="127.0.0.2"),
    ):
        assert (plain.status, plain.header("location")) == (301, f"{PUBLIC_URL}/v1/me")
    assert host.ask("/v1/me", secret).status == 200


@pytest.mark.parametrize(("plan", "seconds"), [(plan, each) for plan, found in WINDOWS.items() for each in found])
def test_e4_each_window_of_a_plan_holds_for_each_key(host: Host, plan: str, seconds: int) -> None:
    limit = WINDOWS[plan][seconds]
    issued, other = key_of(host, plan), key_of(host, plan)
    host.spend(issued, limit - 1, seconds)
    last = host.ask("/v1/me", issued.secret)
    assert (last.status, rates(last)[:2]) == (200, [limit, 0])
    refused = host.ask("/v1/me", issued.secret)
    details = refused.json["error"]["details"]
    assert (refused.status, details["limit"], details["window_seconds"]) == (429, limit, seconds)
    assert host.ask("/v1/me", other.secret).status == 200
    for each in (issued, other):
        host.gate.keys.revoke(each.key.id)  # the plan caps how many there are


def test_e4_agency_has_no_daily_limit(host: Host) -> None:
    console = key_of(host, "agency", scopes=["keys:read"])
    windows = host.ask(f"/manage/api-keys/{console.key.id}/limits", console.secret).json["data"]
    assert [(each["limit"], each["seconds"]) for each in windows] == [(1000, 60)]


def test_e5_a_caller_sees_where_it_stands(host: Host) -> None:
    issued, began = key_of(host, "growth"), int(time.time())
    first = host.ask("/v1/me", issued.secret)
    assert rates(first)[:2] == [300, 299]
    assert began <= rates(first)[2] <= int(time.time()) + 61
    assert first.header("retry-after") is None
    host.spend(issued, 299)
    refused = host.ask("/v1/me", issued.secret)
    assert (refused.status, refused.code, rates(refused)[:2]) == (429, "rate_limited", [300, 0])
    assert began <= rates(refused)[2] <= int(time.time()) + 61
    assert 1 <= int(refused.header("retry-after") or "") <= 60


def test_e6_a_request_in_flight_with_a_revoked_key_gets_401(host: Host, network: Network) -> None:
    issued = key_of(host, "in flight")
    assert host.ask("/v1/posts", issued.secret, "POST", {"text": "hello"}).json == {"text": "hello", "id": "post_1"}
    with network.doing(lambda: host.gate.keys.revoke(issued.key.id)):
        refused = host.ask("/v1/posts", issued.secret, "POST", {"text": "hello"})
    assert (refused.status, refused.code) == (401, "revoked_api_key")
    assert b"post_1" not in refused.body


def test_e6_a_stream_is_cut_when_its_key_is_revoked(host: Host, network: Network) -> None:
    issued, revoked = key_of(host, "cut"), threading.Event()
    network.between = lambda: revoked.wait(30)
    with host.server.connection() as connection:
        connection.request("GET", "/v1/feed", headers={"Authorization": f"Bearer {issued.secret}", **HTTPS})
        answer = connection.getresponse()
        assert (answer.status, answer.readline()) == (200, b'{"post": 1}\n')
        host.gate.keys.revoke(issued.key.id)
        revoked.set()
        with pytest.raises((IncompleteRead, ConnectionError)):
            answer.read()
    network.between = dict
    assert host.ask("/v1/feed", issued.secret).status == 401


def test_e6_nothing_comes_of_a_stream_whose_key_is_revoked_before(host: Host, network: Network) -> None:
    issued = key_of(host, "streams")
    whole = host.ask("/v1/feed", issued.secret)
    assert (whole.status, whole.body) == (200, b'{"post": 1}\n{"post": 2}\n')
    with network.doing(lambda: host.gate.keys.revoke(issued.key.id)):
        refused = host.ask("/v1/feed", issued.secret)
    assert (refused.status, refused.code) == (401, "revoked_api_key")
    assert b"post" not in refused.body


def test_e6_a_replacement_is_made_before_the_old_key_ends(host: Host) -> None:
    console = key_of(host, "replacing", scopes=["keys:manage"]).secret
    old = host.ask("/manage/api-keys", console, "POST", {"name": "old"}).json
    new = host.ask("/manage/api-keys", console, "POST", {"name": "new"}).json
    assert [host.ask("/v1/me", each["api_key"]).status for each in (old, new)] == [200, 200]
    assert host.ask(f"/manage/api-keys/{old['id']}", console, "DELETE").status == 204
    assert [host.ask("/v1/me", each["api_key"]).status for each in (old, new)] == [401, 200]


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


class Customer:
    """A customer who receives messages.

    Attributes:
        secret: what was shown when the endpoint was made.
        received: the types of the messages that were processed.
    """

    def __init__(self, secret: str, module: Any, port: int) -> None:
        self.secret, self.received, self._port = secret, module.received, port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/anthyx"

    def sent(self, body: bytes, **headers: str) -> int:
        """The status that somebody gets who sends this."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
        with closing(connection):
            connection.request("POST", "/anthyx", body, lines | {"Content-Type": "application/json"})
            return connection.getresponse().status

    def signature(self, body: bytes) -> str:
        """What the contract says it is, by the standard library alone."""
        return f"sha256={hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()}"


@pytest.fixture(scope="module")
def customer(host: Host) -> Iterator[Customer]:
    secret = ran(host.folder, *commands("anthyx")[2]).strip()
    spec = importlib.util.spec_from_file_location("anthyx_customer", host.folder / "customer.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET", secret)
        spec.loader.exec_module(module)
    server = make_server("127.0.0.1", 0, module.app, handler_class=Quiet)
    with threaded(server):
        yield Customer(secret, module, server.server_port)


def test_e7_what_is_published_is_told_and_signed(host: Host, customer: Customer, receiving: Callable[..., Any]) -> None:
    # Receivers on the loopback are the test's alone: the file allows none.
    targets = Targets(allow_networks=["127.0.0.0/8"], allow_ports=range(1024, 65_536), allow_http=True)
    url, key = f"sqlite:///{host.folder}/webhooks.db", SECRETS["KEYSTILE_WEBHOOK_KEY"]
    with closing(Outbox(url, key, targets=targets)) as outbox:
        [endpoint] = outbox.endpoints.list(organization_id="acme")
        assert (endpoint.scheme.name, endpoint.scheme.header) == ("hex_body", SIGNATURE)
        watching = receiving()
        secret = key_of(host, "acme").secret
        for where in (customer.url, f"http://127.0.0.1:{watching.port}/"):
            outbox.endpoints.update(endpoint.id, url=where)
            assert host.ask("/v1/posts", secret, "POST", {"text": "hello"}).status == 201
            anyio.run(partial(Worker(outbox).run, once=True))
    assert customer.received == ["post.published"]
    [request] = watching.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert json.loads(body)["data"] == {"text": "hello", "id": "post_1"}
    assert f"{SIGNATURE}: {customer.signature(body)}".lower() in head.decode().lower()


def test_e7_nothing_runs_that_is_not_signed(customer: Customer) -> None:
    before, body = list(customer.received), b'{"type": "post.deleted"}'
    good = customer.signature(body)
    unverified = (
        {},
        {"X_Anthyx_Signature": ""},
        {"X_Anthyx_Signature": good.removeprefix("sha256=")},
        {"X_Anthyx_Signature": f"{good[:-1]}{'0' if good[-1] != '0' else '1'}"},
        {"X_Anthyx_Signature": customer.signature(body + b" ")},
        {"X_Signature": good},
    )
    assert [customer.sent(body, **each) for each in unverified] == [400] * len(unverified)
    assert customer.received == before
    assert customer.sent(body, X_Anthyx_Signature=good) == 204
    assert customer.received == [*before, "post.deleted"]
