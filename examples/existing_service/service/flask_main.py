"""The same service on Flask. It runs by itself, open to all: `gunicorn service.flask_main:app`."""

from flask import Flask

app = Flask(__name__)


@app.get("/")
def home() -> dict[str, str]:
    return {"service": "exports"}


@app.get("/health/")
def health() -> dict[str, str]:
    return {"status": "up"}


@app.get("/v1/exports")
def exports() -> dict[str, list[str]]:
    return {"exports": ["2026-01"]}


@app.post("/v1/exports")
def export() -> dict[str, str]:
    return {"status": "queued"}
