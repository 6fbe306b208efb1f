"""Sending: the head of an app's answer with the gate's fields added, the gate's refusals, and CORS around it all."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ...answers.envelopes import STATUS_LINES
from ...answers.writers import Writers
from ...gate import Gate
from ...model import Admitted, Refused
from .protocol import Environ, ExcInfo, Headers, StartResponse, Write
from .reading import target_of


class Sender:
    """Sends for one door.

    Args:
        gate: its settings hold.
        writers: what writes heads and bodies.
    """

    def __init__(self, gate: Gate, writers: Writers[str]) -> None:
        self._writers, self._clock = writers, gate.clock
        self._fields, self._finish = writers.headers.fields, writers.headers.finish
        self._of_admitted, self._write_expiry = writers.limits.of_admitted, writers.expiry.write

    def with_fields(self, start_response: StartResponse, admitted: Admitted) -> StartResponse:
        """For the app, in place of the server's `start_response`: it adds the gate's fields to the head."""
        principal, request_id, usages, demand, strict = admitted
        limits = self._of_admitted(usages, self._clock) if usages else ()
        own, finish = self._fields(request_id, limits, protected=demand.public is not True), self._finish
        if principal is not None and principal.expires_at is not None:
            own.append(self._write_expiry(principal.expires_at))
        if strict:
            own.append(self._writers.strict)

        def start_written(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
            written = finish(list(headers), own)
            return start_response(status, written, exc_info) if exc_info else start_response(status, written)

        return start_written

    def with_cors(self, start_response: StartResponse, environ: Environ) -> StartResponse:
        """The server's `start_response`, for all that a gate with `cors_origins` sends: it adds to every head what it
        says of CORS."""
        write, origin = self._writers.cors.write, environ.get("HTTP_ORIGIN") or ""

        def start_written(status: str, headers: Headers, exc_info: ExcInfo | None = None) -> Write:
            written = write(headers, origin)
            return start_response(status, written, exc_info) if exc_info else start_response(status, written)

        return start_written

    def refuse(self, refused: Refused, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Send the gate's own answer, in the app's place."""
        reply = self._writers.refusal(refused, environ.get("HTTP_ACCEPT") or "", partial(target_of, environ))
        start_response(STATUS_LINES[reply.status], reply.headers)
        return [reply.body] if reply.body and environ["REQUEST_METHOD"] != "HEAD" else []
