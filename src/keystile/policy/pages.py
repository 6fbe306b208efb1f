"""What pages of a list look like: a frozen setting, checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass

from .._ground.checks import check_count, check_flag, check_name, names_checked
from ..exceptions import ConfigurationError


@names_checked
@dataclass(frozen=True, slots=True)
class PageStyle:
    """What pages of a list look like on the wire, in the answer and in the query.

    The default gives ``{"data": […], "pagination": {"limit": 50, "has_more": true, "next_cursor": "…"}, "meta": …}``.
    ``PageStyle(member=None, limit=None, next_cursor="next_token", parameter="next_token", meta=False)`` gives
    ``{"data": […], "has_more": true, "next_token": "…"}``.

    Args:
        member: the object that says where the page ends, or None to have its members at the top level.
        limit: the name of the member with the limit that was used, or None to leave it out.
        has_more: the name of the member that says whether there is another page.
        next_cursor: the name of the member that leads to it. On the last page it is null inside `member`, and left out
            at the top level.
        parameter: the query parameter that takes the cursor; the one that takes the limit is ``limit``.
        meta: whether such an answer has ``meta``.
        default_limit: items in a page when the client names no limit.
        max_limit: items in a page at most; a higher limit is clamped to it.

    Raises:
        ConfigurationError: a name is empty, used twice or taken, or the limits are not whole numbers from 1 in order.
    """

    member: str | None = "pagination"
    limit: str | None = "limit"
    has_more: str = "has_more"
    next_cursor: str = "next_cursor"
    parameter: str = "cursor"
    meta: bool = True
    default_limit: int = 50
    max_limit: int = 100

    def __post_init__(self) -> None:
        for key in ("has_more", "next_cursor", "parameter"):
            check_name(getattr(self, key), key)
        for key in ("member", "limit"):
            if getattr(self, key) is not None:
                check_name(getattr(self, key), key)
        check_flag(self.meta, "meta")
        self._check_names_differ()
        check_count(self.default_limit, "default_limit")
        check_count(self.max_limit, "max_limit")
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
