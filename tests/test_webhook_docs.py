"""What docs/guides/webhooks.md shows runs, and what it says of names and numbers is so."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from keystile._sync.flights import Lookups
from keystile.config.file import load
from keystile.policy.webhooks import KEEP_IDS, TOLERANCE, Receiver
from keystile.webhooks import Scheme, Secret, schemes, sign
from keystile.webhooks.receiving import ids, order, paths
from keystile.webhooks.sending import attempt, network

PAGE = (Path(__file__).parents[1] / "docs" / "guides" / "webhooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"a": 1}'


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BILLING_SECRET", WHSEC)
    for name in ("CODE_SECRET", "PAY_SECRET"):
        monkeypatch.setenv(name, "a text of more than 16 bytes")


def run(holding: str) -> dict[str, Any]:
    """The names that the block with this text makes."""
    [code] = [block for block in BLOCKS if holding in block]
    found: dict[str, Any] = {"__name__": __name__}
    exec(compile(code, "docs/guides/webhooks.md", "exec"), found)
    return found


def headers() -> dict[str, str]:
    return dict(sign(Scheme.standard(), [Secret(WHSEC)], BODY, id="msg_1", now=int(time.time())))


def post(app: Any, path: str, more: dict[str, str] | None = None) -> httpx.Response:
    """One message to an app of either kind."""
    if hasattr(app, "wsgi_app"):
        with httpx.Client(transport=httpx.WSGITransport(app), base_url="http://a") as client:
            return client.post(path, content=BODY, headers=more)

    async def call() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://a") as client:
            return await client.post(path, content=BODY, headers=more)

    return anyio.run(call)


@pytest.mark.parametrize("holding", ["FastAPI", "Flask"])
def test_the_receivers_of_the_page_receive(holding: str) -> None:
    app = run(holding)["app"]
    good = post(app, "/hooks/billing", headers())
    assert good.json() == {"id": "msg_1", "length": 8}
    assert post(app, "/hooks/billing").json()["error"]["code"] == "invalid_signature"


def test_beside_the_gate_of_the_page_the_path_is_public_and_signed() -> None:
    app = run("outermost")["app"]
    assert post(app, "/hooks/billing").status_code == 400
    assert post(app, "/hooks/billing", headers()).status_code == 404
    assert post(app, "/other").status_code == 401


def test_signing_by_hand_works_as_the_page_shows() -> None:
    found = run("InvalidSignature as error")
    assert found["received"].id == "msg_1"


def test_sending_works_as_the_page_shows() -> None:
    deliver = run("async def deliver")["deliver"]
    assert anyio.run(deliver, "https://nobody.invalid/", BODY) is False


def test_the_file_of_the_page_can_be_read(tmp_path: Path) -> None:
    [text] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert tomllib.loads(text)["webhooks"]["receive"]
    file = tmp_path / "keystile.toml"
    file.write_text(text)
    webhooks = load(file, {"BILLING_SECRET": WHSEC, "CODE_SECRET": "a text of more than 16 bytes"}).webhooks
    assert webhooks is not None
    assert [each.scheme for each in webhooks.receive] == ["standard", "hex_body"]


def test_the_numbers_of_the_page_are_those_of_the_code() -> None:
    assert f"({TOLERANCE} seconds)" in PAGE
    assert f"({Receiver('/', secrets=[WHSEC]).max_body:,})" in PAGE
    assert (KEEP_IDS, ids.LEASE) == (4 * 86_400, 5 * 60)
    assert f"longer than {order.READ_SECONDS:.0f} seconds" in PAGE
    assert f"more than {paths.MOST_ODD} characters" in PAGE
    assert f"more than {schemes.MOST_SIGNATURES}\n  signatures" in PAGE
    assert schemes.LONGEST == 4 * 1024
    assert f"| {network.RESOLVE_SECONDS:.0f} s, {network.SLOTS} at once" in PAGE
    assert f"have {Lookups.FOR_SLOW} of their own" in PAGE
    assert f"| {attempt.CONNECT_SECONDS:.0f} s |" in PAGE
    assert f"| {attempt.WHOLE_SECONDS:.0f} s |" in PAGE
    assert f"for {attempt.KEEP_ALIVE:.0f} seconds" in PAGE
    assert (attempt.MOST_READ, attempt.SHOWN) == (64 * 1024, 1024)
