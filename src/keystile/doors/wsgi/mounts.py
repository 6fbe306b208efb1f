"""Several WSGI apps behind one gate, each below a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ...answers.envelopes import STATUS_LINES
from ...answers.writers import Writers
from ...gate import Gate
from ...model import Refused
from ...rules.requests.canonical import below
from ..prefixes import NOT_FOUND, Places
from .host import wants_exceptions
from .protocol import Environ, StartResponse


class Mounts:
    """An app that hands each request to the one below whose prefix it is; 404 where there is none.

    Args:
        apps: each with its prefix and its name for messages.
        gate: stands in front; its settings say how errors look.
    """

    def __init__(self, apps: Iterable[tuple[str, str, Any]], gate: Gate) -> None:
        listed = list(apps)
        self._places = Places((prefix, app) for prefix, _, app in listed)
        self._taken, self._refusal = gate.policy.root_path or "", Writers(gate, str).refusal_within
        self._apps = [app for _, _, app in listed]

    @property
    def wants_exceptions(self) -> bool:
        """Whether one of the apps wants its exceptions to propagate: see `host.wants_exceptions`."""
        return any(wants_exceptions(app) for app in self._apps)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = path_of(environ, self._taken)
        place = self._places.find(path)
        if place is None:
            return self._not_found(environ, start_response)
        prefix, app = place
        return cast("Iterable[bytes]", app(moved(environ, path, prefix), start_response))

    def _not_found(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        refused = Refused(NOT_FOUND, environ["keystile.admitted"].request_id)
        reply = self._refusal(refused, environ.get("HTTP_ACCEPT") or "")
        start_response(STATUS_LINES[reply.status], reply.headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def path_of(environ: Environ, root_path: str) -> str:
    """The path as rules are relative to it, as it came.

    Args:
        environ: the request.
        root_path: the prefix that is known to be taken off; empty if none is.
    """
    whole: str = environ.get("PATH_INFO", "")
    return below(whole, root_path) if root_path else whole


def moved(environ: Environ, path: str, prefix: str) -> Environ:
    """The environ for what is served below a prefix.

    Args:
        environ: as it came.
        path: as `path_of` gives it; begins with the prefix.
        prefix: without a slash at its end.
    """
    whole = environ.get("PATH_INFO", "")
    mount = environ.get("SCRIPT_NAME", "") + whole[: len(whole) - len(path)] + prefix
    return dict(environ, SCRIPT_NAME=mount, PATH_INFO=path[len(prefix) :])
