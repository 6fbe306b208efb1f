"""The cases of one request each: the grammar of credentials, what servers make of headers, and of paths.

A case says what comes out where the server hands over what was sent (`want`), and which other outcomes are a server's
own way, with a word for each. Any other outcome fails, but for a server that itself refuses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.matrix.talk import Talk

INVALID, MISSING, AMBIGUOUS = "401 invalid_api_key", "401 missing_api_key", "400 invalid_request"
CREDENTIALS, HEADERS, PATHS = "Credentials", "Headers and targets", "Look-alikes of public paths"


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        run: holds the conversation and leaves findings.
        words: for what a server forces: by the outcomes of all steps, ``"admitted / 401 invalid_api_key"``, by
            ``"label: outcome"``, or by the outcome of any step.
    """

    section: str
    name: str
    run: Callable[[Talk], None]
    words: Mapping[str, str] = field(default_factory=dict)


def request(*lines: str, start: str = "GET /v1/things HTTP/1.1", host: str = "Host: api.example.com") -> str:
    return "\n".join([start, *([host] if host else []), *lines])


def asked(section: str, name: str, words: Mapping[str, str] | None = None, **steps: tuple[str, str]) -> Case:
    """Each step is the expected outcome and its request."""

    def run(talk: Talk) -> None:
        for label, (want, template) in steps.items():
            talk.ask(label, want, template)

    return Case(section, name, run, words or {})


def credential(
    name: str, *lines: str, good: str = "admitted", bad: str = INVALID, words: Mapping[str, str] | None = None
) -> Case:
    """The same lines, once with a good and once with a bad key in place of ``<key>``."""
    steps = {
        label: (want, request(*(line.replace("<key>", f"<{label}>") for line in lines)))
        for label, want in (("good", good), ("bad", bad))
    }
    return asked(CREDENTIALS, name, words, **steps)


def header(
    name: str,
    *lines: str,
    good: str = "admitted",
    bad: str = INVALID,
    words: Mapping[str, str] | None = None,
    start: str = "GET /v1/things HTTP/1.1",
) -> Case:
    steps = {
        label: (want, request(*(line.replace("<key>", f"<{label}>") for line in lines), start=start))
        for label, want in (("good", good), ("bad", bad))
    }
    return asked(HEADERS, name, words, **steps)


def path(
    target: str,
    *lines: str,
    none: str = MISSING,
    name: str = "",
    host: str = "Host: api.example.com",
    words: Mapping[str, str] | None = None,
) -> Case:
    """The target without a key, and with a key that may do everything."""
    start = f"GET {target} HTTP/1.1"
    steps = {
        "none": (none, request(*lines, start=start, host=host)),
        "good": (
            "admitted" if none == MISSING else none,
            request(*lines, "X-API-Key: <good>", start=start, host=host),
        ),
    }
    shown = name or f"`{target}`".replace("\\", "\\\\") if "`" not in target else target
    return asked(PATHS, shown, words, **steps)


# One server gives the app the last of several lines.
_LAST_LINE = {"admitted": "last line counts", INVALID: "last line counts"}
# A header with underscores is dropped, or is given to the app as if it had dashes.
_TWIN_ALONE = {MISSING: "hidden", "admitted": "folded", INVALID: "folded"}

# A value that is not ASCII is made an empty one, which presents nothing.
_EMPTIED = {MISSING: "emptied"}
_TRIMMED = {"admitted": "trimmed"}
_PREFLIGHT = ["Origin: https://app.example", "Access-Control-Request-Method: DELETE"]

_CREDENTIALS = [
    asked(CREDENTIALS, "none", none=(MISSING, request())),
    credential("`Authorization: Bearer K`", "Authorization: Bearer <key>"),
    credential("`Authorization: Api-Key K`", "Authorization: Api-Key <key>"),
    credential("`Api-Key: K`", "Api-Key: <key>"),
    credential("`X-API-Key: K`", "X-API-Key: <key>"),
    credential("`AUTHORIZATION: BEARER K`", "AUTHORIZATION: BEARER <key>"),
    credential("`authorization: aPI-kEY K`", "authorization: aPI-kEY <key>"),
    credential("`x-api-key: K`", "x-api-key: <key>"),
    credential("several spaces after the scheme", "Authorization: Bearer    <key>"),
    credential("a tab after the scheme", "Authorization: Bearer\t<key>", good=INVALID),
    credential("blanks and tabs around the value", "X-API-Key: \t  <key> \t "),
    credential("a blank within", "X-API-Key: <key> x", good=INVALID),
    credential("`Bearer K` in `X-API-Key`", "X-API-Key: Bearer <key>", good=INVALID),
    credential("no scheme", "Authorization: <key>", good=MISSING, bad=MISSING),
    credential("another scheme", "Authorization: Basic <key>", good=MISSING, bad=MISSING),
    credential("another scheme, and a key beside it", "Authorization: Basic Zm9vOmJhcg==", "X-API-Key: <key>"),
    asked(
        CREDENTIALS,
        "empty `X-API-Key`",
        empty=(MISSING, request("X-API-Key:")),
        blank=(MISSING, request("X-API-Key: \t ")),
    ),
    credential("empty `X-API-Key` beside `Authorization: Bearer K`", "X-API-Key:", "Authorization: Bearer <key>"),
    credential(
        "two lines `X-API-Key`, one of them empty",
        "X-API-Key:",
        "X-API-Key: <key>",
        good=AMBIGUOUS,
        bad=AMBIGUOUS,
        words=_LAST_LINE,
    ),
    asked(
        CREDENTIALS,
        "empty `Authorization`, or a scheme alone",
        empty=(MISSING, request("Authorization:")),
        alone=(MISSING, request("Authorization: Bearer")),
        blank=(MISSING, request("Authorization: Bearer ")),
    ),
    credential('`"K"`', 'X-API-Key: "<key>"', good=INVALID),
    credential("`K=`", "Authorization: Bearer <key>=", good=INVALID),
    credential("an octet more, an octet less", "X-API-Key: <key>x", good=INVALID),
    credential("`Bearer K, Bearer K`", "Authorization: Bearer <key>, Bearer <key>", good=AMBIGUOUS, bad=AMBIGUOUS),
    credential("`X-API-Key: K,K`", "X-API-Key: <key>,<key>", good=AMBIGUOUS, bad=AMBIGUOUS),
    *(
        credential(
            f"two lines `{line.partition(':')[0]}`, {how}",
            line.replace("<key>", first),
            line.replace("<key>", second),
            good=AMBIGUOUS,
            bad=AMBIGUOUS,
            words=_LAST_LINE,
        )
        for line in ("X-API-Key: <key>", "Authorization: Bearer <key>")
        for how, first, second in (
            ("equal", "<key>", "<key>"),
            ("the bad one first", "<bad>", "<key>"),
            ("the bad one last", "<key>", "<bad>"),
        )
    ),
    credential("equal in two headers", "Authorization: Bearer <key>", "X-API-Key: <key>"),
    asked(
        CREDENTIALS,
        "different in two headers",
        good_bad=(AMBIGUOUS, request("Authorization: Bearer <good>", "X-API-Key: <bad>")),
        bad_good=(AMBIGUOUS, request("Api-Key: <bad>", "X-API-Key: <good>")),
        good_good=(AMBIGUOUS, request("Authorization: Bearer <other>", "Api-Key: <good>")),
    ),
    credential("Latin-1 after it", "X-API-Key: <key>\xe9", good=INVALID, words=_EMPTIED),
    credential("UTF-8 after it", "Authorization: Bearer <key>\xc3\xa9", good=INVALID, words=_EMPTIED),
    credential(
        "no-break spaces around it", "X-API-Key: \xa0<key>\xa0", good=INVALID, words=_EMPTIED | {"admitted": "trimmed"}
    ),
    credential("vertical tabs around it", "X-API-Key: \x0b<key>\x0b", good=INVALID, words=_TRIMMED),
    credential("NUL after it", "X-API-Key: <key>\x00", good=INVALID),
    credential("30,000 octets", "X-API-Key: <key>" + "k" * 30_000, good=INVALID),
    asked(CREDENTIALS, "in the query string", query=(MISSING, request(start="GET /v1/things?api_key=<good> HTTP/1.1"))),
    asked(CREDENTIALS, "revoked", revoked=("401 revoked_api_key", request("X-API-Key: <revoked>"))),
    asked(
        CREDENTIALS,
        "without the scope",
        plain=("403 insufficient_scope", request("X-API-Key: <plain>", start="POST /v1/exports HTTP/1.1")),
        good=("admitted", request("X-API-Key: <good>", "Content-Length: 0", start="POST /v1/exports HTTP/1.1")),
    ),
]

_HEADERS = [
    header("`X_API_Key: K` alone", "X_API_Key: <key>", good=AMBIGUOUS, bad=AMBIGUOUS, words=_TWIN_ALONE),
    header("`Api_Key: K` alone", "Api_Key: <key>", good=AMBIGUOUS, bad=AMBIGUOUS, words=_TWIN_ALONE),
    asked(
        HEADERS,
        "`X_API_Key: bad` beside `X-API-Key: good`",
        {"admitted / admitted": "hidden", f"admitted / {INVALID}": "folded, last line counts"},
        first=(AMBIGUOUS, request("X_API_Key: <bad>", "X-API-Key: <good>")),
        last=(AMBIGUOUS, request("X-API-Key: <good>", "X_API_Key: <bad>")),
    ),
    asked(
        HEADERS,
        "`X_API_Key: good` beside `X-API-Key: bad`",
        {f"{INVALID} / {INVALID}": "hidden", f"{INVALID} / admitted": "folded, last line counts"},
        first=(AMBIGUOUS, request("X_API_Key: <good>", "X-API-Key: <bad>")),
        last=(AMBIGUOUS, request("X-API-Key: <bad>", "X_API_Key: <good>")),
    ),
    header("a folded line before the key", "X-API-Key:", " <key>"),
    header(
        "a folded line after the key",
        "X-API-Key: <key>",
        "  x",
        good=INVALID,
        words={"admitted": "admitted without the second line"},
    ),
    header("a key in the folded line of another header", "X-Other: a", " X-API-Key: <key>", good=MISSING, bad=MISSING),
    header("a blank before the colon", "X-API-Key : <key>", words={MISSING: "hidden"}),
    header(
        "a bare CR before the key's line",
        "X-Other: a<cr>X-API-Key: <key>",
        good=MISSING,
        bad=MISSING,
        words={"admitted": "ends a line", INVALID: "ends a line"},
    ),
    header(
        "a bare LF before the key's line",
        "X-Other: a<lf>X-API-Key: <key>",
        words={MISSING: "hidden"},
    ),
    header("`GET http://evil/v1/things`", "X-API-Key: <key>", start="GET http://evil/v1/things HTTP/1.1"),
    asked(
        HEADERS,
        "`GET http://evil/health` without a key",
        {MISSING: "needs a key"},
        none=("public as /health", request(start="GET http://evil/health HTTP/1.1")),
    ),
    *(
        asked(
            HEADERS,
            f"`GET {target}` without a key",
            {"public as /health": "read as /health"},
            none=(MISSING, request(start=f"GET {target} HTTP/1.1")),
        )
        for target in (
            "http://evil/public/../v1/things",
            "http://health/v1/things",
            "http:/health/../v1/things",
            "http:/health",
            "health",
        )
    ),
    asked(
        HEADERS,
        "a CORS preflight",
        none=(MISSING, request(*_PREFLIGHT, start="OPTIONS /v1/things HTTP/1.1")),
        good=("admitted", request("X-API-Key: <good>", *_PREFLIGHT, start="OPTIONS /v1/things HTTP/1.1")),
    ),
    asked(
        HEADERS,
        "`OPTIONS *`",
        none=(MISSING, request(start="OPTIONS * HTTP/1.1")),
        good=("admitted", request("X-API-Key: <good>", start="OPTIONS * HTTP/1.1")),
    ),
    asked(
        HEADERS,
        "`post /v1/exports`",
        none=(MISSING, request("Content-Length: 0", start="post /v1/exports HTTP/1.1")),
        plain=(
            "403 insufficient_scope",
            request("X-API-Key: <plain>", "Content-Length: 0", start="post /v1/exports HTTP/1.1"),
        ),
        good=("admitted", request("X-API-Key: <good>", "Content-Length: 0", start="post /v1/exports HTTP/1.1")),
    ),
    header("HTTP/1.0", "X-API-Key: <key>", start="GET /v1/things HTTP/1.0"),
]

_PATHS = [
    path("/health", none="public"),
    path("/public/a", none="public"),
    path("/health?x=/../v1", none="public"),
    path("/%68ealth", none="public as /health"),
    *(
        path(target)
        for target in (
            "/HEALTH",
            "/health/",
            "/healthy",
            "/public",
            "/Public/a",
            "/v1/things?/health",
            "/v1/things%3f/health",
            "/v1/things%23/health",
        )
    ),
    path("/v1/things#/health"),
    # Some read such a target as an authority with a path, or make one "/" of the two.
    *(
        path(target, words={"public as /health": "read as /health", "public as /public/a": "read as /public/a"})
        for target in ("//health", "///health", "//public/a")
    ),
    *(path(target) for target in ("/public//a", "//evil/health", "/public//../v1/things")),
    *(
        path(target)
        for target in (
            "/public/./a",
            "/public/../v1/things",
            "/public/..",
            "/public/%2e%2e/v1/things",
            "/public/.%2E/v1/things",
            "/public/%252e%252e/v1/things",
            "/public/..%2fv1/things",
            "/public/%c0%ae%c0%ae/v1/things",
            "/v1/../health",
        )
    ),
    # Decoded before app and gate see it, who then agree on what they see; some servers pass the raw target on as well.
    path("/public%2fa", words={"public as /public/a": "decoded"}),
    path("/public/a%2fb", words={"public as /public/a/b": "decoded"}),
    *(
        path(target)
        for target in (
            "/health;x",
            "/public;/a",
            "/public/a;b=c",
            "/health%00",
            "/public/%00a",
            "/public/%0d%0aX-API-Key:%20a",
            "/health%20",
            "/public\\a",
            "/public/..\\v1\\things",
            "/public/%5c..%5cv1",
            "/public/%ff",
        )
    ),
    path("/v1/things", name="`Host: a/health?x=`", host="Host: a/health?x="),
    path("/v1/things", name="no Host", host=""),
    path("/v1/things", "X-Original-URL: /health", "X-Rewrite-URL: /health", name="`X-Original-URL: /health`"),
    path("/v1/things", "X-Forwarded-Prefix: /v1/things", "X-Script-Name: /v1", name="`X-Forwarded-Prefix: /v1/things`"),
    path("/v1/things", "Path-Info: /health", "Script-Name: /v1", name="`Path-Info: /health`"),
    path("/v1/things", "PATH_INFO: /health", name="`PATH_INFO: /health`"),
    path(
        "/public/v1/things",
        "SCRIPT_NAME: /public",
        name="`/public/v1/things` with `SCRIPT_NAME: /public`",
        none="public",
        words={MISSING: "taken off", "admitted": "taken off"},
    ),
    path(
        "/v1/health",
        "SCRIPT_NAME: /v1",
        name="`/v1/health` with `SCRIPT_NAME: /v1`",
        words={"public as /health": "taken off"},
    ),
]

CASES = [*_CREDENTIALS, *_HEADERS, *_PATHS]
