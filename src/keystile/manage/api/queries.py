"""Reading the query of a request: what a route knows, each at most once."""

from __future__ import annotations

from ...exceptions import InvalidRequest
from ...policy.pages import PageStyle
from ...rules.outcomes import LONG_QUERY
from ...rules.requests.querykeys import is_long
from ..requests import ManagementRequest
from .faults import Refusal
from .names import Case
from .routes import Parameter, Route


def parameters_of(route: Route, *, sessions: bool) -> tuple[Parameter, ...]:
    """The parameters that a route takes, but for those of pages."""
    return tuple(each for each in route.query if sessions or not each.by_sessions)


def read_query(
    request: ManagementRequest, route: Route, case: Case, style: PageStyle, *, sessions: bool
) -> dict[str, str]:
    """The parameters that are there, by the names that they have here.

    Raises:
        Refusal: the query is too long.
        InvalidRequest: a parameter is unknown, stands twice, or cannot have this value. What pages are asked for by
            is read elsewhere.
    """
    if is_long(request.raw_query):
        raise Refusal(LONG_QUERY)
    known = {case(each.name): each for each in parameters_of(route, sessions=sessions)}
    of_pages = {"limit", style.parameter} if route.kind == "page" else set()
    found: dict[str, str] = {}
    for name, value in request.query:
        if name in of_pages:
            continue
        if name not in known:
            raise InvalidRequest(_unknown({*known, *of_pages}), parameter=name[:100])
        each = known[name]
        if each.name in found:
            raise InvalidRequest("expected this parameter once", parameter=name)
        found[each.name] = _checked(each, value, name)
    return found


def _unknown(names: set[str]) -> str:
    return f"expected one of {', '.join(sorted(names))}" if names else "expected no parameter"


def _checked(each: Parameter, value: str, name: str) -> str:
    choices = each.schema.get("enum")
    if choices is not None and value not in choices:
        raise InvalidRequest(f"expected one of {', '.join(choices)}", parameter=name)
    most = each.schema.get("maxLength", 100)
    if not 1 <= len(value) <= most or not value.isprintable() or "\ufffd" in value:
        raise InvalidRequest(f"expected 1 to {most} printable characters", parameter=name)
    return value
