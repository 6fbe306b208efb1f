"""Reading the body of a request: one JSON object (RFC 8259), read in one way only.

What parsers differ in is refused: a name that stands twice, NaN, numbers without an end, what is no UTF-8.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import isfinite
from typing import Any, cast

from ...rules import outcomes
from ...rules.requests.bodies import no_number, refuse_head
from ..requests import ManagementRequest
from .faults import Refusal, invalid_fields
from .fields import Fault


def read_object(request: ManagementRequest, *, typed: bool) -> dict[str, Any]:
    """The JSON object in the body; no body is an empty one.

    Args:
        request: it has been read as a whole, and is no longer than it may be.
        typed: whether its type must be told even where there is no body: no form of another site's page can.

    Raises:
        Refusal: 415 for what is not sent as JSON, 400 for what is no JSON, 422 for other JSON than an object.
    """
    if not request.body and not typed:
        return {}
    reason = refuse_head(
        request.header("content-type"), request.header("content-encoding"), len(request.body), len(request.body)
    )
    if reason is not None:
        raise Refusal(reason)
    if not request.body:
        return {}
    try:
        found = json.loads(
            request.body.decode(), object_pairs_hook=_object, parse_constant=no_number, parse_float=_finite
        )
    # Nested deeper than Python reads, or a number with more digits.
    except (ValueError, RecursionError):
        raise Refusal(outcomes.MALFORMED) from None
    if not isinstance(found, dict):
        raise Refusal(invalid_fields([Fault("", "type", "expected an object")]))
    return found


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else cast("float", no_number(text))
