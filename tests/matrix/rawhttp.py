"""A client that sends exactly these octets and reads exactly one answer at a time (RFC 9112, as a strict peer).

Libraries repair what they send and forgive what they read; here both would hide what the tests look for. Whatever
does not frame an answer without doubt is a `FramingError`, and octets that no answer accounts for stay in sight.
"""

from __future__ import annotations

import json
import re
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) [^\r\n]*")
_FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\r\n\x00]*?)[ \t]*")


class Closed(Exception):
    """The server closed the connection where an answer could have begun."""


class Silent(Exception):
    """No answer came in time."""


class FramingError(Exception):
    """The octets that came are not one whole answer."""


@dataclass(frozen=True)
class Response:
    """One answer, with field names in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    until_close: bool = False

    def all(self, name: str) -> list[str]:
        return [value for found, value in self.headers if found == name]

    @property
    def closes(self) -> bool:
        """The server said, or shows by the framing, that nothing follows."""
        return self.until_close or "close" in ",".join(self.all("connection")).lower()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The gate's error code; None for what the app or the server itself answered."""
        try:
            return str(self.json["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return None


class Wire:
    """One connection. `timeout` is for each wait, in seconds."""

    def __init__(self, port: int, timeout: float = 5.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.timeout = timeout
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._socket.close()

    def send(self, octets: bytes) -> None:
        """Raises: Closed."""
        try:
            self._socket.sendall(octets)
        except (BrokenPipeError, ConnectionResetError):
            raise Closed from None

    def finish(self) -> None:
        """Send nothing more; answers can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def read(self, method: str = "GET", timeout: float | None = None) -> Response:
        """The next answer, an interim one (1xx) too.

        Raises:
            Closed, Silent: there is none.
            FramingError: it is not whole, or not HTTP.
        """
        self._socket.settimeout(self.timeout if timeout is None else timeout)
        if not self._buffer:
            self._more(Closed())
        status_line, *lines = self._through(b"\r\n\r\n").split(b"\r\n")
        found = _STATUS_LINE.fullmatch(status_line)
        if found is None:
            raise FramingError(f"no status line: {status_line[:80]!r}")
        status = int(found[1])
        headers = [_field(line) for line in lines]
        if method == "HEAD" or status < 200 or status in (204, 304):
            return Response(status, headers, b"")
        body, until_close = self._body(headers)
        return Response(status, headers, body, until_close)

    def final(self, method: str = "GET", timeout: float | None = None) -> Response:
        """The next answer that is not an interim one. Raises: as `read`."""
        while (response := self.read(method, timeout)).status < 200:
            pass
        return response

    def rest(self, wait: float = 1.0) -> bytes:
        """Whatever still comes until the server closes, or stays silent for `wait` seconds."""
        self._socket.settimeout(wait)
        try:
            while True:
                self._more(Closed())
        except (Closed, Silent):
            rest, self._buffer = self._buffer, b""
            return rest

    def _body(self, headers: list[tuple[str, str]]) -> tuple[bytes, bool]:
        lengths = [value for name, value in headers if name == "content-length"]
        codings = [value.lower() for name, value in headers if name == "transfer-encoding"]
        if codings == ["chunked"] and not lengths:
            return self._chunks(), False
        if codings or len(lengths) > 1 or not all(length.isascii() and length.isdigit() for length in lengths):
            raise FramingError(f"contradictory framing: {lengths}, {codings}")
        if lengths:
            return self._exactly(int(lengths[0])), False
        try:
            while True:
                self._more(Closed())
        except Closed:
            body, self._buffer = self._buffer, b""
            return body, True

    def _chunks(self) -> bytes:
        body = b""
        while True:
            size = self._through(b"\r\n").partition(b";")[0].strip()
            if re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size) is None:
                raise FramingError(f"no chunk size: {size[:80]!r}")
            if int(size, 16) == 0:
                break
            body += self._exactly(int(size, 16))
            if self._exactly(2) != b"\r\n":
                raise FramingError("a chunk is longer than it says")
        if self._through(b"\r\n"):
            raise FramingError("a trailer that nobody sends")
        return body

    def _through(self, end: bytes) -> bytes:
        while end not in self._buffer:
            self._more(FramingError(f"cut off: {self._buffer[:80]!r}"))
        found, _, self._buffer = self._buffer.partition(end)
        return found

    def _exactly(self, length: int) -> bytes:
        while len(self._buffer) < length:
            self._more(FramingError(f"cut off after {len(self._buffer)} of {length} octets"))
        found, self._buffer = self._buffer[:length], self._buffer[length:]
        return found

    def _more(self, at_end: Exception) -> None:
        try:
            octets = self._socket.recv(65_536)
        except TimeoutError:
            raise Silent from None
        except ConnectionResetError:
            raise at_end from None
        if not octets:
            raise at_end
        self._buffer += octets


def _field(line: bytes) -> tuple[str, str]:
    found = _FIELD_LINE.fullmatch(line)
    if found is None:
        raise FramingError(f"no field line: {line[:80]!r}")
    return found[1].decode().lower(), found[2].decode("latin-1")
