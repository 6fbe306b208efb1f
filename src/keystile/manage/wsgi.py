"""The management app's WSGI door: Werkzeug's Request for the host, plain values for the handler."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Unpack, cast

from werkzeug.wrappers import Request

from .._sync import inline, run_now
from ..answers.envelopes import STATUS_LINES
from ..doors.wsgi.bodies import read_body
from ..doors.wsgi.mounts import moved, path_of
from ..doors.wsgi.protocol import Environ, StartResponse
from ..doors.wsgi.reading import Reader
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..gate.transport import RequestIds
from ..model import Reason
from .answers import INTERNAL, Answers
from .api.app import MOST_BODY, APISettings, ManagementAPI
from .live.stream import Stream
from .mounting import mounted
from .requests import Handle, ManagementAnswer, ManagementRequest, Refuse, folded, rooted, with_length

if TYPE_CHECKING:
    from ..webhooks.outbox import Outbox

logger = logging.getLogger("keystile")
_HEADER = "HTTP_"
# PEP 3333 names these two without the prefix. A server may give them with it as well.
_OF_THE_BODY = ("CONTENT_TYPE", "CONTENT_LENGTH")


def served(handle: Handle, gate: Gate, *, most_body: int, refuse: Refuse | None = None) -> ServedByWSGI:
    """A WSGI app that answers with this handler.

    Args:
        handle: gives the answer.
        gate: what the handler manages; its settings say how errors look and which proxies are trusted.
        most_body: the most bytes that a request's body may have; more is 413.
        refuse: writes what the door answers itself; by default an error as the gate's.

    Raises:
        ConfigurationError: the gate's store or limiter is async.
    """
    if gate.needs_await:
        key = "store" if gate.keys.needs_await else "limiter"
        raise ConfigurationError(f"the {key} is async: WSGI needs one with plain methods", key=key)
    return ServedByWSGI(handle, gate, most_body, Answers(gate).error if refuse is None else refuse)


def management_app(gate: Gate, **settings: Unpack[APISettings]) -> ServedByWSGI:
    """The management API as a WSGI app; see `keystile.wsgi.management_app`."""
    api = ManagementAPI(gate, **settings)
    if api.needs_await:
        raise ConfigurationError("is async: WSGI needs a plain function", key="authorize")
    return served(api.handle, gate, most_body=MOST_BODY)


class Mounted:
    """An app with the management API below a path of it.

    Args:
        app: gets every other request.
        gate: its settings say where the API is; it stands in front of both.
        outbox: where webhook endpoints are kept, or None.
    """

    def __init__(self, app: Any, gate: Gate, outbox: Outbox | None = None) -> None:
        self.app, self._taken = app, gate.policy.root_path or ""
        self._path, api = mounted(gate, outbox)
        self._api = served(api.handle, gate, most_body=MOST_BODY)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = path_of(environ, self._taken)
        if path != self._path and not path.startswith(f"{self._path}/"):
            return cast("Iterable[bytes]", self.app(environ, start_response))
        return self._api(moved(environ, path, self._path), start_response)


class ServedByWSGI:
    """See `served`."""

    def __init__(self, handle: Handle, gate: Gate, most_body: int, refuse: Refuse) -> None:
        self._handle, self._gate, self._most, self._refuse = handle, gate, most_body, refuse
        self._reader, self._ids = Reader(gate), RequestIds()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = read_body(environ, self._most)
        request = self._request(environ, body if isinstance(body, bytes) else b"")
        answer = self._refuse(request, body) if isinstance(body, Reason) else self._answer(request)
        start_response(STATUS_LINES[answer.status], with_length(answer, request))
        if isinstance(answer.body, Stream):
            return answer.body
        return [answer.body] if answer.body and request.method != "HEAD" else []

    def _request(self, environ: Environ, body: bytes) -> ManagementRequest:
        current = environ.get("keystile.admitted")
        admitted = None if current is None else current.admitted
        request_id = self._ids.draw() if admitted is None else admitted.request_id
        visit = self._gate.transport.see(self._reader.read(environ), request_id)
        headers = folded(_lines(environ))
        return ManagementRequest(
            method=environ["REQUEST_METHOD"],
            path=rooted(_decoded(environ.get("PATH_INFO", ""))),
            raw_query=_octets(environ.get("QUERY_STRING") or ""),
            headers=headers,
            body=body,
            scheme="https" if visit.secure else "http",
            host=dict(headers).get("host", ""),
            mount=_decoded(environ.get("SCRIPT_NAME", "")).rstrip("/"),
            bare_mount=not environ.get("PATH_INFO"),
            client=visit.client,
            request_id=request_id,
            native=Request(environ),
            admitted=admitted,
        )

    def _answer(self, request: ManagementRequest) -> ManagementAnswer:
        try:
            answer = run_now(cast("Coroutine[Any, Any, ManagementAnswer]", self._handle(request, inline)))
        except Exception:
            logger.exception("the management app failed, request %s", request.request_id)
            return self._refuse(request, INTERNAL)
        return answer


def _lines(environ: Environ) -> Iterable[tuple[str, str]]:
    for variable, value in environ.items():
        named = variable in _OF_THE_BODY
        if named or (variable.startswith(_HEADER) and variable[len(_HEADER) :] not in _OF_THE_BODY):
            yield variable.removeprefix(_HEADER).replace("_", "-"), str(value)


def _decoded(path: str) -> str:
    return _octets(path).decode("utf-8", "replace")


def _octets(text: str) -> bytes:
    """What came over the wire (PEP 3333: text is latin-1)."""
    return text.encode("latin-1", "replace")
