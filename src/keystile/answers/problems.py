"""What an error looks like: the error envelope, or a problem document (RFC 9457).

In both, the request id and the time come last, so that everything before them can be made once for each kind of
refusal. A setting of the gate or the client's ``Accept`` decides which of the two is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NamedTuple, get_args

from ..policy import ErrorFormat

ENVELOPE, PROBLEM = get_args(ErrorFormat)
MEDIA_TYPES = {ENVELOPE: "application/json", PROBLEM: "application/problem+json"}

# The problem types that draft-ietf-httpapi-ratelimit-headers registers. For all others the status says enough.
_TYPES = {
    "rate_limited": "https://iana.org/assignments/http-problem-types#quota-exceeded",
    "unavailable": "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity",
}
PHRASES = {status.value: status.phrase for status in HTTPStatus}
_MAX_ACCEPT = 1024
_QUALITY = re.compile(r"\s*q\s*=\s*(1(?:\.0{0,3})?|0(?:\.[0-9]{0,3})?)\s*", re.ASCII | re.IGNORECASE)


class ErrorText(NamedTuple):
    """An error document without its request id and time, which stand between the two parts.

    Attributes:
        before, after: the parts, in ASCII.
    """

    before: str
    after: str

    def with_id(self, request_id: str, moment: str, more: str = "") -> bytes:
        """The whole document; `more` is further members of ``meta``, each after its comma."""
        if more and self.after == "}":
            more = f', "meta": {{{more[1:]}}}'  # in a problem document they would stand beside its own members
        return f'{self.before}"request_id": "{request_id}", "timestamp": "{moment}"{more}{self.after}'.encode()


def error_text(form: str, status: int, code: str, message: str, details: Mapping[str, Any]) -> ErrorText:
    """An error in one of the formats of `policy.ErrorFormat`.

    Args:
        form: the format.
        status: the HTTP status.
        code: stable, for machines.
        message: for people.
        details: JSON values. In a problem document they are extension members, after its own members.
    """
    if form == ENVELOPE:
        error = {"code": code, "message": message, "details": details}
        return ErrorText(f'{{"error": {json.dumps(error)}, "meta": {{', "}}")
    return ErrorText(json.dumps(_problem(status, code, message, details))[:-1] + ", ", "}")


def _problem(status: int, code: str, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    more = dict(details)
    kind, title, instance = (
        more.pop(name) if isinstance(more.get(name), str) else None for name in ("type", "title", "instance")
    )
    own: dict[str, Any] = {
        "type": kind or _TYPES.get(code, "about:blank"),
        "title": title or PHRASES.get(status, "Error"),
        "status": status,
        "detail": message,
        "code": code,
    }
    if instance:
        own["instance"] = instance
    taken = {*own, "request_id", "timestamp", "meta"}
    clashing = {name: value for name, value in more.items() if name in taken}
    found = own | {name: value for name, value in more.items() if name not in taken}
    return found | {"details": clashing} if clashing else found


def asks_for_problem(accept: str) -> bool:
    """Whether a client's ``Accept`` (RFC 9110 section 12.5.1) names problem documents, and ranks them no lower than
    plain JSON."""
    return len(accept) <= _MAX_ACCEPT and "problem" in accept.lower() and _likes_problem(accept)


def prefers(accept: str, content_type: str) -> bool:
    """Whether a client's ``Accept`` names this media type, which is not JSON, and ranks it above JSON."""
    media = content_type.partition(";")[0].strip().lower()
    return len(accept) <= _MAX_ACCEPT and len(media) <= 100 and "json" not in media and _likes(accept, media)


@lru_cache(maxsize=256)
def _likes_problem(accept: str) -> bool:
    liked = _qualities(accept)
    problem = liked.get("application/problem+json", 0.0)
    return problem > 0 and problem >= liked.get("application/json", 0.0)


@lru_cache(maxsize=256)
def _likes(accept: str, media: str) -> bool:
    liked = _qualities(accept)
    named = liked.get(media, liked.get(f"{media.partition('/')[0]}/*", 0.0))
    ranges = ("application/json", "application/*", "*/*")
    return named > next((liked[each] for each in ranges if each in liked), 0.0)


def _qualities(accept: str) -> dict[str, float]:
    liked: dict[str, float] = {}
    for each in accept.split(","):
        media, *parameters = each.split(";")
        liked[media.strip().lower()] = _quality(parameters)
    return liked


def _quality(parameters: list[str]) -> float:
    for parameter in parameters:
        found = _QUALITY.fullmatch(parameter)
        if found is not None:
            return float(found[1])
    return 1.0
