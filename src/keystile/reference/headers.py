"""The page docs/reference/headers.md: each field of an answer that the gate writes, and each that it reads."""

from __future__ import annotations

from typing import NamedTuple

from ..answers.headers.cors import ALLOW, CREDENTIALS, EXPOSE, MAX_AGE
from ..answers.headers.limits import SHOWN
from ..answers.responses import OPT_OUT
from .tables import code, table


class Field(NamedTuple):
    """Header fields with one meaning.

    Attributes:
        names: their names.
        where: on which answers, or of whom.
        meaning: what they say.
    """

    names: tuple[str, ...]
    where: str
    meaning: str


WRITTEN = (
    Field(
        ("X-Request-ID",),
        "every answer",
        "the request's id, as in the log and in the body. It replaces the app's own. With `echo_request_id=True` it "
        "is the "
        "client's, unless that holds a key",
    ),
    Field(
        SHOWN,
        "answers after the windows were consulted",
        "where the caller stands ([limits](../guides/limits.md#what-the-client-is-told)). They replace the app's "
        "fields of "
        "these names. Units have three of their own, such as `X-RateLimit-Limit-Tokens` "
        "([units](../guides/units.md))",
    ),
    Field(
        ("RateLimit", "RateLimit-Policy"),
        "the same, with `ietf_headers=True`",
        "all windows, as the draft of the IETF has it",
    ),
    Field(
        ("Retry-After",),
        "429 and 503 of the gate",
        "in how many seconds the request is admitted, if nobody else takes the place. It is missing where waiting "
        "does not "
        "help",
    ),
    Field(
        ("API-Key-Expires",),
        "answers of the app to a key that has an end",
        "when the key that was sent ends, as an HTTP-date ([keys](../guides/keys.md#rotate))",
    ),
    Field(
        ("WWW-Authenticate",),
        "401, and 400 and 403 about credentials",
        "the schemes of `Authorization` that are accepted on that path, and `Api-Key` where none is; `realm` is a "
        "setting",
    ),
    Field(
        ("Cache-Control",),
        "protected paths; refusals",
        "`private`, unless the app says at least as much; refusals are `no-store`",
    ),
    Field(
        ("Vary",),
        "protected paths; refusals; with `cors_origins`, all",
        "the header fields that may hold a key, `Origin` and `Accept` where the answer depends on them, beside the "
        "app's "
        "own",
    ),
    Field(
        ("Content-Type", "Content-Length"),
        "refusals; envelopes",
        "`application/json` or `application/problem+json`, and the length of what is sent",
    ),
    Field(
        ("ETag",),
        "envelopes; the management API",
        "in an envelope the app's own, made weak; in the management API the state of the record, for `If-Match`",
    ),
    Field(("Link",), "pages of a list", "the next page ([pages](../guides/envelopes.md#pages))"),
    Field(("Location",), '301 and 308, with `https="redirect"`', "the same path at `public_url`"),
    Field(("Strict-Transport-Security",), "answers over https, with `hsts`", "as RFC 6797 has it"),
    Field((ALLOW, CREDENTIALS, EXPOSE), "with `cors_origins`, where the app says nothing", "[CORS](../guides/cors.md)"),
    Field(
        ("access-control-allow-methods", "access-control-allow-headers", "access-control-max-age"),
        "preflights, with `cors_origins`",
        f"what the page may send, for {MAX_AGE} seconds",
    ),
    Field(("Allow",), "405 of the management API", "the methods that the path knows"),
)
REMOVED = (
    Field(
        ("*-Cache-Control", "Surrogate-Control", "Edge-Control", "X-Accel-Expires"),
        "protected paths",
        "no shared cache may keep the answer",
    ),
    Field(
        ("Accept-Ranges", "Content-MD5", "Digest", "Content-Digest", "Repr-Digest"),
        "envelopes",
        "they describe octets that the client does not get",
    ),
    Field(
        ("Content-Encoding", "Content-Disposition", "Content-Language", "Last-Modified", "Transfer-Encoding"),
        "errors of the app that become envelopes",
        "they describe the body that was replaced",
    ),
    Field((OPT_OUT,), "every answer", "by this field the app keeps an answer out of the envelope"),
)

_HEAD = """\
# Headers

Each field that the gate writes into answers or takes out of them. This page is made from the code (`make docs`), and a
test compares the two. What the gate reads of requests are the fields that `accept` names
([credentials](../guides/credentials.md)), what proxies say ([network](../guides/network.md)), and those of CORS, of
pages and of envelopes.

All other fields of the app's answers leave as they came. Put compression outside the gate.
"""
_TITLES = ("field", "where", "meaning")


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(
        [_HEAD, "## Written\n", _table(WRITTEN), "## Taken out\n", _table(REMOVED).replace("meaning", "why", 1)]
    )


def _table(fields: tuple[Field, ...]) -> str:
    return table(_TITLES, [(code(*map(_cased, each.names)), each.where, each.meaning) for each in fields])


def _cased(name: str) -> str:
    return name.title() if name.islower() else name
