"""The header fields that a change may depend on: ``If-Match`` (RFC 9110 section 13.1.1) and ``Idempotency-Key``."""

from __future__ import annotations

import re
from typing import Any

from ...exceptions import InvalidRequest
from ..requests import ManagementRequest
from .routes import Route

# One tag, weak or strong.
_TAG = re.compile(r'(W/)?"([\x21\x23-\x7E]*)"')
_MADE = ("shown", "project", "endpoint")
_REVISION = re.compile(r"-?[0-9]{1,19}")  # stores draw them: SQLite from below zero too
NEVER = -1
"""In place of a revision: no record has it."""


def entity_tag(record: Any) -> str:
    """The ``ETag`` of a record: its revision."""
    for inner in _MADE:  # of what was just made
        record = getattr(record, inner, record)
    return f'"{record.revision}"'


def wanted_revision(request: ManagementRequest, route: Route) -> int | None:
    """The revision that the client has seen; None if it did not say, or said that any will do.

    Raises:
        InvalidRequest: the field cannot be read, or what is asked for cannot depend on it.
    """
    sent = request.header("if-match")
    if sent is None or not route.changes:
        return None
    if not (route.matched or route.method == "DELETE"):
        raise InvalidRequest("cannot be used here: there is no record yet", parameter="If-Match")
    if sent == "*":
        return None
    tag = _TAG.fullmatch(sent) if len(sent) <= 100 else None
    if tag is None:
        raise InvalidRequest("expected one entity tag, as ETag gives it, or *", parameter="If-Match")
    # A weak tag matches nothing, and neither does one that was not made here.
    return int(tag[2]) if tag[1] is None and _REVISION.fullmatch(tag[2]) else NEVER


def idempotency_key(request: ManagementRequest, route: Route) -> str | None:
    """The client's own name for its request, or None.

    Raises:
        InvalidRequest: a second request would do it again all the same.
    """
    sent = request.header("idempotency-key")
    if sent is None or route.method != "POST":
        return None
    if not route.repeatable:
        raise InvalidRequest("cannot be used here: a second request would be done too", parameter="Idempotency-Key")
    return sent
