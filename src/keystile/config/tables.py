"""What keystile.toml may say: every setting by name with the kind of its value, and how each kind is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, get_args

from .._ground.checks import unknown_name
from ..exceptions import ConfigurationError
from ..keys.hashing import HasherName
from ..policy import ErrorFormat, EventFormat, Https, LimitBy, OnLimiterError, Plan, Preflight, Rule
from ..policy.pages import PageStyle
from .origin import Origin

_TEXT, _FLAG, _NUMBER = "a string", "true or false", "a whole number"
_SECONDS = "a number of seconds"
_TEXTS, _TABLES, _PLANS = "a list of strings", "a list of tables", "a table of tables"
_LIMITS = "a string or a list of strings"
# TOML has no null, so false is what None is in code: no bound at all.
_LIMITS_OR_FALSE = "a string, a list of strings, or false"
_TEXT_OR_FALSE, _STYLE = "a string or false", "a table of page settings"


def _one_of(choices: Any) -> str:
    return f"one of {', '.join(get_args(choices))}"


SETTINGS = {
    "app": _TEXT,
    "store": _TEXT,
    "prefix": _TEXT,
    "public": _TEXTS,
    "rules": _TABLES,
    "accept": _TEXTS,
    "realm": _TEXT,
    "peppers": _TEXTS,
    "accept_crc": _FLAG,
    "hasher": _one_of(HasherName),
    "limiter": _TEXT,
    "plans": _PLANS,
    "default_plan": _TEXT,
    "limit_by": _one_of(LimitBy),
    "anonymous_limits": _LIMITS,
    "failure_limits": _LIMITS_OR_FALSE,
    "address_wait": _SECONDS,
    "hashing_wait": _SECONDS,
    "wsgi_threads": _NUMBER,
    "remembered_keys": _NUMBER,
    "on_limiter_error": _one_of(OnLimiterError),
    "ietf_headers": _FLAG,
    "envelope": _FLAG,
    "error_format": _one_of(ErrorFormat),
    "propagate_exceptions": _FLAG,
    "echo_request_id": _FLAG,
    "page_style": _STYLE,
    "cursor_secrets": _TEXTS,
    "public_url": _TEXT,
    "require_json": _FLAG,
    "max_json_body": _NUMBER,
    "trusted_proxies": _TEXTS,
    "trusted_hops": _NUMBER,
    "client_header": _TEXT,
    "https": _one_of(Https),
    "redirect_status": _NUMBER,
    "hsts": _NUMBER,
    "recheck_in_flight": _FLAG,
    "root_path": _TEXT,
    "query_parameter": _TEXT,
    "event_format": _one_of(EventFormat),
    "preflight": _one_of(Preflight),
}
_RULE = {"match": _TEXT, "public": _FLAG, "scopes": _TEXTS, "limits": _LIMITS, "cost": _NUMBER}
_RULE |= {"envelope": _FLAG, "require_json": _FLAG}
_PLAN = {"limits": _LIMITS}
_PAGE_STYLE = dict.fromkeys(("has_more", "next_cursor", "parameter"), _TEXT) | {
    "member": _TEXT_OR_FALSE,
    "limit": _TEXT_OR_FALSE,
    "meta": _FLAG,
    "default_limit": _NUMBER,
    "max_limit": _NUMBER,
}


def read_table(origin: Origin, found: Mapping[str, Any], kinds: Mapping[str, str], at: str = "") -> dict[str, Any]:
    """The values of a table, read by their kinds; ConfigurationError for a name or a kind that is not among them."""
    for name in found:
        if name not in kinds:
            raise origin.error(at + name, unknown_name(name, kinds))
    return {name: _value(origin, at + name, kinds[name], value) for name, value in found.items()}


def _value(origin: Origin, key: str, kind: str, value: Any) -> Any:
    read = _READERS.get((_TEXT if kind.startswith("one of ") else kind, type(value)))
    if read is None:
        raise origin.error(key, f"expected {kind}, got {_TYPES.get(type(value), 'a date or time')}")
    return read(origin, key, value)


def _as_it_is(_origin: Origin, _key: str, value: Any) -> Any:
    return value


def _texts(origin: Origin, key: str, values: list[Any]) -> tuple[str, ...]:
    return tuple(_value(origin, f"{key}[{index}]", _TEXT, value) for index, value in enumerate(values))


def _rules(origin: Origin, key: str, values: list[Any]) -> tuple[Rule, ...]:
    return tuple(_value(origin, f"{key}[{index}]", "a table", value) for index, value in enumerate(values))


def _plans(origin: Origin, key: str, tables: dict[str, Any]) -> dict[str, Plan]:
    return {name: _value(origin, f"{key}.{name}", "a plan's table", table) for name, table in tables.items()}


def _checked_rule(origin: Origin, key: str, table: dict[str, Any]) -> Rule:
    return read_rule(origin, read_table(origin, table, _RULE, f"{key}."), key)


def _plan(origin: Origin, key: str, table: dict[str, Any]) -> Plan:
    return Plan(**read_table(origin, table, _PLAN, f"{key}."))


def _style(origin: Origin, key: str, table: dict[str, Any]) -> PageStyle:
    try:
        return PageStyle(**read_table(origin, table, _PAGE_STYLE, f"{key}."))
    except ConfigurationError as error:
        if error.source is not None:
            raise
        raise origin.hiding(f"{key}.{error.key}", error.reason) from None


def _none(kind: str) -> Callable[[Origin, str, bool], None]:
    def read(origin: Origin, key: str, value: bool) -> None:
        if value:
            raise origin.error(key, f"expected {kind}, got true")

    return read


_READERS: dict[tuple[str, type], Callable[[Origin, str, Any], Any]] = {
    (_TEXT, str): Origin.resolve,
    (_FLAG, bool): _as_it_is,
    (_NUMBER, int): _as_it_is,
    (_SECONDS, int): _as_it_is,
    (_SECONDS, float): _as_it_is,
    (_TEXTS, list): _texts,
    (_LIMITS, str): Origin.resolve,
    (_LIMITS, list): _texts,
    (_LIMITS_OR_FALSE, str): Origin.resolve,
    (_LIMITS_OR_FALSE, list): _texts,
    (_LIMITS_OR_FALSE, bool): _none(_LIMITS_OR_FALSE),
    (_TEXT_OR_FALSE, str): Origin.resolve,
    (_TEXT_OR_FALSE, bool): _none(_TEXT_OR_FALSE),
    (_STYLE, dict): _style,
    (_TABLES, list): _rules,
    ("a table", dict): _checked_rule,
    (_PLANS, dict): _plans,
    ("a plan's table", dict): _plan,
}
_TYPES = {str: "a string", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}


def read_rule(origin: Origin, table: Mapping[str, Any], key: str, part: str = ".{}") -> Rule:
    """A rule from its table; what is wrong with it is said of `key` and, by `part`, of the member."""
    if "match" not in table:
        raise origin.error(f"{key}.match", "is missing: it says which requests the rule is for")
    try:
        return Rule(**table)
    except ConfigurationError as error:
        raise origin.hiding(key + part.format(error.key), error.reason) from None
