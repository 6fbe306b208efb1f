"""The service's own tests, as they were before there was a gate. NOTES names the app: `notes_fastapi:app`."""

import asyncio
import importlib
import os
from base64 import b64encode
from typing import Any

import httpx
import pytest
from tokens import token_for

MODULE, _, NAME = os.environ.get("NOTES", "notes_fastapi:app").partition(":")


class Caller:
    """Calls the app in this process."""

    def __init__(self, app: Any, *, wsgi: bool) -> None:
        self._app, self._wsgi = app, wsgi

    def get(self, path: str, **sent: Any) -> httpx.Response:
        return self._call("GET", path, **sent)

    def post(self, path: str, **sent: Any) -> httpx.Response:
        return self._call("POST", path, **sent)

    def _call(self, method: str, path: str, **sent: Any) -> httpx.Response:
        if self._wsgi:
            with httpx.Client(transport=httpx.WSGITransport(self._app), base_url="http://notes") as client:
                return client.request(method, path, **sent)

        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://notes") as client:
                return await client.request(method, path, **sent)

        return asyncio.run(call())


@pytest.fixture
def client() -> Caller:
    app = getattr(importlib.import_module(MODULE), NAME)
    return Caller(app, wsgi="flask" in MODULE or NAME == "wsgi_app")


def as_(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_anybody_sees_the_front_page(client: Caller) -> None:
    assert client.get("/").json() == {"service": "notes"}


def test_a_person_logs_in_and_keeps_notes(client: Caller) -> None:
    token = client.post("/login", json={"name": "ada", "password": "lovelace"}).json()["token"]
    count = client.post("/notes", json={"text": "one"}, headers=as_(token)).json()["count"]
    assert client.get("/notes", headers=as_(token)).json()[count - 1] == "one"


def test_a_wrong_password_is_the_services_own_403(client: Caller) -> None:
    answer = client.post("/login", json={"name": "ada", "password": "byron"})
    assert (answer.status_code, answer.json()) == (403, {"detail": "wrong name or password"})


STRANGERS = {
    "nothing": {},
    "nonsense": as_("nonsense"),
    "an old token": as_(token_for("ada", -1)),
    "a token that was cut": as_(token_for("ada")[:-1]),
    "a token without a scheme": {"Authorization": token_for("ada")},
    "a scheme alone": {"Authorization": "Bearer"},
    "a name and a password": {"Authorization": "Basic " + b64encode(b"ada:lovelace").decode()},
    "another scheme": {"Authorization": 'Digest username="ada", realm="notes"'},
    "a key of another service": {"X-API-Key": "theirs"},
}


@pytest.mark.parametrize("headers", STRANGERS.values(), ids=list(STRANGERS))
def test_who_is_not_logged_in_is_told_so_by_the_service(client: Caller, headers: dict[str, str]) -> None:
    answer = client.get("/notes", headers=headers)
    assert (answer.status_code, answer.json()) == (401, {"detail": "log in first"})
    assert answer.headers["www-authenticate"] == 'Bearer realm="notes"'


def test_a_token_may_be_long(client: Caller) -> None:
    assert client.get("/notes", headers=as_(token_for("grace", groups=["x" * 50] * 100))).status_code == 200


def test_a_token_goes_with_a_key_of_another_service(client: Caller) -> None:
    assert client.get("/notes", headers=as_(token_for("grace")) | {"X-API-Key": "theirs"}).status_code == 200


def test_what_is_not_there_is_a_404(client: Caller) -> None:
    assert client.get("/nowhere").status_code == 404
