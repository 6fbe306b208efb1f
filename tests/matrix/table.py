"""docs/servers.md: what was observed, as tables, with what each word means and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version_tuple

from tests.matrix.cases import Case
from tests.matrix.talk import BY_SERVER, Finding
from tests.servers import MATRIX

DOCUMENT = Path(__file__).parents[2] / "docs" / "servers.md"
Cells = Mapping[tuple[str, str], str]

# What stands in a cell, and what it means for who runs the service. A word that is not here fails the tests.
WORDS = {
    "ok": "what keystile says about the request as it was sent, and what HTTP says about the answer.",
    "400 by server": "(and 431, 501) the server refuses the request itself; neither gate nor app sees it.",
    "no answer": "the server closes the connection without one, before gate or app see the request.",
    "closes": "a right answer, but the connection is closed after it, as the answer said or HTTP lets be: clients pay "
    "for a new one.",
    "hidden": "the server drops the header (one with underscores, or with a blank before its colon). Safe: the gate "
    "decides by what the app can see.",
    "folded": "the server gives the app `X_API_Key` as if it were `X-API-Key`, so nothing behind it can tell them "
    "apart. A proxy in front that removes or checks `X-API-Key` is passed by. Drop names with underscores at the "
    "proxy (nginx does by default).",
    "folded, last line counts": "as above, and the last of the two lines alone comes through: a client can replace a "
    "key that a proxy set. Drop names with underscores at the proxy.",
    "last line counts": "of several lines the gate sees the last alone, so what should be 400 is decided by that key. "
    "Let the proxy refuse repeated credentials, or let it set the header itself.",
    "emptied": "the server makes an empty value of one that is not ASCII, and an empty value presents nothing: 401, "
    "but `missing_api_key`, and a good key in another place beside it counts.",
    "trimmed": "the server strips controls off the value as if they were blanks; the key in it is a good one.",
    "ends a line": "a bare CR counts as the end of a line, so what follows is a header of its own. A proxy that "
    "passes a CR in a value on can be made to smuggle a header: let it refuse them.",
    "needs a key": "the server passes the whole URL on as the path, which is not canonical and so never public.",
    "read as /health": "the server makes one slash of several, or reads an authority, before app and gate see the "
    "path; both then see the public one, and it is that which is served.",
    "read as /public/a": "the same.",
    "decoded": "`%2F` is a slash before app and gate see the path, and the raw target is not passed on. Both see the "
    "same public path. A proxy that routes by the raw path may not: let it refuse `%2F`, or normalise there.",
    "taken off": "from a peer on the same machine the server obeys a `SCRIPT_NAME` header and takes that off the "
    "path. Gate and app see the same rest, and rules hold for the rest. Let the proxy drop names with underscores, "
    "or set `--forwarder-headers ''`.",
    "next gets 400": "the body's chunks are left in the connection and read as the next request, which is refused as "
    "malformed. Let a proxy that reuses connections buffer request bodies (nginx does by default).",
    "runs it": "the same, and a client can make the chunk's first line look like a request: it is served, by the key "
    "that the client itself holds, but a proxy that passed it on takes one answer for another's. The same advice.",
    "goes by the chunks": "the server ignores Content-Length when there is Transfer-Encoding, as RFC 9112 6.3 allows, "
    "but keeps the connection open: what follows the last chunk is the next request. Let the proxy refuse such "
    "requests.",
    "may be a trailer": "the server puts the trailers of a chunked body among the headers, behind those of the head: "
    "nobody can say which a header behind `Transfer-Encoding` is. A key there is refused; of `X-Forwarded-*` and "
    "`Content-Type` there nothing is believed. Use another parser (`--http h11`) where clients or proxies send chunked "
    "bodies with the key behind that line (programs in Go do, and Caddy and Traefik), or let the proxy buffer bodies.",
    "waits for the body": "a refusal is sent only when the announced body has come. Bound body sizes and times at the "
    "proxy: without a key a client can have them held in memory or on disk.",
    "sends 100": "the server asks for the body before anybody has looked at the key. The same advice.",
    "others wait": "while one client stalls nobody else is served. Put a proxy that buffers requests in front.",
    "runs the app": "a head that is cut off before its empty line counts as whole. The key in it was checked.",
    "sends octets": "what the app sends where HTTP has no body (HEAD, 204, 304) goes onto the wire, or the end of a "
    "stream does, and a client that keeps the connection reads it as the next answer. Frameworks send none; where an "
    "app does, put a proxy in front or mend the app. Envelopes do not cause it.",
}

_HEAD = """\
# Servers

keystile's doors see a request as the server hands it over, and servers differ. These tables say how, as the tests
observe it over raw sockets: every case on every server, with its default settings, and a plain app behind the gate that
notes each of its runs. On all of them, for every case: **nothing is admitted without a valid key, and what is refused
never reaches the app.** The rest is here so that you know what your server does with odd requests before they come.

`KEYSTILE_WRITE_DOCS=1 pytest tests/matrix` writes this page; without the variable the same tests hold it to what they
observe, for servers of the versions below.

"""

_ADVICE = """\
## What to set up

- **granian (WSGI) and cheroot** fold `X_API_Key` into `X-API-Key`: drop names with underscores at the proxy. (nginx:
  `underscores_in_headers off`, its default.) On ASGI servers that pass them on, the gate refuses them.
- **cheroot** passes the last of several equal header lines on, strips controls around a value and leaves chunked bodies
  unread: use it behind a proxy that refuses or normalises these.
- **gunicorn** obeys `SCRIPT_NAME` from a peer on its own machine (`--forwarded-allow-ips`, by default loopback), which
  is where a proxy often is: let that proxy drop names with underscores, or set `--forwarder-headers ''`.
- **gunicorn** also takes `X-Forwarded-Proto: https`, `X-Forwarded-Protocol: ssl` and `X-Forwarded-Ssl: on` from such a
  peer as the scheme (`secure_scheme_headers`). Behind a proxy on the same machine that sends no `X-Forwarded-Proto` of
  its own and passes the client's headers on, plain http would count as https, and `https="require"` let it pass: set
  `--forwarded-allow-ips ''`, name the proxy in `trusted_proxies`, and let it send `X-Forwarded-Proto`.
- **gunicorn** lingers for up to 2 seconds over a connection that it closes with octets of the body unread. A client
  whose request was refused and that stalls in its body holds a sync worker, or a thread, for so long: use a proxy that
  buffers request bodies.
- **uvicorn with httptools** (its default where httptools is installed) puts trailers among the headers: see "may be a
  trailer" below. `--http h11` does not.
- **daphne, waitress and cheroot** read a request's body before a refusal goes out; **hypercorn, gunicorn and werkzeug**
  ask for it with `100 Continue` all the same. Bound body sizes at the proxy or by the server's own setting (waitress:
  `--max-request-body-size`).
- **waitress** ends an answer to HEAD whose length nobody knows with the end of a chunked body, and closes.
- **werkzeug**'s server is for development, as its authors say.

## Who the client is

`trusted_proxies` and the server's own trust in `X-Forwarded-For` are two settings, and only one of them can hold. A
server that believes the header gives the gate what somebody wrote in the place of the peer. Where that shows, the
client is unknown: no allowlist holds it, all such clients share one window, and the event `peer_rewritten` says so, at
most once a minute. Let the server leave the peer alone, and name the proxies to the gate.

- **uvicorn** replaces the peer by default if it is on its own machine; and everybody, by the leftmost entry, which is
  the client's own, with `--forwarded-allow-ips '*'` or `FORWARDED_ALLOW_IPS=*`, which some platforms set. It shows: the
  port is 0, or stands beside the address in the entry. Use `--no-proxy-headers`.
- **hypercorn** and **granian (ASGI)** do it only in middleware of theirs (`ProxyFixMiddleware`,
  `wrap_asgi_with_proxy_headers`). It shows: the port is 0.
- **daphne** does it only with `--proxy-headers`, by the leftmost entry. It shows, but for a client that names one of
  your proxies and sends an `X-Forwarded-Port`: do not use it.
- **granian (WSGI)** does it only in `wrap_wsgi_with_proxy_headers`, **waitress** only with `trusted_proxy` (without, it
  drops the header; `--no-clear-untrusted-proxy-headers` leaves it to the gate), and so does werkzeug's `ProxyFix`, in
  front of the gate, on any server. There it does not show.
- **gunicorn**, **cheroot** and **werkzeug** never do. (gunicorn replaces the scheme, see above.)

Platforms that are no server, such as Mangum on AWS Lambda, give the port 0 as well: there clients are unknown too.

## Keys in the query and access logs

With `query_parameter` the gate takes the key out of the query before the app sees it. Whether the server's own access
log has it depends on what the line is made from, where the server writes one:

- of what the gate has left of the query, or without a query: uvicorn, hypercorn, gunicorn, granian (ASGI). No key.
- of the request as it came: **daphne, werkzeug and the standard library's wsgiref log the key, and so does granian
  (WSGI) where its format names `%(query_string)s`**. Switch that log off, or leave the query out of its format.
- waitress and cheroot write none.

A proxy in front logs the query as it came, whatever stands behind it.
"""


def cell(case: Case, findings: Sequence[Finding]) -> str:
    """The word for a case on a server.

    Raises:
        AssertionError: an outcome is neither what is wanted, nor declared, nor a refusal of the server's own.
    """
    whole = case.words.get(" / ".join(finding.got for finding in findings))
    if whole is not None:
        return whole
    words: list[str] = []
    for finding in findings:
        word = _word(case, finding)
        if word != "ok" and word not in words:
            words.append(word)
    return "; ".join(words) or "ok"


def _word(case: Case, finding: Finding) -> str:
    if finding.got == finding.want:
        return "ok"
    word = case.words.get(f"{finding.label}: {finding.got}") or case.words.get(finding.got)
    assert word or BY_SERVER.fullmatch(finding.got), f"{finding.label}: {finding.got}, and not {finding.want}"
    return word or finding.got


def meaning(word: str) -> str | None:
    return WORDS.get("400 by server" if word.endswith(" by server") else word)


def versions(kind: str) -> str:
    """What the outcomes depend on. werkzeug's server is the standard library's beneath."""
    found = [f"{package} {version(package)}" for package in MATRIX[kind].packages]
    return ", ".join([*found, "Python " + ".".join(python_version_tuple()[:2])] if kind == "werkzeug" else found)


def document(cases: Sequence[Case], cells: Cells) -> str:
    lines = [_HEAD + "## Tested\n", "| server | protocol | versions |", "|---|---|---|"]
    lines += [f"| {kind} | {server.protocol.upper()} | {versions(kind)} |" for kind, server in MATRIX.items()]
    lines += ["", _ADVICE]
    used = {cells[case.name, kind] for case in cases for kind in MATRIX}
    lines += ["## What the words mean\n", "| word | meaning |", "|---|---|"]
    lines += [f"| {word} | {text} |" for word, text in WORDS.items() if any(word in each for each in used)]
    for section in dict.fromkeys(case.section for case in cases):
        lines += ["", f"## {section}\n", f"| | {' | '.join(MATRIX)} |", "|---" * (len(MATRIX) + 1) + "|"]
        for case in cases:
            if case.section == section:
                lines.append(f"| {case.name} | {' | '.join(cells[case.name, kind] for kind in MATRIX)} |")
    return "\n".join(lines) + "\n"


def columns(text: str) -> dict[str, tuple[str, list[str]]]:
    """From such a document, for each server: its versions, and its cells with the names of the cases."""
    rows = [re.split(r" \| ", line[2:-2]) for line in text.splitlines() if line.startswith("| ")]
    tested = {row[0]: row[2] for row in rows if len(row) == 3 and row[0] in MATRIX}
    header = next((row for row in rows if len(row) > 3 and row[0] == "|"), None) or ["", *tested]
    wide = [row for row in rows if len(row) == len(tested) + 1 and row[1:] != list(tested)]
    places = {kind: place for place, kind in enumerate(header)}
    return {kind: (found, [f"{row[0]}: {row[places[kind]]}" for row in wide]) for kind, found in tested.items()}
