"""How the answer to one request is shaped, and what the app adds to its envelope.

The door makes a shape if a path asks for more than headers, the app fills it through `current()`, and the door reads it
when the answer begins. From then on it is fixed: the length of what follows the app's bytes is part of the head.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple, TypeVar

from ..exceptions import InvalidRequest
from ..model import Admitted
from ..policy.pages import PageStyle
from ..rules.limits.subjects import subject
from ..rules.requests.masks import Mask
from ..rules.requests.querykeys import is_long, without_keys
from ..rules.requests.urls import MOST_PATH, target_of
from .pages import Page, PageParams, members, next_query

T = TypeVar("T")

_COMPACT = (",", ":")
_OWN_META = ("request_id", "timestamp")


class Pages(NamedTuple):
    """What all pages of a gate have in common.

    Attributes:
        style: what they look like.
        secrets: what cursors are signed with: the first signs, all verify.
        public_url: scheme and host for links, or None for links relative to the request's own.
        mask: finds keys, so that none gets into a link.
    """

    style: PageStyle
    secrets: tuple[bytes, ...]
    public_url: str | None
    mask: Mask

    def __repr__(self) -> str:
        return f"Pages(style={self.style!r}, public_url={self.public_url!r})"


class Shape:
    """The shape of the answer to one admitted request.

    Args:
        pages: what all pages of the gate have in common.
        admitted: the request: what its path demands, and the caller that cursors are made for.

    Attributes:
        envelope: the answer gets the envelope.
        json: the request's body must be JSON.
        target: set by the door: the path as the client wrote it, decoded, and the query behind it as it was sent.
        begun: the answer has begun, and nothing can be added any more; set by the door.
        fault: what the app found wrong with the request, in case its framework turns the exception into a 500.
    """

    # On the class, not on each instance: few requests change any of them.
    _meta: dict[str, str] | None = None
    _page: Page[Any] | None = None
    begun: bool = False
    fault: InvalidRequest | None = None
    target: tuple[str, bytes] | None = None

    def __init__(self, pages: Pages, admitted: Admitted) -> None:
        self.envelope, self.json = admitted.demand.envelope, admitted.demand.json
        self._pages, self._principal = pages, admitted.principal

    def add_meta(self, fields: dict[str, Any]) -> None:
        """See `Current.add_meta`."""
        if not self.envelope:
            return
        self._check_open()
        found = dict(self._meta or ())
        for name, value in fields.items():
            if name in _OWN_META:
                raise ValueError(f"the gate sets {name} in meta itself: use another name")
            found[name] = json.dumps(value, separators=_COMPACT, allow_nan=False)
        self._meta = found

    def page_params(self, default: int | None, maximum: int | None) -> PageParams:
        """See `Current.page_params`."""
        self._check_enveloped()
        style, secrets = self._pages.style, self._pages.secrets
        path, query = self._target()
        self.fault = None
        try:
            return PageParams.read(
                query,
                secrets=secrets,
                route=path,
                owner=self._owner(),
                style=style,
                default=default,
                maximum=maximum,
            )
        except InvalidRequest as fault:
            self.fault = fault
            raise

    def paginate(self, page: Page[T]) -> list[T]:
        """See `Current.paginate`."""
        self._check_enveloped()
        self._check_open()
        self._page = page
        return page.items

    def tail(self, request_id: str, moment: str) -> bytes:
        """What follows the app's bytes in the success envelope."""
        meta = f',"meta":{{"request_id":"{request_id}","timestamp":"{moment}"{self.more_meta()}}}'
        if self._page is None:
            return f"{meta}}}".encode()
        style = self._pages.style
        page = json.dumps(members(self._page, style), separators=_COMPACT)[1:-1]
        return f",{page}{meta if style.meta else ''}}}".encode()

    def more_meta(self) -> str:
        """What the app added, as JSON members, each after its comma."""
        if self._meta is None:
            return ""
        return "".join(f",{json.dumps(name)}:{value}" for name, value in self._meta.items())

    def link(self) -> str | None:
        """The ``Link`` field (RFC 8288) to the next page, if there is one and a URL can lead there."""
        page = self._page
        if page is None or page.next_cursor is None:
            return None
        path, query = self._target()
        mask = self._pages.mask
        # A URL that was cut would lead to another list, and so would a path without its key.
        if len(path) > MOST_PATH or is_long(query) or mask.holds(path):
            return None
        behind = next_query(without_keys(query, mask.in_query), self._pages.style, page.limit, page.next_cursor)
        return f'<{target_of(self._pages.public_url or "", path, behind)}>; rel="next"'

    def _target(self) -> tuple[str, bytes]:
        if self.target is None:
            raise LookupError("a websocket has no answer that could hold a page")
        return self.target

    def _owner(self) -> str:
        caller = self._principal
        if caller is None:
            return ""
        if caller.organization_id is not None:
            return subject("organization", caller.organization_id)
        return subject("key", caller.id)

    def _check_enveloped(self) -> None:
        if not self.envelope:
            raise LookupError("the answers of this path have no envelope: use keystile.pagination by itself")

    def _check_open(self) -> None:
        if self.begun:
            raise RuntimeError("the answer has begun, so its envelope is fixed: do this before the answer begins")
