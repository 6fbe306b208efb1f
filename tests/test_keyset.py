"""Keyset pages over real databases: no row lost, none twice, and what could lose rows refused."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, aliased, joinedload, mapped_column, relationship

from keystile import ConfigurationError, InvalidRequest
from keystile.answers.pages import PageParams
from keystile.keyset import aselect_page, select_page
from tests.postgres_server import postgres_url  # noqa: F401
from tests.selection import often

SECRET = b"0123456789abcdef"
START = datetime(2026, 1, 15, 10, 30)


class Base(DeclarativeBase):
    """The tables of these tests."""


class Shelf(Base):
    """Has items, or none."""

    __tablename__ = "keyset_shelves"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(unique=True)
    items: Mapped[list[Item]] = relationship(back_populates="shelf", order_by="Item.id")


class Item(Base):
    """A row with a key of every type that a database sorts."""

    __tablename__ = "keyset_items"
    id: Mapped[int] = mapped_column(primary_key=True)
    rank: Mapped[int]
    name: Mapped[str]
    nick: Mapped[str | None]
    moment: Mapped[datetime]
    aware: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    uid: Mapped[uuid.UUID]
    ratio: Mapped[float]
    raw: Mapped[bytes]
    day: Mapped[Any] = mapped_column(sa.Date, nullable=False)
    good: Mapped[bool]
    shelf_id: Mapped[int] = mapped_column(sa.ForeignKey(Shelf.id))
    shelf: Mapped[Shelf] = relationship(back_populates="items")


class Part(Base):
    """Two columns make its primary key, and one pair of others is unique."""

    __tablename__ = "keyset_parts"
    a: Mapped[int] = mapped_column(primary_key=True)
    b: Mapped[int] = mapped_column(primary_key=True)
    c: Mapped[int]
    d: Mapped[int]
    price: Mapped[Decimal] = mapped_column(sa.Numeric(20, 6))
    __table_args__ = (sa.UniqueConstraint("c", "d"),)


items: Any = Item.__table__


def row(number: int, spread: int = 3) -> dict[str, Any]:
    """A row whose values are equal to those of many others, but for its id."""
    step = number % spread
    return {
        "id": number,
        "rank": step,
        "name": "bÉa"[step % 3],
        "nick": [None, "x"][step % 2],
        "moment": START + timedelta(microseconds=step),
        "aware": (START + timedelta(microseconds=step)).replace(tzinfo=UTC),
        "uid": uuid.UUID(int=step << 100),
        "ratio": step / 3,
        "raw": bytes([255 - step]),
        "day": START.date() + timedelta(step),
        "good": bool(step % 2),
        "shelf_id": 1,
    }


def fill(connection: sa.Connection, numbers: Any) -> None:
    Base.metadata.drop_all(connection)
    Base.metadata.create_all(connection)
    connection.execute(sa.insert(Shelf), [{"id": 1, "label": "one"}, {"id": 2, "label": "two"}])
    rows = [row(number) for number in numbers]
    if rows:
        connection.execute(sa.insert(Item), rows)


@pytest.fixture(scope="module")
def sqlite() -> Iterator[sa.Engine]:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def postgres(postgres_url: str) -> Iterator[sa.Engine]:  # noqa: F811
    engine = sa.create_engine(sa.make_url(postgres_url).set(drivername="postgresql+psycopg"))
    yield engine
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest) -> sa.Engine:
    found: sa.Engine = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def session(engine: sa.Engine) -> Iterator[Session]:
    with engine.begin() as connection:
        fill(connection, range(1, 21))
    with Session(engine) as opened:
        yield opened


def params(limit: int = 3, cursor: str | None = None) -> PageParams:
    return PageParams.read(f"limit={limit}&cursor={cursor or ''}", secrets=[SECRET])


def walk(execute: Any, statement: Any, order_by: Any, limit: int = 3) -> list[Any]:
    """Everything, page by page."""
    found, cursor = [], None
    while True:
        page = select_page(execute, statement, params(limit, cursor), order_by=order_by)
        found += page.items
        cursor = page.next_cursor
        if not page.has_more:
            return found
        assert len(page.items) == limit


# Walks while rows come and go.

ORDERS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "up": (lambda: [Item.rank, Item.id], lambda at: (at["rank"], at["id"])),
    "down": (lambda: [Item.moment.desc(), Item.id.desc()], lambda at: (-at["rank"], -at["id"])),
    "mixed": (lambda: [Item.uid.asc(), Item.id.desc()], lambda at: (at["rank"], -at["id"])),
    "three": (
        lambda: [Item.good.desc(), Item.ratio, Item.id],
        lambda at: (not at["good"], at["ratio"], at["id"]),
    ),
    "expression": (
        lambda: [(Item.rank * -1).label("turned"), sa.func.coalesce(Item.nick, "").desc(), items.c.id],
        lambda at: (-at["rank"], at["nick"] is None, at["id"]),
    ),
}
WAYS: dict[str, Callable[[], Any]] = {
    "entities": lambda: sa.select(Item),
    "columns": lambda: sa.select(Item.id, Item.name).where(Item.id > 0).order_by(Item.name).limit(1).offset(1),
    "core": lambda: sa.select(items),
    "single": lambda: sa.select(items.c.id),
    "joined": lambda: sa.select(Item.id, Shelf.label).join(Item.shelf),
}


def id_of(found: Any) -> int:
    number: int = found if isinstance(found, int) else found.id
    return number


class Walk:
    """Pages through a table that changes between them."""

    def __init__(self, engine: sa.Engine, order: str, way: str) -> None:
        self.engine, self.way = engine, WAYS[way]()
        self.order_by, self.key = ORDERS[order][0](), ORDERS[order][1]

    def run(self, stable: set[int], passing: set[int], draw: Callable[[list[int]], set[int]], limits: Any) -> None:
        with self.engine.begin() as connection:
            fill(connection, stable)
        seen: list[int] = []
        cursor, there = None, set[int]()
        for _ in range(len(stable) + len(passing) + 1):
            wanted = draw(sorted(passing)) if passing else set()
            with Session(self.engine) as session:
                self.change(session, wanted - there, there - wanted)
                there, limit = wanted, limits()
                page = select_page(session.execute, self.way, params(limit, cursor), order_by=self.order_by)
                seen += map(id_of, page.items)
            assert len(page.items) == limit or not page.has_more
            cursor = page.next_cursor
            if not page.has_more:
                break
        else:
            pytest.fail("the walk does not end")
        expected = sorted((row(number) for number in stable), key=self.key)
        assert [number for number in seen if number in stable] == [at["id"] for at in expected]
        assert len(seen) == len(set(seen))

    @staticmethod
    def change(session: Session, come: set[int], go: set[int]) -> None:
        if go:
            session.execute(sa.delete(Item).where(Item.id.in_(go)))
        if come:
            session.execute(sa.insert(Item), [row(number) for number in come])
        session.commit()


numbers = st.sets(st.integers(1, 40), max_size=25)


@pytest.mark.parametrize("order", ORDERS)
@settings(max_examples=often(15, 100), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sets=st.tuples(numbers, numbers), way=st.sampled_from(sorted(WAYS)), data=st.data())
def test_a_walk_sees_what_stays_exactly_once(
    sqlite: sa.Engine, order: str, sets: tuple[set[int], set[int]], way: str, data: st.DataObject
) -> None:
    Walk(sqlite, order, way).run(
        sets[0],
        sets[1] - sets[0],
        lambda there: data.draw(st.sets(st.sampled_from(there))),
        lambda: data.draw(st.integers(1, 6)),
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("order", ORDERS)
def test_a_walk_over_postgresql_sees_what_stays_exactly_once(postgres: sa.Engine, order: str, way: str) -> None:
    chance = random.Random(f"{order} {way}")
    stable = set(chance.sample(range(1, 100), often(12, 30)))
    passing = set(chance.sample(range(1, 100), often(12, 30))) - stable
    Walk(postgres, order, way).run(
        stable, passing, lambda there: {each for each in there if chance.random() < 0.5}, lambda: chance.randint(1, 7)
    )


# What comes back.


def test_an_entity_stays_an_entity(session: Session) -> None:
    found = walk(session.execute, sa.select(Item), [Item.rank.desc(), Item.id])
    assert all(isinstance(each, Item) for each in found)
    assert [each.id for each in found] == sorted(range(1, 21), key=lambda number: (-(number % 3), number))


def test_one_column_gives_its_values(session: Session) -> None:
    assert walk(session.execute, sa.select(Item.name), [Item.id]) == [row(number)["name"] for number in range(1, 21)]


def test_several_columns_give_rows_with_their_names(session: Session) -> None:
    statement = sa.select(Item.rank, Item.name.label("called"), Shelf).join(Item.shelf)
    page = select_page(session.execute, statement, params(), order_by=[Item.id])
    (rank, called, shelf), second, _ = page.items
    assert (rank, called, shelf.label) == (1, "É", "one")
    assert (second.rank, second.called, second.Shelf) == (2, "a", shelf)
    assert second._mapping.keys() == ["rank", "called", "Shelf"]


def test_core_gives_rows_with_their_names(session: Session) -> None:
    page = select_page(session.connection().execute, sa.select(items), params(2), order_by=[items.c.id])
    assert [each.id for each in page.items] == [1, 2]
    assert page.items[0]._mapping.keys() == list(items.c.keys())


def test_entities_with_a_joined_collection_come_once(session: Session) -> None:
    for number in range(3, 8):
        session.add(Shelf(id=number, label=f"shelf {number}"))
    session.add_all(Item(**row(100 + number) | {"shelf_id": 3 + number % 2}) for number in range(6))
    session.commit()
    statement = sa.select(Shelf).options(joinedload(Shelf.items))
    found = walk(session.execute, statement, [sa.func.length(Shelf.label).label("n"), Shelf.label], limit=2)
    assert [each.id for each in found] == [1, 2, 3, 4, 5, 6, 7]
    assert [len(each.items) for each in found] == [20, 0, 3, 3, 0, 0, 0]


def test_an_alias_is_sorted_as_its_table(session: Session) -> None:
    other = aliased(Item)
    assert [each.id for each in walk(session.execute, sa.select(other), [other.id.desc()])] == [*range(20, 0, -1)]
    page = select_page(session.execute, sa.select(other, other.rank), params(1), order_by=[other.id])
    assert [(each[0].id, each.rank) for each in page.items] == [(1, 1)]
    shelf = aliased(Shelf)
    assert [each.id for each in walk(session.execute, sa.select(shelf), [shelf.label])] == [1, 2]


def test_a_subquery_is_sorted_by_its_primary_key(session: Session) -> None:
    both = sa.union_all(
        sa.select(Item.id, Item.rank).where(Item.id < 5), sa.select(Item.id, Item.rank).where(Item.id > 15)
    )
    inner = sa.select(Item.id, Item.rank).where(Item.id.in_(sa.select(both.subquery().c.id))).subquery()
    found = walk(session.execute, sa.select(inner), [inner.c.rank, inner.c.id])
    assert sorted(each.id for each in found) == [1, 2, 3, 4, 16, 17, 18, 19, 20]


@pytest.mark.parametrize("name", ["moment", "aware", "uid", "ratio", "raw", "day", "good", "name", "rank"])
@pytest.mark.parametrize("descending", [False, True])
def test_every_type_is_compared_as_the_database_sorts_it(session: Session, name: str, descending: bool) -> None:
    column = items.c[name]
    order = [column.desc() if descending else column, items.c.id]
    whole = list(session.scalars(sa.select(items.c.id).order_by(*order)))
    assert walk(session.execute, sa.select(items.c.id), order, limit=4) == whole


def test_decimals_are_compared_exactly(postgres: sa.Engine) -> None:
    with postgres.begin() as connection:
        fill(connection, ())
        prices = [Decimal("0.1"), Decimal("0.100001"), Decimal("12345678901234.000001"), Decimal(12345678901234)]
        rows = [{"a": at, "b": at, "c": at, "d": at, "price": prices[at % 4]} for at in range(12)]
        connection.execute(sa.insert(Part), rows)
        found = walk(connection.execute, sa.select(Part.a, Part.price), [Part.price.desc(), Part.a, Part.b], limit=1)
    assert [each.price for each in found] == sorted([*prices] * 3, reverse=True)


def test_every_key_bounds_where_the_database_begins(sqlite: sa.Engine) -> None:
    seen = []

    def execute(statement: Any) -> Any:
        seen.append(str(statement))
        return connection.execute(statement)

    with sqlite.begin() as connection:
        fill(connection, range(1, 9))
        walk(execute, sa.select(items.c.id).offset(2), [items.c.rank, items.c.name.desc(), items.c.id], limit=4)
    assert len(seen) == 2
    assert "OFFSET" not in "".join(seen)
    where = " ".join(seen[1].partition("WHERE ")[2].partition(" ORDER BY")[0].replace("keyset_items.", "").split())
    assert where == (
        "rank >= :param_1 AND (rank > :param_1 OR name <= :param_2 AND (name < :param_2 OR id > :param_3))"
    )


def test_an_async_execute_gives_the_same_pages(session: Session) -> None:
    async def execute(statement: Any) -> Any:
        await asyncio.sleep(0)
        return session.execute(statement)

    order = [Item.rank.desc(), Item.id]
    page = select_page(session.execute, sa.select(Item), params(), order_by=order)
    assert asyncio.run(aselect_page(execute, sa.select(Item), params(), order_by=order)) == page
    following = params(5, page.next_cursor)
    expected = select_page(session.execute, sa.select(Item), following, order_by=order)
    assert asyncio.run(aselect_page(execute, sa.select(Item), following, order_by=order)) == expected


# What is refused.


def never(_: Any) -> Any:
    raise AssertionError("the database is not asked")


def refused(order_by: Any, statement: Any = None) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        select_page(never, sa.select(Item) if statement is None else statement, params(), order_by=order_by)
    return caught.value


@pytest.mark.parametrize(
    ("order_by", "advice"),
    [
        ([], "expected a list of columns"),
        ("id", "expected a list of columns"),
        (Item.id, "expected a list of columns"),
        (["id"], "got str"),
        ([sa.text("id")], "got TextClause"),
        ([Item.nick, Item.id], "func.coalesce"),
        ([Item.nick.desc(), Item.id], "func.coalesce"),
        ([aliased(Item).nick, Item.id], "func.coalesce"),
        ([Item.nick.label("x"), Item.id], "func.coalesce"),
        ([sa.func.lower(Item.nick).desc(), Item.id], "func.coalesce"),
        ([Item.rank], "end with the primary key"),
        ([Item.rank, Item.name.desc()], "end with the primary key"),
        ([sa.func.lower(Shelf.label)], "end with the primary key"),
        ([sa.literal_column("id")], "end with the primary key"),
        ([Part.a, Part.c], "end with the primary key"),
        ([aliased(Part).a, aliased(Part).b], "end with the primary key"),
        ([sa.select(Shelf.label).subquery().c.label], "end with the primary key"),
        ([Item.id.desc().nulls_last()], "only .asc"),
        ([Item.id.nulls_first()], "only .asc"),
        ([sa.nulls_last(Item.id).asc()], "only .asc"),
    ],
)
def test_an_order_that_could_lose_rows_is_refused(order_by: Any, advice: str) -> None:
    error = refused(order_by)
    assert error.key == "order_by"
    assert advice in error.reason


@pytest.mark.parametrize(
    "order_by",
    [[Part.b, Part.a], [Part.price, Part.b.desc(), Part.a], [Part.d, Part.c.desc()], [aliased(Shelf).label]],
)
def test_a_primary_key_of_two_columns_or_a_unique_pair_is_enough(order_by: Any) -> None:
    with pytest.raises(AssertionError, match="not asked"):
        select_page(never, sa.select(Part), params(), order_by=order_by)


def test_a_column_that_an_outer_join_makes_null_is_refused() -> None:
    statement = sa.select(Shelf, Item).outerjoin(Shelf.items)
    assert "func.coalesce(keyset_items.rank" in refused([Item.rank, Shelf.id], statement).reason
    full = sa.select(Shelf, Item).join(Shelf.items, full=True)
    assert "func.coalesce(keyset_shelves.id" in refused([Shelf.id], full).reason
    with pytest.raises(AssertionError, match="not asked"):
        select_page(never, statement, params(), order_by=[sa.func.coalesce(Item.id, 0), Shelf.id])


def test_a_union_is_refused() -> None:
    error = refused([Item.id], sa.union(sa.select(Item.id), sa.select(Shelf.id)))
    assert (error.key, "as a subquery" in error.reason) == ("statement", True)


def test_a_key_that_turns_out_null_is_refused(session: Session) -> None:
    with pytest.raises(ConfigurationError, match=r"func\.coalesce"):
        select_page(session.execute, sa.select(Item), params(50), order_by=[sa.func.nullif(Item.rank, 1), Item.id])


def test_an_empty_page_is_the_last(session: Session) -> None:
    for statement in (sa.select(Item), sa.select(Item.id, Item.rank)):
        page = select_page(session.execute, statement.where(Item.id < 0), params(), order_by=[Item.id])
        assert (page.items, page.has_more, page.next_cursor) == ([], False, None)


def test_rows_that_a_join_repeats_are_refused_where_one_would_be_lost(session: Session) -> None:
    statement = sa.select(Shelf.label, Item.name).join(Shelf.items)
    with pytest.raises(ValueError, match="same sort keys"):
        select_page(session.execute, statement, params(), order_by=[Shelf.id])
    assert len(walk(session.execute, statement, [Shelf.id, Item.id])) == 20


def test_a_cursor_of_another_order_is_refused(session: Session) -> None:
    page = select_page(session.execute, sa.select(Item), params(), order_by=[Item.id])
    with pytest.raises(InvalidRequest) as caught:
        select_page(never, sa.select(Item), params(3, page.next_cursor), order_by=[Item.rank, Item.id])
    assert caught.value.parameter == "cursor"


def test_without_sqlalchemy_the_extra_is_named(tmp_path: Path) -> None:
    (tmp_path / "sqlalchemy.py").write_text("raise ImportError('none')")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import keystile.keyset"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert "ImportError: keystile.keyset needs SQLAlchemy: pip install 'keystile[sql]'" in done.stderr
