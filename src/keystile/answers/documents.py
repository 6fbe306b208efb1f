"""Error documents of the gate's own, for what stands behind a door and answers itself."""

from __future__ import annotations

from ..gate import Gate
from ..model import Reason
from .problems import MEDIA_TYPES, PROBLEM, asks_for_problem, error_text
from .responses import OPT_OUT, timestamp


class Documents:
    """Writes errors as the gate does.

    Args:
        gate: its settings say how they look.
    """

    def __init__(self, gate: Gate) -> None:
        self._clock, self._form = gate.clock, gate.policy.error_format

    def error(self, reason: Reason, accept: str, request_id: str) -> tuple[list[tuple[str, str]], bytes]:
        """The fields and the body of an error. It is complete: the door puts no envelope around it."""
        form = PROBLEM if accept and asks_for_problem(accept) else self._form
        text = error_text(form, reason.status, reason.code, reason.message, reason.details)
        body = text.with_id(request_id, timestamp(self._clock()))
        fields = [("content-type", MEDIA_TYPES[form]), ("content-length", str(len(body))), (OPT_OUT, "off")]
        return fields, body
