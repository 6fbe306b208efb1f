"""A FastAPI app behind keystile.

keystile --gate fastapi_app:gate keys create me --scope exports:write
uvicorn fastapi_app:app
curl -H "Authorization: Bearer acme_live_..." http://127.0.0.1:8000/v1/me
"""

import os

from fastapi import FastAPI

from keystile import Gate, Plan, Rule, current
from keystile.asgi import GateMiddleware

gate = Gate(
    store=os.environ.get("KEYSTILE_STORE", "sqlite:///keystile.db"),
    limiter=os.environ.get("KEYSTILE_LIMITER", "sqlite:///keystile.db"),
    prefix="acme",
    plans={"free": Plan("60/minute; 5000/day"), "pro": Plan("1000/minute")},
    default_plan="free",
    public=["/", "/health/"],
    rules=[Rule("POST /v1/exports", scopes=["exports:write"])],
)
app = FastAPI()
app.add_middleware(GateMiddleware, gate=gate)


@app.get("/")
async def home() -> dict[str, str]:
    return {"service": "exports"}


@app.get("/health/")
async def health() -> dict[str, str]:
    return {"status": "up"}


@app.get("/v1/me")
async def me() -> dict[str, str | None]:
    caller = current().caller
    return {"id": caller.id, "name": caller.name, "organization": caller.organization_id}


@app.post("/v1/exports")
def export() -> dict[str, str]:
    return {"status": "queued"}
