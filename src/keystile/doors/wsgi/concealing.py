"""Taking keys out of an environ before the app, its logs and the server's access log see it.

A key in the query is always taken out. What else looks like a key is taken out where the policy hides credentials: of
the headers, and of whatever a server or a gateway adds under a name of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from ...gate import Gate
from ...model import Admitted, Refused
from ...rules.places.hiding import Hiding
from .protocol import Environ

Conceal = Callable[[Environ, Admitted | Refused], None]
# The raw target, as servers pass it on: gunicorn, waitress; uWSGI, werkzeug, mod_wsgi; the query again behind CGI.
_TARGETS = ("RAW_URI", "REQUEST_URI")
_QUERIES = ("QUERY_STRING", "REDIRECT_QUERY_STRING")
# What an app routes by cannot be taken out. It is not looked through.
_KEPT = frozenset(("PATH_INFO", "SCRIPT_NAME", "PATH_TRANSLATED", "REQUEST_METHOD", *_TARGETS, *_QUERIES))
_HEADER = "HTTP_"


def concealer(gate: Gate) -> Conceal | None:
    """What takes keys out of the environs of this gate's requests; None if there is nothing to take out."""
    hiding = Hiding(gate.accepted, gate.ours, gate.mask.holds_whole, everything=gate.policy.hide_credentials)
    return Concealer(hiding, everything=gate.policy.hide_credentials).conceal if hiding.needed else None


class Concealer:
    """Takes keys out of environs.

    Args:
        hiding: knows what to take out.
        everything: look through all variables, and not only the query.
    """

    def __init__(self, hiding: Hiding, *, everything: bool) -> None:
        self._hiding, self._everything = hiding, everything

    def conceal(self, environ: Environ, outcome: Admitted | Refused) -> None:
        """Change the environ in place, for everybody who has it."""
        # The same query stands under several names.
        left = cache(partial(self._hiding.query, refused=isinstance(outcome, Refused)))
        changed = False
        for name in _QUERIES:
            if environ.get(name):
                before = _octets(environ[name])
                after = left(before)
                changed = changed or after != before
                environ[name] = after.decode("latin-1")
        for name in _TARGETS:
            if environ.get(name) and (changed or self._everything):
                environ[name] = self._target(environ[name], left, holds=changed)
        if self._everything:
            self._look_through(environ)

    def _target(self, target: str, left: Callable[[bytes], bytes], *, holds: bool) -> str:
        """A raw target without keys, and then without its fragment, if it has one."""
        whole = target.partition("#")[0]
        path, _, query = whole.partition("?")
        before = _octets(query)
        rest = left(before)
        if rest == before and not holds:
            return whole if self._everything else target
        # If the key is not found here, the target spells its query in another way, so the whole query goes.
        return f"{path}?{rest.decode('latin-1')}" if rest and rest != before else path

    def _look_through(self, environ: Environ) -> None:
        for name, value in list(environ.items()):
            if not isinstance(value, str) or name in _KEPT:
                continue
            header = name.removeprefix("REDIRECT_").removeprefix(_HEADER).lower().replace("_", "-")
            left = self._hiding.line(header.encode("latin-1", "replace"), _octets(value))
            if left is None:
                del environ[name]
            elif len(left) != len(value):
                environ[name] = left.decode("latin-1")


def _octets(text: str) -> bytes:
    return text.encode("latin-1", "replace")
