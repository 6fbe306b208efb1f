"""What a request says of its key, in places that differ by path: fed to what reads it and to what hides it."""

from __future__ import annotations

from collections.abc import Callable

from keystile import Gate, HmacHasher
from keystile.gate.presenting import Presenting
from keystile.keys.format import PrefixedFormat
from keystile.model import Demand, Request, Site
from keystile.policy import CREDENTIAL_FORMS
from keystile.policy.places import places_of
from keystile.rules.places.basic import is_ambient, key_of
from keystile.rules.places.finding import Finder
from keystile.rules.places.hiding import Hiding
from keystile.rules.places.subprotocols import key_among, offered, others

ACCEPT = [*CREDENTIAL_FORMS, "?api_key", "?a", "Authorization: Basic", "Sec-WebSocket-Protocol"]
GATE = Gate(prefix="key", hasher=HmacHasher(b"p" * 16), accept=ACCEPT, foreign="ignore", hide_credentials=True)
DEMAND = Demand(False, frozenset(), accept=places_of(ACCEPT))
PRESENTING = Presenting(GATE.policy, GATE._shop, GATE.accepted)
FORMAT = PrefixedFormat("key")
FINDERS = [
    Finder(GATE.accepted, GATE.ours, lambda raw: FORMAT.parse(raw) is not None, ignores=ignores)
    for ignores in (True, False)
]
HIDING = Hiding(GATE.accepted, GATE.ours, GATE.mask.holds, everything=True)
NAMES = (b"authorization", b"x-api-key", b"?api_key", b"sec-websocket-protocol", b"cookie", b"x-other")


def request_of(lines: list[tuple[bytes, bytes]], text: str) -> Request:
    site = Site(True, [text], [text], [text], [text])
    return Request("GET", "/", b"/", lines, None, site=site)


def find(sent: bytes) -> None:
    """The octets in every place at once, and in each behind a scheme."""
    lines = [(name, sent) for name in NAMES[:4]]
    for before in (b"Basic ", b"Bearer "):
        lines[0] = (NAMES[0], before + sent)
        for finder in FINDERS:
            finder.find(lines)


def present(sent: bytes) -> None:
    request = request_of([(b"sec-websocket-protocol", sent), (b"x-api-key", sent)], sent.decode("latin-1"))
    PRESENTING.find(request, DEMAND, secure=True)
    PRESENTING.is_missing(request)
    PRESENTING.schemes(request, DEMAND)


def from_a_page(sent: str) -> None:
    for site in (Site(True, (), (), [sent], ["x"]), Site(True, (), (), ["https://x"], [sent]), Site(False, [sent])):
        is_ambient(site, ("https://a.example",), None, secure=False)
        is_ambient(site, (), "https://api.example.com", secure=False)


def basic(sent: bytes) -> None:
    key_of(sent[:1024], GATE.ours)


def offer(sent: bytes) -> None:
    key_among([sent], GATE.ours)
    key_among([sent[:8000]], GATE.ours)
    for words in (offered([sent]), offered([sent[:8000]])):
        others(words or (), GATE.ours)


def hide_line(name: bytes) -> Callable[[bytes], object]:
    return lambda sent: HIDING.line(name, sent)


def hide_query(sent: bytes) -> None:
    HIDING.query(sent, refused=False)
