"""`keystile.client` against real servers: gates behind uvicorn and gunicorn, with both libraries, sync and async."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from keystile import Gate, PageStyle
from keystile.client import Invalid, KeyAuth, NotFound, RateLimited, Retry, Unauthorized, gate_transport
from tests.clients import CALLERS, PEPPERS, PLACES, Caller
from tests.selection import some
from tests.servers import serving
from tests.test_examples import insert, launched

DOORS = {"asgi": "uvicorn-h11", "wsgi": "gunicorn-gthread"}
# Each caller meets one door, and each library, each mode and each door meet.
PAIRS = [(caller, door) for caller, door in zip(CALLERS, ["asgi", "wsgi", "asgi", "wsgi", "asgi", "wsgi"], strict=True)]
FLAT = PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)


class Served(NamedTuple):
    """Two servers of one gate: two origins.

    Attributes:
        origins: of both doors.
        key: a good key.
        slow: one that may ask once a second.
    """

    origins: dict[str, str]
    key: str
    slow: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    root = Path(__file__).parents[1]
    (folder / "service.py").write_text(
        f"import sys\nsys.path.append({str(root)!r})\nfrom tests.client_app import asgi_app, wsgi_app\n"
    )
    environ = {"KEYSTILE_STORE": f"sqlite:///{folder}/k.db", "KEYSTILE_LIMITER": f"sqlite:///{folder}/w.db"}
    gate = Gate(environ["KEYSTILE_STORE"], prefix="acme", peppers=PEPPERS, hasher="hmac-sha256")
    key, slow = gate.keys.create("reader").secret, gate.keys.create("slow", limits="1/second").secret
    gate.close()
    with (
        serving(DOORS["asgi"], "service", folder, **environ) as first,
        serving(DOORS["wsgi"], "service", folder, **environ) as second,
    ):
        origins = {"asgi": f"http://127.0.0.1:{first.port}", "wsgi": f"http://127.0.0.1:{second.port}"}
        yield Served(origins, key, slow)


@pytest.fixture(params=some(PAIRS, PAIRS[0], PAIRS[3]), ids=lambda pair: "-".join([*pair[0], pair[1]]))
def pair(request: pytest.FixtureRequest) -> tuple[Caller, str]:
    return request.param


@pytest.fixture
def caller(pair: tuple[Caller, str]) -> Caller:
    return pair[0]


@pytest.fixture
def origin(pair: tuple[Caller, str], served: Served) -> str:
    return served.origins[pair[1]]


@pytest.fixture
def elsewhere(pair: tuple[Caller, str], served: Served) -> str:
    return served.origins["wsgi" if pair[1] == "asgi" else "asgi"]


def test_the_key_is_sent_in_every_place_that_a_gate_reads(caller: Caller, origin: str, served: Served) -> None:
    for place in PLACES:
        answer = caller.send("GET", f"{origin}/v1/me", client={"auth": KeyAuth(served.key, place)})
        assert answer.json()["data"] == {"caller": "reader"}, place


def test_a_redirect_on_the_same_origin_keeps_the_key(caller: Caller, origin: str, served: Served) -> None:
    for place in PLACES:
        client = {"auth": KeyAuth(served.key, place), "follow_redirects": True}
        for method, path in (("GET", "/v1/to"), ("POST", "/v1/to"), ("GET", "/open/to")):
            answer = caller.send(method, f"{origin}{path}?where=/v1/me", client=client)
            assert answer.json()["data"] == {"caller": "reader"}, (place, method, path)


def test_no_other_origin_ever_sees_the_key(
    caller: Caller, origin: str, elsewhere: str, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    back = f"{elsewhere}/open/to?where={quote(f'{origin}/open/echo')}"
    for place in PLACES:
        client = {"auth": KeyAuth(served.key, place), "follow_redirects": True}
        for target in (f"{elsewhere}/open/echo", back):
            answer = caller.send("GET", f"{origin}/open/to?where={quote(target, safe='')}", client=client)
            assert answer.history
            assert answer.status_code == 200
            told = answer.json()
            held = {name for name, value in told["headers"].items() if served.key in value or name == "authorization"}
            assert held == set(), place
            assert served.key not in answer.text, place
            assert served.key not in f"{answer!r}{answer.request!r}{answer.request.headers!r}{answer.history!r}"
    assert served.key not in caplog.text


def test_the_clients_own_request_never_holds_a_key_that_is_not_in_authorization(
    caller: Caller, origin: str, served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for place in ("X-API-Key", "?api_key"):
        answer = caller.send("GET", f"{origin}/v1/me?a=%2F&b", client={"auth": KeyAuth(served.key, place)})
        assert served.key not in f"{answer.request.headers.raw}{answer.request.url}{answer.request.extensions}"
        assert str(answer.request.url).endswith("?a=%2F&b")
    assert served.key not in caplog.text


def test_an_origin_that_was_named_is_the_only_one(caller: Caller, origin: str, elsewhere: str, served: Served) -> None:
    auth = KeyAuth(served.key, "X-API-Key", origin=origin)
    assert caller.send("GET", f"{origin}/v1/me", client={"auth": auth}).status_code == 200
    with pytest.raises(Unauthorized) as caught:
        caller.send("GET", f"{elsewhere}/v1/me", client={"auth": auth})
    assert caught.value.code == "missing_api_key"


@pytest.mark.parametrize("accept", ["application/json", "application/problem+json"])
def test_errors_are_typed_whether_envelope_or_problem_document(
    caller: Caller, origin: str, served: Served, accept: str
) -> None:
    good = {"auth": KeyAuth(served.key), "headers": {"accept": accept}}
    with pytest.raises(NotFound) as missing:
        caller.send("GET", f"{origin}/v1/nowhere", client=good)
    assert (missing.value.status, missing.value.code) == (404, "not_found")
    assert str(missing.value.request_id).startswith("req_")
    assert missing.value.details == {}
    with pytest.raises(Unauthorized) as refused:
        caller.send(
            "GET", f"{origin}/v1/me", client={"auth": KeyAuth("acme_live_wrong"), "headers": {"accept": accept}}
        )
    assert refused.value.code == "invalid_api_key"
    assert refused.value.message == "The API key is not valid."


@pytest.mark.parametrize("pair", [PAIRS[0], PAIRS[5]], indirect=True, ids=lambda pair: "-".join([*pair[0], pair[1]]))
def test_waiting_as_long_as_told_is_enough(caller: Caller, origin: str, served: Served) -> None:
    """True waits: the key may ask once a second."""
    client = {"auth": KeyAuth(served.slow), "transport": gate_transport(caller.transport(), Retry(jitter=0.01))}
    for _ in range(2):
        # A client closes its transport; the next one opens it again.
        assert caller.send("POST", f"{origin}/v1/me", client=client, json={}).status_code == 200


def test_a_client_that_may_not_wait_so_long_raises_at_once(caller: Caller, origin: str, served: Served) -> None:
    slept: list[float] = []
    wrapped = gate_transport(caller.transport(), Retry(longest_wait=0.5), sleep=slept.append)
    client = {"auth": KeyAuth(served.slow), "transport": wrapped}

    def ask_often() -> None:
        for _ in range(100):
            caller.send("GET", f"{origin}/v1/me", client=client)

    with pytest.raises(RateLimited) as caught:
        ask_often()
    assert slept == []
    assert caught.value.code == "rate_limited"
    assert caught.value.retry_after == 1.0
    assert caught.value.details["limit"] == 1


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    folder = tmp_path_factory.mktemp("fastapi")
    served = launched(folder, "fastapi")
    server, key = next(served)
    insert(folder, [(number, number // 7) for number in range(1, 23)])
    yield f"http://127.0.0.1:{server.port}/v1/traces", key
    next(served, None)


@pytest.fixture(scope="module")
def flask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    served = launched(tmp_path_factory.mktemp("flask"), "flask")
    server, key = next(served)
    yield f"http://127.0.0.1:{server.port}/v1/apps", key
    next(served, None)


@pytest.mark.parametrize("caller", CALLERS, ids="-".join)
def test_pages_of_the_examples_are_walked_to_their_end(
    caller: Caller, fastapi: tuple[str, str], flask: tuple[str, str]
) -> None:
    url, key = fastapi
    client = {"auth": KeyAuth(key)}
    found = [each["id"] for each in caller.list(f"{url}?name=a", client=client, limit=5)]
    assert found == sorted(range(1, 23), key=lambda number: (number // 7, number), reverse=True)
    assert caller.list(f"{url}?name=b", client=client) == []
    first = caller.list(f"{url}?limit=20", client=client, by_page=True)
    assert [len(page.items) for page in first] == [20, 2]
    assert "meta" in first[0].document
    rest = caller.list(url, client=client, limit=20, cursor=first[0].next_cursor)
    assert [each["id"] for each in rest] == [found[-2], found[-1]]
    with pytest.raises(Invalid) as caught:
        caller.list(url, client=client, cursor="nonsense")
    assert caught.value.details["parameter"] == "cursor"

    url, key = flask
    client = {"auth": KeyAuth(key, "Api-Key")}
    assert sorted(each["id"] for each in caller.list(url, client=client, style=FLAT, limit=3)) == list(range(10))
    with pytest.raises(Unauthorized):
        caller.list(url, style=FLAT)
