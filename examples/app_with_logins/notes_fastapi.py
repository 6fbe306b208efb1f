"""Notes that people keep, behind logins of the service's own."""

from fastapi import Depends, FastAPI, HTTPException, Request
from tokens import PEOPLE, person_of, token_for

app = FastAPI()
notes: dict[str, list[str]] = {}


def person(request: Request) -> str:
    """Who is logged in."""
    found = person_of(request.headers.get("authorization"))
    if found is None:
        raise HTTPException(401, "log in first", {"WWW-Authenticate": 'Bearer realm="notes"'})
    return found


@app.get("/")
def home() -> dict[str, str]:
    return {"service": "notes"}


@app.post("/login")
async def login(request: Request) -> dict[str, str]:
    given = await request.json()
    if PEOPLE.get(given["name"]) != given["password"]:
        raise HTTPException(403, "wrong name or password")
    return {"token": token_for(given["name"])}


@app.get("/notes")
def read(name: str = Depends(person)) -> list[str]:
    return notes.get(name, [])


@app.post("/notes", status_code=201)
async def write(request: Request, name: str = Depends(person)) -> dict[str, int]:
    notes.setdefault(name, []).append((await request.json())["text"])
    return {"count": len(notes[name])}
