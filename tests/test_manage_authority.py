"""Who manages keys, and that nobody grants, takes or hands on more than they hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keystile import ConfigurationError, KeystileError
from keystile.exceptions import NotAllowed
from keystile.manage import ALL, RIGHTS, Authority, authority_of
from keystile.model import Request
from keystile.rules.grants import Reach, beyond
from keystile.rules.network.addresses import Allowlist, parse
from keystile.rules.requests.uses import Uses, confined
from keystile.stores.memory import MemoryStore
from tests.managed import Desk, session
from tests.selection import often
from tests.test_keyring import moment

# Authorities


def test_a_managing_key_has_the_rights_among_its_scopes_in_its_own_organization() -> None:
    desk = Desk(MemoryStore())
    project = desk.project("one")
    key = desk.host(
        "keys",
        "create",
        "boss",
        project_id=project.id,
        owner_id="ann",
        scopes=["keys:manage", "reports:read", "audit:read"],
        may=["GET /manage/*"],
        ip_allowlist=["10.0.0.0/8"],
        expires_at=moment(60),
    ).key
    who = authority_of(key.principal)
    assert (who.id, who.name, who.type) == (key.id, "boss", "key")
    assert (who.organization_ids, who.may) == ({"one"}, {"keys:manage", "audit:read"})
    assert (who.scopes, who.networks) == ({"keys:manage", "reports:read", "audit:read"}, ("10.0.0.0/8",))
    assert (who.expires_at, who.uses, who.owner_id, who.project_id) == (moment(60), key.may, "ann", project.id)


def test_to_manage_keys_holds_to_read_them_and_nothing_else() -> None:
    who = session(may={"keys:manage"})
    assert [right for right in RIGHTS if who.can(right)] == ["keys:read", "keys:manage"]
    assert [right for right in RIGHTS if session(may={"keys:read"}).can(right)] == ["keys:read"]


def test_an_authority_cannot_be_changed_and_is_the_same_as_one_like_it() -> None:
    who = session(networks=["10.0.0.1/32"], expires_at=datetime(2030, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))))
    assert (who.networks, who.expires_at) == (("10.0.0.1/32",), datetime(2030, 1, 1, tzinfo=UTC))
    assert who == session(networks=("10.0.0.1",), expires_at=datetime(2030, 1, 1, tzinfo=UTC))
    with pytest.raises(AttributeError):
        who.may = frozenset(RIGHTS)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"id": ""}, "id"),
        ({"name": "a\nb"}, "name"),
        ({"organization_ids": "one"}, "organization_ids"),
        ({"organization_ids": None}, "organization_ids"),
        ({"organization_ids": {1}}, "organization_ids"),
        ({"organization_ids": {""}}, "organization_ids"),
        ({"may": {"keys:mange"}}, "may"),
        ({"may": "keys:read"}, "may"),
        ({"type": "cli"}, "type"),
        ({"scopes": None}, "scopes"),
        ({"scopes": {"a b"}}, "scopes"),
        ({"networks": []}, "networks"),
        ({"networks": ["10.0.0.1/8"]}, "networks"),
        ({"expires_at": datetime(2030, 1, 1)}, "expires_at"),
        ({"expires_at": 5}, "expires_at"),
        ({"uses": []}, "uses"),
        ({"owner_id": ""}, "owner_id"),
    ],
    ids=str,
)
def test_a_wrong_authority_is_refused_by_name(values: dict[str, Any], key: str) -> None:
    known: dict[str, Any] = {"id": "u", "name": "Ann", "organization_ids": {"one"}, "may": {"keys:read"}}
    with pytest.raises(ConfigurationError) as caught:
        Authority(**known | values)
    assert caught.value.key == key


def test_what_belongs_to_no_organization_is_shown_to_those_alone_who_see_all() -> None:
    assert session(ALL).sees(None)
    assert session(ALL).sees("any")
    assert not session(["one"]).sees(None)
    assert not session(["one"]).sees("two")
    assert session(["one", "two"]).sees("two")


# Reach

PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/", "/a/b/c", "/b", "/b/a", "/b//a"]
MATCHES = ["/", "/*", "/a", "/a/", "/a/*", "/{x}", "/{x}/", "/a/{x}", "/{x}/b", "/{x}/*", "/a/b", "/a/b/*", "/b/*"]
METHODS = ["", "GET ", "HEAD ", "POST ", "GET,POST ", "WS ", "WS,GET "]
matches = st.builds(lambda method, path: method + path, st.sampled_from(METHODS), st.sampled_from(MATCHES))
requests = st.builds(
    lambda method, path, scheme: Request(method, path, path.encode(), (), None, scheme=scheme),
    st.sampled_from(["GET", "HEAD", "POST", "DELETE"]),
    st.sampled_from(PATHS),
    st.sampled_from(["http", "ws"]),
)


@settings(max_examples=often(200, 2000), deadline=None)
@given(matches, st.lists(matches, min_size=1, max_size=3), st.lists(requests, min_size=20, max_size=20))
@example("/a", ["/a/*"], [Request("GET", "/a", b"/a", (), None)])
@example("WS /a", ["GET /a"], [Request("GET", "/a", b"/a", (), None, scheme="ws")])
def test_a_match_within_others_permits_no_request_that_they_do_not(
    match: str, held: list[str], asked: list[Request]
) -> None:
    if confined(match, held):
        assert [each for each in asked if Uses((match,)).hold(each) and not Uses(tuple(held)).hold(each)] == []


@pytest.mark.parametrize("match", [method + path for method in METHODS for path in MATCHES])
def test_every_match_is_within_itself_and_within_everything_but_the_root(match: str) -> None:
    assert confined(match, [match])
    assert confined(match, ["/*", "WS /*"])


networks = st.sampled_from(
    ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:db8::1", "::ffff:10.1.2.3"]
)
ADDRESSES = ["10.0.0.1", "10.1.0.1", "10.1.2.3", "192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db9::1"]


@settings(deadline=None)
@given(st.lists(networks, min_size=1, max_size=3), st.lists(networks, min_size=1, max_size=3))
def test_a_list_within_another_holds_no_address_that_it_does_not(asked: list[str], held: list[str]) -> None:
    inner, outer = Allowlist(asked), Allowlist(held)
    if inner.outside(outer) is None:
        assert [each for each in ADDRESSES if parse(each) in inner and parse(each) not in outer] == []
    else:
        assert any(Allowlist([each]).outside(outer) for each in asked)


@pytest.mark.parametrize(
    ("asked", "held", "member"),
    [
        (Reach(frozenset("a")), Reach(frozenset("ab")), None),
        (Reach(frozenset("ac")), Reach(frozenset("ab")), "scopes"),
        (Reach(None), Reach(frozenset("ab")), "scopes"),
        (Reach(None), Reach(None), None),
        (Reach(frozenset("a")), Reach(None, lacking=frozenset("a")), "scopes"),
        (Reach(None), Reach(None, lacking=frozenset("a")), "scopes"),
        (Reach(frozenset(), None), Reach(None, ("10.0.0.0/8",)), "ip_allowlist"),
        (Reach(frozenset(), ("10.1.0.0/16",)), Reach(None, ("10.0.0.0/8",)), None),
        (Reach(frozenset(), ("10.0.0.0/8", "::1")), Reach(None, ("10.0.0.0/8",)), "ip_allowlist"),
        (Reach(frozenset(), None, None), Reach(None, None, moment(5)), "expires_at"),
        (Reach(frozenset(), None, moment(5)), Reach(None, None, moment(5)), None),
        (Reach(frozenset(), None, moment(6)), Reach(None, None, moment(5)), "expires_at"),
        (Reach(frozenset(), uses=None), Reach(None, uses=("/a/*",)), "may"),
        (Reach(frozenset(), uses=("/a/b",)), Reach(None, uses=("/a/*",)), None),
        (Reach(frozenset(), uses=("/a/b", "/b")), Reach(None, uses=("/a/*",)), "may"),
    ],
)
def test_a_reach_is_beyond_another_by_the_member_that_is_more(asked: Reach, held: Reach, member: str | None) -> None:
    found = beyond(asked, held)
    assert (found and found[0]) == member


# Whatever an authority asks for, what is made is never more than it holds.

SCOPES = ["a", "b", *RIGHTS]
LISTS = st.none() | st.lists(st.sampled_from(["10.0.0.0/8", "10.1.0.0/16", "192.0.2.1"]), min_size=1, max_size=2)
USES = st.none() | st.lists(st.sampled_from(["GET /v1/*", "/v1/*", "GET /v1/x", "POST /v2"]), min_size=1, max_size=2)
ENDS = st.none() | st.sampled_from([10, 20, 30]).map(moment)
members = st.fixed_dictionaries(
    {},
    optional={
        "scopes": st.lists(st.sampled_from(SCOPES), max_size=3),
        "ip_allowlist": LISTS,
        "expires_at": ENDS,
        "may": USES,
        "plan": st.sampled_from([None, "pro"]),
        "limits": st.sampled_from([None, "1/day"]),
        "owner_id": st.sampled_from([None, "bob"]),
        "organization_id": st.sampled_from([None, "one", "two"]),
    },
)
changes = members.map(
    lambda given: {name: value for name, value in given.items() if name not in {"owner_id", "organization_id"}}
)
holders = st.fixed_dictionaries(
    {
        "scopes": st.lists(st.sampled_from(SCOPES), max_size=4).map(lambda found: [*found, "keys:manage"]),
        "ip_allowlist": LISTS,
        "expires_at": ENDS,
        "may": USES,
    }
)
targets = st.fixed_dictionaries(
    {"scopes": st.lists(st.sampled_from(SCOPES), max_size=3), "ip_allowlist": LISTS, "expires_at": ENDS, "may": USES}
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("create"), members),
        st.tuples(st.just("project"), members),
        st.tuples(st.just("update"), changes),
        st.tuples(st.just("rotate"), st.fixed_dictionaries({}, optional={"expires_at": ENDS})),
        st.tuples(st.sampled_from(["suspend", "resume"]), st.just({})),
    ),
    max_size=6,
)


@settings(max_examples=often(150, 1500), deadline=None)
@given(holders, targets, steps)
def test_what_is_made_or_widened_is_never_more_than_its_maker_holds(
    holder: dict[str, Any], target: dict[str, Any], asked: list[Any]
) -> None:
    desk = Desk(MemoryStore())
    who = desk.manager("one", **holder)
    known = {"key": desk.key("one", **target)}
    for operation, wanted in asked:
        for name, before in list(known.items()):
            try:
                if operation == "create":
                    made = desk.keys.create(who, "new", **wanted)
                elif operation == "project":
                    made = desk.projects.create(who, "new", key=wanted).made
                else:
                    made = getattr(desk.keys, operation)(who, before.id, **wanted)
            except KeystileError:
                assert desk.host("keys", "get", before.id) == before
                continue
            shown = getattr(made, "shown", made)
            after = desk.host("keys", "get", shown.key.id)
            known[name if after.id == before.id else after.id] = after
            holds(who, before if after.id == before.id else None, after, secret=hasattr(made, "secret"))


def holds(who: Authority, before: Any, after: Any, *, secret: bool) -> None:
    """What was made is within what its maker holds, or a change has only narrowed it."""
    assert after.organization_id == "one"
    within = beyond(Reach.of(after), who.reach) is None
    assert within or (not secret and beyond(Reach.of(after), Reach.of(before)) is None)
    planned = {"plan": None, "limits": None} if before is None else {"plan": before.plan, "limits": before.limits}
    assert who.can("plans:manage") or {name: getattr(after, name) for name in planned} == planned
    assert after.owner_id is None or after.owner_id == who.owner_id


def test_a_session_with_every_scope_gives_no_right_that_it_lacks() -> None:
    desk = Desk(MemoryStore())
    who = session(may={"keys:manage"})
    for right in ("plans:manage", "audit:read"):
        with pytest.raises(NotAllowed) as caught:
            desk.keys.create(who, "new", scopes=[right])
        assert (caught.value.code, caught.value.key) == ("more_than_held", "scopes")
    made = desk.keys.create(who, "new", scopes=["keys:manage", "keys:read", "anything"])
    assert made.shown.key.scopes == ("keys:manage", "keys:read", "anything")
