"""What can go wrong with a request to the API, and the answer to it.

What a caller may not see is answered like what never existed: no answer here repeats an id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..._ground.frozen import frozen
from ...exceptions import (
    ConfigurationError,
    EndpointConflict,
    ForceRequired,
    IdempotencyKeyReused,
    InvalidRequest,
    KeyLimitReached,
    KeyNotActive,
    KeystileError,
    NotAllowed,
    NotFound,
    Overloaded,
    RecordChanged,
    StoreUnavailable,
)
from ...model import Reason
from ...rules.outcomes import OVERLOADED, STORE_DOWN
from .fields import Fault, pointer
from .names import Case

_SCOPE = ', error="insufficient_scope"'

NOT_FOUND = Reason(404, "not_found", "There is nothing here that has this id.")
NO_ROUTE = Reason(404, "not_found", "There is nothing here.")
UNKNOWN_CALLER = Reason(401, "login_required", "Nobody is logged in.")
CROSS_SITE = Reason(403, "cross_site", "A page of another site sent this, or nobody can tell which page did.")
NO_METHOD = Reason(405, "method_not_allowed", "This path does not know this method; the header Allow names those.")
CHANGED = Reason(412, "precondition_failed", "The record was changed in the meantime: read it again.")


# So many faults are told at most, each with so many characters: a body may hold thousands of unknown names.
MOST_FAULTS, _LONGEST = 100, 300


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


class Refusal(Exception):
    """Ends the work on a request with this answer.

    Args:
        reason: the answer.
        headers: further fields of its head.
    """

    def __init__(self, reason: Reason, *headers: tuple[str, str]) -> None:
        super().__init__(reason.code)
        self.reason, self.headers = reason, headers


def invalid_fields(faults: Iterable[Fault], hide: Callable[[str], str] = str) -> Reason:
    """422: these fields cannot be used. What is hidden are keys that somebody wrote in the wrong place."""
    told = sorted(Fault(hide(_cut(path)), code, hide(_cut(message))) for path, code, message in faults)
    listed = [fault._asdict() for fault in told[:MOST_FAULTS]]
    return Reason(422, "invalid_fields", "Some fields cannot be used.", frozen({"fields": listed}))


def invalid_parameter(parameter: str, reason: str) -> Reason:
    """400: this parameter of the query, or this header, cannot be used."""
    body, status = InvalidRequest(reason, parameter=parameter).answer()
    error = body["error"]
    return Reason(status, error["code"], error["message"], frozen(error["details"]))


def reason_of(
    error: KeystileError, *, sent: frozenset[str], asked: frozenset[str], case: Case, hide: Callable[[str], str]
) -> Reason | None:
    """The answer to what an operation raised; None if it is nobody's fault but ours.

    Args:
        error: what it raised.
        sent: the names of the fields that the body may hold.
        asked: the names of the query's parameters.
        case: how names are written.
        hide: takes keys out of a text.
    """
    if isinstance(error, NotFound):
        return _not_found(error, sent, case)
    if isinstance(error, EndpointConflict):
        return _conflict(error.code, f"This is not possible now: {error}.")
    if isinstance(error, ConfigurationError):
        return _unusable(error, sent, asked, case, hide)
    if isinstance(error, InvalidRequest):
        return invalid_parameter(hide(error.parameter), hide(_cut(error.reason)))
    return next((write(error) for kind, write in _WRITERS.items() if isinstance(error, kind)), None)


def _not_found(error: NotFound, sent: frozenset[str], case: Case) -> Reason:
    """A body that names a project or an organization which is not there is what is wrong, and not the path."""
    name = f"{error.kind}_id"
    if name in sent:
        return invalid_fields([Fault(pointer(case(name)), "invalid", f"there is no such {error.kind}")])
    return NOT_FOUND


def _unusable(
    error: ConfigurationError, sent: frozenset[str], asked: frozenset[str], case: Case, hide: Callable[[str], str]
) -> Reason | None:
    name = error.key or ""
    if name in sent:
        return invalid_fields([Fault(pointer(case(name)), "invalid", error.reason)], hide)
    if name == "idempotency_key":
        return invalid_parameter("Idempotency-Key", hide(_cut(error.reason)))
    # A session that sees several organizations has to say which: in the query, if not in the body.
    if name in asked or name == "organization_id":
        return invalid_parameter(case(name), hide(_cut(error.reason)))
    return None


def _not_allowed(error: NotAllowed) -> Reason:
    if error.code == "insufficient_scope":
        challenge = f'{_SCOPE}, scope="{" ".join(error.required_scopes)}"' if error.required_scopes else _SCOPE
    else:
        challenge = None
    return Reason(403, error.code, f"This is not allowed: {error}.", frozen(error.details), challenge)


def _conflict(code: str, message: str, details: Any = None) -> Reason:
    return Reason(409, code, message, frozen(details or {}))


def unavailable(error: Overloaded | StoreUnavailable) -> Reason:
    """503: later it may be possible."""
    return OVERLOADED if isinstance(error, Overloaded) else STORE_DOWN


_WRITERS: dict[type[KeystileError], Callable[[Any], Reason]] = {
    NotAllowed: _not_allowed,
    KeyNotActive: lambda error: _conflict(error.code, "The key is revoked or expired.", {"state": error.state}),
    KeyLimitReached: lambda error: _conflict(error.code, "The plan allows no more keys.", error.details),
    ForceRequired: lambda error: _conflict(error.code, f"This is done only with force=true: {error.reason}."),
    RecordChanged: lambda _error: CHANGED,
    IdempotencyKeyReused: lambda error: Reason(
        422, error.code, f"The Idempotency-Key was used before: {error.reason}."
    ),
    StoreUnavailable: unavailable,
    Overloaded: unavailable,
}
