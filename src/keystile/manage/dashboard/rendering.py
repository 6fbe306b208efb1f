"""Pages from templates. Nothing else here knows Jinja.

Everything that is filled in is escaped, and a name that a page was not given is an error, not an empty place. The
templates are our own, from the package; all are compiled when the dashboard is built.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any

from ...exceptions import ConfigurationError
from . import texts

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def templates() -> Environment:
    """The environment of all pages; ConfigurationError if Jinja is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise ConfigurationError("the dashboard needs Jinja: pip install 'keystile[dashboard]'") from None
    made = Environment(
        loader=PackageLoader(__package__ or ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["text"] = texts
    made.filters |= {"moment": moment, "day": day, "machine": machine}
    for name in made.list_templates():
        made.get_template(name)
    return made


def moment(time: datetime) -> str:
    """A time for people, in UTC."""
    return f"{time.astimezone(UTC):%d %b %Y, %H:%M} UTC".removeprefix("0")


def day(time: datetime) -> str:
    """A day for people, in UTC."""
    return f"{time.astimezone(UTC):%d %b %Y}".removeprefix("0")


def machine(time: datetime) -> str:
    """A time for scripts (HTML's "valid global date and time string")."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S}Z"


def rendered(template: str, **values: Any) -> bytes:
    """The bytes of a page."""
    # A lone surrogate cannot be written as UTF-8, and must not keep a page from being shown.
    return templates().get_template(template).render(values).encode("utf-8", "replace")
