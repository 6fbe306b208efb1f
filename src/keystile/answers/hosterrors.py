"""What an error answer of the host's says, so that it can be rewritten as an error envelope.

A JSON body is meant for clients, so nothing in it is lost. Text that a framework writes for people is read only in the
exact forms that its handlers of 4xx errors produce. What a framework shows of an exception, on a debug page or as plain
text with a 5xx, never reaches the client (ASVS 16.5.1): the table here replaces whatever is not recognised.
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..rules.requests.bodies import no_number
from .problems import PHRASES

# A longer body is not parsed; the table's entry for its status replaces it.
MAX_BODY = 65_536

# The code and the message for each status, used where the host gives none.
CODES: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request", "The request is not valid."),
    401: ("unauthorized", "Authentication is required."),
    402: ("payment_required", "Payment is required."),
    403: ("forbidden", "Access to the resource is not allowed."),
    404: ("not_found", "The resource was not found."),
    405: ("method_not_allowed", "The resource does not allow this method."),
    406: ("not_acceptable", "The resource has no form that the request accepts."),
    408: ("request_timeout", "The request took too long to arrive."),
    409: ("conflict", "The request conflicts with the state of the resource."),
    410: ("gone", "The resource is gone."),
    411: ("length_required", "The request must state the length of its body."),
    412: ("precondition_failed", "A precondition of the request does not hold."),
    413: ("payload_too_large", "The request body is too large."),
    414: ("uri_too_long", "The request URI is too long."),
    415: ("unsupported_media_type", "The media type of the request body is not supported."),
    416: ("range_not_satisfiable", "The resource does not have the requested range."),
    417: ("expectation_failed", "The expectation of the request cannot be met."),
    421: ("misdirected_request", "The request reached a server that does not answer for it."),
    422: ("validation_failed", "The request did not pass validation."),
    423: ("locked", "The resource is locked."),
    424: ("failed_dependency", "Another action that the request depends on failed."),
    425: ("too_early", "The request came too early to be processed safely."),
    426: ("upgrade_required", "The server asks for another protocol."),
    428: ("precondition_required", "The request must be conditional."),
    429: ("rate_limited", "Too many requests."),
    431: ("headers_too_large", "The header fields of the request are too large."),
    451: ("unavailable_for_legal_reasons", "The resource is unavailable for legal reasons."),
    500: ("internal_error", "The server failed to answer the request."),
    501: ("not_implemented", "The server does not support the request."),
    502: ("bad_gateway", "An upstream server gave an invalid answer."),
    503: ("unavailable", "The service is temporarily unavailable."),
    504: ("gateway_timeout", "An upstream server did not answer in time."),
}
_CLIENT_ERROR = ("client_error", "The request cannot be answered.")
_SERVER_ERROR = ("server_error", "The server failed to answer the request.")

_MAX_MESSAGE, _MAX_TYPE = 1000, 256
# For the text of a page: decoding its entities takes far longer than reading JSON.
_MAX_PAGE_TEXT = 4096
# Far below the depth that Python's own JSON reader allows: the envelope nests it further, and is written inside
# other calls.
_MAX_DEPTH = 100
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,100}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_CHARSETS = ("utf-8", "utf8", "us-ascii")

# Possessive, so that no text is scanned twice: the body may hold what a client sent.
_PARAGRAPH = r"<p>((?:[^<>]++|<br>)*+)</p>"
# werkzeug.exceptions.HTTPException.get_body
_WERKZEUG = re.compile(
    r"<!doctype html>\s*<html lang=en>\s*<title>[0-9]{3} [^<>]{1,100}</title>\s*<h1>[^<>]{1,100}</h1>\s*"
    + _PARAGRAPH
    + r"\s*"
)
# django.views.defaults.ERROR_PAGE_TEMPLATE
_DJANGO = re.compile(
    r'\s*<!doctype html>\s*<html lang="en">\s*<head>\s*<title>[^<>]{1,100}</title>\s*</head>\s*<body>\s*'
    r"<h1>[^<>]{1,100}</h1>\s*" + _PARAGRAPH + r"\s*</body>\s*</html>\s*"
)


class HostError(NamedTuple):
    """An error of the host's, as the parts of an error envelope.

    Attributes:
        code: stable, for machines: ``[A-Za-z0-9_.-]{1,100}``.
        message: for people: one line of 1 to 1000 characters.
        details: JSON values that ``json.dumps(..., allow_nan=False)`` can write; empty if there is nothing to add.
    """

    code: str
    message: str
    details: Mapping[str, Any]


class _Said(NamedTuple):
    """What the body itself says; the table supplies the rest."""

    code: str | None
    message: str
    details: dict[str, Any]


def describe(status: int, content_type: str, body: bytes | None) -> HostError:
    """An error answer as the parts of an error envelope. No body makes it raise.

    A message of more than 1000 characters is cut; ``details["message"]`` then holds all of it.

    Args:
        status: the HTTP status, 400 or above.
        content_type: the value of the answer's ``Content-Type``; empty if there is none.
        body: the whole body, or None if it is unknown, too long or has a ``Content-Encoding``.
    """
    code, default = CODES.get(status) or (_SERVER_ERROR if status >= 500 else _CLIENT_ERROR)
    said = _read(status, _media_type(content_type), body) if body and len(body) <= MAX_BODY else None
    if said is None:
        return HostError(code, default, {})
    message, details = _one_line(said.message), said.details
    if len(message) > _MAX_MESSAGE:
        message, details = message[: _MAX_MESSAGE - 1] + "…", {"message": said.message} | details
    return HostError(said.code or code, message or default, details)


def _media_type(content_type: str) -> str:
    """The type alone, in lower case; nothing if the text is in a charset other than UTF-8."""
    if len(content_type) > _MAX_TYPE:
        return ""
    media, *parameters = content_type.lower().split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in _CHARSETS:
            return ""
    return media.strip()


def _read(status: int, media: str, body: bytes) -> _Said | None:
    try:
        if media == "application/json" or (media.startswith("application/") and media.endswith("+json")):
            return _from_json(status, media, _parsed(body.decode()))
        if status < 500 and media == "text/plain":
            return _from_text(body.decode())
        if status < 500 and media == "text/html":
            return _from_html(body.decode())
    # Not UTF-8, not JSON by RFC 8259, or numbers or nesting beyond what Python reads.
    except (ValueError, RecursionError):
        pass
    return None


def _from_text(text: str) -> _Said | None:
    """The text of starlette's handler. A traceback has more than one line, so only one line is accepted."""
    line = text.strip()
    return None if len(line) > _MAX_MESSAGE or _CONTROLS.search(line) else _Said(None, line, {})


def _from_html(text: str) -> _Said | None:
    found = _WERKZEUG.fullmatch(text) or _DJANGO.fullmatch(text)
    if found is None or len(found[1]) > _MAX_PAGE_TEXT:
        return None
    return _Said(None, html.unescape(found[1].replace("<br>", " ")), {})


def _one_line(message: str) -> str:
    return _CONTROLS.sub(" ", message).strip()


def _parsed(text: str) -> Any:
    """The JSON value, made so that every JSON reader accepts it; ValueError if there is none."""
    value = json.loads(text, parse_constant=no_number, parse_float=_finite)
    if text.count("[") + text.count("{") > _MAX_DEPTH and not _is_shallow(value):
        raise ValueError("nested too deeply")
    if "\\u" in text:  # a lone surrogate is valid JSON, but not valid text
        units = json.dumps(value, ensure_ascii=False).encode("utf-16-le", "surrogatepass")
        value = json.loads(units.decode("utf-16-le", "replace"))
    return value


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(digits)
    return number


def _is_shallow(value: Any) -> bool:
    """Whether arrays and objects are nested no deeper than `_MAX_DEPTH`."""
    level = [value]
    for _ in range(_MAX_DEPTH + 1):
        containers = [each for each in level if isinstance(each, (dict, list))]
        if not containers:
            return True
        level = [inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)]
    return False


def _from_json(status: int, media: str, value: Any) -> _Said | None:
    if isinstance(value, dict):
        return _from_object(status, media, value)
    if isinstance(value, list):
        return _Said(None, "", {"errors": value})
    if isinstance(value, str):
        return _Said(None, value, {})
    return None if value is None else _Said(None, "", {"value": value})


def _from_object(status: int, media: str, members: dict[str, Any]) -> _Said:
    error, detail = members.get("error"), members.get("detail")
    if media == "application/problem+json":
        return _from_problem(status, members)
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return _from_nested(status, "error", _without_meta(members))
    if type(members.get("status")) is int and (isinstance(detail, str) or isinstance(members.get("title"), str)):
        return _from_problem(status, members)
    if isinstance(detail, dict):
        return _from_nested(status, "detail", members)
    if isinstance(detail, list) and "errors" not in members:
        return _Said(None, "", {"errors": detail} | _without(members, status, "detail"))
    for name in ("detail", "message", "error", "description"):
        if isinstance(members.get(name), str):
            return _Said(None, members[name], _without(members, status, name))
    return _Said(None, "", members)


def _from_problem(status: int, members: dict[str, Any]) -> _Said:
    """RFC 9457 section 3.1. Its extension members become details, and so does what it says of the kind of problem."""
    code, rest = _with_code(_without(members, status))
    name = next((name for name in ("detail", "title") if isinstance(rest.get(name), str)), "detail")
    message = rest.pop(name) if isinstance(rest.get(name), str) else ""
    for name, empty in (("type", "about:blank"), ("title", PHRASES.get(status)), ("detail", None), ("instance", None)):
        if rest.get(name) in (None, empty):
            rest.pop(name, None)
    return _Said(code, message, rest)


def _from_nested(status: int, name: str, members: dict[str, Any]) -> _Said:
    """An error that is an object within the body: of an envelope, or the ``detail`` of FastAPI's HTTPException."""
    code, inner = _with_code(_without(members[name], status))
    message = inner.pop("message") if isinstance(inner.get("message"), str) else ""
    details = _opened(_without(members, status) | {name: _opened(inner, "details")}, name)
    return _Said(code, message, details)


def _with_code(members: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """The host's own code, if it is a valid one, and the other members. An invalid code stays among them."""
    code = members.get("code")
    if code is not None and not (isinstance(code, str) and _CODE.fullmatch(code)):
        return None, members
    return code, {name: value for name, value in members.items() if name != "code"}


def _without(members: dict[str, Any], status: int, *names: str) -> dict[str, Any]:
    """A copy without these members, and without those that only repeat the status."""
    said = {"status", "status_code", "code"}
    return {
        name: value for name, value in members.items() if name not in names and not (name in said and value == status)
    }


def _without_meta(members: dict[str, Any]) -> dict[str, Any]:
    """An envelope without the ``meta`` members that the gate's own envelope will have."""
    meta = members.get("meta")
    if not isinstance(meta, dict):
        return members
    rest = {name: value for name, value in meta.items() if name not in ("request_id", "timestamp")}
    others = {name: value for name, value in members.items() if name != "meta"}
    return others | {"meta": rest} if rest else others


def _opened(members: dict[str, Any], name: str) -> dict[str, Any]:
    """The members, with the object `name` replaced by its own members, unless two would then have the same name."""
    inner = members.get(name)
    others = {other: value for other, value in members.items() if other != name}
    if inner is None:
        return others
    return {**inner, **others} if isinstance(inner, dict) and not inner.keys() & others.keys() else members
