"""A Flask app behind keystile.

keystile --gate flask_app:gate keys create me --scope exports:write
gunicorn flask_app:app
curl -H "Authorization: Bearer acme_live_..." http://127.0.0.1:8000/v1/me
"""

import os

from flask import Flask

from keystile import Gate, Plan, Rule, current
from keystile.wsgi import GateMiddleware

gate = Gate(
    store=os.environ.get("KEYSTILE_STORE", "sqlite:///keystile.db"),
    limiter=os.environ.get("KEYSTILE_LIMITER", "sqlite:///keystile.db"),
    prefix="acme",
    plans={"free": Plan("60/minute; 5000/day"), "pro": Plan("1000/minute")},
    default_plan="free",
    public=["/", "/health/"],
    rules=[Rule("POST /v1/exports", scopes=["exports:write"])],
)
app = Flask(__name__)
app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)  # type: ignore[method-assign]


@app.get("/")
def home() -> dict[str, str]:
    return {"service": "exports"}


@app.get("/health/")
def health() -> dict[str, str]:
    return {"status": "up"}


@app.get("/v1/me")
def me() -> dict[str, str | None]:
    caller = current().caller
    return {"id": caller.id, "name": caller.name, "organization": caller.organization_id}


@app.post("/v1/exports")
def export() -> dict[str, str]:
    return {"status": "queued"}
