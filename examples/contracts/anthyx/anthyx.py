"""Publishes posts on a social network, and tells customers by webhooks. The gate around it is in keystile.toml."""

import json
import os
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection

from flask import Flask, request
from flask.typing import ResponseReturnValue

from keystile import current
from keystile.config.file import load
from keystile.webhooks.outbox import Outbox

outbox = Outbox.of(load().webhooks)
app = Flask(__name__)


def asked(method: str, path: str, body: bytes | None = None) -> Iterator[bytes]:
    """What the social network answers, line by line."""
    network = os.environ.get("NETWORK", "127.0.0.1:9000")
    with closing(HTTPConnection(network, timeout=30)) as connection:
        connection.request(method, path, body)
        yield from connection.getresponse()


@app.get("/v1/me")
def me() -> ResponseReturnValue:
    return {"name": current().caller.name, "plan": current().caller.effective_plan}


@app.post("/v1/posts")
def publish() -> ResponseReturnValue:
    post = {"text": request.get_json()["text"]}
    published = post | json.loads(b"".join(asked("POST", "/posts", json.dumps(post).encode())))
    outbox.add("post.published", published, organization_id=str(current().caller.organization_id))
    return published, 201


@app.get("/v1/feed")
def feed() -> ResponseReturnValue:
    return asked("GET", "/feed"), {"Content-Type": "application/x-ndjson"}
