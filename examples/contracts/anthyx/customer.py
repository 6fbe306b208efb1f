"""A customer's side: nothing runs that anthyx has not signed. SECRET is shown when the endpoint is made."""

import os

from flask import Flask, request
from flask.typing import ResponseReturnValue

from keystile.webhooks import Receiver
from keystile.wsgi import WebhookMiddleware

app = Flask(__name__)
signed = Receiver("/anthyx", scheme="hex_body", header="X-Anthyx-Signature", secrets=[os.environ["SECRET"]])
app.wsgi_app = WebhookMiddleware(app.wsgi_app, receive=[signed])  # type: ignore[method-assign]
received: list[str] = []


@app.post("/anthyx")
def take() -> ResponseReturnValue:
    received.append(request.get_json()["type"])
    return "", 204
