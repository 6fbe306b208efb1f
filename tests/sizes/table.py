"""Everything that takes a stranger's bytes, and everything that looks so and does not, with the reason."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from keystile.answers.cursors import Cursor
from keystile.answers.envelopes import Collected, EnvelopeWriter, Splice, begins_json, whole
from keystile.answers.headers.cors import CorsWriter
from keystile.answers.headers.limits import SHOWN
from keystile.answers.hosterrors import describe
from keystile.answers.pages import Page, PageParams
from keystile.answers.problems import asks_for_problem, prefers
from keystile.answers.responses import HeaderWriter, given_request_id, merged_cache_control, merged_vary
from keystile.answers.shape import Pages, Shape
from keystile.doors.prefixes import Places
from keystile.events import Event, Events, as_json, as_text, members
from keystile.exceptions import InvalidRequest
from keystile.gate.transport import Transport, Visit, event_of, leads_on
from keystile.keys.format import PrefixedFormat
from keystile.model import Admitted, Asked, Demand, Request, Wire
from keystile.policy import CREDENTIAL_FORMS, Policy, Rule
from keystile.policy.pages import DEFAULT_PAGE_STYLE
from keystile.rules.limits.subjects import anonymous_subject
from keystile.rules.network.addresses import parse
from keystile.rules.network.bounds import admission, read_lists
from keystile.rules.network.clients import ClientResolver
from keystile.rules.network.peers import port_of
from keystile.rules.requests.bodies import announced_length, is_json, is_json_type, refuse_body, refuse_head
from keystile.rules.requests.canonical import canonical
from keystile.rules.requests.credentials import accepted, extract
from keystile.rules.requests.masks import Mask
from keystile.rules.requests.paths import RuleTable
from keystile.rules.requests.preflights import MOST_TEXT, granted, listed, read_preflight
from keystile.rules.requests.querykeys import decoded, is_long, take, without_keys, without_values
from keystile.rules.requests.urls import MOST_PATH, target_of
from keystile.rules.requests.uses import Uses
from tests.sizes import api, client, homes, hooked, hooks, keys, live, managed, pages, parts, places

MOST_LINES = 20_000  # of a header with the shortest of names, in a head of 1 MB
SECRETS = (b"a secret for cursors",)
ID = "req_" + "0" * 24
VARY = ("api-key", "authorization", "x-api-key")
FORMAT = PrefixedFormat("key")
ACCEPT = accepted([*CREDENTIAL_FORMS, "?api_key"])
MASK = Mask(FORMAT.parse, FORMAT.within)
PLAIN_MASK = Mask(FORMAT.parse, None)
WHOLE_MASK = Mask(keys.SK.parse, keys.SK.within, keys.SK.whole)
PREFIXES = Places((prefix, prefix) for prefix in ("/a", "/a/a/a", "/a/a/a/a/a/a/a/a"))
PROXY = "10.0.0.1"
PROXIES = ("10.0.0.0/8",)
RULES = [
    ("none", []),
    ("prefix", [Rule("/static/*", public=True)]),
    ("letters", [Rule("/a/*", public=True), Rule("POST /a/a/a/*", limits="1/day")]),
    ("many", [Rule(f"/x/{number}/*", limits="1/day") for number in range(100)]),
    ("templates", [Rule("/a/{x}/a/{y}", scopes=["x"]), Rule("/{x}/{y}/*", cost=0), Rule("GET,PUT /{x}/a/*", cost=2)]),
]


class Row(NamedTuple):
    """One way to feed some functions.

    Attributes:
        names: what is fed: each function's module, class and name.
        feed: takes octets, makes of them what the functions take, and gives what is to be measured.
        most: milliseconds of CPU at 64 kB, and in proportion beyond.
        how: tells the ways of one function apart.
    """

    names: tuple[str, ...]
    feed: Callable[[bytes], Callable[[], object]]
    most: float = 1.0
    how: str = ""


def octets(function: Callable[[bytes], object]) -> Callable[[bytes], Callable[[], object]]:
    return lambda sent: partial(function, sent)


def text(function: Callable[[str], object]) -> Callable[[bytes], Callable[[], object]]:
    return lambda sent: partial(function, sent.decode("latin-1"))


def lines(function: Callable[[list[bytes]], object]) -> Callable[[bytes], Callable[[], object]]:
    return lambda sent: partial(function, sent.split(b",", MOST_LINES))


def fields(function: Callable[[list[tuple[str, str]]], object]) -> Callable[[bytes], Callable[[], object]]:
    """The octets as one value of each header that means something to us, and as names and values of many."""

    def feed(sent: bytes) -> Callable[[], object]:
        value = sent.decode("latin-1")
        found = [(name, value) for name in ("cache-control", "vary", "content-type", "etag", "content-encoding")]
        found += [(each[:40], each[40:]) for each in value.split(",")[:2000]]
        return partial(function, found)

    return feed


def unless_refused(function: Callable[..., object]) -> Callable[..., object]:
    def called(*args: Any) -> None:
        with suppress(InvalidRequest, ValueError):
            function(*args)

    return called


def read_pages(sent: bytes) -> None:
    PageParams.read(sent, secrets=SECRETS)


def verify(sent: bytes) -> None:
    Cursor.verify(sent.decode("latin-1"), SECRETS, route="/", filters=(), owner="", parameter="cursor")


def verify_bound(sent: bytes) -> None:
    pairs = tuple((each, each) for each in sent[:8000].split(b"&"))
    Cursor.verify("A" * 100, SECRETS, route=sent.decode("latin-1"), filters=pairs[:1000], owner="", parameter="cursor")


def sign(sent: bytes) -> None:
    Cursor((sent, sent.decode("latin-1")), "/", (), "").sign(SECRETS)


ENVELOPED = Demand(public=False, scopes=frozenset(), envelope=True)


def shape_for(path: str, query: bytes) -> Shape:
    shape = Shape(Pages(DEFAULT_PAGE_STYLE, SECRETS, None, MASK), Admitted(None, "req_x", (), ENVELOPED))
    shape.target = path, query
    return shape


def link(sent: bytes) -> Callable[[], object]:
    shape = shape_for("/" + sent.decode("latin-1"), sent)
    shape.paginate(Page([1], 1, True, "next"))
    return shape.link


def link_from_query(sent: bytes) -> Callable[[], object]:
    shape = shape_for("/", sent)
    shape.paginate(Page([1], 1, True, "next"))
    return shape.link


def page_params(sent: bytes) -> Callable[[], object]:
    return partial(unless_refused(shape_for("/", sent).page_params), None, None)


def target(sent: bytes) -> None:
    target_of("https://api.example.com", "/" + sent[:MOST_PATH].decode("latin-1"), sent[:MOST_PATH])


def look_up(rules: list[Rule]) -> Callable[[bytes], Callable[[], object]]:
    table = RuleTable((f"rules[{at}]", rule) for at, rule in enumerate(rules))
    return lambda sent: partial(table.demand, "GET", "/" + sent.decode("latin-1"), sent)


def hold(sent: bytes) -> Callable[[], object]:
    uses = Uses((*(f"GET /x/{number}/*" for number in range(97)), "/{x}/{y}/*", "/a/a/{z}", "WS /*"))
    return partial(uses.hold, Request("GET", "/" + sent.decode("latin-1"), sent, (), None))


def resolve(header: str, peer: str, hops: int | None = None) -> Callable[[list[bytes]], object]:
    resolver = ClientResolver(() if hops else PROXIES, hops, header)
    return lambda sent: resolver.resolve(peer, 50_000, sent, sent)


def resolve_own(sent: bytes) -> Callable[[], object]:
    """Entries that are equal to the peer: as many as fit, and as many as are looked through with the rest behind."""
    resolver, own = ClientResolver(PROXIES, None, "X-Forwarded-For"), f"{PROXY}:".encode()
    many, rest = (own + b",") * (len(sent) // 20), (own + b",") * 31 + own + sent[: len(sent) // 2]
    return lambda: [resolver.resolve(PROXY, 50_000, [line], ()) for line in (many, rest)]


def resolve_peer(sent: str) -> None:
    ClientResolver(PROXIES, None, "X-Forwarded-For").resolve(sent, 1, [sent.encode("latin-1")], ())


def request_of(sent: bytes) -> Request:
    shown = sent.decode("latin-1")
    return Request(shown, shown, sent, (), shown, shown, shown, wire=Wire(1, [sent], [sent]))


def see(sent: bytes) -> Callable[[], object]:
    transport = Transport(Policy(trusted_proxies=PROXIES), Events("text"))
    return partial(transport.see, request_of(sent)._replace(peer=PROXY), ID)


def tell_of_clear(sent: bytes) -> Callable[[], object]:
    events = Events("json")
    events.hide = MASK.hide
    events.listen(lambda event: None)
    visit = Visit(request_of(sent), ID, sent.decode("latin-1"), None, False)
    return partial(Transport(Policy(), events).tell_of_clear, visit)


def event_from(sent: bytes) -> Callable[[], object]:
    return partial(event_of, "x", logging.INFO, Visit(request_of(sent), ID, None, None, False))


def event(sent: str) -> Event:
    return Event("x", logging.INFO, client=sent, method=sent, path=sent, request_id=sent, reason=sent)


def tell(hide: Callable[[str], str]) -> Callable[[str], object]:
    def told(sent: str) -> None:
        events = Events("text")
        events.hide = hide
        events.listen(lambda event: None)
        events.tell(event(sent))

    return told


def host_error(kind: str, before: bytes = b"", after: bytes = b"") -> Callable[[bytes], object]:
    """An answer that repeats what a client sent, as far as it is read."""
    return lambda sent: describe(422, kind, (before + sent)[: 65_536 - len(after)] + after)


def enveloped_error(sent: bytes) -> None:
    body = b'{"detail": "' + sent[:60_000].replace(b'"', b"").replace(b"\\", b"") + b'"}'
    EnvelopeWriter(str).error(422, [("content-type", "application/json")], body, "problem", ID, "", "")


def collect(sent: list[bytes]) -> None:
    collected, splice = Collected(), Splice(b"}")
    for chunk in sent[:1000]:
        collected.add(chunk)
        splice.pieces(chunk, last=False)


XFF = resolve("X-Forwarded-For", PROXY)
FORWARDED = resolve("Forwarded", PROXY)
FORWARDED_HOPS = resolve("Forwarded", PROXY, 32)
FORWARDED_PEER = resolve("Forwarded", "for=9")
ADMITS: Any = admission([lists for lists in [read_lists("", ["10.0.0.0/8"], ["10.0.0.1"])] if lists])
ORIGINS = frozenset(f"https://{number}.example" for number in range(50_000))
CORS: CorsWriter[str] = CorsWriter(Policy(cors_origins=["https://app.example"]), SHOWN, str)
HEADERS: HeaderWriter[str] = HeaderWriter(str, VARY)
ENVELOPES: EnvelopeWriter[str] = EnvelopeWriter(str)
PAGE = b"<!doctype html><html lang=en><title>404 N</title><h1>N</h1><p>"

# To read JSON to its end costs what Python's own parser takes, and the app behind us will spend it again.
JSON_MOST = 2.0
# Of errors, what is read is said again in other words: the app has spent more on it.
ERROR_MOST = 5.0

TABLE = (
    Row(("rules.places.finding.Finder.find",), octets(places.find), most=8.0, how="in all places, eight times"),
    Row(
        (
            "gate.presenting.Presenting.find",
            "gate.presenting.Presenting.is_missing",
            "gate.presenting.Presenting.schemes",
        ),
        octets(places.present),
        most=2.0,
    ),
    Row(
        (
            "rules.places.basic.key_of",
            "rules.places.basic.pair_of",
            "rules.places.basic.decoded",
            "rules.places.basic.shows_ours",
        ),
        octets(places.basic),
        most=3.0,
    ),
    Row(("rules.places.basic.is_ambient",), text(places.from_a_page)),
    Row(
        (
            "doors.asgi.wire.offers_of",
            "rules.places.subprotocols.key_among",
            "rules.places.subprotocols.offered",
            "rules.places.subprotocols.others",
            "rules.places.hiding.Hiding.subprotocols",
        ),
        octets(places.offer),
        most=8.0,  # read four times, and no more than 8 kB of it
    ),
    *(
        Row(("rules.places.hiding.Hiding.line",), octets(places.hide_line(name)), how=name.decode(), most=2.0)
        for name in places.NAMES
    ),
    Row(("rules.places.hiding.Hiding.line",), octets(places.hide_cookies), how="cookies and a key", most=2.0),
    Row(("rules.places.hiding.Hiding.query",), octets(places.hide_query), most=6.0),
    Row(("rules.requests.canonical.canonical",), lambda sent: partial(canonical, "/" + sent.decode("latin-1"), sent)),
    *(
        Row(
            (
                "rules.requests.canonical.ambiguous",
                "rules.requests.canonical.below",
                "rules.requests.canonical.repeats",
            ),
            text(parts.below_root(root)),
            how=root,
        )
        for root in ("/", "/a", "/a/a/a", "/0/9/")
    ),
    *(Row(("rules.requests.paths.RuleTable.demand",), look_up(rules), how=name) for name, rules in RULES),
    Row(("doors.prefixes.Places.find",), text(lambda sent: PREFIXES.find("/" + sent))),
    Row(("rules.requests.uses.Uses.hold",), hold),
    Row(
        (
            *(f"manage.operations.keys.KeyOperations.{name}" for name in ("get", "list", "resume", "revoke", "rotate")),
            "manage.operations.keys.KeyOperations.suspend",
            *(f"manage.operations.projects.ProjectOperations.{name}" for name in ("delete", "get", "list", "resume")),
            *(f"manage.operations.projects.ProjectOperations.{name}" for name in ("suspend", "update")),
            *(f"manage.operations.organizations.OrganizationOperations.{name}" for name in ("get", "set_plan")),
            *(f"manage.operations.seeing.Seeing.{name}" for name in ("has_key", "has_project", "key", "project")),
            *(f"manage.operations.standing.StandingOperations.{name}" for name in ("usage", "windows")),
            "manage.operations.audit.AuditOperations.list",
            "manage.operations.calls.Call.organization",
            "manage.operations.grants.check_not_own",
            "manage.authority.Authority.sees",
        ),
        text(managed.ids),
        most=8.0,
    ),
    Row(
        (
            "manage.operations.keys.KeyOperations.create",
            "manage.operations.keys.KeyOperations.update",
            "manage.operations.projects.ProjectOperations.create",
            "manage.operations.repeats.Repeats.key",
            "manage.operations.repeats.Repeats.project",
            *(f"manage.operations.grants.{name}" for name in ("check_made", "check_sizes", "with_own_bounds")),
            "rules.requests.uses.confined",
        ),
        text(managed.records),
        most=30.0,
    ),
    Row(
        ("rules.requests.paths.RuleTable.demand",),
        text(lambda sent: RuleTable([("rules[0]", Rule("POST /a", cost=2))]).demand(sent, "/a")),
        how="method",
    ),
    Row(("rules.requests.querykeys.is_long",), octets(is_long)),
    Row(("rules.requests.querykeys.decoded",), octets(lambda sent: decoded(sent[:8192]))),
    Row(("rules.requests.querykeys.take",), octets(lambda sent: take(sent, b"api_key")), most=1.5),
    Row(
        ("rules.requests.querykeys.without_values",),
        octets(lambda sent: without_values(sent, b"api_key", places.GATE.ours)),
        most=1.5,
    ),
    Row(("rules.requests.querykeys.without_keys",), octets(lambda sent: without_keys(sent, MASK.in_query)), most=2.0),
    Row(("rules.requests.masks.Mask.hide",), text(MASK.hide)),
    Row(("rules.requests.masks.Mask.hide",), text(PLAIN_MASK.hide), how="any format"),
    Row(("rules.requests.masks.Mask.holds",), text(lambda sent: MASK.holds(sent[:MOST_PATH]))),
    Row(("rules.requests.masks.Mask.holds",), text(lambda sent: PLAIN_MASK.holds(sent[:MOST_PATH])), how="any format"),
    Row(("rules.requests.masks.Mask.holds_whole",), text(WHOLE_MASK.holds_whole)),
    Row(("rules.requests.masks.Mask.in_query",), octets(lambda sent: MASK.in_query(sent[:8192]))),
    Row(("rules.requests.urls.target_of",), octets(target), most=2.0),
    Row(("answers.pages.PageParams.read",), octets(unless_refused(read_pages))),
    Row(("answers.shape.Shape.page_params", "answers.current.Current.page_params"), page_params),
    Row(("answers.pages.next_query", "answers.shape.Shape.link"), link, most=2.0),
    Row(("answers.pages.next_query", "answers.shape.Shape.link"), link_from_query, most=2.0, how="query"),
    Row(("answers.cursors.Cursor.verify",), octets(unless_refused(verify))),
    Row(("answers.cursors.Cursor.verify",), octets(unless_refused(verify_bound)), how="filters", most=1.5),
    Row(("answers.cursors.Cursor.sign",), octets(unless_refused(sign)), most=1.5),
    Row(("rules.network.addresses.parse",), text(parse)),
    Row(("rules.network.peers.port_of",), text(port_of)),
    Row(("rules.limits.subjects.anonymous_subject",), text(anonymous_subject)),
    Row(("rules.limits.subjects.guessing_subjects", "rules.limits.quotas.Quotas.failures"), text(parts.failures)),
    Row(("gate.budget.FailureBudget.spend",), text(parts.spend)),
    Row(
        (
            "rules.limits.packed.unpack",
            "rules.limits.packed.ends",
            "rules.limits.packed.forget",
            "rules.limits.packed.mark_of",
            "rules.limits.packed.Layout.open",
        ),
        octets(parts.unpack_all),
        most=8.0,  # as many windows as there are octets for, where a caller has a few
    ),
    Row(
        ("limiters.script.key_of", "limiters.script.arguments", "_ground.redis.links.with_script"), text(parts.command)
    ),
    Row(("limiters.script.usages", "limiters.script.is_unreadable"), octets(parts.reply)),
    *(
        Row(
            ("rules.network.peers.is_rewritten",),
            lines(parts.rewritten(peer, port)),
            most=3.0,  # each entry that names the peer is read
            how=f"{peer} {port or ''}".strip(),
        )
        for peer in ("10.0.0.2", "::")
        for port in (None, 9)
    ),
    Row(("rules.network.clients.ClientResolver.resolve",), octets(lambda sent: XFF([sent])), how="line"),
    Row(("rules.network.clients.ClientResolver.resolve",), lines(resolve("X-Forwarded-For", PROXY)), how="lines"),
    Row(
        ("rules.network.clients.ClientResolver.resolve",),
        lines(resolve("X-Forwarded-For", "9.9.9.9")),
        how="untrusted",
    ),
    Row(("rules.network.clients.ClientResolver.resolve",), lines(resolve("X-Forwarded-For", PROXY, 32)), how="hops"),
    Row(("rules.network.clients.ClientResolver.resolve",), lines(resolve("X-Real-IP", PROXY)), how="lone"),
    Row(
        ("rules.network.clients.ClientResolver.resolve",), octets(lambda sent: FORWARDED([sent])), how="Forwarded line"
    ),
    Row(
        ("rules.network.clients.ClientResolver.resolve",),
        octets(lambda sent: FORWARDED_HOPS([sent])),
        how="Forwarded hops",
    ),
    Row(
        ("rules.network.clients.ClientResolver.resolve",),
        octets(lambda sent: FORWARDED_PEER([sent])),
        how="Forwarded peer",
    ),
    Row(("rules.network.clients.ClientResolver.resolve",), lines(resolve("Forwarded", PROXY)), how="Forwarded lines"),
    Row(("rules.network.clients.ClientResolver.resolve",), text(resolve_peer), how="peer"),
    Row(("rules.network.clients.ClientResolver.resolve",), resolve_own, how="entries equal to the peer"),
    *(
        Row(
            ("rules.requests.credentials.extract", "rules.requests.credentials.read"),
            octets(lambda sent, name=name, before=before: extract([(name, before + sent)], ACCEPT)),  # type: ignore[misc]
            most=2.5,  # a search for a comma with one of our schemes behind it
            how=f"{name.decode()} {before.decode()}".strip(),
        )
        for name, before in (
            (b"authorization", b""),
            (b"authorization", b"Bearer "),
            (b"authorization", b"Basic "),
            (b"x-api-key", b""),
            (b"?api_key", b""),
        )
    ),
    Row(
        ("rules.requests.credentials.extract",),
        lines(lambda sent: extract([(b"x-api-key", each) for each in sent], ACCEPT)),
        most=6.0,  # the list is made here
        how="lines",
    ),
    Row(("keys.format.PrefixedFormat.parse",), octets(FORMAT.parse)),
    Row(("keys.format.PrefixedFormat.parse",), octets(lambda sent: FORMAT.parse(b"key_live_" + sent)), how="prefix"),
    Row(
        ("keys.existing.opaque.OpaqueFormat.parse", "keys.existing.opaque.OpaqueFormat.candidates"), octets(keys.opaque)
    ),
    Row(
        (
            "keys.existing.foreign.plain_digest",
            "keys.existing.foreign.AdoptingHasher.adopt",
            "keys.existing.foreign.AdoptingHasher.verify",
        ),
        text(keys.adopt),
        most=2.0,  # five kinds
    ),
    *(
        Row(("rules.leaks.find", "keys.leaks.shortened"), octets(keys.looked_through(form)), most=6.0, how=form)
        for form in keys.PATTERNS  # 10 MB a second, from files of our own
    ),
    Row(("leaks.reports.read_reports", "leaks.reports.labelled"), octets(keys.reports()), most=JSON_MOST),
    Row(
        ("leaks.reports.read_reports", "leaks.reports.labelled"),
        octets(keys.reports(b'[{"token":"', b'"}]')),
        most=JSON_MOST,
        how="token",
    ),
    Row(
        (
            "leaks.signatures.is_signed",
            "leaks.partner.Partner.refuse_head",
            "leaks.signatures.PublicKeys.find",
        ),
        octets(keys.signed),
    ),
    Row(
        ("client.waits.told", "rules.waits.retry_after", "rules.waits.seconds_in", "rules.waits.moment_in"),
        text(client.wait),
    ),
    Row(("client.raising.error_from",), octets(client.error(b'{"error": [', b"1]}")), 3 * ERROR_MOST, "list"),
    Row(("client.raising.error_from",), octets(client.error(b'{"detail": "', b'"}')), 3 * ERROR_MOST, "text"),
    Row(("client.bodies.BoundedBody.feed",), octets(client.body)),
    Row(("client.walks.Walk.read",), octets(client.page), 2 * JSON_MOST),
    Row(("leaks.partner.Partner.receive",), octets(keys.received)),
    Row(("leaks.signatures.read_keys",), octets(keys.public_keys), most=JSON_MOST),
    Row(("answers.problems.asks_for_problem",), text(asks_for_problem)),
    Row(
        ("answers.problems.asks_for_problem",),
        text(lambda sent: asks_for_problem("a/problem+json," + sent)),
        how="named",
    ),
    Row(("answers.problems.prefers",), text(lambda sent: prefers(sent, sent))),
    Row(("answers.problems.prefers",), text(lambda sent: prefers(sent[:1024], "text/html")), how="accept"),
    Row(
        ("rules.requests.preflights.read_preflight",),
        text(lambda sent: read_preflight("OPTIONS", lambda _name: [sent])),
    ),
    Row(("rules.requests.preflights.listed",), text(lambda sent: listed(sent, ORIGINS))),
    Row(
        ("rules.requests.preflights.granted",),
        text(lambda sent: granted(Asked("https://app.example", "PUT", sent), (), MASK.holds)),
    ),
    Row(
        ("rules.requests.preflights.granted",),
        text(lambda sent: granted(Asked("https://app.example", "PUT", sent[:MOST_TEXT]), (), PLAIN_MASK.holds)),
        how="any format",
    ),
    Row(
        ("rules.requests.preflights.granted",),
        text(lambda sent: granted(Asked("https://app.example", sent, ""), (), PLAIN_MASK.holds)),
        how="method",
    ),
    Row(("rules.network.bounds.admission",), text(ADMITS)),
    Row(
        ("answers.headers.cors.CorsWriter.write",),
        fields(lambda found: CORS.write(found, found[0][1])),
        most=5.0,  # up to 2,000 fields
    ),
    Row(("rules.requests.bodies.announced_length",), text(lambda sent: announced_length([sent]))),
    Row(
        ("rules.requests.bodies.announced_length",),
        lambda sent: partial(announced_length, sent.decode("latin-1").split(",")),
    ),
    Row(("rules.requests.bodies.refuse_head",), text(lambda sent: refuse_head(sent, sent, None, 1))),
    Row(
        ("rules.requests.bodies.refuse_head",),
        text(lambda sent: refuse_head("application/json", sent, None, 1)),
        how="json",
    ),
    Row(("rules.requests.bodies.is_json_type",), text(lambda sent: is_json_type(sent[:256]))),
    Row(("rules.requests.bodies.is_json", "rules.requests.bodies.refuse_body"), octets(refuse_body), most=JSON_MOST),
    Row(
        ("rules.requests.bodies.is_json",),
        octets(lambda sent: is_json(b"[" + sent + b"1]")),
        most=JSON_MOST,
        how="list",
    ),
    Row(
        ("rules.requests.bodies.is_json",), octets(lambda sent: is_json(b'{"a":"' + sent)), most=JSON_MOST, how="string"
    ),
    Row(("answers.responses.given_request_id",), text(lambda sent: given_request_id(sent, MASK.holds))),
    Row(("answers.responses.merged_cache_control",), text(lambda sent: merged_cache_control([sent]))),
    Row(("answers.responses.merged_vary",), text(lambda sent: merged_vary([sent], VARY))),
    Row(
        ("answers.responses.HeaderWriter.write", "answers.responses.HeaderWriter.finish"),
        fields(lambda found: HEADERS.write(found, ID, protected=True)),
        most=5.0,  # up to 2,000 fields
    ),
    Row(
        ("answers.envelopes.EnvelopeWriter.spliced",),
        fields(lambda found: [ENVELOPES.spliced(200, [field, *found[-3:]], 9) for field in found[:5]]),
    ),
    Row(
        (
            "answers.envelopes.EnvelopeWriter.replaces",
            "answers.envelopes.EnvelopeWriter.speaks_json",
            "answers.envelopes.EnvelopeWriter.revalidated",
            "answers.envelopes.EnvelopeWriter.without_length",
        ),
        fields(
            lambda found: (
                ENVELOPES.replaces(404, found, "*/*"),
                ENVELOPES.speaks_json(found),
                ENVELOPES.revalidated(found),
                ENVELOPES.without_length(found),
            )
        ),
        most=5.0,  # up to 2,000 fields, four times
    ),
    Row(("answers.envelopes.EnvelopeWriter.error",), octets(enveloped_error), most=ERROR_MOST),
    Row(("answers.envelopes.Splice.pieces", "answers.envelopes.Collected.add"), lines(collect), most=2.0),
    Row(("answers.envelopes.whole",), octets(lambda sent: whole(sent, b"}"))),
    Row(("answers.envelopes.begins_json",), octets(lambda sent: begins_json(sent, whole=False))),
    Row(("answers.hosterrors.describe",), octets(host_error("application/json")), ERROR_MOST, "json"),
    Row(("answers.hosterrors.describe",), octets(host_error("application/json", b"[", b"1]")), ERROR_MOST, "list"),
    Row(
        ("answers.hosterrors.describe",),
        octets(host_error("application/json", b'{"detail":"', b'"}')),
        ERROR_MOST,
        "text",
    ),
    Row(("answers.hosterrors.describe",), octets(host_error("text/plain")), how="plain"),
    Row(("answers.hosterrors.describe",), octets(host_error("text/html", PAGE, b"</p>")), 2.0, "page"),
    Row(("answers.hosterrors.describe",), octets(host_error("text/html")), how="html"),
    Row(("answers.hosterrors.describe",), text(lambda sent: describe(404, sent, b"{}")), how="type"),
    Row(("events.as_text",), text(lambda sent: as_text(event(sent)))),
    Row(("events.as_json",), text(lambda sent: as_json(event(sent)))),
    Row(("events.members",), text(lambda sent: members(event(sent)))),
    Row(("manage.live.hub.Hub.join", "manage.live.rings.Ring.number"), text(live.come_again)),
    Row(
        (
            "manage.live.rings.shortened",
            "manage.live.rings.Ring.add",
            "manage.live.hub.shows",
            "manage.live.stream.shown",
        ),
        text(live.keep(event)),
    ),
    Row(("events.Events.tell",), text(tell(MASK.hide)), most=3.0, how="prefix"),  # five texts
    Row(("events.Events.tell",), text(tell(PLAIN_MASK.hide)), most=6.0, how="any format"),  # five texts
    Row(("gate.transport.Transport.see",), see),
    Row(("gate.transport.Transport.tell_of_clear",), tell_of_clear, most=3.0),
    Row(("gate.transport.event_of",), event_from),
    Row(("gate.transport.leads_on",), lambda sent: partial(leads_on, request_of(sent), MASK, keyless=True)),
    Row(
        ("gate.transport.leads_on",),
        lambda sent: partial(leads_on, request_of(sent), PLAIN_MASK, keyless=True),
        how="any format",
    ),
    *(
        Row(
            (
                "webhooks.signing.verify",
                "webhooks.signing.lines_of",
                "webhooks.signing.proved",
                "webhooks.schemes.Scheme.read",
                "webhooks.secrets.HmacKey.verifies",
            ),
            octets(hooks.verifying(name)),
            most=3.0,  # the MAC of the whole body, twice with two secrets, for two messages
            how=name,
        )
        for name in hooks.SCHEMES
    ),
    Row(("manage.dashboard.rules.forms.read_form",), octets(pages.form), most=8.0),  # percent signs
    Row(
        (
            "manage.dashboard.pages.fields.members",
            "manage.dashboard.pages.fields.emptied",
            "manage.dashboard.rules.forms.listed",
        ),
        text(pages.field("scopes")),
        most=4.0,
    ),
    Row(("manage.dashboard.rules.forms.lines",), text(pages.field("may")), most=6.0),
    Row(("manage.dashboard.rules.forms.moment",), text(pages.field("expires_at"))),
    Row(("manage.dashboard.rules.forms.json_in",), text(pages.field("metadata")), most=4.0),
    Row(("manage.dashboard.rules.forms.seconds",), text(pages.hours)),
    Row(("manage.dashboard.rules.forms.one_of_each",), text(pages.query)),
    Row(
        (
            "manage.dashboard.routes.find",
            "manage.dashboard.rules.links.id_in",
            "manage.dashboard.rules.links.segment",
            "manage.dashboard.rules.links.to",
        ),
        text(pages.path),
        most=15.0,
    ),
    Row(("manage.crosssite.may_change", "manage.crosssite.may_show"), text(pages.from_elsewhere)),
    Row(("manage.crosssite.origin_of",), text(pages.origin), most=3.0),
    Row(("manage.dashboard.local.Sessions.enter", "manage.dashboard.local.Sessions.knows"), text(pages.token)),
    Row(("wsgi.dashboard_app",), pages.through_wsgi, most=60.0, how="a form, whole"),
    Row(("webhooks.ed25519.PublicKey.verifies",), octets(hooks.verify_many), most=8.0),  # 16 signatures
    Row(("webhooks.receiving.paths.Paths.find",), text(hooks.find_path), most=3.0),  # three paths
    Row(("rules.network.targets.Targets.permits", "rules.network.targets.Targets.read"), text(hooks.read_target)),
    Row(("webhooks.sending.fields.check_fields",), text(hooks.read_fields)),
    Row(("rules.messages.check_types", "rules.messages.check_type", "rules.messages.wants"), text(hooks.read_types)),
    Row(("rules.messages.payload_of",), text(hooks.make_payload), most=6.0),  # four payloads, of 20 kB at most
    Row(
        (
            "webhooks.outbox.registering.check_url",
            "webhooks.outbox.registering.check_scheme",
            "webhooks.outbox.registering.check_secret",
            "webhooks.outbox.registering.types_text",
        ),
        text(hooks.read_endpoint),
    ),
    Row(
        (
            "webhooks.receiving.wsgi.WebhookMiddleware.__call__",
            "webhooks.receiving.order.Receiving.concerns",
            "webhooks.receiving.order.Receiving.meet",
            "webhooks.receiving.order.Receiving.judge",
            "doors.wsgi.bodies.read_body",
        ),
        hooks.through_wsgi,
        most=10.0,  # three requests
    ),
    Row(
        (
            "webhooks.receiving.asgi.WebhookMiddleware.__call__",
            "doors.asgi.bodies.read_body",
            "doors.asgi.bodies.replaying",
        ),
        hooks.through_asgi,
        most=15.0,  # three requests, and an event loop
    ),
    *(
        Row(
            (
                "manage.asgi.ServedByASGI.__call__",
                "manage.wsgi.ServedByWSGI.__call__",
                "manage.answers.Answers.error",
                "manage.api.faults.invalid_parameter",
                "manage.api.faults.reason_of",
            ),
            api.through(place),
            most=20.0,  # two requests, and an event loop
            how=place,
        )
        for place in ("path", "query", "json", "if-match", "accept")
    ),
    Row(("manage.api.fields.read_fields", "manage.api.faults.invalid_fields"), octets(api.read_body), most=8.0),
    Row(
        ("manage.api.fields.read_fields", "manage.api.fields.pointer", "manage.api.fields.moment"),
        text(api.read_values),
        most=25.0,  # seven fields, three times
        how="values",
    ),
    Row(
        (
            "manage.api.routes.find",
            "manage.api.names.camel",
            "manage.api.names.cased",
            "manage.crosssite.may_change",
            "manage.crosssite.may_show",
            "manage.crosssite.origin_of",
            "manage.requests.folded",
        ),
        text(api.read_parts),
        most=5.0,
    ),
    Row(
        (
            *(f"manage.operations.endpoints.EndpointOperations.{name}" for name in hooked.OPERATIONS),
            "manage.operations.calls.Call.organizations",
        ),
        text(hooked.ids),
    ),
    Row(
        (
            "manage.operations.endpoints.EndpointOperations.create",
            "manage.operations.endpoints.EndpointOperations.update",
            "webhooks.schemes.Scheme.named",
        ),
        text(hooked.members),
        most=6.0,
    ),
    Row(
        ("manage.dashboard.pages.webhooks.fields.members_of", "manage.dashboard.rules.links.is_of_webhooks"),
        text(hooked.form),
        most=6.0,
    ),
    Row(("manage.requests.parameters",), octets(api.read_query)),
    *(Row(("gate.order.Order.recheck",), parts.recheck(where), how=where) for where in ("path", "key", "keys")),
    *(
        Row(
            ("doors.asgi.wire.read_wire", "doors.asgi.wire.head_ends"),
            parts.wire(header, merging=merging),
            most=5.0,
            how=how,
        )
        for header, merging, how in (
            (b"x-forwarded-for", False, "plain"),
            (b"x-forwarded-for", True, "trailers"),
            (None, True, "nobody believed"),
        )
    ),
)

_DOORS = "a part of a door: test_requests.py sends whole requests through it"
_SETTING = "takes settings, when the gate is built"
_OURS = "takes what the gate made itself"
_BOUNDED = "takes what was found short or well-formed before"
_APP = "takes the app's octets or exceptions and does not read them"
_RECORDS = "takes what stands in a key's record"

NOT_FED = {
    "_sync.places.Crowd.joined": _BOUNDED,
    "_sync.places.Places.enter": _BOUNDED,
    "_sync.places.Places.take": _BOUNDED,
    "_sync.places.Places.waiting": _BOUNDED,
    "rules.requests.held.held": _SETTING,
    "rules.requests.matching.PatternTree.find": "see RuleTable.demand, which gives it canonical paths and nothing else",
    "rules.requests.paths.RuleTable.holding": "explains rules to the operator",
    "asgi.GateMiddleware.__call__": _DOORS,
    "doors.asgi.answering.Answering.send": _DOORS,
    "doors.asgi.answering.Answering.settles": _APP,
    "doors.asgi.hiding.hide": _DOORS,
    "doors.asgi.reading.Reader.path": _DOORS,
    "doors.asgi.reading.Reader.target": _DOORS,
    "doors.asgi.reading.own_root_path": "takes the app that the door was built for",
    "doors.asgi.mounts.Mounts.__call__": "reads the path by Places.find and below alone",
    "doors.wsgi.mounts.Mounts.__call__": "reads the path by Places.find and below alone",
    "doors.asgi.mounts.moved": "takes a path that Reader.path has read, and cuts it once",
    "doors.wsgi.mounts.moved": "takes what path_of gives, and cuts it once",
    "doors.wsgi.mounts.path_of": "see rules.requests.canonical.below",
    "answers.writers.Writers.refusal_within": _DOORS,
    "rules.reloading.Follower.under": _SETTING,
    "rules.reloading.cannot_change": _SETTING,
    "manage.answers.Answers.data": _OURS,
    "manage.answers.Answers.document": _OURS,
    "manage.answers.Answers.listed": _OURS,
    "manage.answers.Answers.page": _OURS,
    **{f"manage.api.members.{name}": _SETTING for name in ("are_texts", "is_text", "or_null")},
    **{f"manage.api.shapes.{name}": _SETTING for name in ("plain", "shapes_of", "texts", "timed")},
    "manage.api.webhooks.shapes.endpoint_state": _OURS,
    "manage.api.names.snake": "gives what it takes",
    "manage.api.openapi.document": _SETTING,
    "manage.api.preconditions.entity_tag": _OURS,
    "manage.api.shapes.Shape.within": _SETTING,
    "manage.api.shapes.Shape.write": _RECORDS,
    "manage.asgi.Mounted.__call__": "compares a path that the gate has read with its own",
    "manage.wsgi.Mounted.__call__": "compares a path that the gate has read with its own",
    "manage.requests.ManagementRequest.header": "compares names",
    "manage.requests.rooted": "looks at one character",
    "policy.beside.management.check_mount": _SETTING,
    "integrations.django.handing.HeldByWSGI.start": _APP,
    "integrations.django.views.require": _SETTING,
    "integrations.flask.require": _SETTING,
    "integrations.litestar.require": _SETTING,
    "doors.asgi.reading.accepted_by": _DOORS,
    "doors.asgi.names.Names.read": _DOORS,
    "doors.asgi.wire.port_of_peer": _DOORS,
    "gate.presenting.InTheClear.refusal": _DOORS,
    "answers.responses.HeaderWriter.fields": _OURS,
    "model.requests.Wire.sight": _DOORS,
    "gate.lanes.Lanes.keep": _DOORS,
    "gate.strangers.meeting": _SETTING,
    "doors.asgi.reading.asks_for_form": _DOORS,
    "doors.asgi.concealing.Concealer.conceal": _DOORS,
    "doors.asgi.sending.Sender.refuse": _DOORS,
    "doors.wsgi.reading.target_of": _DOORS,
    "doors.wsgi.sending.Sender.refuse": _DOORS,
    "doors.wsgi.concealing.Concealer.conceal": _DOORS,
    "doors.asgi.hiding.hide_short_cuts": "looks at what the server offers, not at the request",
    "doors.asgi.bodies.read_json": _DOORS,
    "doors.asgi.recheck.HeldAnswer.send": _APP,
    "doors.asgi.recheck.WatchedSocket.send": _APP,
    "doors.wsgi.answering.Answering.body": _APP,
    "doors.wsgi.answering.Answering.failed": _APP,
    "doors.wsgi.answering.Answering.start": _DOORS,
    "doors.wsgi.protocol.StartResponse.__call__": "a protocol",
    "doors.wsgi.protocol.close": _APP,
    "doors.wsgi.protocol.variable_of": "takes the names of headers that are looked for",
    "doors.wsgi.bodies.read_json": _DOORS,
    "doors.wsgi.host.wants_exceptions": "takes the app that the door was built for",
    "doors.wsgi.recheck.HeldAnswer.body": _APP,
    "doors.wsgi.recheck.HeldAnswer.start": _APP,
    "manage.dashboard.pages.live.shown": _BOUNDED,
    "manage.dashboard.pages.live.stream": _BOUNDED,
    "manage.live.sending.send_all": _OURS,
    "manage.live.serving.LiveEvents.serve": "see Hub.join, which gets the one text of the client's",
    "gate.callers.Callers.graced": _OURS,
    "gate.callers.Callers.touch": _OURS,
    "gate.callers.Callers.first_use": _OURS,
    "gate.callers.judge": _DOORS,
    "gate.dryrun.DryRun.bars": _DOORS,
    "gate.dryrun.DryRun.tell": _DOORS,
    "gate.dryrun.DryRun.tell_spared": _DOORS,
    "gate.strangers.Preflights.granted": "see rules.requests.preflights, which has the rows",
    "gate.settling.Settler.settle": "takes what the app charged, by units that were reserved",
    "doors.wsgi.settling.settled": _APP,
    "answers.charging.Charged.add": "takes the app's numbers",
    "answers.charging.check_charge": "takes the app's numbers",
    "answers.headers.limits.shown_names": _SETTING,
    "answers.headers.limits.unit_header_names": _SETTING,
    "policy.plans.check_unit_names": _SETTING,
    "rules.limits.reservations.PlanUnits.count": _SETTING,
    "rules.limits.reservations.PlanUnits.of": _SETTING,
    "rules.limits.reservations.PlanUnits.taken": _SETTING,
    "rules.limits.reservations.settlement": "takes what the app charged, by units that were reserved",
    "answers.cursors.refuse_cursor": _SETTING,
    "events.Outage.begins": "takes what a store raised",
    "gate.order.Order.check": _DOORS,
    "gate.order.Order.refuse": _DOORS,
    "answers.current.Current.add_meta": _APP,
    "answers.pages.Page.from_query": "takes the app's rows",
    "answers.pages.Page.from_rows": "takes the app's rows",
    "answers.pages.Page.from_sequence": "takes the app's rows",
    "answers.pages.PageParams.cursor": "takes the app's sort keys: see Cursor.sign",
    "answers.pages.members": "takes the app's page",
    "gate.proving.Prover.prove": _BOUNDED,
    "gate.proving.Prover.prove_now": _OURS,
    "rules.network.addresses.is_wide": _SETTING,
    "rules.network.bounds.read_lists": _SETTING,
    "rules.requests.paths.RuleTable.methods": "see RuleTable.demand: the same look-up, after the same check",
    "doors.asgi.reading.origin_of": _DOORS,
    "doors.asgi.sending.Sender.with_cors": _DOORS,
    "doors.wsgi.sending.Sender.with_cors": _DOORS,
    "rules.requests.credentials.accepted": _SETTING,
    "rules.requests.credentials.spellings": _SETTING,
    "rules.requests.credentials.spelled": _SETTING,
    "answers.responses.challenges_of": _SETTING,
    "answers.envelopes.EnvelopeWriter.invalid": _OURS,
    "answers.envelopes.EnvelopeWriter.link": _OURS,
    "answers.problems.ErrorText.with_id": _BOUNDED,
    "answers.problems.error_text": "takes what describe gave: see EnvelopeWriter.error",
    "rules.requests.bodies.no_number": "takes one of three words from Python's own parser",
    "keys.format.KeyFormat.mint": "a protocol",
    "keys.format.KeyFormat.parse": "a protocol",
    "keys.format.PrefixedFormat.mint": _OURS,
    "leaks.apps.asgi_app": _SETTING,
    "leaks.apps.wsgi_app": _SETTING,
    "leaks.partner.refusal": _OURS,
    "leaks.signatures.fetch_from": _SETTING,
    "keys.existing.opaque.OpaqueFormat.mint": _OURS,
    "keys.existing.opaque.OpaqueFormat.macs": "see OpaqueFormat.candidates, which looks at the length first",
    "keys.existing.opaque.OpaqueFormat.kept": "takes a digest",
    "keys.existing.opaque.OpaqueFormat.ids_of_public": _BOUNDED,
    "keys.existing.opaque.OpaqueFormat.begins": _BOUNDED,
    "keys.existing.opaque.OpaqueHasher.hash": _BOUNDED,
    "keys.existing.opaque.OpaqueHasher.needs_rehash": _RECORDS,
    "keys.existing.opaque.OpaqueHasher.verify": _BOUNDED,
    "keys.existing.opaque.digest_of": _BOUNDED,
    "_ground.subkeys.subkey": _SETTING,
    "keys.existing.foreign.AdoptingHasher.adopted": _RECORDS,
    "keys.quick.QuickProofs.made": _BOUNDED,
    "keys.quick.QuickProofs.proves": _BOUNDED,
    "keys.quick.QuickProofs.renewed": _BOUNDED,
    "keys.existing.foreign.AdoptingHasher.blocks": _RECORDS,
    "keys.existing.foreign.AdoptingHasher.hash": _BOUNDED,
    "keys.existing.foreign.AdoptingHasher.needs_rehash": _RECORDS,
    "keys.format.PrefixedFormat.renew": _OURS,
    "keys.format.crc_check": _BOUNDED,
    "keys.format.keyed_check": _BOUNDED,
    "rules.limits.notation.parse_limits": _SETTING,
    "rules.outcomes.lacking": _OURS,
    "rules.requests.uses.check_uses": _SETTING,
    "rules.limits.quotas.Quotas.check_key": _SETTING,
    "rules.limits.quotas.Quotas.admits": _SETTING,
    "rules.limits.quotas.Quotas.spares": _SETTING,
    "rules.limits.quotas.Quotas.knows": _SETTING,
    "answers.responses.RefusalWriter.write": _OURS,
    "rules.limits.subjects.subject": "takes what stands in a key's record",
    "answers.shape.Shape.add_meta": _APP,
    "answers.shape.Shape.tail": _OURS,
    "answers.writers.Writers.error": _DOORS,
    "answers.writers.Writers.failed": _DOORS,
    "answers.writers.Writers.fault_behind": _DOORS,
    "answers.writers.Writers.no_json": "takes the app's fields: see HeaderWriter.write",
    "answers.writers.Writers.refusal": _DOORS,
    "answers.writers.Writers.replaces": _DOORS,
    "answers.writers.Writers.splices": "see EnvelopeWriter.spliced",
    "answers.writers.Writers.success": _DOORS,
    "wsgi.GateMiddleware.__call__": _DOORS,
    **client.NOT_FED,
    **homes.NOT_FED,
    **hooks.NOT_FED,
    **pages.NOT_FED,
}

# Modules that see nothing of a request, whatever their functions take.
_OPERATOR = "its user is whoever runs the service"
_STORED = "takes what keystile itself has stored or made"
_SERVERS = "takes the operator's settings, and what the operator's own servers reply"
NO_STRANGERS = {
    "": "only names what others hold",
    "__main__": _OPERATOR,
    "_ground.checks": _OPERATOR,
    "_ground.connection": "takes the names of files, which the operator gives",
    "_ground.health": _SERVERS,
    "_ground.frozen": _STORED,
    "_sync.beside": "only commands wait so",
    "_sync.crew": "starts tasks of ours",
    "config.importing": _OPERATOR,
    "_ground.redis": _SERVERS,
    "_ground.redis.cluster": _SERVERS,
    "_ground.redis.links": _SERVERS,
    "_ground.redis.roles": _SERVERS,
    "_ground.redis.servers": _SERVERS,
    "_ground.urls": _OPERATOR,
    "integrations.django.responses": "takes what a door gives, and what the app has answered",
    "integrations.drf": "looks at what the gate has decided, and not at the request",
    "config.origin": _OPERATOR,
    "config.tables": _OPERATOR,
    "cli.checking.command": _OPERATOR,
    "cli.checking.routes": _OPERATOR,
    "cli.checking.warnings": _OPERATOR,
    "config.mounts": _OPERATOR,
    "config.rereading": _OPERATOR,
    "doors.asgi.lifespans": "takes what the service's own apps say",
    "_ground.redis.eviction": _SERVERS,
    "cli.explain.command": _OPERATOR,
    "cli.explain.told": _OPERATOR,
    "cli.records.importing": _OPERATOR,
    "cli.records.lines": _OPERATOR,
    "cli.places": _OPERATOR,
    "cli.scan": _OPERATOR,
    "cli.limits": _OPERATOR,
    "cli.migrating": _OPERATOR,
    "reference.tables": _OPERATOR,
    "cli.opening": _OPERATOR,
    "cli.records.audit": _OPERATOR,
    "cli.records.changing": _OPERATOR,
    "cli.records.keys": _OPERATOR,
    "cli.records.options": _OPERATOR,
    "cli.records.organizations": _OPERATOR,
    "cli.records.pages": _OPERATOR,
    "cli.records.projects": _OPERATOR,
    "cli.records.shown": _STORED,
    "cli.reference": _OPERATOR,
    "cli.tables": _STORED,
    "cli.shown": _OPERATOR,
    "policy.places": _OPERATOR,
    "policy.matches": "see RuleTable.demand, which gives it canonical paths and nothing else",
    "_ground.sqlite": _STORED,
    "_sync": "calls functions and looks at no value",
    "_sync.background": "calls functions and looks at no value",
    "_sync.deferred": "calls functions and looks at no value",
    "_sync.flights": "calls functions and looks at no value",
    "_sync.local": "calls functions and looks at no value",
    "_sync.loops": "calls functions and looks at no value",
    "_sync.offload": "calls functions and looks at no value",
    "_sync.running": "calls functions and looks at no value",
    "_sync.seldom": "takes codes of events, and ids of keys that were found",
    "cli.typed": _OPERATOR,
    "cli.usage": _OPERATOR,
    "cli.commands": _OPERATOR,
    "config.faults": _OPERATOR,
    "config.file": _OPERATOR,
    "demo": _OPERATOR,
    "demo.servers": _OPERATOR,
    "demo.story": _OPERATOR,
    "demo.transcript": _OPERATOR,
    "config.example": _OPERATOR,
    "doors.apps": "looks at the app, when a door is built",
    "policy.kinds": _OPERATOR,
    "policy.origins": _OPERATOR,
    "policy.rules": _OPERATOR,
    "policy.settings": _OPERATOR,
    "exceptions": "holds values",
    "keys.hashing": "takes keys that have passed the format, which bounds them",
    "keys.finding": "takes keys that have passed the format, which bounds them",
    "keys.existing.importing": _OPERATOR,
    "keys.changes.audit": _OPERATOR,
    "keys.changes.caps": _OPERATOR,
    "keys.changes.fields": _OPERATOR,
    "keys.changes.making": _OPERATOR,
    "keys.changes.records": _OPERATOR,
    "keys.changes.rotation": _STORED,
    "keys.changes.twins": _OPERATOR,
    "keys.organizations": _OPERATOR,
    "keys.projects": _OPERATOR,
    "keys.ring": _OPERATOR,
    "keys.usage.counting": "takes the ids of keys that were proved, and codes of refusals",
    "keys.lists": _OPERATOR,
    "keys.purging": _OPERATOR,
    "keys.usage.reading": _OPERATOR,
    "keyset": "takes the app's statements and the cursors that were verified",
    "limiters": _STORED,
    "limiters.backends": _SERVERS,
    "limiters.failsafe": _STORED,
    "limiters.memory": _STORED,
    "limiters.redis": _STORED,
    "limiters.sqlite": _STORED,
    "limiters.storages": _STORED,
    "policy.policy": _OPERATOR,
    "rules.limits.batches": _STORED,
    "rules.limits.guests": _STORED,
    "rules.limits.windows": _STORED,
    "model.audit": _STORED,
    "stores": _STORED,
    "stores.contract": _STORED,
    "stores.counts": _STORED,
    "stores.filters": _STORED,
    "stores.listing": _STORED,
    "stores.memory": _STORED,
    "stores.records": _STORED,
    "stores.rows": _STORED,
    "stores.redis": _STORED,
    "stores.redis.admission": _STORED,
    "stores.redis.advice": _SERVERS,
    "stores.redis.bodies": _STORED,
    "stores.redis.founding": _STORED,
    "stores.redis.names": _STORED,
    "stores.redis.operations.counts": _STORED,
    "stores.redis.operations.keys": _STORED,
    "stores.redis.operations.lists": _STORED,
    "stores.redis.operations.owners": _STORED,
    "stores.redis.operations.purging": _STORED,
    "stores.redis.reading": _STORED,
    "stores.redis.server": _STORED,
    "stores.redis.told": _STORED,
    "stores.redis.writing": _STORED,
    "stores.sql": _STORED,
    "stores.sql.links": _SERVERS,
    "stores.sql.migrations": _SERVERS,
    "stores.sql.mysql": _SERVERS,
    "stores.sql.places": _SERVERS,
    "stores.sql.postgresql": _SERVERS,
    "stores.sql.reading": _STORED,
    "stores.sql.purging": _STORED,
    "stores.sql.store": _STORED,
    "stores.sql.tables": _STORED,
    "stores.sql.work": _STORED,
    "stores.sql.writing": _STORED,
    "stores.sqlite": _STORED,
    "stores.sqlite.purging": _STORED,
    "stores.sqlite.schema": _STORED,
    "stores.sqlite.statements": _STORED,
    "stores.sqlite.steps": _STORED,
    "policy.pages": _OPERATOR,
    "policy.reading": _OPERATOR,
    "keys.workshop": _OPERATOR,
    "wrap": _OPERATOR,
    **client.NO_STRANGERS,
    **homes.NO_STRANGERS,
    **hooks.NO_STRANGERS,
    **pages.NO_STRANGERS,
}
