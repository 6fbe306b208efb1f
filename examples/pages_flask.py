"""A list in pages: Flask and a plain sequence, flat and without meta.

KEYSTILE_PEPPER=at-least-16-bytes-of-it gunicorn pages_flask:app
curl -H "Api-Key: acme_live_..." "http://127.0.0.1:8000/v1/apps?limit=2"
{"data": [...], "has_more": true, "next_token": "..."}
"""

import os
from typing import Any

from flask import Flask, jsonify
from flask.typing import ResponseReturnValue

from keystile import Gate, InvalidRequest, PageStyle, current
from keystile.pagination import Page
from keystile.wsgi import GateMiddleware

APPS: list[dict[str, Any]] = [{"id": number, "name": f"app {number % 4}"} for number in range(10)]

gate = Gate(
    store=os.environ.get("KEYSTILE_STORE", "sqlite:///keystile.db"),
    prefix="acme",
    envelope=True,
    cursor_secrets=[os.environ["KEYSTILE_PEPPER"]],
    page_style=PageStyle(
        member=None,
        limit=None,
        next_cursor="next_token",
        parameter="next_token",
        meta=False,
        default_limit=100,
        max_limit=1000,
    ),
)
app = Flask(__name__)
# Flask turns exceptions that it does not know into a 500. The gate would correct that, but Flask has logged it by then.
app.register_error_handler(InvalidRequest, InvalidRequest.answer)
app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)  # type: ignore[method-assign]


@app.get("/v1/apps")
def apps() -> ResponseReturnValue:
    page = Page.from_sequence(APPS, current().page_params(), key=lambda each: (each["name"], each["id"]))
    return jsonify(current().paginate(page))
