"""The cases of several steps: what follows a refusal on its connection, bodies nobody reads, clients that stall."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress

from tests.matrix.cases import INVALID, MISSING, Case, request
from tests.matrix.rawhttp import Closed, Response, Silent, Wire
from tests.matrix.talk import Talk

REFUSALS, BODIES, ANSWERS, CLIENTS = (
    "After a refusal",
    "Bodies that a refusal leaves unread",
    "Answers without octets",
    "Clients that stall or leave",
)
GOOD = request("X-API-Key: <good>")
BAD = request("X-API-Key: <bad>")
# Long enough for any answer that needs nothing more from us, short enough to wait for those that do.
PATIENCE = 0.6
CLOSES = {"closes": "closes"}

CONNECTIONS: list[Case] = []


def case(
    section: str, name: str, words: Mapping[str, str] | None = None
) -> Callable[[Callable[[Talk], None]], Callable[[Talk], None]]:
    def add(run: Callable[[Talk], None]) -> Callable[[Talk], None]:
        CONNECTIONS.append(Case(section, name, run, words or {}))
        return run

    return add


def step(
    talk: Talk, wire: Wire, label: str, want: str, octets: bytes, method: str = "GET", timeout: float | None = None
) -> Response | None:
    """Send, and read one answer."""
    before = len(talk.runs())
    try:
        if octets:
            wire.send(octets)
        response = wire.final(method, timeout)
    except (Closed, Silent) as error:
        talk.find(label, want, "no answer" if isinstance(error, Closed) else "waits")
        return None
    talk.find(label, want, talk.word(response, talk.runs()[before:]))
    return response


def in_a_row(talk: Talk, steps: Iterable[tuple[str, str, bytes, str]]) -> None:
    """One connection for all, or as many as the server lets us have."""
    wire = talk.open()
    closed = False
    try:
        for label, want, octets, method in steps:
            if closed:
                wire.__exit__(None, None, None)
                wire = talk.open()
            response = step(talk, wire, label, want, octets, method)
            if response is None:
                return
            if closed := response.closes:
                assert wire.rest() == b"", "octets after the answer"
        if not closed:
            assert wire.rest(0.1) == b"", "octets after the answer"
    finally:
        wire.__exit__(None, None, None)
    if closed:
        talk.find("", "stays open", "closes")


def served(talk: Talk) -> None:
    """The next client is served as if nothing had happened."""
    with talk.open() as wire:
        wire.send(talk.fill(GOOD.replace("\n", "\nConnection: close\n", 1)))
        assert wire.final().json["ran"] is True


def settled(talk: Talk, runs: int, wait: float = 0.5) -> None:
    """Wait until everything has run that still runs for a client that has left."""
    deadline = time.monotonic() + wait
    while len(talk.runs()) < runs and time.monotonic() < deadline:
        time.sleep(0.02)


@case(REFUSALS, "the next request on the connection", CLOSES)
def _next_request(talk: Talk) -> None:
    good, bad, none = talk.fill(GOOD), talk.fill(BAD), talk.fill(request())
    health = talk.fill(request(start="GET /health HTTP/1.1"))
    in_a_row(
        talk,
        [
            ("bad", INVALID, bad, "GET"),
            ("good", "admitted", good, "GET"),
            ("none", MISSING, none, "GET"),
            ("public", "public as /health", health, "GET"),
            ("bad", INVALID, bad, "GET"),
        ],
    )


@case(REFUSALS, "HEAD, and the next request", CLOSES)
def _head_refused(talk: Talk) -> None:
    head = talk.fill(request("X-API-Key: <bad>", start="HEAD /v1/things HTTP/1.1"))
    in_a_row(talk, [("head", "401", head, "HEAD"), ("next", "admitted", talk.fill(GOOD), "GET")])


def _pipelined(talk: Talk, first: str, second: str) -> None:
    want = {GOOD: "admitted", BAD: INVALID}
    with talk.open() as wire:
        before = len(talk.runs())
        wire.send(talk.fill(first) + talk.fill(second))
        answers = []
        for _ in range(2):
            try:
                answers.append(wire.final())
            except Closed:
                break
        assert wire.rest(0.1) == b"", "octets after the answers"
    assert len(talk.runs()) - before == sum(answer.status == 200 for answer in answers)
    for number, (sent, answer) in enumerate(zip((first, second), [*answers, None, None], strict=False)):
        got = "closes" if answer is None else "admitted" if answer.status == 200 else f"{answer.status} {answer.code}"
        assert number or got != "closes", "no answer to the first"
        talk.find("", want[sent], got)


@case(REFUSALS, "pipelined: refused, admitted", CLOSES)
def _refused_admitted(talk: Talk) -> None:
    _pipelined(talk, BAD, GOOD)


@case(REFUSALS, "pipelined: admitted, refused", CLOSES)
def _admitted_refused(talk: Talk) -> None:
    _pipelined(talk, GOOD, BAD)


def _post(body: bytes, *lines: str, target: str = "/v1/exports", key: str = "bad") -> str:
    length = f"Content-Length: {len(body)}"
    return request(f"X-API-Key: <{key}>", length, *lines, start=f"POST {target} HTTP/1.1")


@case(BODIES, "a body that looks like a request", CLOSES)
def _smuggled(talk: Talk) -> None:
    inner = talk.fill(GOOD)
    in_a_row(
        talk,
        [
            ("refused", INVALID, talk.fill(_post(inner)) + inner, "POST"),
            ("next", "admitted", talk.fill(GOOD), "GET"),
        ],
    )


@case(BODIES, "such a body in chunks", CLOSES | {"next: 400 by server": "next gets 400"})
def _smuggled_in_chunks(talk: Talk) -> None:
    inner = talk.fill(GOOD)
    head = talk.fill(request("X-API-Key: <bad>", "Transfer-Encoding: chunked", start="POST /v1/exports HTTP/1.1"))
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(inner), inner)
    in_a_row(talk, [("refused", INVALID, head + chunks, "POST"), ("next", "admitted", talk.fill(GOOD), "GET")])


@case(BODIES, "a chunk's first line that looks like a request", {"runs it": "runs it"})
def _smuggled_in_a_chunk_line(talk: Talk) -> None:
    inner = talk.fill("X-API-Key: <good>")
    head = talk.fill(request("X-API-Key: <bad>", "Transfer-Encoding: chunked", start="POST /v1/exports HTTP/1.1"))
    before = len(talk.runs())
    with talk.open() as wire:
        wire.send(head + b"%X;GET /v1/things HTTP/1.1\r\n%s\r\n0\r\n\r\n" % (len(inner), inner))
        refused = wire.final("POST")
        talk.find("", INVALID, talk.word(refused, []))
        wire.rest(0.1)
    if len(talk.runs()) > before:
        talk.find("", "ends", "runs it")


@case(BODIES, "Content-Length and Transfer-Encoding that differ", {"goes by the chunks": "goes by the chunks"})
def _both_framings(talk: Talk) -> None:
    inner = talk.fill(GOOD)
    head = request(
        "X-API-Key: <bad>",
        f"Content-Length: {len(inner) + 5}",
        "Transfer-Encoding: chunked",
        start="POST /v1/exports HTTP/1.1",
    )
    before = len(talk.runs())
    with talk.open() as wire:
        wire.send(talk.fill(head) + b"0\r\n\r\n" + inner)
        refused = wire.final("POST")
        assert refused.status in (400, 401, 501)
        if refused.status == 401:
            try:
                second = wire.final(timeout=0.3)
            except (Closed, Silent):
                second = None
            # To a server that goes by the chunks, what follows them is the next request, and it is answered for.
            talk.find("", "ends", "goes by the chunks" if second is not None and second.status == 200 else "ends")
        else:
            talk.find("", "ends", f"{refused.status} by server")
        assert wire.rest(0.1) == b""
    assert len(talk.runs()) - before == (talk.findings[-1].got == "goes by the chunks")


def _chunked(talk: Talk, *lines: str, trailer: str = "") -> bytes:
    """A whole request in one segment, so that a server which reads the trailer before it calls the app can."""
    head = request(*lines, start="POST /v1/exports HTTP/1.1")
    return talk.fill(head) + b"2\r\n{}\r\n0\r\n" + (talk.fill(trailer) if trailer else b"\r\n")


LATE = {"400 invalid_request": "may be a trailer"}


@case(BODIES, "a key in a trailer", LATE | CLOSES)
def _key_in_a_trailer(talk: Talk) -> None:
    octets = _chunked(talk, "Transfer-Encoding: chunked", trailer="X-API-Key: <good>")
    with talk.open() as wire:
        step(talk, wire, "", MISSING, octets, "POST")
    served(talk)


@case(BODIES, "a key before `Transfer-Encoding`, another in a trailer", LATE | CLOSES)
def _another_key_in_a_trailer(talk: Talk) -> None:
    octets = _chunked(talk, "X-API-Key: <good>", "Transfer-Encoding: chunked", trailer="Api-Key: <bad>")
    with talk.open() as wire:
        step(talk, wire, "", "admitted", octets, "POST")
    served(talk)


@case(BODIES, "a key behind `Transfer-Encoding`", LATE)
def _key_behind_the_coding(talk: Talk) -> None:
    with talk.open() as wire:
        step(talk, wire, "", "admitted", _chunked(talk, "Transfer-Encoding: chunked", "X-API-Key: <good>"), "POST")
    served(talk)


@case(BODIES, "200,000 octets")
def _large(talk: Talk) -> None:
    """Whether the connection then stays open is a race between sending and dropping, so it is not checked."""
    body = b"x" * 200_000
    with talk.open() as wire:
        step(talk, wire, "", INVALID, talk.fill(_post(body)) + body, "POST")
    served(talk)


@case(BODIES, "announced, not sent", {"head: waits": "waits for the body"})
def _announced(talk: Talk) -> None:
    body = b"x" * 1000
    with talk.open() as wire:
        if step(talk, wire, "head", INVALID, talk.fill(_post(body)), timeout=PATIENCE) is None:
            step(talk, wire, "body", INVALID, body)
    served(talk)


@case(BODIES, "`Expect: 100-continue`", {"head: 100": "sends 100"})
def _expect(talk: Talk) -> None:
    body = b"x" * 1000
    for key, label, want in (("bad", "refused", INVALID), ("good", "admitted", "admitted")):
        target = "/v1/length" if key == "good" else "/v1/exports"
        head = talk.fill(_post(body, "Expect: 100-continue", "Connection: close", target=target, key=key))
        before = len(talk.runs())
        with talk.open() as wire:
            wire.send(head)
            first = wire.read("POST", timeout=PATIENCE)
            if key == "bad":
                talk.find("head", want, "100" if first.status == 100 else want)
            else:
                assert first.status == 100, "a client that waits for it never sends its body"
            if first.status == 100:
                wire.send(body)
                first = wire.final("POST")
            talk.find(label, want, talk.word(first, talk.runs()[before:]))
            assert key == "bad" or first.json["length"] == 1000
            assert wire.rest() == b"", "octets after the answer"


@case(BODIES, "admitted, and read by the app")
def _read_body(talk: Talk) -> None:
    body = b"x" * 1000
    head = request("X-API-Key: <good>", "Transfer-Encoding: chunked", start="POST /v1/length HTTP/1.1")
    with talk.open() as wire:
        plain = step(talk, wire, "length", "admitted", talk.fill(_post(body, target="/v1/length", key="good")) + body)
        assert plain is not None
        assert plain.json["length"] == 1000
    with talk.open() as wire:
        chunked = step(talk, wire, "chunked", "admitted", talk.fill(head) + b"3e8\r\n" + body + b"\r\n0\r\n\r\n")
        assert chunked is None or chunked.status >= 400 or chunked.json["length"] == 1000


@case(BODIES, "admitted, and not read by the app", CLOSES)
def _unread(talk: Talk) -> None:
    inner = talk.fill(BAD)
    in_a_row(
        talk,
        [
            ("admitted", "admitted", talk.fill(_post(inner, key="good")) + inner, "POST"),
            ("next", "admitted", talk.fill(GOOD), "GET"),
        ],
    )


def _without_octets(talk: Talk, method: str, target: str) -> None:
    """Answers that must have no body; and the next answer on the connection must be read at the right place."""
    sent = talk.fill(request("X-API-Key: <good>", start=f"{method} {target} HTTP/1.1"))
    with talk.open() as wire:
        wire.send(sent)
        response = wire.final(method)
        assert response.status in (200, 204, 304)
        assert response.body == b""
        try:
            wire.send(talk.fill(BAD))
            rest = wire.rest(0.15)
        except Closed:
            rest = b""
    got = "ok"
    if rest and not rest.startswith(b"HTTP/1.1 401 "):
        got = "sends octets"
    elif not rest:
        got = "closes"
    talk.find("", "ok", got)


for _method, _target, _name in (
    ("HEAD", "/v1/things", "HEAD"),
    ("GET", "/v1/polite/204", "204"),
    ("GET", "/v1/polite/304", "304"),
    ("HEAD", "/v1/stream", "HEAD of a stream"),
    ("HEAD", "/v1/rude/things", "HEAD, and the app sends a body"),
    ("GET", "/v1/rude/204", "204, and the app sends a body"),
    ("GET", "/v1/rude/304", "304, and the app sends a body"),
    ("HEAD", "/v1/wrapped/things", "HEAD, in the envelope"),
    ("HEAD", "/v1/wrapped/stream", "HEAD of a stream, in the envelope"),
    ("GET", "/v1/wrapped/204", "204, in the envelope"),
    ("GET", "/v1/wrapped/304", "304, in the envelope"),
    ("HEAD", "/v1/wrapped/rude/things", "HEAD, in the envelope, and the app sends a body"),
    ("GET", "/v1/wrapped/rude/204", "204, in the envelope, and the app sends a body"),
    ("GET", "/v1/wrapped/rude/304", "304, in the envelope, and the app sends a body"),
):
    # What a server sends of a body that must not be is the app's fault and the server's; in the envelope it is ours.
    # Whatever stands around it, waitress ends a stream also where it was a HEAD.
    _words = {"sends octets": "sends octets"} if "/wrapped/" not in _target or "stream" in _target else {}

    def _run(talk: Talk, method: str = _method, target: str = _target) -> None:
        _without_octets(talk, method, target)

    case(ANSWERS, _name, {"closes": "closes"} | _words)(_run)


@case(ANSWERS, "a stream, and the next request", CLOSES)
def _stream(talk: Talk) -> None:
    stream = talk.fill(request("X-API-Key: <good>", start="GET /v1/stream HTTP/1.1"))
    with talk.open() as wire:
        response = step(talk, wire, "stream", "admitted", stream)
        assert response is not None
        assert response.body == b"".join(b"%d\n" % number for number in range(50))
        if response.closes:
            return talk.find("", "stays open", "closes")
        step(talk, wire, "bad", INVALID, talk.fill(BAD))
        assert wire.rest(0.1) == b"", "octets after the answer"
        return None


@case(ANSWERS, "an envelope, and the next request", CLOSES)
def _envelope(talk: Talk) -> None:
    wrapped = talk.fill(request("X-API-Key: <good>", start="GET /v1/wrapped/things HTTP/1.1"))
    with talk.open() as wire:
        response = step(talk, wire, "wrapped", "admitted", wrapped)
        assert response is not None
        assert response.json["data"]["ran"] is True
        assert response.json["meta"]["request_id"] == response.all("x-request-id")[0]
        if response.closes:
            return talk.find("", "stays open", "closes")
        step(talk, wire, "bad", INVALID, talk.fill(BAD))
        assert wire.rest(0.1) == b"", "octets after the answer"
        return None


def _stalled(talk: Talk, first: bytes, then: bytes, want: str) -> None:
    """Others are served while one client stalls, and it gets its answer when it goes on."""
    with talk.open() as wire:
        wire.send(first)
        time.sleep(0.05)
        with talk.open(PATIENCE) as another:
            step(talk, another, "others", "admitted", talk.fill(GOOD.replace("\n", "\nConnection: close\n", 1)))
        step(talk, wire, "", want, then, "POST")
    served(talk)


@case(CLIENTS, "stalls in the head", {"others: waits": "others wait"})
def _stalls_in_head(talk: Talk) -> None:
    for octets, want in ((talk.fill(BAD), INVALID), (talk.fill(GOOD), "admitted")):
        _stalled(talk, octets[:40], octets[40:], want)


@case(CLIENTS, "stalls in the body, admitted", {"others: waits": "others wait"})
def _stalls_in_body(talk: Talk) -> None:
    head = talk.fill(_post(b"x" * 1000, target="/v1/length", key="good"))
    with talk.open() as wire:
        before = len(talk.runs())
        wire.send(head + b"x" * 500)
        time.sleep(0.1)
        with talk.open(PATIENCE) as another:
            try:
                another.send(talk.fill(GOOD.replace("\n", "\nConnection: close\n", 1)))
                got = "admitted" if another.final().status == 200 else "refused"
            except Silent:
                got = "waits"
        talk.find("others", "admitted", got)
        wire.send(b"x" * 500)
        response = wire.final("POST")
        assert response.json["length"] == 1000
    served(talk)
    assert [run["method"] for run in talk.runs()[before:]].count("POST") == 1


def _leaves(talk: Talk, octets: bytes, may_run: int) -> None:
    before = len(talk.runs())
    with talk.open() as wire:
        wire.send(octets)
    # For as long as it takes to run, or for as long as one waits to be sure that it does not.
    settled(talk, before + 1, 0.15 if b"/length" in octets or not may_run else 1)
    ran = len(talk.runs()) - before
    served(talk)
    talk.find("", "ran", "ran" if ran <= may_run else "runs the app")


@case(CLIENTS, "leaves in the head", {"runs the app": "runs the app"})
def _leaves_in_head(talk: Talk) -> None:
    octets = talk.fill(GOOD)
    _leaves(talk, talk.fill(BAD)[:-2], 0)
    assert [finding.got for finding in talk.findings] == ["ran"], "the app ran for a bad key"
    _leaves(talk, octets[:-2], 0)
    _leaves(talk, octets[: len(octets) // 2], 0)


@case(CLIENTS, "leaves in the body, refused")
def _leaves_in_refused_body(talk: Talk) -> None:
    _leaves(talk, talk.fill(_post(b"x" * 1000)) + b"x" * 10, 0)


@case(CLIENTS, "leaves in the body, admitted")
def _leaves_in_admitted_body(talk: Talk) -> None:
    _leaves(talk, talk.fill(_post(b"x" * 1000, target="/v1/length", key="good")) + b"x" * 10, 1)


@case(CLIENTS, "leaves before the answer")
def _leaves_before_answer(talk: Talk) -> None:
    _leaves(talk, talk.fill(BAD), 0)
    _leaves(talk, talk.fill(request("X-API-Key: <good>", start="GET /v1/stream HTTP/1.1")), 1)


@case(CLIENTS, "shuts down its side after the request")
def _half_closes(talk: Talk) -> None:
    for template, want in ((BAD, INVALID), (GOOD, "admitted")):
        before = len(talk.runs())
        with talk.open() as wire:
            wire.send(talk.fill(template))
            wire.finish()
            # Some take it for a client that left, one of them only if it sees it early enough: nothing to write down.
            with suppress(Closed):
                assert talk.word(wire.final(), talk.runs()[before:]) == want
        settled(talk, before + (template is GOOD))
        assert len(talk.runs()) - before <= (template is GOOD)
        talk.find("", "served on", "served on")
    served(talk)
