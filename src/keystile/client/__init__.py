"""For programs that call an API behind a gate, with httpx2 or httpx.

    client = httpx2.Client(
        base_url="https://api.example.com",
        auth=KeyAuth(os.environ["API_KEY"]),
        transport=gate_transport(httpx2.HTTPTransport()),
        event_hooks={"response": [raise_for]},
    )
    for each in items(client, "/v1/apps"):
        ...

It sends the key to whom it belongs and to nobody else, waits as long as it is told and asks again, walks through pages,
and raises typed errors. Nothing here imports httpx2 or httpx: whichever of them the caller uses is used. What a server
sends is a stranger's: its sizes, counts and times have bounds. docs/guides/client.md has the whole story.

`auth` sends the key, `waits` reads how long to wait, `retrying` decides whether to, `transports` does both, `errors` is
what is raised, `bodies` reads with a bound, `raising` makes errors of answers, `walks` and `paging` go through pages,
and `shapes` says what is needed of the libraries.
"""

from .auth import KeyAuth
from .errors import (
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    KeyNotSent,
    NotFound,
    RateLimited,
    ServerError,
    Unauthorized,
    Unavailable,
    UnusableAnswer,
)
from .paging import aitems, apages, items, pages
from .raising import araise_for, raise_for
from .retrying import Retry
from .transports import gate_transport
from .walks import ReadPage

__all__ = [
    "ApiError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "KeyAuth",
    "KeyNotSent",
    "NotFound",
    "RateLimited",
    "ReadPage",
    "Retry",
    "ServerError",
    "Unauthorized",
    "Unavailable",
    "UnusableAnswer",
    "aitems",
    "apages",
    "araise_for",
    "gate_transport",
    "items",
    "pages",
    "raise_for",
]
