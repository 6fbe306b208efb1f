"""The error for an answer: from the envelope, from a problem document (RFC 9457), or from any other body."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any

from ..answers.hosterrors import MAX_BODY, describe
from .auth import carried_by
from .bodies import aread, read
from .errors import ApiError, kind_of
from .shapes import Response
from .waits import told

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_HIDDEN, _CUT = "***", "…"


def raise_for(response: Response) -> None:
    """Raise the error that an answer is; do nothing if its status is below 400. Reads at most 64 KiB of the body.

    Use it on an answer, or on all of a client: ``Client(event_hooks={"response": [raise_for]})``.

    Raises:
        ApiError: the answer is an error; of the class for its status.
    """
    if response.status_code >= 400:
        raise error_from(response, read(response, MAX_BODY))


async def araise_for(response: Response) -> None:
    """The same for an async client: ``AsyncClient(event_hooks={"response": [araise_for]})``."""
    if response.status_code >= 400:
        raise error_from(response, await aread(response, MAX_BODY))


def error_from(response: Response, body: bytes | None) -> ApiError:
    """The error that an answer with this body is.

    Args:
        response: its status and header.
        body: the whole body, or None if it is too long or cannot be read.
    """
    status, headers = response.status_code, response.headers
    hidden = _forms_of(response)
    said = describe(status, headers.get("content-type", ""), body)
    details = dict(said.details)
    in_body = details.pop("request_id", None) or _in_meta(body)
    details.pop("timestamp", None)
    return kind_of(status)(
        status,
        _without(said.code, hidden),
        _message(said.message, hidden),
        _clean(details, hidden),
        _request_id(headers, in_body, hidden),
        told(headers, time.time()),
    )


def _request_id(headers: Mapping[str, str], in_body: Any, hidden: tuple[str, ...]) -> str | None:
    found = headers.get("x-request-id", in_body)
    is_one = isinstance(found, str) and _REQUEST_ID.fullmatch(found) and _without(found, hidden) == found
    return found if is_one else None


def _in_meta(body: bytes | None) -> Any:
    """The request id of an envelope, if a proxy took it out of the header."""
    try:
        meta = json.loads(body or b"null")["meta"]
        return meta["request_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _forms_of(response: Response) -> tuple[str, ...]:
    """The key that was sent, as it was, so that no error repeats it: whoever answers may."""
    try:
        carried = carried_by(response.request)
    except RuntimeError:  # made by hand, and of no request
        return ()
    return () if carried is None else carried.forms


def _without(text: str, hidden: tuple[str, ...]) -> str:
    for each in hidden:
        text = text.replace(each, _HIDDEN)
    return text


def _message(text: str, hidden: tuple[str, ...]) -> str:
    """Without the key, nor its beginning where the message was cut in the middle of it."""
    clean = _without(text, hidden)
    if clean.endswith(_CUT):
        for each in hidden:
            held = next((size for size in range(len(each), 0, -1) if clean.endswith(each[:size] + _CUT)), 0)
            clean = clean if held == 0 else clean[: -held - 1] + _CUT
    return clean


def _clean(value: Any, hidden: tuple[str, ...]) -> Any:
    """The same JSON value without the key. Its text as a whole is not searched: a key of digits may be in a number."""
    if isinstance(value, dict):
        return {_without(name, hidden): _clean(inner, hidden) for name, inner in value.items()}
    if isinstance(value, list):
        return [_clean(inner, hidden) for inner in value]
    if isinstance(value, str):
        return _without(value, hidden)
    return _HIDDEN if type(value) in (int, float) and str(value) in hidden else value
