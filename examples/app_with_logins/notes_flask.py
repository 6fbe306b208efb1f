"""The same service in Flask."""

from flask import Flask, abort, jsonify, make_response, request
from flask.typing import ResponseReturnValue
from tokens import PEOPLE, person_of, token_for

app = Flask(__name__)
notes: dict[str, list[str]] = {}


def person() -> str:
    """Who is logged in."""
    found = person_of(request.headers.get("Authorization"))
    if found is None:
        abort(make_response({"detail": "log in first"}, 401, {"WWW-Authenticate": 'Bearer realm="notes"'}))
    return found


@app.get("/")
def home() -> ResponseReturnValue:
    return {"service": "notes"}


@app.post("/login")
def login() -> ResponseReturnValue:
    given = request.get_json()
    if PEOPLE.get(given["name"]) != given["password"]:
        return {"detail": "wrong name or password"}, 403
    return {"token": token_for(given["name"])}


@app.get("/notes")
def read() -> ResponseReturnValue:
    return jsonify(notes.get(person(), []))


@app.post("/notes")
def write() -> ResponseReturnValue:
    name = person()
    notes.setdefault(name, []).append(request.get_json()["text"])
    return {"count": len(notes[name])}, 201
