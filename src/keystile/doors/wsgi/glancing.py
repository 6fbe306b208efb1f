"""A glance at a WSGI request: enough for one that is warm and in which there is nothing unusual (`gate.lanes`)."""

from __future__ import annotations

from collections.abc import Callable

from ...gate import Gate
from ...gate.lanes import Admit
from ...gate.transport import SECURE
from ...model import Admitted, Refused
from ...rules.requests.credentials import MAX_CREDENTIAL, spelled
from .protocol import Environ
from .reading import Reader

Glance = Callable[[Environ, Admit], Admitted | Refused | None]

_AUTHORIZATION = "HTTP_AUTHORIZATION"


def glancer(gate: Gate, reader: Reader) -> Glance | None:  # noqa: C901 - as `glance`
    """A function that asks a gate's lanes about a request. It gives what they say, or None where the request has to be
    read. There is no such function where each has to be.

    Args:
        gate: its settings hold.
        reader: reads whatever is unusual.
    """
    if not reader.glances:
        return None
    credentials, telling = reader.credentials, reader.telling
    others = credentials - {_AUTHORIZATION}
    beside, schemes = telling | others, frozenset(each.decode() for each in spelled(gate.accepted.schemes))
    looks_at_options, sights, wire = reader.looks_at_options, gate.transport.sights, reader.wire
    looks_at_scheme = gate.policy.https != "off" or gate.policy.hsts is not None

    def other(environ: Environ) -> str:
        """The one credential of a request without ``Authorization``; empty if there is none, or one cannot say."""
        present = [variable for variable in others if variable in environ]
        found: str = environ[present[0]] if len(present) == 1 and environ.keys().isdisjoint(telling) else ""
        return found

    # One function, its values in its closure: a frame that is cold costs as much as its work.
    def glance(  # noqa: C901 - what is unusual, one after the other
        environ: Environ, admit: Admit
    ) -> Admitted | Refused | None:
        value = environ.get(_AUTHORIZATION)
        if value is not None:
            scheme, _, token = value.partition(" ")
            if scheme not in schemes or not environ.keys().isdisjoint(beside):
                return None
        else:
            token = None if environ.keys().isdisjoint(beside) else other(environ)
        if not token:
            if token is not None:
                return None
        elif len(token) > MAX_CREDENTIAL:
            return None
        if environ.get("SCRIPT_NAME"):
            return None
        path, method = environ.get("PATH_INFO", ""), environ["REQUEST_METHOD"]
        target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""
        if "%" in target or not path.isascii() or (looks_at_options and method == "OPTIONS"):
            return None
        client = environ.get("REMOTE_ADDR")
        if wire is None:
            secure = looks_at_scheme and environ.get("wsgi.url_scheme") in SECURE
        else:
            sight = wire(environ).sight(client, environ.get("wsgi.url_scheme", "http"))
            seen = None if sight is None else sights.get(sight)
            if seen is None:
                return None
            client, secure = seen
        try:
            return admit(token and token.encode("latin-1", "replace"), client, (method, path, b""), secure)
        except BaseException:
            value = token = None  # what a traceback would show
            raise

    return glance
