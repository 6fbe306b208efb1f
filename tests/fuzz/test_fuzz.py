"""The two doors side by side: over requests that both protocols can express they never disagree, never raise, and never
admit without a valid key. ``make fuzz`` runs the same for longer.
"""

from __future__ import annotations

import logging
import os
import re
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, assume, example, given, settings

from keystile import Gate, HmacHasher, Plan, Rule
from keystile.keys.format import crc_check
from keystile.policy import CREDENTIAL_FORMS
from keystile.stores.memory import MemoryStore
from tests.fuzz.requests import Doors, Sent, basic, masked, requests

LONG = settings(max_examples=int(os.environ.get("KEYSTILE_FUZZ", "30")), deadline=None)
ANY = settings(LONG, suppress_health_check=list(HealthCheck))

STORE = MemoryStore()
HASHER = HmacHasher(b"fuzz" * 4)
RING = Gate(STORE, prefix="acme", hasher=HASHER).keys
GOOD = RING.create("good", scopes=["exports:write"]).secret
PLAIN = RING.create("plain").secret
BOUND = RING.create("bound", ip_allowlist=["9.9.9.9"]).secret
REVOKED = RING.create("revoked")
RING.revoke(REVOKED.key.id)
SUSPENDED = RING.create("suspended")
RING.suspend(SUSPENDED.key.id)
LIMITED = RING.create("limited", scopes=["exports:write"], may=["GET /v1/*", "POST /v1/things"]).secret
GRACED = RING.create("graced")
NEWER = RING.rotate(GRACED.key.id, grace=86_400).secret
EXPIRED = RING.create("expired", expires_at=datetime.now(UTC) + timedelta(seconds=1)).secret
WRONG = GOOD[:-38] + "0" * 32
MADE = [GOOD, PLAIN, BOUND, REVOKED.secret, SUSPENDED.secret, LIMITED, GRACED.secret, NEWER, EXPIRED]
KEYS = [*MADE, WRONG + crc_check(WRONG.encode()), GOOD[:-1] + "!", "acme_live_"]
SECRETS = [secret[-38:-6] for secret in MADE]
ADMITTED = {"good": [GOOD], "plain": [PLAIN], "bound": [BOUND], "limited": [LIMITED], "graced": [GRACED.secret, NEWER]}

PAGE = "https://app.example"
# The same keys as those of a service that brings its own: found by a MAC of the whole.
OPAQUE: dict[str, Any] = {"key_format": "opaque", "hasher": "argon2id", "peppers": [b"fuzz" * 4]}
BROUGHT = Gate(STORE, **OPAQUE).keys
BROUGHT.import_key("good", GOOD, scopes=["exports:write"])
BROUGHT.import_key("plain", PLAIN)
BROUGHT.import_key("bound", BOUND, ip_allowlist=["9.9.9.9"])
BROUGHT.revoke(BROUGHT.import_key("revoked", REVOKED.secret).key.id)
BROUGHT.import_key("expired", EXPIRED, expires_at=datetime.now(UTC) + timedelta(seconds=1))

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
RULES = [
    Rule("/v1/exports", scopes=["exports:write"]),
    Rule("POST,PUT /v1/things", require_json=True),
    Rule("GET /public/{name}", cost=2),
    Rule("/v1/{name}/*", cost=3),
    Rule("/v1/{name}", cost=0),
]
COMMON: dict[str, Any] = {
    "prefix": "acme",
    "hasher": HASHER,
    "rules": RULES,
    "public": ["/", "/health", "/public/*"],
    "failure_limits": None,
    "clock": lambda: datetime.now(UTC).timestamp() + 5,
}
QUERY = [*CREDENTIAL_FORMS, "?api_key"]
GATES = {
    "plain": {},
    "enveloped": {"envelope": True, "echo_request_id": True},
    "problem": {"envelope": True, "error_format": "problem", "require_json": True},
    "proxied": {"trusted_proxies": ["10.0.0.0/8"], "https": "redirect", "public_url": "https://a.example", "hsts": 60},
    "strict": {"trusted_hops": 1, "https": "require", "recheck_in_flight": True, "accept": QUERY},
    "forwarded": {"trusted_proxies": ["10.0.0.0/8"], "client_header": "Forwarded", "accept": QUERY},
    "opaque": OPAQUE | {"envelope": True, "accept": QUERY, "recheck_in_flight": True},
    "opaque in any form": OPAQUE
    | {"prefix": None, "echo_request_id": True, "https": "redirect", "public_url": "https://a"},
    "passing": {"preflight": "pass", "envelope": True},
    "reserving": {
        "plans": {"free": Plan(units={"tokens": "9/day"}), "dry": Plan("0/day", enforce=False)},
        "default_plan": "dry",
        "rules": [*RULES, Rule("/v1/*", reserve={"tokens": 2}), Rule("/v1/things", scopes=["none"], enforce=False)],
    },
    "cors": {"cors_origins": [PAGE], "preflight": "pass", "cors_credentials": True, "deny": ["8.8.8.8"]},
    "everyone": {"cors_origins": ["*"], "envelope": True, "ietf_headers": True, "accept": QUERY},
    "listed": {"rules": [*RULES, Rule("/v1/*", allow=["8.8.8.8"], deny=["10.0.0.1"])], "allow": ["0.0.0.0/0", "::/0"]},
    "mixed": {
        "accept": [*QUERY, "Authorization: Basic"],
        "rules": [*RULES, Rule("/v1/feed", public="optional"), Rule("/hooks/*", accept=["X-Hook", "?token"])],
    },
    "sparing": {
        "accept": ["Authorization: Bearer", "Authorization: Basic", "X-Hook"],
        "foreign": "ignore",
        "hide_credentials": True,
        "rules": [*RULES, Rule("/v1/feed", public="optional"), Rule("/hooks/*", accept=["X-Hook", "?token"])],
    },
    "header": {"accept": ["X-API-Key"], "recheck_in_flight": True, "envelope": True},
}
DRY = Doors(Gate(STORE, **COMMON | {"enforce": False, "recheck_in_flight": True, "https": "require"}))
DOORS = {name: Doors(Gate(STORE, **COMMON | more)) for name, more in GATES.items()}


@pytest.fixture(params=DOORS)
def doors(request: pytest.FixtureRequest) -> Doors:
    return DOORS[request.param]


def presents(sent: Sent, key: str) -> bool:
    words = " ".join([*(value for _, value in sent.headers), unquote(sent.target)])
    return key in words + " ".join(map(pair, words.split()))


def pair(word: str) -> str:
    """User and password, if a word is what ``Authorization: Basic`` has for them."""
    try:
        return b64decode(word).decode("latin-1")
    except ValueError:
        return ""


def is_optional(doors: Doors, sent: Sent) -> bool:
    """Whether a path needs no key, and no key that is good there came along."""
    optional = any(rule.public == "optional" for rule in doors.gate.policy.rules)
    return optional and sent.target.partition("?")[0] == "/v1/feed" and sent.method in METHODS


def folded(target: str) -> str:
    """The path as the most tolerant router might read it. Written independently of the gate's own rule."""
    path = target.partition("?")[0]
    for _ in range(3):
        path = unquote(path).replace("\\", "/")
    path = re.sub(r";[^/]*", "", path).replace("\x00", "")
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


def is_public(target: str) -> bool:
    """Whether the path is plain and listed as public. Written independently of the gate's own rule."""
    path = target.partition("?")[0]
    plain = re.fullmatch(r"/|(?:/[A-Za-z0-9é]+)+/?", unquote(path)) and not re.search("(?i)%2[ef]|%5c|%00", path)
    return bool(plain) and (path in ("/", "/health") or path.startswith("/public/"))


def is_joined_past_telling(doors: Doors, sent: Sent) -> bool:
    """Two lines of Authorization that are not empty, one of them with a scheme that is none of ours: joined by commas,
    which WSGI servers do, they look like one line of that scheme, whose parameters stand between commas as well."""
    values = [value for name, value in sent.headers if name.lower() == "authorization" and value.strip()]
    ours = "|".join(form.partition(": ")[2] for form in doors.gate.policy.accept if ": " in form) or "(?!)"
    return len(values) > 1 and any(re.match(rf"\s*(?!{ours})[^\s,]", value, re.IGNORECASE) for value in values)


def is_preflight(sent: Sent) -> bool:
    """Written apart from the gate's own rule."""
    said = [name.lower() for name, _ in sent.headers]
    once = said.count("origin") == said.count("access-control-request-method") == 1
    return sent.method == "OPTIONS" and once and not any("override" in name for name in said)


@ANY
@given(sent=requests(KEYS))
@example(sent=Sent(target="//v1/exports", headers=(("Authorization", f"Bearer {PLAIN}"),)))
@example(sent=Sent("OPTIONS", headers=(("Origin", "a"), ("Origin", "b"), ("Access-Control-Request-Method", "POST"))))
@example(sent=Sent(headers=(("Authorization", ""), ("Authorization", ""))))
@example(sent=Sent(headers=(("X-API-Key", GOOD), ("X-API-Key", GOOD))))
@example(sent=Sent(headers=(("X-API-Key", ""), ("X-API-Key", GOOD))))
@example(sent=Sent(headers=(("X-API-Key", GOOD), ("X-API-Key", ""))))
@example(sent=Sent(headers=(("X-API-Key", ""), ("Authorization", f"Bearer {GOOD}"))))
@example(sent=Sent(headers=(("Authorization", "Basic x"), ("Authorization", ""))))
@example(sent=Sent(headers=(("Authorization", ""), ("Authorization", "Basic x"))))
@example(sent=Sent(headers=(("Authorization", "Bearer"), ("X-API-Key", GOOD))))
@example(sent=Sent(target=f"/v1/things?api_key=%20{GOOD}"))
@example(sent=Sent("OPTIONS", headers=(("Origin", " a"), ("Access-Control-Request-Method", "POST"))))
@example(sent=Sent(headers=(("Authorization", f"Bearer {GOOD}, Bearer {GOOD}"),)))
@example(sent=Sent(headers=(("Accept", "application/problem+json"), ("Accept", "text/html"))))
@example(sent=Sent(target="/v1/things", method="POST", body=b"{", headers=(("X-API-Key", GOOD),)))
@example(sent=Sent(target="/v1/feed", headers=(("Authorization", "Bearer a.b.c"), ("X-Hook", GOOD))))
@example(sent=Sent(target="/hooks/a?token=x", headers=(("Authorization", basic(GOOD, "")), ("Sec-Fetch-Site", "a"))))
@example(sent=Sent(headers=(("Authorization", basic(GOOD, PLAIN)),)))
@example(sent=Sent(target="/health/", headers=(("Sec-Fetch-Mode", ""), ("Sec-Fetch-Mode", "cors"))))
@example(sent=Sent(headers=(("Authorization", basic("user", GOOD)), ("Sec-Fetch-Site", "cross-site"))))
def test_the_doors_never_disagree(doors: Doors, sent: Sent) -> None:
    assume(not is_joined_past_telling(doors, sent))
    assert masked(doors.through_asgi(sent)) == masked(doors.through_wsgi(sent))


@ANY
@given(sent=requests(KEYS))
@example(sent=Sent(target="/public/../v1/exports"))
@example(sent=Sent(target="/public/%2e%2e/v1/exports", headers=(("X-API-Key", PLAIN),)))
@example(sent=Sent(target="/v1/exports;x", headers=(("X-API-Key", PLAIN),)))
@example(sent=Sent(target="/v1/exports", headers=(("X-API-Key", LIMITED),)))
@example(sent=Sent("POST", target="/v1/exports", headers=(("X-API-Key", LIMITED),)))
@example(sent=Sent(target="/v1/things", headers=(("X-API-Key", GRACED.secret),)))
@example(sent=Sent(target="/v1/things", headers=(("X-API-Key", SUSPENDED.secret),)))
def test_nothing_is_admitted_that_may_not_be(doors: Doors, sent: Sent) -> None:
    for got in (doors.through_asgi(sent), doors.through_wsgi(sent)):
        assert got.status < 500
        policy = doors.gate.policy
        for name, *_ in got.seen:
            assert doors is not DOORS["listed"] or sent.peer not in (None, "", "unknown")
            assert doors is not DOORS["listed"] or not folded(sent.target).startswith("/v1/") or sent.peer == "8.8.8.8"
            assert not policy.deny or sent.peer not in (*policy.deny, None, "", "unknown")
            if name is None:
                preflight = policy.preflight == "pass" and is_preflight(sent)
                assert preflight or is_optional(doors, sent) or (is_public(sent.target) and sent.method in METHODS)
                continue
            assert any(presents(sent, key) for key in ADMITTED[name])
            if folded(sent.target).startswith("/hooks/") and any(rule.accept for rule in policy.rules):
                assert "x-hook" in repr(sent.headers).lower() or "token=" in sent.target
            if folded(sent.target) == "/v1/exports":
                assert name in {"good", "limited"}
            if name == "limited":
                assert folded(sent.target).startswith("/v1/") or folded(sent.target) == "/v1"
                assert sent.method in {"GET", "HEAD"} or (sent.method, folded(sent.target)) == ("POST", "/v1/things")
            assert name != "bound" or "9.9.9.9" in repr(sent.headers)
        said = "https" in repr(sent.headers)
        assert not got.seen or policy.https == "off" or sent.scheme == "https" or said
        assert re.fullmatch(r"req_[0-9A-Za-z]{24}|[A-Za-z0-9._-]{1,128}", got.headers["x-request-id"])


@ANY
@given(sent=requests(KEYS))
@example(sent=Sent(target="/v1/exports", headers=(("X-API-Key", PLAIN),)))
@example(sent=Sent(target="/v1/exports", headers=(("X-API-Key", EXPIRED),)))
@example(sent=Sent(target="/v1/exports", headers=(("X-API-Key", REVOKED.secret),)))
@example(sent=Sent(target="/health/", headers=(("X-API-Key", LIMITED),)))
@example(sent=Sent(target="/v1/things", headers=(("X-API-Key", GRACED.secret),)))
def test_a_dry_run_lets_through_and_gives_nobody_a_name(sent: Sent) -> None:
    assume(not is_joined_past_telling(DRY, sent))
    gots = DRY.through_asgi(sent), DRY.through_wsgi(sent)
    assert masked(gots[0]) == masked(gots[1])
    for got in gots:
        assert got.status in (200, 400)
        assert len(got.seen) == (got.status == 200)
        for name, *_ in got.seen:
            assert name is None or any(presents(sent, key) for key in ADMITTED[name])


@ANY
@given(sent=requests(KEYS))
@example(sent=Sent("OPTIONS", headers=(("Origin", PAGE), ("Access-Control-Request-Method", "PUT"))))
@example(sent=Sent("OPTIONS", headers=(("Origin", "null"), ("Access-Control-Request-Method", "PUT"))))
@example(sent=Sent(headers=(("Origin", PAGE), ("Origin", PAGE))))
def test_only_a_listed_origin_may_read(doors: Doors, sent: Sent) -> None:
    origins = tuple(doors.gate.policy.cors_origins)
    said = [value for name, value in sent.headers if name.lower() == "origin"]
    for got in (doors.through_asgi(sent), doors.through_wsgi(sent)):
        allowed = got.headers.get("access-control-allow-origin")
        if origins == ("*",):
            assert allowed == "*"
        else:
            assert allowed == (PAGE if said == [PAGE] and PAGE in origins else None)
            assert ("origin" in got.headers.get("vary", "")) is bool(origins)
        assert ("access-control-allow-credentials" in got.headers) is (allowed == PAGE)
        assert ("access-control-allow-methods" in got.headers) is (got.status == 204)
        assert got.status != 204 or (allowed and is_preflight(sent) and not got.seen and not got.body)
        assert not any("private" in name for name in got.headers)


@ANY
@given(sent=requests(KEYS))
@example(sent=Sent(target=f"/?api_key=%20{GOOD}"))
@example(sent=Sent(target=f"/?x=+{GOOD}+"))
def test_no_secret_leaves(doors: Doors, sent: Sent) -> None:
    lines: list[str] = []
    doors.shown.clear()

    class Catching(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record) + repr(record.__dict__))

    logger, catching = logging.getLogger("keystile"), Catching()
    logger.addHandler(catching)
    before, propagates = logger.level, logger.propagate
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        gots = [doors.through_asgi(sent), doors.through_wsgi(sent)]
    finally:
        logger.removeHandler(catching)
        logger.setLevel(before)
        logger.propagate = propagates
    whole = repr([(got.headers, got.body) for got in gots]) + "".join(lines)
    assert [secret for secret in SECRETS if secret in whole] == []
    if doors.gate.policy.hide_credentials:
        shown = "".join(doors.shown) + "".join(
            pair(word) for each in doors.shown for word in re.findall(r"[\w+/]+=*", each)
        )
        assert [secret for secret in SECRETS if secret in shown] == []
