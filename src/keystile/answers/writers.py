"""Everything that a door writes, in the door's text type: refusals, the gate's headers, and the envelope."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import AnyStr, Generic

from ..events import Event
from ..exceptions import InvalidRequest
from ..gate import Gate
from ..model import Admitted, Refused
from ..rules.outcomes import HTTPS_REDIRECTS
from ..rules.requests.querykeys import without_keys
from ..rules.requests.urls import target_of
from .envelopes import EnvelopeWriter
from .headers.cors import CorsWriter
from .headers.expiry import ExpiryWriter
from .headers.limits import FieldWriter, shown_names
from .problems import PROBLEM, asks_for_problem
from .responses import OPT_OUT, Fields, HeaderWriter, RefusalWriter, Reply, timestamp
from .shape import Shape


class Writers(Generic[AnyStr]):
    """What one door writes with.

    Args:
        gate: its settings hold.
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.

    Attributes:
        headers, limits, expiry: the writers of the gate's headers, for answers that get nothing else.
        cors: writes what scripts of other origins may read.
        strict: the field that says that this host must be reached over https (RFC 6797).
    """

    def __init__(self, gate: Gate, encode: Callable[[str], AnyStr]) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._clock, self._form = gate.clock, gate.policy.error_format
        units, watches = gate.quotas.units, bool(gate.policy.dry_runs())
        self.headers: HeaderWriter[AnyStr] = HeaderWriter(encode, gate.accepted.vary, units)
        self.limits: FieldWriter[AnyStr] = FieldWriter(
            encode, ietf=gate.policy.ietf_headers, units=units, watches=watches
        )
        self.cors: CorsWriter[AnyStr] = CorsWriter(
            gate.policy, shown_names(units, ietf=gate.policy.ietf_headers), encode
        )
        self.expiry: ExpiryWriter[AnyStr] = ExpiryWriter(encode)
        self._refusals: RefusalWriter[AnyStr] = RefusalWriter(encode, gate.accepted.vary, gate.policy.realm)
        self._envelopes: EnvelopeWriter[AnyStr] = EnvelopeWriter(encode)
        self._origin, self._in_query = gate.policy.public_url or "", gate.mask.in_query
        self._events, self._told = gate.events, False
        self._location: AnyStr = encode("location")
        self.strict: tuple[AnyStr, AnyStr] = (
            encode("strict-transport-security"),
            encode(f"max-age={gate.policy.hsts}"),
        )

    def refusal(self, refused: Refused, accept: str, target: Callable[[], tuple[str, bytes]]) -> Reply[AnyStr]:
        """The gate's own answer.

        Args:
            refused: the outcome.
            accept: what the client accepts.
            target: gives the path as the client wrote it, decoded, and the query behind it as it was sent.
        """
        if refused.granted is not None:
            fields = self.cors.preflight(refused)
            if refused.strict:
                fields.append(self.strict)
            return Reply(refused.reason.status, fields, b"")
        now = self._clock()
        limits = self.limits.write(refused.usages, now) if refused.usages else ()
        form = PROBLEM if accept and asks_for_problem(accept) else self._form
        reply = self._refusals.write(refused, now, limits, form)
        if refused.strict:
            reply.headers.append(self.strict)
        if reply.status in HTTPS_REDIRECTS:
            reply.headers.append((self._location, self._encode(self._url(*target()))))
        return reply

    def refusal_within(self, refused: Refused, accept: str) -> Reply[AnyStr]:
        """The same, given by what stands behind a door. The door writes no second error and no envelope around it."""
        reply = self.refusal(refused, accept, lambda: ("", b""))
        reply.headers.append((self._encode(OPT_OUT), self._encode("off")))
        return reply

    def _url(self, path: str, query: bytes) -> str:
        return target_of(self._origin, path, without_keys(query, self._in_query))

    def replaces(self, status: int, headers: Iterable[tuple[AnyStr, AnyStr]], accept: str) -> bool:
        """Whether this answer of the app's is an error that is rewritten as an error document."""
        return self._envelopes.replaces(status, headers, accept)

    def splices(self, status: int, headers: Sequence[tuple[AnyStr, AnyStr]]) -> bool:
        """Whether `success` would put the envelope around this answer."""
        return self._envelopes.spliced(status, headers, 0) is not None

    def success(
        self, status: int, headers: Sequence[tuple[AnyStr, AnyStr]], shape: Shape, admitted: Admitted
    ) -> tuple[Fields[AnyStr], bytes | None]:
        """The whole head of an answer that is not an error, and what follows its body; None if nothing does."""
        now = self._clock()
        tail = shape.tail(admitted.request_id, timestamp(now))
        fields = self._envelopes.spliced(status, headers, len(tail))
        if status == 304:
            headers = self._envelopes.revalidated(headers)
        if fields is None:
            kept = list(headers)
            if self._envelopes.replaces(status, headers, ""):  # for another client it would have been rewritten
                kept.append(self._envelopes.vary())
            return self._dressed(kept, admitted, shape.link(), now), None
        return self._dressed(fields, admitted, shape.link(), now), tail

    def no_json(self, headers: Sequence[tuple[AnyStr, AnyStr]], shape: Shape, admitted: Admitted) -> Fields[AnyStr]:
        """The head of an answer that claims to be JSON but does not begin like JSON. It goes out unchanged.

        This is reported once: whoever reads of one such answer knows where to look for others.
        """
        if not self._told:
            self._told = True
            reason = (
                "an answer is not JSON, though its Content-Type says so: it goes out unchanged, without an envelope"
            )
            path, request_id = shape.target[0] if shape.target else "", admitted.request_id
            self._events.tell(Event("not_json", logging.WARNING, path=path, request_id=request_id, reason=reason))
        return self._dressed(headers, admitted, shape.link(), self._clock())

    def error(  # noqa: PLR0917 - an error is made of this much
        self,
        status: int,
        headers: Fields[AnyStr],
        body: bytes | None,
        shape: Shape,
        admitted: Admitted,
        accept: str,
        *,
        lengthless: bool,
    ) -> Reply[AnyStr]:
        """An error of the app's, rewritten as an error document.

        Args:
            status, headers, body: the app's; None for a body that is too long.
            shape, admitted: those of its request.
            accept: what the client accepts.
            lengthless: the request was HEAD, and nobody knows how long the body would be.
        """
        fault = self.fault_behind(status, headers, shape)
        if fault is not None:
            return self.failed(fault, shape, admitted, accept, headers)
        now = self._clock()
        reply = self._envelopes.error(
            status, headers, body, self._error_form(accept), admitted.request_id, timestamp(now), shape.more_meta()
        )
        fields = self._envelopes.without_length(reply.headers) if lengthless else reply.headers
        return Reply(status, self._dressed(fields, admitted, None, now), reply.body)

    def fault_behind(
        self, status: int, headers: Iterable[tuple[AnyStr, AnyStr]], shape: Shape
    ) -> InvalidRequest | None:
        """What the app found wrong with the request, if this answer is a framework's page for an exception that it does
        not know. An answer in JSON is the app's own, whatever happened before."""
        return None if status != 500 or self._envelopes.speaks_json(headers) else shape.fault

    def failed(
        self,
        fault: InvalidRequest | None,
        shape: Shape,
        admitted: Admitted,
        accept: str,
        headers: Fields[AnyStr] | None = None,
    ) -> Reply[AnyStr]:
        """The answer to an exception of the app's: what it found wrong with the request, or a generic 500."""
        now, form, more = self._clock(), self._error_form(accept), shape.more_meta()
        request_id, moment, kept = admitted.request_id, timestamp(now), headers or []
        if fault is None:
            reply = self._envelopes.error(500, kept, None, form, request_id, moment, more)
        else:
            reply = self._envelopes.invalid(fault, kept, form, request_id, moment, more)
        return Reply(reply.status, self._dressed(reply.headers, admitted, None, now), reply.body)

    def _dressed(
        self, headers: Iterable[tuple[AnyStr, AnyStr]], admitted: Admitted, link: str | None, now: float
    ) -> Fields[AnyStr]:
        principal, request_id, usages, demand, strict = admitted
        limits = self.limits.write(usages, now) if usages else ()
        protected = demand.public is not True
        written = self.headers.write(headers, self._encode(request_id), protected=protected, limits=limits)
        if principal is not None and principal.expires_at is not None:
            written.append(self.expiry.write(principal.expires_at))
        if link is not None:
            written.append(self._envelopes.link(link))
        if strict:
            written.append(self.strict)
        return written

    def _error_form(self, accept: str) -> str:
        return PROBLEM if accept and asks_for_problem(accept) else self._form
