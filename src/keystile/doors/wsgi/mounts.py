"""Several WSGI apps behind one gate, each below a prefix of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from ...answers.documents import Documents
from ...answers.envelopes import STATUS_LINES
from ...gate import Gate
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
        self._taken, self._documents = gate.policy.root_path or "", Documents(gate)
        self._apps = [app for _, _, app in listed]

    @property
    def wants_exceptions(self) -> bool:
        """Whether one of the apps wants its exceptions to propagate: see `host.wants_exceptions`."""
        return any(wants_exceptions(app) for app in self._apps)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        whole = environ.get("PATH_INFO", "")
        path = below(whole, self._taken) if self._taken else whole
        place = self._places.find(path)
        if place is None:
            return self._not_found(environ, start_response)
        prefix, app = place
        mount = environ.get("SCRIPT_NAME", "") + whole[: len(whole) - len(path)] + prefix
        inner = dict(environ, SCRIPT_NAME=mount, PATH_INFO=path[len(prefix) :])
        return cast("Iterable[bytes]", app(inner, start_response))

    def _not_found(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        request_id = environ["keystile.admitted"].request_id
        headers, body = self._documents.error(NOT_FOUND, environ.get("HTTP_ACCEPT") or "", request_id)
        start_response(STATUS_LINES[NOT_FOUND.status], headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
