"""A glance at an ASGI request: enough for one that is warm and in which there is nothing unusual (`gate.lanes`)."""

from __future__ import annotations

from collections.abc import Callable

from ..._ground.frozen import HiddenRow
from ...gate import Gate
from ...gate.lanes import Admit
from ...gate.transport import SECURE
from ...model import Admitted, Refused
from ...rules.requests.credentials import MAX_CREDENTIAL, spelled
from .names import AUTHORIZATION
from .reading import Reader
from .wire import Scope

Lines = HiddenRow
"""Lines of headers, with credentials."""
Glance = Callable[[Scope, Admit], Admitted | Refused | Lines | None]

_NO_LINES = Lines()


def glancer(gate: Gate, reader: Reader) -> Glance | None:  # noqa: C901 - as `glance`
    """A function that asks a gate's lanes about a request; None where each request has to be read.

    It gives what they say. Where they say nothing, it gives the lines with a credential, if nothing else in the headers
    matters; otherwise None.

    Args:
        gate: its settings hold.
        reader: reads whatever is unusual.
    """
    if not reader.glances:
        return None
    names, schemes, own_root_path = reader.names, {*spelled(gate.accepted.schemes), None}, reader.own_root_path
    # Where none is usual, a request without any header is not either.
    is_usual, looks_at_options = names.usual.issuperset if names.usual else _never, reader.looks_at_options
    looks_at_scheme = gate.policy.https != "off" or gate.policy.hsts is not None

    # One function, its values in its closure: a frame that is cold costs as much as its work.
    def glance(scope: Scope, admit: Admit) -> Admitted | Refused | Lines | None:
        headers = scope["headers"]
        try:
            # In this order: whatever has no length may be read once only.
            if len(headers) != len(named := dict(headers)):
                return None
            client, port = scope["client"]
        except (KeyError, TypeError, ValueError):
            return None
        only = is_usual(named)
        if only:
            name, value = AUTHORIZATION, named.get(AUTHORIZATION)
            secure = looks_at_scheme and scope.get("scheme") in SECURE
        else:
            found = names.read(named, scope)
            if found is None:
                return None
            name, value, client, secure = found
        scheme, token, method, outcome = None, value, scope["method"], None
        if name == AUTHORIZATION and value is not None:
            scheme, _, token = value.partition(b" ")
        if (
            scheme in schemes
            and (not token or len(token) <= MAX_CREDENTIAL)
            and not (port.__class__ is int and not 0 < port < 65536)
            and not scope.get("root_path")
            and (own_root_path is None or not own_root_path())
            and not (looks_at_options and method == "OPTIONS")
        ):
            try:
                outcome = admit(token, client, (method, scope["path"], scope.get("raw_path") or b""), secure)
            except BaseException:
                headers = found = value = token = None  # what a traceback would show
                named = {}
                raise
        if outcome is None and only:
            return _NO_LINES if value is None else Lines(((name, value),))
        return outcome

    return glance


def _never(_: object) -> bool:
    return False
