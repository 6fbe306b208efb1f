"""The outbox: endpoints, messages in the host's own transaction, and what people read of deliveries."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from keystile.exceptions import ConfigurationError, NotFound, RecordChanged
from keystile.rules.messages import MOST_LEVELS, check_type, payload_of, wants
from keystile.stores.sql.places import READ_SILENCE
from keystile.webhooks import Scheme, Secret, sign, verify
from keystile.webhooks.outbox import Next, Outbox, history, new_key
from keystile.webhooks.outbox.registering import MOST_ENDPOINTS
from keystile.webhooks.outbox.stamps import MESSAGE, first_id, new_id
from keystile.webhooks.sending import Attempt
from tests.outboxes import ARRIVED, KEY, KINDS, REFUSED, START, TARGETS, Box, host_url, outbox_of
from tests.postgres_server import postgres_url  # noqa: F401
from tests.sql_stores import new_database

DAY = 86_400
AT = datetime.fromtimestamp(START, UTC)


@pytest.fixture(params=KINDS)
def box(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    with outbox_of(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    with outbox_of(request.param, request, tmp_path) as found:
        yield found


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Box]:
    with outbox_of("sqlite", request, tmp_path) as found:
        yield found


def test_a_message_goes_to_each_endpoint_of_its_organization_that_wants_it(box: Box) -> None:
    every, paid = box.endpoint(), box.endpoint(event_types=["invoice.paid", "invoice.paid", "a"])
    other, foreign = box.endpoint(event_types=["user.made"]), box.endpoint("org_2")
    assert paid.event_types == ("invoice.paid", "a")
    message = box.send()
    claimed = box.take()
    assert {each.endpoint.id for each in claimed} == {every.id, paid.id}
    assert {each.message_id for each in claimed} == {message}
    assert box.states(other.id) == box.states(foreign.id) == []


def test_the_octets_are_made_once_and_are_the_same_at_every_attempt(box: Box) -> None:
    box.endpoint()
    data = {"b": [1, 2.5, None, True], "a": "Zoë", "c": {}}
    box.send(data=data)
    data["a"] = "another"
    seen = []
    for _ in range(3):
        [claimed] = box.take()
        seen.append(bytes(claimed.payload))
        box.clock.now += 100
        assert box.end(claimed, Next.retry(box.clock.now), REFUSED)
    assert len(set(seen)) == 1
    wanted = '{"type":"invoice.paid","timestamp":"2027-01-15T08:00:00.000000Z",'
    wanted += '"data":{"b":[1,2.5,null,true],"a":"Zoë","c":{}}}'
    assert seen[0] == wanted.encode()


def test_what_is_claimed_can_be_signed_and_verified(box: Box) -> None:
    issued = box.endpoints.create("https://hooks.example/in", organization_id="org_1", headers={"X-Team": "data"})
    box.send()
    [claimed] = box.take()
    headers = sign(
        claimed.endpoint.scheme, claimed.endpoint.secrets, claimed.payload, now=int(START), id=claimed.message_id
    )
    received = verify(Scheme.standard(), [Secret(issued.secret)], headers, claimed.payload, now=START)
    assert (received.id, claimed.endpoint.headers) == (claimed.message_id, (("X-Team", "data"),))
    assert (claimed.endpoint.url, claimed.type, claimed.created_at) == (
        "https://hooks.example/in",
        "invoice.paid",
        START,
    )


def test_a_message_without_endpoints_is_kept_and_delivered_to_none_that_comes_later(box: Box) -> None:
    first = box.send(dedupe_key="k")
    box.endpoint()
    assert box.send(dedupe_key="k") == first
    assert box.take() == []


def test_of_messages_with_one_key_the_first_is_kept_in_each_organization(box: Box) -> None:
    box.endpoint()
    box.endpoint("org_2")
    first = box.send(dedupe_key="k")
    assert box.send("other.type", dedupe_key="k") == first
    assert box.send(organization_id="org_2", dedupe_key="k") != first
    assert len({box.send(), box.send()}) == 2
    assert len(box.take()) == 4


@pytest.mark.parametrize("commits", [True, False])
@pytest.mark.parametrize("given", ["session", "connection"])
def test_a_message_is_kept_with_the_hosts_own_row_or_not_at_all(plain: Box, given: str, commits: bool) -> None:
    endpoint = plain.endpoint()
    with plain.engine() as engine:
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP TABLE IF EXISTS invoices")
            connection.exec_driver_sql("CREATE TABLE invoices (id INTEGER)")
        with Session(engine) if given == "session" else engine.connect() as session:
            session.execute(sa.text("INSERT INTO invoices VALUES (1)"))
            message = plain.send(session=session)
            (session.commit if commits else session.rollback)()
    assert len(plain.rows("SELECT id FROM invoices")) == commits
    assert [each.message_id for each in plain.deliveries(endpoint.id)] == ([message] if commits else [])
    assert len(plain.rows("SELECT id FROM keystile_messages")) == commits


@pytest.mark.parametrize("commits", [True, False])
def test_the_same_for_an_async_session(request: pytest.FixtureRequest, tmp_path: Path, commits: bool) -> None:
    async def work(box: Box) -> str:
        engine = create_async_engine(host_url(box.url))
        async with AsyncSession(engine) as session:
            message = await box.inner.aadd("a.b", {}, organization_id="org_1", session=session)
            await (session.commit if commits else session.rollback)()
        async with engine.connect() as connection:
            await box.inner.aadd("a.c", {}, organization_id="org_1", session=connection)
        await engine.dispose()
        return str(message)

    with outbox_of("postgresql", request, tmp_path) as box:
        box.endpoint()
        message = asyncio.run(work(box))
        assert [each.message_id for each in box.take()] == ([message] if commits else [])


def test_a_session_of_the_wrong_kind_is_refused(file: Box) -> None:
    async def awaited(session: Any) -> None:
        await file.inner.aadd("a.b", {}, organization_id="o", session=session)

    engine = create_async_engine("postgresql+psycopg://127.0.0.1:1/x")
    with pytest.raises(ConfigurationError, match="session: is async: await aadd"):
        file.send(session=AsyncSession(engine))
    with file.engine() as blocking:
        for session in (Session(blocking), blocking.connect()):
            with session, pytest.raises(ConfigurationError, match="session: blocks: call add"):
                asyncio.run(awaited(session))
    with pytest.raises(ConfigurationError, match="session: expected a Session or a Connection"):
        file.send(session=object())
    with file.engine() as other:
        other.dialect.name = "oracle"
        with other.connect() as connection, pytest.raises(ConfigurationError, match="session: expected one on postg"):
            file.send(session=connection)


def test_two_transactions_with_one_key_are_one_message(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of("postgresql", request, tmp_path) as box, box.engine() as engine:
        box.endpoint()
        with Session(engine) as first:
            message = box.send(dedupe_key="k", session=first)
            first.rollback()
        second = box.send(dedupe_key="k")
        assert second != message
        with Session(engine) as third:
            assert box.send(dedupe_key="k", session=third) == second
            third.commit()
        assert [each.message_id for each in box.take()] == [second]


def test_secrets_and_headers_are_nowhere_in_the_database(plain: Box, tmp_path: Path) -> None:
    issued = plain.endpoints.create(
        "https://hooks.example/in", organization_id="org_1", headers={"X-Token": "hunter2-hunter2"}
    )
    again = plain.endpoints.rotate(issued.endpoint.id)
    if plain.url.startswith("sqlite"):
        held = b"".join(each.read_bytes() for each in tmp_path.iterdir())
        assert b"keystile_endpoints" in held
    else:
        held = repr(plain.rows("SELECT * FROM keystile_endpoints")).encode()
        assert b"hooks.example" in held
    for secret in (issued.secret, again.secret, "hunter2-hunter2"):
        assert secret.encode() not in held
        assert secret.partition("_")[2].encode() not in held or secret == "hunter2-hunter2"
    assert "whsec_" not in repr(issued)
    assert issued.endpoint.header_names == ("X-Token",)
    assert "hunter2" not in repr([issued, plain.send(), plain.take()])


def test_a_sealed_secret_opens_for_its_own_endpoint_alone(plain: Box) -> None:
    one, two = plain.endpoint(), plain.endpoint()
    with plain.engine() as engine, engine.begin() as connection:
        stolen = connection.execute(sa.text("SELECT secrets FROM keystile_endpoints WHERE id = :id"), {"id": one.id})
        values = {"secrets": stolen.scalar_one(), "id": two.id}
        connection.execute(sa.text("UPDATE keystile_endpoints SET secrets = :secrets WHERE id = :id"), values)
    plain.send()
    assert [each.endpoint.id for each in plain.take()] == [one.id]


def test_a_new_key_seals_and_the_old_one_opens_while_it_is_kept(file: Box, caplog: pytest.LogCaptureFixture) -> None:
    endpoint = file.endpoint()
    new = new_key()
    with_both = Outbox(file.url, f"{new}, {KEY}", clock=file.clock)
    file.send()
    alone = Outbox(file.url, new, clock=file.clock)
    for _ in range(2):
        assert alone.claim("w", 9, now=file.clock.now) == []
        file.clock.now += 61
    said = f"no key opens the secrets of the endpoint {endpoint.id}"
    assert [said in each for each in caplog.messages] == [True]
    [claimed] = with_both.claim("w", 9, now=file.clock.now)
    assert (claimed.attempt, claimed.tries) == (1, 1)
    with pytest.raises(ConfigurationError, match="key: does not open the secret"):
        alone.endpoints.rotate(endpoint.id)
    with_both.endpoints.rotate(endpoint.id)
    with_both.endpoints.update(endpoint.id, headers={})
    file.clock.now += 61
    assert len(alone.claim("w", 9, now=file.clock.now)) == 1


@pytest.mark.parametrize(
    "key",
    [None, "", ",", "short", "é" * 44, KEY + "x", f"{KEY},x", [], [b"x"]],
    ids=["None", "empty", "comma", "short", "not ASCII", "longer", "second", "no list", "octets"],
)
def test_without_a_key_nothing_is_kept(key: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEYSTILE_WEBHOOK_KEY", raising=False)
    with pytest.raises(ConfigurationError, match=r"^key: ") as told:
        Outbox(f"sqlite:///{tmp_path / 'o.db'}", key)
    assert KEY not in str(told.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "key",
    [KEY, KEY.rstrip("="), f" {KEY} ", f"{KEY},{new_key()}"],
    ids=["as made", "not padded", "blanks", "two"],
)
def test_the_key_comes_from_the_environment(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYSTILE_WEBHOOK_KEY", key)
    outbox = Outbox(f"sqlite:///{tmp_path / 'o.db'}")
    made = outbox.endpoints.create("https://a.example", organization_id="o").endpoint
    Outbox(f"sqlite:///{tmp_path / 'o.db'}", KEY).endpoints.rotate(made.id)


@pytest.mark.parametrize(
    "url", ["memory://", "mysql://user:hunter2@host/db", "", None, "sqlite://", "sqlite:///:memory:"]
)
def test_a_database_that_cannot_hold_an_outbox_is_refused(url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^(.*: )?outbox: ") as told:
        Outbox(url, KEY)
    assert "hunter2" not in str(told.value)


def test_the_older_secret_signs_for_a_day_after_a_rotation(box: Box) -> None:
    issued = box.endpoints.create("https://hooks.example/in", organization_id="org_1")
    new = box.endpoints.rotate(issued.endpoint.id)
    assert new.secret != issued.secret
    box.send()
    [claimed] = box.take()
    body = bytes(claimed.payload)
    headers = sign(Scheme.standard(), claimed.endpoint.secrets, body, now=int(START), id="msg_1")
    for secret in (issued.secret, new.secret):
        verify(Scheme.standard(), [Secret(secret)], headers, body, now=START)
    box.clock.now += DAY
    [claimed] = box.take()
    assert len(claimed.endpoint.secrets) == 1
    newest = box.endpoints.rotate(issued.endpoint.id, grace=0)
    box.clock.now += 61
    [claimed] = box.take()
    headers = sign(Scheme.standard(), claimed.endpoint.secrets, body, now=int(START), id="msg_1")
    assert verify(Scheme.standard(), [Secret(newest.secret)], headers, body, now=START)
    assert len(claimed.endpoint.secrets) == 1


def test_a_secret_is_rotated_and_an_endpoint_switched_by_who_has_seen_it_last(box: Box) -> None:
    endpoint = box.endpoint()
    box.endpoints.rotate(endpoint.id, revision=endpoint.revision)
    for operation in (box.endpoints.rotate, box.endpoints.disable, box.endpoints.enable):
        with pytest.raises(RecordChanged):
            operation(endpoint.id, revision=endpoint.revision)
    seen = box.endpoints.get(endpoint.id)
    assert not box.endpoints.disable(endpoint.id, revision=seen.revision).is_enabled


@pytest.mark.parametrize("kind", ["postgresql", "postgresql awaited"])
def test_a_page_that_takes_longer_than_a_request_may_wait_is_read_all_the_same(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    with outbox_of(kind, request, tmp_path) as box:
        made, engine = box.endpoint(), sa.create_engine(host_url(box.url))
        with engine.connect() as other, ThreadPoolExecutor() as threads:
            other.exec_driver_sql("LOCK TABLE keystile_endpoints IN ACCESS EXCLUSIVE MODE")
            listed = threads.submit(box.endpoints.list)
            assert not wait([listed], READ_SILENCE * 2).done
            other.rollback()
            assert [each.id for each in listed.result()] == [made.id]
        engine.dispose()


def test_one_delivery_is_read_and_so_much_is_sent_again_at_once(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "BATCH", 2)
    endpoint = box.endpoint()
    for number in range(5):
        box.send(data={"number": number})
    while taken := box.take():
        for claimed in taken:
            box.end(claimed, Next.failed(), REFUSED)
    since = datetime.fromtimestamp(START - 1, UTC)
    assert box.retry_failed(endpoint.id, since=since, most=3) == 4
    assert sorted(box.states(endpoint.id)) == ["due"] * 4 + ["failed"]
    newest, *_, oldest = box.deliveries(endpoint.id)
    assert box.delivery(oldest.id, organization_id="org_1") == oldest
    for delivery_id, organization in ((newest.id, "org_2"), ("dlv_" + "0" * 22, None)):
        with pytest.raises(NotFound):
            box.delivery(delivery_id, organization_id=organization)


@pytest.mark.parametrize(
    ("name", "header", "key"),
    [
        ("none", None, "scheme"),
        ("standard", "X-A", "signature_header"),
        ("hex_body", None, "signature_header"),
        ("timestamped", "X A", "signature_header"),
    ],
)
def test_a_scheme_is_named_with_the_header_that_it_needs(name: Any, header: str | None, key: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Scheme.named(name, header)
    assert refused.value.key == key
    assert Scheme.named("hex_body", "X-A") == Scheme.hex_body("X-A")
    assert Scheme.named("standard", None) == Scheme.standard()


def test_a_scheme_with_one_signature_is_signed_with_the_newest_secret(file: Box) -> None:
    issued = file.endpoints.create("https://a.example", organization_id="org_1", scheme=Scheme.hex_body("X-Sig"))
    with pytest.raises(ConfigurationError, match="grace must be 0"):
        file.endpoints.rotate(issued.endpoint.id, grace=60)
    new = file.endpoints.rotate(issued.endpoint.id)
    file.send()
    [claimed] = file.take()
    headers = sign(claimed.endpoint.scheme, claimed.endpoint.secrets, claimed.payload, now=1)
    assert verify(Scheme.hex_body("X-Sig"), [Secret(new.secret)], headers, claimed.payload, now=1)


def test_a_secret_from_elsewhere_stays_in_force(file: Box) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    assert file.endpoints.create("https://a.example", organization_id="o", secret=secret).secret == secret
    for wrong in ("short", "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="):
        with pytest.raises(ConfigurationError):
            file.endpoints.create("https://a.example", organization_id="o", secret=wrong)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "http://a.example/",
            "ftp://a.example",
            "https://10.0.0.1/",
            "https://169.254.169.254/",
            "https://a",
            1,
            None,
        ),
        *("https://a.local/", "https://u:p@a.example/", "https://a.example:22/", "https://a.example/#x", ""),
    ],
)
def test_a_url_inside_is_refused_when_it_is_registered(url: Any, tmp_path: Path) -> None:
    outbox = Outbox(f"sqlite:///{tmp_path / 'o.db'}", KEY)
    with pytest.raises(ConfigurationError, match=r"^url: "):
        outbox.endpoints.create(url, organization_id="o")
    made = outbox.endpoints.create("https://a.example", organization_id="o").endpoint
    with pytest.raises(ConfigurationError, match=r"^url: "):
        outbox.endpoints.update(made.id, url=url)
    assert outbox.endpoints.get(made.id) == made


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"headers": {"Host": "x"}}, "headers"),
        ({"headers": {"X-A": "a\r\nb"}}, "headers"),
        ({"headers": {"Authorization": "Bearer x"}}, "headers"),
        ({"headers": "X-A: b"}, "headers"),
        ({"event_types": "a.b"}, "event_types"),
        ({"event_types": []}, "event_types"),
        ({"event_types": ["A"]}, "event_types"),
        ({"event_types": ["a"] * 101}, "event_types"),
        ({"event_types": [1]}, "event_types"),
        ({"scheme": "hex_body"}, "scheme"),
        ({"scheme": 1}, "scheme"),
        ({"description": "a\nb"}, "description"),
        ({"organization_id": ""}, "organization_id"),
        ({"organization_id": None}, "organization_id"),
    ],
)
def test_what_cannot_be_an_endpoint_is_refused(file: Box, given: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{key}: "):
        file.endpoints.create("https://a.example", **{"organization_id": "o", **given})
    assert file.endpoints.list() == []


def test_authorization_is_a_header_where_it_is_allowed(tmp_path: Path) -> None:
    outbox = Outbox(f"sqlite:///{tmp_path / 'o.db'}", KEY, authorization=True)
    made = outbox.endpoints.create("https://a.example", organization_id="o", headers={"Authorization": "Bearer x"})
    assert made.endpoint.header_names == ("Authorization",)


def test_an_organization_has_so_many_endpoints_and_no_more(plain: Box) -> None:
    made = [plain.endpoint() for _ in range(MOST_ENDPOINTS)]
    with pytest.raises(ConfigurationError, match=f"organization_id: has {MOST_ENDPOINTS} endpoints"):
        plain.endpoint()
    plain.endpoint("org_2")
    plain.endpoints.delete(made[0].id)
    plain.endpoint()


def test_endpoints_are_listed_by_age_and_by_page(box: Box) -> None:
    made = []
    for _ in range(3):
        box.clock.now += 1
        made.append(box.endpoint())
    foreign = box.endpoint("org_2")
    assert list(box.endpoints.list(organization_id="org_1")) == made
    assert list(box.endpoints.list(organization_id="org_1", after=made[0].id, limit=1)) == [made[1]]
    assert foreign in box.endpoints.list()
    assert box.endpoints.get(made[0].id, organization_id="org_1") == made[0]


def test_an_endpoint_is_updated_and_what_is_left_out_stays(box: Box) -> None:
    made = box.endpoint(description="old", event_types=["a"], headers={"X-A": "1"})
    found = box.endpoints.update(made.id, url="https://b.example/y", description=None, revision=made.revision)
    assert (found.url, found.description, found.event_types) == ("https://b.example/y", None, ("a",))
    assert (found.header_names, found.revision) == (("X-A",), made.revision + 1)
    with pytest.raises(RecordChanged):
        box.endpoints.update(made.id, event_types=None, revision=made.revision)
    assert box.endpoints.update(made.id, event_types=None).event_types is None
    assert box.endpoints.update(made.id, headers={"X-B": "2"}).header_names == ("X-B",)
    box.send()
    [claimed] = box.take()
    assert (claimed.endpoint.url, claimed.endpoint.headers) == ("https://b.example/y", (("X-B", "2"),))


def test_a_disabled_endpoint_gets_nothing_until_it_is_enabled(box: Box) -> None:
    endpoint = box.endpoint()
    waiting = box.send()
    found = box.endpoints.disable(endpoint.id, reason="by its owner")
    assert (found.is_enabled, found.disabled_reason) == (False, "by its owner")
    assert box.endpoints.disable(endpoint.id).disabled_reason == "by its owner"
    box.send()
    assert box.take() == []
    with pytest.raises(ConfigurationError, match="endpoint_id: is disabled"):
        box.test(endpoint.id)
    assert box.endpoints.enable(endpoint.id).is_enabled
    assert [each.message_id for each in box.take()] == [waiting]


def test_what_was_due_to_a_deleted_endpoint_is_dropped(box: Box) -> None:
    endpoint = box.endpoint()
    messages = [box.send() for _ in range(3)]
    first, second, _ = box.take(most=3)
    box.end(first)
    box.endpoints.delete(endpoint.id)
    assert sorted(box.states(endpoint.id)) == ["done", "dropped", "dropped"]
    assert box.end(second) is None
    box.clock.now += 1000
    assert box.take() == []
    assert len(messages) == 3
    for operation in (box.endpoints.get, box.endpoints.delete, box.endpoints.rotate, box.endpoints.enable, box.test):
        with pytest.raises(NotFound):
            operation(endpoint.id)
    assert endpoint not in box.endpoints.list()
    [dropped, *_] = box.deliveries(endpoint.id, "dropped")
    with pytest.raises(NotFound):
        box.retry(dropped.id)
    held = box.rows("SELECT secrets, headers FROM keystile_endpoints")
    assert [tuple(each) for each in held] == [("", "")]


def test_a_long_queue_of_a_deleted_endpoint_is_dropped_in_parts(plain: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystile.webhooks.outbox.history.BATCH", 4)
    endpoint, other = plain.endpoint(), plain.endpoint()
    for _ in range(9):
        plain.send()
    plain.endpoints.delete(endpoint.id)
    assert plain.states(endpoint.id) == ["dropped"] * 9
    assert plain.states(other.id) == ["due"] * 9


def test_what_belongs_to_another_organization_is_not_found(box: Box) -> None:
    endpoint = box.endpoint("org_1")
    box.send()
    [claimed] = box.take()
    box.end(claimed, Next.failed(), REFUSED)
    foreign = {"organization_id": "org_2"}
    for operation in (
        *(box.endpoints.get, box.endpoints.update, box.endpoints.rotate, box.endpoints.enable, box.endpoints.disable),
        *(box.endpoints.delete, box.test, box.deliveries),
    ):
        with pytest.raises(NotFound, match="endpoint"):
            operation(endpoint.id, **foreign)
    for operation in (box.attempts, box.retry):
        with pytest.raises(NotFound, match="delivery"):
            operation(claimed.delivery_id, **foreign)
    with pytest.raises(NotFound):
        box.retry_failed(endpoint.id, since=AT, **foreign)
    assert box.endpoints.list(organization_id="org_2") == []
    assert box.endpoints.get(endpoint.id, organization_id="org_1").revision == 1
    assert box.states(endpoint.id) == ["failed"]


def test_a_test_message_goes_to_one_endpoint_whatever_it_wants(box: Box) -> None:
    endpoint, _other = box.endpoint(event_types=["a"]), box.endpoint()
    message = box.test(endpoint.id, organization_id="org_1")
    [claimed] = box.take()
    assert (claimed.message_id, claimed.endpoint.id, claimed.type) == (message, endpoint.id, "webhook.test")
    assert json.loads(claimed.payload)["data"] == {"endpoint_id": endpoint.id}
    assert claimed.endpoint.organization_id == "org_1"
    assert box.rows("SELECT organization_id FROM keystile_messages") == [("org_1",)]


def test_deliveries_and_attempts_can_be_read(box: Box) -> None:
    endpoint = box.endpoint()
    messages = []
    for _ in range(3):
        box.clock.now += 1
        messages.append(box.send())
    first, second, third = box.take()
    box.end(first)
    box.end(second, Next.failed(), Attempt(None, "timeout", seconds=20.0))
    found = box.deliveries(endpoint.id)
    assert [each.message_id for each in found] == messages[::-1]
    assert [each.state for each in found] == ["due", "failed", "done"]
    assert [each.attempts for each in found] == [1, 1, 1]
    assert found[0].due_at == datetime.fromtimestamp(third.lease_until, UTC)
    assert found[1].due_at is None
    assert [each.id for each in box.deliveries(endpoint.id, after=found[0].id, limit=1)] == [found[1].id]
    assert [each.id for each in box.deliveries(endpoint.id, "failed")] == [found[1].id]
    [attempt] = box.attempts(second.delivery_id)
    assert (attempt.attempt, attempt.status, attempt.error, attempt.seconds) == (1, None, "timeout", 20.0)
    [attempt] = box.attempts(first.delivery_id)
    assert (attempt.status, attempt.response_head, attempt.seconds) == (204, "ok", 0.25)
    assert attempt.at == datetime.fromtimestamp(box.clock.now, UTC)
    assert box.attempts(third.delivery_id) == []
    with pytest.raises(ConfigurationError, match="state: expected one of"):
        box.deliveries(endpoint.id, "lost")
    with pytest.raises(NotFound):
        box.attempts("dlv_none")


def test_a_delivery_is_tried_once_more_by_the_schedule_from_its_beginning(box: Box) -> None:
    box.endpoint()
    box.send()
    for tries in (1, 2):
        [claimed] = box.take()
        assert (claimed.attempt, claimed.tries) == (tries, tries)
        box.end(claimed, Next.retry(box.clock.now) if tries == 1 else Next.failed(), REFUSED)
    assert box.take() == []
    again = box.retry(claimed.delivery_id)
    assert (again.state, again.attempts) == ("due", 2)
    [claimed] = box.take()
    assert (claimed.attempt, claimed.tries) == (3, 1)
    assert box.retry(claimed.delivery_id).due_at == datetime.fromtimestamp(claimed.lease_until, UTC)
    assert box.take() == []
    assert box.end(claimed)
    box.retry(claimed.delivery_id)
    [claimed] = box.take()
    assert [each.attempt for each in box.attempts(claimed.delivery_id)] == [1, 2, 3]


def test_all_that_failed_since_a_moment_is_tried_once_more(plain: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("keystile.webhooks.outbox.history.BATCH", 3)
    endpoint = plain.endpoint()
    old = plain.send()
    plain.clock.now += 10
    since = datetime.fromtimestamp(plain.clock.now, UTC)
    new = {plain.send() for _ in range(7)}
    while claimed := plain.take():
        for each in claimed:
            plain.end(each, Next.failed(), REFUSED)
    assert plain.retry_failed(endpoint.id, since=since) == 7
    assert plain.retry_failed(endpoint.id, since=since) == 0
    assert {each.message_id for each in plain.take(per_endpoint=9)} == new
    assert [each.message_id for each in plain.deliveries(endpoint.id, "failed")] == [old]
    with pytest.raises(ConfigurationError, match="since: expected a datetime with a time zone"):
        plain.retry_failed(endpoint.id, since=datetime(2030, 1, 1))


def test_old_messages_are_purged_with_all_that_belongs_to_them(box: Box) -> None:
    endpoint, gone = box.endpoint(), box.endpoint()
    box.send()
    for each in box.take():
        box.end(each)
    waiting = box.endpoint("org_2")
    kept = box.send(organization_id="org_2")
    box.endpoints.delete(gone.id)
    assert box.purge() == 0
    box.clock.now += 30 * DAY + 1
    young = box.send()
    assert (box.purge(most=1), box.purge(), box.purge()) == (1, 0, 0)
    assert [each.message_id for each in box.deliveries(endpoint.id)] == [young]
    assert [each.message_id for each in box.deliveries(waiting.id)] == [kept]
    assert box.rows("SELECT count(*) FROM keystile_attempts") == [(0,)]
    with pytest.raises(NotFound):
        box.deliveries(gone.id)
    box.endpoints.disable(waiting.id)
    assert box.purge() == 1


def test_what_was_added_while_its_endpoint_was_deleted_is_dropped_by_the_purge(plain: Box) -> None:
    endpoint = plain.endpoint()
    with plain.engine() as engine, Session(engine) as session:
        if plain.url.startswith("sqlite"):  # where nobody can delete in the middle of it
            plain.send(session=session)
            session.commit()
            plain.endpoints.delete(endpoint.id)
        else:
            plain.send(session=session)
            plain.endpoints.delete(endpoint.id)
            session.commit()
            assert plain.states(endpoint.id) == ["due"]
    assert plain.take() == []
    plain.purge()
    assert plain.states(endpoint.id) == ["dropped"]


def test_a_payload_is_bounded(box: Box) -> None:
    box.endpoint()
    empty = len(payload_of("a.b", {"x": ""}, AT, 1000))
    box.send("a.b", {"x": "x" * (20_000 - empty)})
    with pytest.raises(ConfigurationError, match="data: expected at most 20000 bytes as JSON, got 20001"):
        box.send("a.b", {"x": "x" * (20_001 - empty)})


@pytest.mark.parametrize("type", ["", "A", "1a", ".a", "a-b", "a b", "é", "a\n", "a" * 101, None, 1])
def test_what_is_no_type_is_refused(type: Any, file: Box) -> None:
    with pytest.raises(ConfigurationError, match="type: expected a type like"):
        file.send(type)
    with pytest.raises(ConfigurationError):
        check_type(type)


_DEEP: list[Any] = []
for _ in range(MOST_LEVELS):
    _DEEP = [_DEEP]
_LOOP: dict[str, Any] = {}
_LOOP["self"] = _LOOP


@pytest.mark.parametrize(
    "data",
    [
        *({"a": float("nan")}, {"a": [float("inf")]}, {"a": "\ud800"}, {"\udfff": 1}, {1: "a"}, {"a": {None: 1}}),
        *({"a": b"x"}, {"a": AT}, {"a": {1}}, {"a": object()}, {"a": _DEEP}, _LOOP, [1], "x", None, 1),
    ],
)
def test_what_is_no_json_is_refused(data: Any, file: Box) -> None:
    with pytest.raises(ConfigurationError, match=r"^data: "):
        file.inner.add("a.b", data, organization_id="o")
    assert file.rows("SELECT * FROM keystile_messages") == []


def test_a_list_that_holds_another_many_times_is_refused_at_once() -> None:
    many: list[Any] = []
    for _ in range(MOST_LEVELS - 2):
        many = [many] * 100
    with pytest.raises(ConfigurationError, match="data: expected at most 20000 bytes as JSON"):
        payload_of("a.b", {"a": many}, AT, 20_000)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_every_mapping_of_json_becomes_octets_that_mean_the_same(data: dict[str, Any]) -> None:
    octets = payload_of("a.b", data, AT, 10**9)
    assert json.loads(octets) == {"type": "a.b", "timestamp": "2027-01-15T08:00:00.000000Z", "data": data}
    assert octets == payload_of("a.b", data, AT, len(octets))


@given(st.text())
def test_a_type_is_one_or_is_refused(text: str) -> None:
    try:
        assert check_type(text) == text
    except ConfigurationError:
        assert not (text.isascii() and text[:1].islower() and text.replace(".", "_").isidentifier() and text.islower())
    else:
        assert text[0] in "abcdefghijklmnopqrstuvwxyz"
        assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789_.")


@given(st.lists(st.sampled_from(["a", "a.b", "b"])) | st.none(), st.sampled_from(["a", "a.b", "b"]))
def test_an_endpoint_wants_what_it_names_or_all(types: list[str] | None, type: str) -> None:
    assert wants(types, type) == (types is None or type in types)


@given(st.floats(0, 2e11), st.floats(0, 2e11))
def test_of_two_ids_the_later_one_is_greater(one: float, other: float) -> None:
    first, second = new_id(MESSAGE, one), new_id(MESSAGE, other)
    assert first != second
    assert len(first) == len(second) == len(MESSAGE) + 22
    if int(one * 1000) != int(other * 1000):
        assert (first < second) == (one < other)
    assert first_id(MESSAGE, one) < first


def test_a_database_without_tables_is_named_with_the_command_that_makes_them(
    postgres_url: str,  # noqa: F811
) -> None:
    outbox = Outbox(new_database(postgres_url), KEY)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="run `keystile webhooks migrate`"):
            outbox.claim("w", 1, now=0)
    told: list[str] = []
    assert outbox.migrate(lambda _number, _count, text: told.append(text), dry=True) == len(told) > 4
    assert outbox.migrate() == len(told)
    assert outbox.migrate() == 0
    assert outbox.claim("w", 1, now=0) == []
    outbox.close()


@pytest.mark.parametrize("kind", ["sqlite under trio", "postgresql under trio"])
def test_everything_awaited_works_under_trio(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    with outbox_of(kind, request, tmp_path) as box:
        endpoint = box.endpoint()
        message = box.send()
        [claimed] = box.take()
        assert box.end(claimed)
        assert [(each.message_id, each.state) for each in box.deliveries(endpoint.id)] == [(message, "done")]


def test_a_repr_names_the_place_alone(tmp_path: Path) -> None:
    assert repr(Outbox("postgresql://user:hunter2@db.example/x", KEY)) == "Outbox('postgresql://db.example')"
    with pytest.raises(ConfigurationError, match="max_payload"):
        Outbox(f"sqlite:///{tmp_path / 'o.db'}", KEY, max_payload=0)
    assert TARGETS.permits("127.0.0.1")
    assert ARRIVED.delivered


@pytest.mark.parametrize("header", ["Content-Length", "Host", "Transfer-Encoding", "webhook-id", "Connection"])
def test_a_signature_does_not_go_where_the_message_itself_is_described(tmp_path: Path, header: str) -> None:
    endpoints = Outbox(f"sqlite:///{tmp_path}/outbox.db", KEY).endpoints
    with pytest.raises(ConfigurationError, match="belongs to the message"):
        endpoints.create("https://a.example", organization_id="org_1", scheme=Scheme.hex_body(header))
    with pytest.raises(ConfigurationError, match="each name once"):
        endpoints.create("https://a.example", organization_id="org_1", headers={"X-A": "1", "x-a": "2"})
