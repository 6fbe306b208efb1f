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
_HIDDEN = "***"


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
    key = _key_of(response)
    said = describe(status, headers.get("content-type", ""), body)
    details = dict(said.details)
    in_body = details.pop("request_id", None) or _in_meta(body)
    details.pop("timestamp", None)
    return kind_of(status)(
        status,
        _without(said.code, key),
        _without(said.message, key),
        json.loads(_without(json.dumps(details, ensure_ascii=False), key)),
        _request_id(headers, in_body, key),
        told(headers, time.time()),
    )


def _request_id(headers: Mapping[str, str], in_body: Any, key: str | None) -> str | None:
    found = headers.get("x-request-id", in_body)
    is_one = isinstance(found, str) and _REQUEST_ID.fullmatch(found) and not (key and key in found)
    return found if is_one else None


def _in_meta(body: bytes | None) -> Any:
    """The request id of an envelope, if a proxy took it out of the header."""
    try:
        meta = json.loads(body or b"null")["meta"]
        return meta["request_id"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _key_of(response: Response) -> str | None:
    """The key that was sent, so that no error repeats it: whoever answers may."""
    try:
        carried = carried_by(response.request)
    except RuntimeError:  # made by hand, and of no request
        return None
    return None if carried is None else carried.key.plain


def _without(text: str, key: str | None) -> str:
    return text if key is None else text.replace(key, _HIDDEN)
