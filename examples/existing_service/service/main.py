"""The service on FastAPI. It runs by itself, open to all: `uvicorn service.main:app`."""

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
async def home() -> dict[str, str]:
    return {"service": "exports"}


@app.get("/health/")
async def health() -> dict[str, str]:
    return {"status": "up"}


@app.get("/v1/exports")
def exports() -> dict[str, list[str]]:
    return {"exports": ["2026-01"]}


@app.post("/v1/exports")
def export() -> dict[str, str]:
    return {"status": "queued"}
