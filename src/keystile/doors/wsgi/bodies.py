"""Bodies of WSGI requests that are read before the app runs: JSON where a rule demands it, and signed messages."""

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
    announced = _announced(environ)
    if announced == 0:
        return None
    if isinstance(announced, Reason):
        return announced
    encoding = environ.get("HTTP_CONTENT_ENCODING")
    reason = refuse_head(environ.get("CONTENT_TYPE") or None, encoding, announced, most)
    if reason is not None:
        return reason
    body = _taken(environ, announced, most)
    if isinstance(body, Reason):
        return body
    return refuse_body(body) if body else None


def read_body(environ: Environ, most: int) -> bytes | Reason:
    """Read the request's body, whatever it is, and leave the same bytes in the environ.

    Returns:
        Its octets, or why it is refused.
    """
    announced = _announced(environ)
    if isinstance(announced, Reason):
        return announced
    if announced is not None and announced > most:
        return outcomes.too_large(most)
    return _taken(environ, announced, most)


def _announced(environ: Environ) -> int | Reason | None:
    """The length that the request announces; 0 without a body; None if only reading shows it."""
    length = environ.get("CONTENT_LENGTH") or ""
    announced = announced_length([length]) if length else None
    unannounced = "HTTP_TRANSFER_ENCODING" in environ or environ.get("SERVER_PROTOCOL", "") >= "HTTP/2"
    if not unannounced and (announced == 0 or not length):
        return 0
    if length and announced is None:
        return outcomes.MALFORMED
    return None if unannounced else announced


def _taken(environ: Environ, announced: int | None, most: int) -> bytes | Reason:
    """The octets, or why they are refused. The environ keeps them, also the beginning of a body that is too long."""
    stream = environ["wsgi.input"]
    body = _read(stream, most + 1 if announced is None else announced)
    if body is None or (announced is not None and len(body) < announced):
        return outcomes.MALFORMED
    if len(body) > most:
        environ["wsgi.input"] = io.BufferedReader(_Joined(body, stream))
        return outcomes.too_large(most)
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = io.BytesIO(body), str(len(body))
    environ["wsgi.input_terminated"] = True
    return body


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
