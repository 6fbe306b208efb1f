"""The helper of a host's own tests, with every little app: writes a word for each as JSON.

In a process of its own, for Django and CherryPy are set up once for all.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "apps"), str(HERE), str(HERE.parents[1])]

from gates import gate  # noqa: E402 - the path comes first
from starlette.testclient import TestClient  # noqa: E402
from werkzeug.test import Client  # noqa: E402

from keystile.testing import override_principal  # noqa: E402
from tests.frameworks.kinds import KINDS, Kind  # noqa: E402


def ask(client: Any, method: str, path: str, status: int, told: str) -> None:
    """The answer has this status, and tells of this caller or this code."""
    body = {"json": {}} if method == "POST" else {}
    answer = (
        client.open(path, method=method, **body) if isinstance(client, Client) else client.request(method, path, **body)
    )
    said = json.loads(answer.text)
    got = (answer.status_code, said["data"]["caller"] if "data" in said else said["error"]["code"])
    assert got == (status, told), f"{method} {path}: {got}"


def helped(kind: Kind, stack: ExitStack) -> str:
    module = import_module(kind.module)
    if kind.asgi:
        client: Any = TestClient(module.asgi_app)
        if "blacksheep" in kind.packages:  # the others answer without having been started
            stack.enter_context(client)
    else:
        client = Client(module.wsgi_app)
    ask(client, "GET", "/v1/me", 401, "missing_api_key")
    with override_principal(gate, name="tester", scopes=["exports:write"]):
        ask(client, "GET", "/v1/me", 200, "tester")
        ask(client, "POST", "/v1/exports", 200, "tester")
        with override_principal(gate, name="inner"):
            ask(client, "POST", "/v1/exports", 403, "insufficient_scope")
        ask(client, "POST", "/v1/exports", 200, "tester")
    ask(client, "GET", "/v1/me", 401, "missing_api_key")
    return "ok"


def main() -> None:
    with ExitStack() as stack:
        sys.stdout.write(json.dumps({name: helped(kind, stack) for name, kind in KINDS.items()}))


if __name__ == "__main__":
    main()
