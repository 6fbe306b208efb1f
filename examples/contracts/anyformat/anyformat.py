"""Document workflows of organizations. Keys are made in the platform, here on the command line."""

from collections import defaultdict
from typing import Any

from flask import Flask, abort, request
from flask.typing import ResponseReturnValue

from keystile import Gate, Plan, current
from keystile.wsgi import GateMiddleware

app = Flask(__name__)
gate = Gate(
    "sqlite:///keys.db",
    prefix="anyformat",
    accept=["Authorization: Bearer"],
    public=["/", "/health/", "/schema/", "/docs/"],
    plans={"all": Plan(max_keys=1, cap_by=["owner", "organization"], when_full="revoke_oldest")},
    default_plan="all",
)
app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)  # type: ignore[method-assign]

workflows: defaultdict[str | None, list[dict[str, Any]]] = defaultdict(list)


@app.get("/")
@app.get("/health/")
@app.get("/schema/")
@app.get("/docs/")
def public() -> ResponseReturnValue:
    return {"service": "anyformat", "page": request.path}


@app.get("/workflows/")
def listed() -> ResponseReturnValue:
    return {"workflows": workflows[current().caller.organization_id]}


@app.post("/workflows/")
def create() -> ResponseReturnValue:
    caller = current().caller
    if caller.metadata.get("access") != "editor":  # what the user who made the key may do
        abort(403)
    ours = workflows[caller.organization_id]
    ours.append({"id": len(ours) + 1, "name": request.get_json()["name"], "owner": caller.owner_id})
    return ours[-1], 201
