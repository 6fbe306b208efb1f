"""How the management API answers: the project's own envelope or problem document, as the gate is configured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..answers.pages import Page, PageParams, next_query
from ..answers.problems import MEDIA_TYPES, PROBLEM, asks_for_problem, error_text
from ..answers.responses import OPT_OUT, challenges_of, timestamp
from ..gate import Gate
from ..model import Reason
from ..rules.requests.urls import target_of
from .requests import ManagementAnswer, ManagementRequest, Pairs

_COMPACT = (",", ":")
NO_STORE = ("cache-control", "no-store")
# What is said here is complete: a gate in front must not put its envelope around it.
AS_IT_IS = (OPT_OUT, "off")


class Answers:
    """Writes the answers of one gate.

    Args:
        gate: its settings hold: the envelope, the format of errors, the style of pages.
    """

    def __init__(self, gate: Gate) -> None:
        policy = gate.policy
        self._clock, self._envelope, self._form = gate.clock, policy.envelope, policy.error_format
        self._realm, self._style, self._origin = policy.realm, policy.page_style, policy.public_url or ""
        self._schemes = ("bearer",)

    def error(self, request: ManagementRequest, reason: Reason, *more: tuple[str, str]) -> ManagementAnswer:
        """A refusal or a failure, with further header fields."""
        accept = request.header("accept") or ""
        form = PROBLEM if accept and asks_for_problem(accept) else self._form
        text = error_text(form, reason.status, reason.code, reason.message, reason.details)
        fields = [("content-type", MEDIA_TYPES[form]), NO_STORE, *more]
        challenges = challenges_of(reason, self._schemes, self._realm)
        if challenges:
            fields.append(("www-authenticate", challenges))
        if reason.retry_after is not None:
            fields.append(("retry-after", str(reason.retry_after)))
        body = text.with_id(request.request_id, timestamp(self._clock()))
        return ManagementAnswer(reason.status, self._headers(request, fields), body)

    def data(
        self, request: ManagementRequest, data: Any, *more: tuple[str, str], status: int = 200
    ) -> ManagementAnswer:
        """A success, with further header fields."""
        whole = {"data": data, "meta": self._meta(request)} if self._envelope else data
        return self._json(request, status, whole, more)

    def page(self, request: ManagementRequest, page: Page[Any], params: PageParams) -> ManagementAnswer:
        """One page of a list, with a link to the next."""
        whole = page.as_dict(self._style)
        if self._envelope and self._style.meta:
            whole["meta"] = self._meta(request)
        more: Pairs = ()
        if page.next_cursor is not None:
            behind = next_query(request.raw_query, self._style, params.limit, page.next_cursor)
            target = target_of(self._origin, request.whole_path, behind)
            more = (("link", f'<{target}>; rel="next"'),)
        return self._json(request, 200, whole, more)

    def listed(self, request: ManagementRequest, items: Sequence[Any]) -> ManagementAnswer:
        """A whole list, in the shape of one without pages."""
        whole = {"data": items, "meta": self._meta(request)} if self._envelope else {"data": items}
        return self._json(request, 200, whole, ())

    def empty(self, request: ManagementRequest) -> ManagementAnswer:
        """204: done, and there is nothing to say."""
        return ManagementAnswer(204, self._headers(request, [NO_STORE]))

    def document(self, request: ManagementRequest, document: Mapping[str, Any]) -> ManagementAnswer:
        """A document of a standard's own shape, which no envelope is put around."""
        return self._json(request, 200, document, ())

    def _json(self, request: ManagementRequest, status: int, whole: Any, more: Pairs) -> ManagementAnswer:
        # ASCII alone: no text of anybody's can break out of it, whatever shows it.
        body = json.dumps(whole, separators=_COMPACT, allow_nan=False).encode()
        fields = [("content-type", "application/json"), NO_STORE, *more]
        return ManagementAnswer(status, self._headers(request, fields), body)

    def _headers(self, request: ManagementRequest, fields: list[tuple[str, str]]) -> Pairs:
        return tuple(fields) if request.admitted is None else (*fields, AS_IT_IS)

    def _meta(self, request: ManagementRequest) -> dict[str, str]:
        return {"request_id": request.request_id, "timestamp": timestamp(self._clock())}


# To be compared with nothing: whoever sees it should look into the log.
INTERNAL = Reason(500, "internal_error", "The server failed to answer the request.")
TOO_SLOW = Reason(408, "request_timeout", "The body did not arrive in time.")
