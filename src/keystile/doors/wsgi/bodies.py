"""JSON bodies of WSGI requests: read before the app runs, where a rule demands them."""

from __future__ import annotations

import io
from typing import Any

from ...model import Reason
from ...rules import outcomes
from ...rules.requests.bodies import announced_length, refuse_body, refuse_head
from .protocol import Environ


def read_json(environ: Environ, most: int) -> Reason | None:
    """Read the request's body, check that it is JSON, and leave the same bytes in the environ, whatever they are.

    Args:
        environ: the server's.
        most: how many bytes may come.

    Returns:
        Why it is refused, or None.
    """
    length = environ.get("CONTENT_LENGTH") or ""
    announced = announced_length([length]) if length else None
    unannounced = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "") >= "HTTP/2"
    if not unannounced and (announced == 0 or not length):
        return None
    if length and announced is None:
        return outcomes.MALFORMED
    if unannounced:
        announced = None
    encoding = environ.get("HTTP_CONTENT_ENCODING")
    reason = refuse_head(environ.get("CONTENT_TYPE") or None, encoding, announced, most)
    if reason is not None:
        return reason
    stream = environ["wsgi.input"]
    body = _read(stream, most + 1 if announced is None else announced)
    if body is None or (announced is not None and len(body) < announced):
        return outcomes.MALFORMED
    if len(body) > most:
        environ["wsgi.input"] = io.BufferedReader(_Joined(body, stream))
        return outcomes.too_large(most)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    environ["wsgi.input_terminated"] = True
    return refuse_body(body) if body else None


def _read(stream: Any, most: int) -> bytes | None:
    body = bytearray()
    try:
        while len(body) < most and (chunk := stream.read(most - len(body))):
            body += chunk
    except Exception:  # noqa: BLE001 - each server has its own exception for malformed chunks
        return None
    return bytes(body)


class _Joined(io.RawIOBase):
    """What has been read of a stream, then the rest of it."""

    def __init__(self, begun: bytes, stream: Any) -> None:
        self._begun, self._stream = io.BytesIO(begun), stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        chunk = self._begun.read(len(buffer)) or self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        return len(chunk)
