"""Pages of a SQLAlchemy select by its sort keys (keyset or seek pagination), never by OFFSET.

OFFSET counts from the start on every page: it slows down with depth, and skips or repeats rows when other rows are
added or deleted before it. A condition on the sort keys does neither. The keys of a row must be unique and never NULL,
and the database must return them as it stores them (not ``REAL`` on PostgreSQL, not a ``Numeric`` that SQLite rounds).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

try:
    from sqlalchemy import (
        ClauseElement,
        Column,
        ColumnElement,
        CursorResult,
        FromClause,
        GenerativeSelect,
        Join,
        Label,
        Result,
        Select,
        UnaryExpression,
        UniqueConstraint,
        and_,
        literal,
        or_,
    )
    from sqlalchemy.sql import operators, visitors
    from sqlalchemy.sql.functions import coalesce
    from sqlalchemy.types import NullType
except ImportError:
    raise ImportError("keystile.keyset needs SQLAlchemy: pip install 'keystile[sql]'") from None

from .answers.pages import Page, PageParams
from .exceptions import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import ColumnExpressionArgument  # since 2.0.13

OrderBy: TypeAlias = "Sequence[ColumnExpressionArgument[Any]]"

_LABEL = "_keystile_"


class _Key(NamedTuple):
    expression: ColumnElement[Any]
    descending: bool


def select_page(
    execute: Callable[[Select[Any]], Result[Any]],
    statement: GenerativeSelect,
    params: PageParams,
    *,
    order_by: OrderBy,
) -> Page[Any]:
    """One page of the result of a select.

    Args:
        execute: ``session.execute`` or ``connection.execute``.
        statement: a select of entities or columns. Its own order, limit and offset are replaced. Select from a union as
            a subquery.
        params: what the client asked for.
        order_by: the sort keys, each a column or an expression, optionally with ``.asc()`` or ``.desc()``. Together
            they must be unique among the rows of the statement: if a join repeats a row, end with the primary keys of
            both sides.

    Returns:
        Entities or values if the statement selects one thing, otherwise its rows.

    Raises:
        ConfigurationError: there are no keys, a key is NULL or may be, or the keys are not known to be unique.
        InvalidRequest: the cursor has another number of keys, so the list was sorted in another way.
        ValueError: two rows have the same keys; also as `Page.from_rows`.
        TypeError: as `Page.from_rows`.
    """
    keys = _keys(statement, order_by)
    return _page(execute(_seek(statement, keys, params)), statement, len(keys), params)


async def aselect_page(
    execute: Callable[[Select[Any]], Awaitable[Result[Any]]],
    statement: GenerativeSelect,
    params: PageParams,
    *,
    order_by: OrderBy,
) -> Page[Any]:
    """As `select_page`, with the ``execute`` of an ``AsyncSession`` or an ``AsyncConnection``."""
    keys = _keys(statement, order_by)
    return _page(await execute(_seek(statement, keys, params)), statement, len(keys), params)


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(reason, key="order_by")


def _keys(statement: GenerativeSelect, order_by: OrderBy) -> list[_Key]:
    if not isinstance(statement, Select):
        raise ConfigurationError("expected a select; select from a union as a subquery", key="statement")
    if isinstance(order_by, str) or not isinstance(order_by, Sequence) or not order_by:
        raise _wrong("expected a list of columns, the primary key last")
    keys = [_key(given) for given in order_by]
    outer = _outer(statement)
    for expression, _ in keys:
        if not isinstance(expression, coalesce) and any(
            _may_be_null(each, outer) for each in visitors.iterate(expression)
        ):
            raise _wrong(f"{expression} may be NULL, and such rows would be lost; use func.coalesce({expression}, …)")
    columns = [key.expression for key in keys if isinstance(key.expression, Column)]
    if not _unique(columns):
        raise _wrong("the columns are not known to be unique together; end with the primary key")
    return keys


def _key(given: Any) -> _Key:
    found = given
    while not isinstance(found, ClauseElement) and hasattr(found, "__clause_element__"):  # a mapped attribute
        found = found.__clause_element__()
    descending = False
    if isinstance(found, UnaryExpression) and found.modifier in (operators.asc_op, operators.desc_op):
        descending, found = found.modifier is operators.desc_op, found.element
    if isinstance(found, Label):  # a WHERE cannot use the names of selected columns
        found = found.element
    if isinstance(found, UnaryExpression) and found.modifier is not None:
        raise _wrong("expected only .asc() or .desc(); keys are never NULL, so they need no nulls_first or nulls_last")
    if not isinstance(found, ColumnElement):
        raise _wrong(f"expected columns, got {type(found).__name__}")
    return _Key(found, descending)


def _may_be_null(part: Any, outer: set[Any]) -> bool:
    return isinstance(part, Column) and (bool(part.nullable) or part.table in outer)


def _outer(statement: Select[Any]) -> set[Any]:
    """The tables whose columns an outer join may fill with NULLs."""
    joins = (each for origin in statement.get_final_froms() for each in visitors.iterate(origin))
    sides: list[FromClause] = []
    for join in joins:
        if isinstance(join, Join) and (join.isouter or join.full):
            sides += (join.left, join.right) if join.full else (join.right,)
    return {inner for side in sides for inner in visitors.iterate(side) if isinstance(inner, FromClause)}


def _unique(columns: Sequence[Column[Any]]) -> bool:
    """Whether these columns are unique within a table."""
    names: dict[Any, set[str]] = {}
    for column in columns:
        # Columns of an alias stand for those of its table; a subquery may repeat rows.
        originals = column.base_columns if _plain(column.table) else ()
        if any(isinstance(original, Column) and original.unique for original in originals):
            return True
        names.setdefault(column.table, set()).add(column.key)
    return any(whole <= found for table, found in names.items() for whole in _unique_sets(table))


def _unique_sets(table: Any) -> Iterator[set[str]]:
    """The columns that make a row of the table unique, its primary key first."""
    constraints = getattr(table, "constraints", ())
    for columns in (table.primary_key, *(each.columns for each in constraints if isinstance(each, UniqueConstraint))):
        if columns := {column.key for column in columns}:
            yield columns


def _plain(table: Any) -> bool:
    return not isinstance(getattr(table, "element", table), GenerativeSelect)


def _seek(statement: Any, keys: Sequence[_Key], params: PageParams) -> Select[Any]:
    """The statement for this page and one more row, with the keys added after the selected columns."""
    labels = [key.expression.label(f"{_LABEL}{number}") for number, key in enumerate(keys)]
    order = [label.desc() if key.descending else label.asc() for key, label in zip(keys, labels, strict=True)]
    found: Select[Any] = statement.add_columns(*labels).order_by(None).order_by(*order)
    after = params.place(len(keys))
    if after is not None:
        found = found.where(_beyond(keys, after))
    return found.offset(None).limit(params.limit + 1)


def _beyond(keys: Sequence[_Key], after: Sequence[Any]) -> ColumnElement[bool]:
    """The condition for rows after these keys: ``a >= 1 AND (a > 1 OR b < 2)`` for a ascending and b descending.

    It is spelled out because comparing whole rows, ``(a, b) > (1, 2)``, does not support mixed directions. The first
    part follows from the second; it is there so that an index can start from it.
    """
    (expression, descending), *rest = keys
    # With the key's own type: otherwise the bound type would follow from the Python value.
    value = literal(after[0], None if isinstance(expression.type, NullType) else expression.type)
    further = expression < value if descending else expression > value
    if not rest:
        return further
    not_before = expression <= value if descending else expression >= value
    return and_(not_before, or_(further, _beyond(rest, after[1:])))


def _page(result: Result[Any], statement: Any, count: int, params: PageParams) -> Page[Any]:
    entities = all(each.get("entity") is each["expr"] for each in statement.column_descriptions)
    if entities and not isinstance(result, CursorResult):
        result = result.unique()  # an entity with an eagerly joined collection comes in several rows
    frozen = result.freeze()
    found: list[Any] = list(frozen.data)
    width = len(found[0]) - count if found else 1
    keys = [tuple(row[width:]) for row in found]
    if any(None in each for each in keys):
        raise _wrong("a sort key is NULL, and such rows would be lost; use func.coalesce")
    items: Sequence[Any] = [row[0] for row in found] if width == 1 else frozen().columns(*range(width)).all()
    rows: list[tuple[Any, tuple[Any, ...]]] = list(zip(items, keys, strict=True))
    page = Page.from_rows(rows, params, itemgetter(1))
    return Page([item for item, _ in page.items], page.limit, page.has_more, page.next_cursor)
