"""Is the body of a request JSON (RFC 8259), where a rule demands it?

A request without a body passes: the app decides whether it needs one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NoReturn

from ...model import Reason
from .. import outcomes

_MEDIA = re.compile(r"\s*application/(?:[a-z0-9!#$&^_.-]+\+)?json\s*", re.ASCII | re.IGNORECASE)
_CHARSET = re.compile(r'\s*charset\s*=\s*(?:"([^"]*)"|([^\s"]*))\s*', re.ASCII | re.IGNORECASE)


@lru_cache(maxsize=256)
def is_json_type(content_type: str, *, kinds: bool = True) -> bool:
    """Whether a ``Content-Type`` is JSON in UTF-8.

    Args:
        content_type: the field's value.
        kinds: whether ``application/…+json`` counts.
    """
    media, *parameters = content_type.split(";")
    if _MEDIA.fullmatch(media) is None or (not kinds and "+" in media):
        return False
    charsets = [found[1] or found[2] for each in parameters if (found := _CHARSET.fullmatch(each))]
    return all(charset.lower() in ("utf-8", "utf8") for charset in charsets)


def announced_length(values: Sequence[str]) -> int | None:
    """The length in bytes that these lines of ``Content-Length`` announce; None for anything but one plain number."""
    if len(values) != 1 or not values[0].isascii() or not values[0].isdigit():
        return None
    digits = values[0].lstrip("0")
    return int(digits or "0") if len(digits) < 19 else None


def refuse_head(content_type: str | None, content_encoding: str | None, length: int | None, most: int) -> Reason | None:
    """Why a body is refused by its header fields alone, before any of it is read; None if it is not.

    Args:
        content_type, content_encoding: the fields' values, or None.
        length: the announced length in bytes, or None.
        most: how many bytes may come.
    """
    if content_type is None or len(content_type) > 256 or not is_json_type(content_type):
        return outcomes.NOT_JSON
    if content_encoding is not None and content_encoding.strip().lower() not in ("", "identity"):
        return outcomes.NOT_JSON
    if length is not None and length > most:
        return outcomes.too_large(most)
    return None


def refuse_body(body: bytes) -> Reason | None:
    """Why a body that has been read is refused; None if it is not."""
    return None if is_json(body) else outcomes.MALFORMED


def is_json(body: bytes) -> bool:
    """Whether these octets are one JSON text in UTF-8 without a byte order mark."""
    try:
        json.loads(body.decode(), parse_constant=no_number)
    # Nested too deeply, or a number with more digits than Python reads: no app behind the gate could read it either.
    except (ValueError, RecursionError):
        return False
    return True


def no_number(name: str) -> NoReturn:
    """Raise ValueError for NaN and Infinity: Python reads them, JSON does not have them."""
    raise ValueError(name)
