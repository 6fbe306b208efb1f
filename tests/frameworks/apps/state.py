"""What the little apps have in common, and what no framework has a part in."""

from __future__ import annotations

import os
import threading
from contextvars import copy_context
from typing import Any

from keystile import current

SECRET = "hunter2"
PUBLIC = {"status": "up"}

_go_on = threading.Event()
_told: list[str] = []
KEPT: list[Any] = []  # a task that nobody holds may be collected before it runs


def seen() -> str:
    """The caller, wherever this runs; nobody, where `current()` cannot be had."""
    try:
        return current().caller.name
    except LookupError:
        return "nobody"


def handed(carrier: Any) -> dict[str, str]:
    """The caller, as the door handed it over with the request: in a scope or in an environ."""
    return {"caller": carrier["keystile.admitted" if "PATH_INFO" in carrier else "keystile"].caller.name}


def note(word: str) -> None:
    """One line for each start and each end of the app, in one write."""
    file = os.open(os.environ["KEYSTILE_NOTES"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, word.encode() + b"\n")
    finally:
        os.close(file)


def wait() -> bytes:
    """The second chunk of a stream: only when a client that has the first one asked for it."""
    return f"{seen()}\n".encode() if _go_on.wait(20) else b"not asked for\n"


def go_on() -> dict[str, bool]:
    _go_on.set()
    return {"ok": True}


def tell() -> None:
    """What runs in the background."""
    _told.append(seen())


def tell_in_a_thread() -> dict[str, str]:
    """For a framework that has no background tasks. A thread begins with an empty context, so it is handed a copy."""
    threading.Thread(target=copy_context().run, args=[tell]).start()
    return {"by": "a thread"}


def told() -> dict[str, list[str]]:
    return {"told": list(_told)}


def boom() -> Any:
    raise RuntimeError(SECRET)
