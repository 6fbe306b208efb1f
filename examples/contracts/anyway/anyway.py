"""A telemetry API: projects, API keys and webhooks are keystile's management API, traces are its own."""

from collections import defaultdict
from datetime import UTC, datetime

from fastapi import FastAPI
from pydantic import AwareDatetime, BaseModel

from keystile import current
from keystile.asgi import GateMiddleware, management_app
from keystile.config.file import load, open_gate
from keystile.pagination import Page
from keystile.webhooks.outbox import Outbox

settings = load()
gate = open_gate(settings)
app = FastAPI()
app.add_middleware(GateMiddleware, gate=gate)


class Trace(BaseModel):
    name: str
    started_at: AwareDatetime


class Recorded(Trace):
    id: int


recorded: defaultdict[str | None, list[Recorded]] = defaultdict(list)


def place(trace: Recorded) -> tuple[datetime, int]:
    return trace.started_at, trace.id


@app.post("/v1/traces", status_code=201)
async def record(trace: Trace) -> Recorded:
    ours = recorded[current().caller.organization_id]
    ours.append(Recorded(id=len(ours) + 1, name=trace.name, started_at=trace.started_at.astimezone(UTC)))
    return ours[-1]


@app.get("/v1/traces")
async def traces() -> list[Recorded]:
    ours = recorded[current().caller.organization_id]
    return current().paginate(Page.from_sequence(ours, current().page_params(), place, reverse=True))


# What is no route of the host's: /v1/projects, /v1/api-keys, /v1/webhooks and the rest.
app.mount("/v1", management_app(gate, outbox=Outbox.of(settings.webhooks)))
