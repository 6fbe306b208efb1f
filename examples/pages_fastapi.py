"""A list in pages: FastAPI and SQLAlchemy, in the envelope.

KEYSTILE_PEPPER=at-least-16-bytes-of-it uvicorn pages_fastapi:app
curl -H "Authorization: Bearer acme_live_..." "http://127.0.0.1:8000/v1/traces?limit=2"
{"data": [...], "pagination": {"limit": 2, "has_more": true, "next_cursor": "..."}, "meta": {...}}

A page ends at the sort keys of its last row (never at an OFFSET), so rows that are added or deleted shift nothing.
"""

import os
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from fastapi import FastAPI
from sqlalchemy import create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from keystile import Gate, current
from keystile.asgi import GateMiddleware
from keystile.keyset import select_page


class Base(DeclarativeBase):
    pass


class Trace(Base):
    __tablename__ = "traces"
    id: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    name: Mapped[str]


engine = create_engine(os.environ.get("TRACES", "sqlite:///traces.db"))
Base.metadata.create_all(engine)
gate = Gate(
    store=os.environ.get("KEYSTILE_STORE", "sqlite:///keystile.db"),
    prefix="acme",
    envelope=True,
    cursor_secrets=[os.environ["KEYSTILE_PEPPER"]],
)
app = FastAPI()
app.add_middleware(GateMiddleware, gate=gate)


@app.get("/v1/traces")
def traces(name: str | None = None) -> Sequence[dict[str, Any]]:
    statement = select(Trace) if name is None else select(Trace).where(Trace.name == name)
    params = current().page_params(default=50, maximum=200)
    with Session(engine) as session:
        page = select_page(session.execute, statement, params, order_by=[Trace.started_at.desc(), Trace.id.desc()])
        return [{"id": each.id, "at": each.started_at, "name": each.name} for each in current().paginate(page)]
