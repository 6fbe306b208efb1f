"""The gate's refusals as schemas and responses, and the headers that its answers have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..answers.headers.limits import SHOWN, shown_names
from ..answers.problems import ENVELOPE, MEDIA_TYPES, PROBLEM
from ..gate import Gate
from ..model import Demand, Reason
from ..rules import outcomes

Document = dict[str, Any]

_TEXT: Document = {"type": "string"}
_WHOLE: Document = {"type": "integer"}
_META: Document = {"request_id": _TEXT, "timestamp": {"type": "string", "format": "date-time"}}
SCHEMAS = {ENVELOPE: "KeystileError", PROBLEM: "KeystileProblem"}
META = "KeystileMeta"

_NAMES = {
    400: "KeystileInvalidRequest",
    401: "KeystileUnauthorized",
    403: "KeystileForbidden",
    413: "KeystilePayloadTooLarge",
    415: "KeystileUnsupportedMediaType",
    429: "KeystileTooManyRequests",
    503: "KeystileUnavailable",
}
_SAID = {
    400: "The request cannot be read, or presents more than one API key.",
    401: "No API key, or not a good one.",
    403: "The API key may not do this, or not from here.",
    413: "The body is too large.",
    415: "The body is not sent as JSON.",
    429: "A window is full, or too many API keys from this address were wrong.",
    503: "The service is temporarily unavailable.",
}
_REASONS: dict[int, tuple[Reason, ...]] = {
    400: (outcomes.AMBIGUOUS,),
    401: (outcomes.MISSING, outcomes.INVALID, outcomes.REVOKED, outcomes.SUSPENDED, outcomes.EXPIRED),
    403: (outcomes.ADDRESS, outcomes.USES, outcomes.PLAN),
    413: (outcomes.too_large(0),),
    415: (outcomes.NOT_JSON,),
    503: (outcomes.STORE_DOWN,),
}
_LIMITED = ("rate_limited", "too_many_failures")
_HEADERS = {
    "X-Request-ID": ("The id of the request, as in the log.", _TEXT),
    "WWW-Authenticate": ("How to present an API key.", _TEXT),
    "Retry-After": ("After how many seconds it is worth another try.", _WHOLE),
    SHOWN[0]: ("How many {} the window that binds first admits.", _WHOLE),
    SHOWN[1]: ("How many {} of it are left.", _WHOLE),
    SHOWN[2]: ("When that next grows, in Unix seconds.", _WHOLE),
    "RateLimit-Policy": ("The windows that hold here.", _TEXT),
    "RateLimit": ("What is left of them.", _TEXT),
}


def schemas(gate: Gate) -> Document:
    """The schemas of errors and of ``meta``, by name."""
    error = {
        "type": "object",
        "required": ["code", "message", "details"],
        "properties": {"code": _TEXT, "message": _TEXT, "details": {"type": "object"}},
    }
    meta = {"type": "object", "required": list(_META), "properties": _META}
    problem = {"type": _TEXT, "title": _TEXT, "status": _WHOLE, "detail": _TEXT, "code": _TEXT, **_META}
    envelope = {"error": error, "meta": {"$ref": f"#/components/schemas/{META}"}}
    found: Document = {META: meta}
    for form in _forms(gate):
        members: Document = envelope if form == ENVELOPE else problem
        found[SCHEMAS[form]] = {"type": "object", "required": list(members), "properties": members}
    return found


def content(gate: Gate, codes: Iterable[str] = (), details: Document | None = None) -> Document:
    """The content of an error, in each format that the gate writes.

    Args:
        gate: its settings shape it.
        codes: which there are; none for any.
        details: schemas of members of the details that are always there.
    """
    return {MEDIA_TYPES[form]: {"schema": _schema(form, list(codes), details or {})} for form in _forms(gate)}


def responses(gate: Gate) -> Document:
    """A response for each refusal, by name."""
    found = {}
    for status, name in _NAMES.items():
        headers = ["X-Request-ID"]
        headers += ["WWW-Authenticate"] if status == 401 else []
        headers += limit_names(gate) if status == 429 else []
        headers += ["Retry-After"] if status in (429, 503) else []
        said = {"description": _SAID[status], "headers": refs(headers)}
        found[name] = said | {"content": content(gate, _codes(gate, status))}
    return found


def headers(gate: Gate) -> Document:
    """The headers of the gate's answers, by name."""
    units = dict.fromkeys(limit_names(gate), "units")
    found: Document = {}
    for name in (*_HEADERS, *limit_names(gate, gate.quotas.units)):
        base = next((each for each in _HEADERS if name == each or name.startswith(f"{each}-")), name)
        if base.startswith("RateLimit") and base not in units:
            continue
        said, schema = _HEADERS[base]
        unit = name.removeprefix(base)[1:].replace("-", " ").lower() or "requests"
        found[name] = {"description": said.format(unit), "schema": schema}
    return found


def limit_names(gate: Gate, units: Iterable[str] = ()) -> list[str]:
    """The headers that say where a caller stands: of requests, and of these units."""
    return list(shown_names(units, ietf=gate.policy.ietf_headers))


def refs(names: Iterable[str]) -> Document:
    """Headers of a response, by reference."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def answers_of(gate: Gate, demand: Demand) -> dict[str, Document]:
    """The refusals that an operation can meet, by status."""
    statuses = {413, 415, 400} if demand.json else set()
    if demand.public is not True:
        statuses |= {400, 401, 403, 429, 503}
    elif counted(gate, demand):
        statuses |= {429} | ({503} if gate.policy.on_limiter_error == "deny" else set())
    if demand.admits is not None or gate.policy.https != "off":
        statuses |= {403}
    return {str(status): {"$ref": f"#/components/responses/{_NAMES[status]}"} for status in sorted(statuses)}


def counted(gate: Gate, demand: Demand) -> bool:
    """Whether requests of an operation can be counted in windows."""
    if demand.cost == 0:
        return False
    return demand.public is not True or bool(gate.quotas.for_anyone(demand.windows))


def _forms(gate: Gate) -> tuple[str, ...]:
    """The formats of errors: a client that gets envelopes can ask for problem documents, but not the reverse."""
    return (PROBLEM,) if gate.policy.error_format == PROBLEM else (ENVELOPE, PROBLEM)


def _codes(gate: Gate, status: int) -> list[str]:
    if status == 429:
        return list(_LIMITED)
    codes = [reason.code for reason in _REASONS[status]]
    if status == 403:
        codes += [outcomes.AMBIENT.code] if gate.accepted.basic else []
        codes += [outcomes.HTTPS_REQUIRED.code] if gate.policy.https != "off" else []
    return codes


def _schema(form: str, codes: list[str], details: Document) -> Document:
    ref = {"$ref": f"#/components/schemas/{SCHEMAS[form]}"}
    code: Document = {"code": {"type": "string", "enum": codes}} if codes else {}
    if form == ENVELOPE:
        inner = {"details": _object(details)} if details else {}
        narrower = {"error": _object(code | inner)} if code or inner else {}
    else:
        narrower = code | details
    return {"allOf": [ref, _object(narrower)]} if narrower else ref


def _object(properties: Document) -> Document:
    return {"type": "object", "properties": properties}
