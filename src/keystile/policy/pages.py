"""What pages of a list look like: a frozen setting, checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass

from .._ground.checks import check_name, names_checked
from ..exceptions import ConfigurationError
from .settings import check_settings, setting


@names_checked
@dataclass(frozen=True, slots=True)
class PageStyle:
    """What pages of a list look like on the wire, in the answer and in the query. docs/reference/settings.md describes
    each setting.

    The default gives ``{"data": […], "pagination": {"limit": 50, "has_more": true, "next_cursor": "…"}, "meta": …}``.
    ``PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)`` gives
    ``{"data": […], "has_more": true, "next_token": "…"}``.

    Raises:
        ConfigurationError: a name is empty, used twice or taken, a limit is not a whole number of at least 1, or
            `default_limit` is above `max_limit`.
    """

    member: str | None = setting(
        "The object that says where the page ends, or None to put its members at the top level.",
        default="pagination",
        check=check_name,
    )
    limit: str | None = setting(
        "The name of the member with the limit that was used, or None to leave it out.",
        default="limit",
        check=check_name,
    )
    has_more: str = setting(
        "The name of the member that says whether there is another page.", default="has_more", check=check_name
    )
    next_cursor: str = setting(
        "The name of the member with the cursor of the next page. On the last page it is null inside `member`, and is "
        "left out at the top level.",
        default="next_cursor",
        check=check_name,
    )
    parameter: str = setting(
        "The query parameter for the cursor; the one for the limit is always `limit`.",
        default="cursor",
        check=check_name,
    )
    meta: bool = setting("Whether an answer with a page has `meta`.", default=True)
    default_limit: int = setting("Items in a page when the client names no limit.", default=50)
    max_limit: int = setting("Most items in a page; a higher limit is clamped to it.", default=100)

    def __post_init__(self) -> None:
        check_settings(self)
        self._check_names_differ()
        if self.default_limit > self.max_limit:
            raise ConfigurationError("is above max_limit", key="default_limit")

    def _check_names_differ(self) -> None:
        taken = {"data", "meta"} if self.member is None else set()
        for key in ("limit", "has_more", "next_cursor"):
            name = getattr(self, key)
            if name in taken:
                raise ConfigurationError(f"{name!r} is already the name of another member", key=key)
            taken.add(name)
        if self.member in ("data", "meta"):
            raise ConfigurationError(f"{self.member!r} is already the name of another member", key="member")
        if self.parameter == "limit":
            raise ConfigurationError("'limit' is already the name of another parameter", key="parameter")


DEFAULT_PAGE_STYLE = PageStyle()
