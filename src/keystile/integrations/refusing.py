"""Refused inside the app, answered as by the gate.

An integration asks `caller_of` or `check_scopes`. They raise a `Refusal`, which is an exception so that it gets out of
any handler. The framework brings it to a handler of errors that the integration has registered, and that sends what
`reply_to` gives: status, headers and body of the gate's own answer. On its way out the door adds what it adds to every
answer: request id, limits, CORS. So the two cannot be told apart, with an envelope or without.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .._ground.checks import check_scopes as checked_scopes
from ..answers.current import Current
from ..answers.responses import Reply
from ..answers.writers import Writers
from ..exceptions import ConfigurationError, KeystileError
from ..gate import Gate
from ..gate.presenting import schemes_of
from ..model import Principal, Reason, Refused, Request
from ..rules import outcomes


class Refusal(KeystileError):
    """The app turns a request away, as the gate would have done.

    Args:
        refused: the outcome.
        gate: whose answer it is.
    """

    def __init__(self, refused: Refused, gate: Gate) -> None:
        super().__init__(refused.reason.message)
        self.refused, self.gate = refused, gate

    def plainly(self) -> tuple[int, dict[str, Any], dict[str, str]]:
        """The status, what to say, and headers, for a framework's own way to refuse, where no handler is registered."""
        reason = self.refused.reason
        fields = dict(reply_to(self, "").headers)
        challenge = {name: fields[name] for name in ("www-authenticate",) if name in fields}
        return reason.status, {"code": reason.code, "message": reason.message, **reason.details}, challenge


def passed(scope: Mapping[str, Any]) -> tuple[Current, str, str]:
    """The request in this scope of ASGI: as the gate let it through, its method and its path.

    Raises:
        RuntimeError: it came through no gate.
    """
    current: Current | None = scope.get("keystile")
    if current is None:
        raise RuntimeError("this request came through no gate: put the gate in front of the app that is served")
    return current, scope.get("method", "GET"), scope["path"]


def wanted_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes that a handler requires; ConfigurationError if there are none, or one is no scope."""
    listed = checked_scopes(scopes)
    if not listed:
        raise ConfigurationError("expected at least one scope", key="require")
    return frozenset(listed)


def caller_of(current: Current, method: str, path: str) -> Principal:
    """Who is calling.

    Args:
        current: the request, as the door gave it to the app.
        method, path: of the request, for what is told of a refusal.

    Raises:
        Refusal: the key is optional here and none came, or the gate is in dry run and none that is good came: 401.
        RuntimeError: the path is public, so that there never is a caller.
    """
    if current.principal is not None:
        return current.principal
    _check_not_public(current)
    _tell(current, outcomes.MISSING, method, path)
    raise _refusal(current, outcomes.MISSING)


def check_scopes(current: Current, scopes: frozenset[str], method: str, path: str) -> None:
    """Refuse a caller who lacks one of these scopes. In dry run of the gate that is only told.

    Args:
        current, method, path: as for `caller_of`.
        scopes: as `wanted_scopes` gives them.

    Raises:
        Refusal: it lacks one: 403; or there is no caller: 401.
        RuntimeError: as for `caller_of`.
    """
    _check_not_public(current)
    principal = current.principal
    if principal is not None and scopes.issubset(principal.scopes):
        return
    reason = outcomes.MISSING if principal is None else outcomes.lacking(scopes)
    if _tell(current, reason, method, path):
        raise _refusal(current, reason)


def reply_to(refusal: Refusal, accept: str) -> Reply[str]:
    """The gate's answer.

    Args:
        refusal: what was raised.
        accept: the request's ``Accept``, or nothing.
    """
    return Writers(refusal.gate, str).refusal_within(refusal.refused, accept)


def _check_not_public(current: Current) -> None:
    if current.admitted.demand.public is True:
        raise RuntimeError(
            "no key is read on a public path, so that nobody is calling: take the path off the public ones, make it "
            "public='optional', or do without a caller"
        )


def _tell(current: Current, reason: Reason, method: str, path: str) -> bool:
    """Tell of a refusal; False if it is not to be, because the gate is in dry run."""
    request = Request(method, path, b"", (), None)
    return _gate(current).refuse(reason, current.admitted, request) is not None


def _refusal(current: Current, reason: Reason) -> Refusal:
    # Without limits and https, which the door adds to every answer of an app.
    admitted = current.admitted
    return Refusal(Refused(reason, admitted.request_id, schemes=schemes_of(admitted.demand.accept)), _gate(current))


def _gate(current: Current) -> Gate:
    if current.gate is None:
        raise RuntimeError("no gate let this request through")
    return current.gate
