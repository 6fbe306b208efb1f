"""docs/reference/servers.md: the observations as tables, what each word in them means, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version_tuple

from tests.matrix.cases import Case
from tests.matrix.talk import BY_SERVER, Finding
from tests.servers import MATRIX

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "servers.md"
Cells = Mapping[tuple[str, str], str]

# What a cell may hold, and what that means for the operator of a service. A word that is not here fails the tests.
WORDS = {
    "ok": "the gate decides as it should for the request that was sent, and the answer is correct HTTP.",
    "400 by server": "(and 431, 501) the server refuses the request itself; neither gate nor app sees it.",
    "no answer": "the server closes the connection without an answer, before gate or app see the request.",
    "closes": "a correct answer, but the connection is closed after it, as the answer announces or HTTP allows: the "
    "client has to open a new one.",
    "hidden": "the server drops the header (one with underscores, or with a blank before its colon). Safe: the gate "
    "decides by what the app can see too.",
    "folded": "the server gives the app `X_API_Key` as if it were `X-API-Key`, so nothing behind it can tell them "
    "apart. This gets past a proxy in front that removes or checks `X-API-Key`. Drop names with underscores at the "
    "proxy (nginx does by default).",
    "folded, last line counts": "as above, and the last of the two lines alone comes through: a client can replace a "
    "key that a proxy set. Drop names with underscores at the proxy.",
    "last line counts": "of several lines the gate sees only the last, so that key decides what should be a 400. "
    "Let the proxy refuse repeated credentials, or let it set the header itself.",
    "emptied": "the server replaces a value that is not ASCII by an empty one, and an empty value counts as no key: "
    "401, but `missing_api_key`; a good key in another header of the request counts.",
    "trimmed": "the server strips control characters off the value as if they were blanks; the key in it is good.",
    "ends a line": "a bare CR ends a line, so what follows is a header of its own. Through a proxy that passes on a CR "
    "in a value, a client can smuggle in a header: let the proxy refuse them.",
    "needs a key": "the server passes the whole URL on as the path, which is not canonical and so never public.",
    "read as /health": "the server merges several slashes into one, or reads an authority, before app and gate see the "
    "path. Both then see the public path, and that is what is served.",
    "read as /public/a": "the same.",
    "decoded": "the server turns `%2F` into a slash before app and gate see the path, and does not pass the raw target "
    "on. Both see the same public path. A proxy that routes by the raw path may see another: let it refuse `%2F`, or "
    "normalise there.",
    "taken off": "the server obeys a `SCRIPT_NAME` header from a peer on the same machine, and takes that prefix off "
    "the path. Gate and app see the same rest, and the rules hold for that. Let the proxy drop names with underscores, "
    "or set `--forwarder-headers ''`.",
    "next gets 400": "the chunks of the body stay in the connection and are read as the next request, which is refused "
    "as malformed. Let a proxy that reuses connections buffer request bodies (nginx does by default).",
    "runs it": "the same, and a client can make the first line of a chunk look like a request. That request is served, "
    "with the client's own key, but a proxy that passed it on may give its answer to somebody else. The same advice.",
    "goes by the chunks": "the server ignores Content-Length when there is Transfer-Encoding, as RFC 9112 6.3 allows, "
    "but keeps the connection open: what follows the last chunk is the next request. Let the proxy refuse requests "
    "with both.",
    "may be a trailer": "the server appends the trailers of a chunked body to the headers, so a header after "
    "`Transfer-Encoding` may be a trailer. A key there is refused; `X-Forwarded-*` and `Content-Type` there are not "
    "believed; the event `trailers_merged` says so. Use another parser (`--http h11`) where clients or proxies send "
    "chunked bodies with the key after that line (programs in Go do, and Caddy and Traefik), or let the proxy "
    "buffer bodies.",
    "waits for the body": "a refusal is sent only when the announced body has arrived. Bound body sizes and times at "
    "the proxy: without a key, a client can have bodies held in memory or on disk.",
    "sends 100": "the server asks for the body before anybody has checked the key. The same advice.",
    "others wait": "while one client stalls nobody else is served. Put a proxy that buffers requests in front.",
    "runs the app": "a head that is cut off before its empty line counts as complete. The key in it was checked.",
    "sends octets": "a body that the app sends where HTTP has none (HEAD, 204, 304), or the end of a stream, goes onto "
    "the wire, and a client that keeps the connection reads it as the next answer. Frameworks send no such body; if "
    "your app does, fix it or put a proxy in front. Envelopes do not cause this.",
}

_HEAD = """\
# Servers

keystile sees a request as the server hands it over, and servers differ. These tables show how. The tests observe it
over raw sockets: every case on every server with its default settings, and behind the gate a plain app that notes each
of its runs. For every case on every server: **nothing is admitted without a valid key, and what is refused never
reaches the app.** The rest is here so that you know beforehand what your server does with odd requests.

`KEYSTILE_WRITE_DOCS=1 pytest tests/matrix` writes this page. Without the variable the same tests compare it with what
they observe, for the versions of servers below.

"""

_ADVICE = """\
## What to set up

- **Under WSGI** set `wsgi_threads` to the number of threads (or greenlets) that serve requests in a process, under
  gevent above all: a quarter of them may wait for proofs. Without it the gate counts the threads that it sees.
- **granian (WSGI) and cheroot** fold `X_API_Key` into `X-API-Key`: drop names with underscores at the proxy. (nginx:
  `underscores_in_headers off`, its default.) On ASGI servers that pass them on, the gate refuses them.
- **cheroot** passes on only the last of several equal header lines, strips control characters around a value and leaves
  chunked bodies unread: use it behind a proxy that refuses or normalises these.
- **gunicorn** obeys `SCRIPT_NAME` from a peer on its own machine (`--forwarded-allow-ips`, by default loopback), which
  is where a proxy often is. Let that proxy drop names with underscores, or set `--forwarder-headers ''`.
- **gunicorn** also takes `X-Forwarded-Proto: https`, `X-Forwarded-Protocol: ssl` and `X-Forwarded-Ssl: on` from such a
  peer as the scheme (`secure_scheme_headers`). Behind a proxy on the same machine that sends no `X-Forwarded-Proto` of
  its own and passes on the client's headers, plain http would count as https, and `https="require"` would let it pass.
  Set `--forwarded-allow-ips ''`, name the proxy in `trusted_proxies`, and let it send `X-Forwarded-Proto`.
- **uvicorn** takes `X-Forwarded-Proto` from a peer on its own machine as the scheme. If the gate knows the proxies
  (`trusted_proxies`), it believes that header from nobody else. If not, plain http can count as https, and
  `https="require"` lets it pass. Set `--no-proxy-headers` and name the proxy in `trusted_proxies`.
- **gunicorn** waits for up to 2 seconds on a connection that it closes with octets of the body unread. A client whose
  request was refused and that stalls in its body holds a sync worker, or a thread, for that long: use a proxy that
  buffers request bodies.
- **gunicorn with `-k gevent`** is tested with and without `--preload`, with store and limiter in memory and in SQLite.
- **uvicorn with httptools** (its default where httptools is installed) merges trailers into the headers: see "may be a
  trailer" below. `--http h11` does not.
- **daphne, waitress and cheroot** read a request's body before a refusal goes out. **hypercorn, gunicorn and werkzeug**
  ask for it with `100 Continue` even so. Bound body sizes at the proxy or by the server's own setting (waitress:
  `--max-request-body-size`).
- **waitress** ends an answer to HEAD of unknown length with the end of a chunked body, and closes the connection.
- **werkzeug**'s server is for development, as its authors say.

## Root paths

- **daphne** obeys a client's `Daphne-Root-Path` header: let the proxy drop it.
- **hypercorn and granian** may hand over the path without the root path, and then the gate cannot tell whether it was
  there. So choose a root path that no route contains.
- **Quart** under `--root-path` behind hypercorn or granian: a catch-all route answers paths outside the root path.

## Forks

A fork waits until no thread uses SQLite, at most 5 seconds. Then the file is closed, and opened again in both
processes. If a thread still uses SQLite after that, the child answers 503 until it is restarted. The host's own use of
SQLite in other threads is not covered.

## Checks for blocking calls

With memory and SQLite the gate reads in place on the event loop, because a read takes microseconds. A checker such as
blockbuster reports that. `keystile.stores.sqlite.IN_PLACE` lists these places by file and function:

```python
from blockbuster import BlockBuster
from keystile.stores.sqlite import IN_PLACE

bb = BlockBuster()
for name in ("os.stat", *(each for each in bb.functions if each.startswith("sqlite3."))):
    for file, functions in IN_PLACE:
        bb.functions[name].can_block_in(file, functions)
```

## Limits in memory and SQLite

A caller who uses more than 256 rules with limits within their windows may get more than a limit now and then.

## Who the client is

Either the gate reads `X-Forwarded-For` (`trusted_proxies`), or the server does; never both. A server that believes the
header hands the gate whatever somebody wrote there in place of the peer's address. Where the gate can see this, the
client is unknown: no allowlist admits it, all such clients share one window, and the event `peer_rewritten` says so, at
most once a minute. Let the server leave the peer alone, and name the proxies to the gate.

- **uvicorn** replaces the peer by default if the peer is on its own machine. With `--forwarded-allow-ips '*'` or
  `FORWARDED_ALLOW_IPS=*`, which some platforms set, it replaces every peer by the leftmost entry, which the client
  itself writes. The gate can see it: the port is 0, or stands beside the address in the entry. Use
  `--no-proxy-headers`.
- **hypercorn** and **granian (ASGI)** do it only in their own middleware (`ProxyFixMiddleware`,
  `wrap_asgi_with_proxy_headers`). The gate can see it: the port is 0.
- **daphne** does it only with `--proxy-headers`, by the leftmost entry. The gate can see it, except for a client that
  names one of your proxies and sends an `X-Forwarded-Port`. Do not use this option.
- **granian (WSGI)** does it only in `wrap_wsgi_with_proxy_headers`, **waitress** only with `trusted_proxy` (without it,
  waitress drops the header; `--no-clear-untrusted-proxy-headers` leaves the header to the gate), and werkzeug's
  `ProxyFix` does it in front of the gate on any server. The gate cannot see these.
- **gunicorn**, **cheroot** and **werkzeug** never do it. (gunicorn replaces the scheme, see above.)

Platforms without a server, such as Mangum on AWS Lambda, give the port 0 as well: clients are unknown there too.

## Keys in the query and access logs

With `accept=["?name"]` the gate takes the key out of the query before the app sees it. Whether the server's own access
log shows the key depends on the server:

- uvicorn, hypercorn, gunicorn and granian (ASGI) log what the gate has left of the query, or no query. No key.
- **daphne, werkzeug and the standard library's wsgiref log the key, and so does granian (WSGI) if its format names
  `%(query_string)s`**: they log the request as it was sent. Turn that log off, or leave the query out of its format.
- waitress and cheroot write no access log.

A proxy in front logs the query as it was sent, whatever is behind the proxy.
"""


def cell(case: Case, findings: Sequence[Finding]) -> str:
    """The word for a case on a server.

    Raises:
        AssertionError: an outcome is neither wanted, nor declared, nor a refusal by the server itself.
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
    """What the outcomes depend on. Below werkzeug's server is the standard library's."""
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
