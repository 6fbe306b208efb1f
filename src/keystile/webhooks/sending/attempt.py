"""One attempt to deliver a message: what is sent, how long it may take, and what came of it.

No redirect is followed and no proxy of the environment asked: there is no code for either between the connection and
this. Nothing that the other side does takes longer than the deadline or more memory than `MOST_READ`.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterable
from contextlib import aclosing
from types import TracebackType
from typing import NamedTuple, Self

from ..._sync import in_time
from ...exceptions import Overloaded
from ...rules.network.targets import Target, Targets
from ...rules.waits import moment_in, retry_after
from .network import Blocked, Guarded, Resolve, Unresolved, httpcore2, resolve

CONNECT_SECONDS = 5.0
WHOLE_SECONDS = 20.0
"""From the look-up of the name to the last byte that is read. Standard Webhooks says 15 to 30 seconds."""
MOST_READ, SHOWN = 65_536, 1024
"""Bytes of the answer's body that are read, and that are kept for people."""
MOST_CONNECTIONS = 64
KEEP_ALIVE = 5.0
USER_AGENT = "keystile-webhooks"

_TIMEOUTS = {"connect": CONNECT_SECONDS, "read": WHOLE_SECONDS, "write": WHOLE_SECONDS, "pool": WHOLE_SECONDS}
_UNPRINTABLE = re.compile(rb"[^\x20-\x7e\n]")


class Attempt(NamedTuple):
    """What came of an attempt.

    Attributes:
        status: the answer's, or None if none came.
        error: why none came, or None: ``"blocked"`` (an address that is not public: not worth another attempt),
            ``"unresolved"``, ``"unreachable"``, ``"tls"``, ``"timeout"``, ``"broken"`` (no HTTP), ``"busy"`` (this host
            looks up too many names).
        retry_after: seconds for which the other side asks to be left alone, or None.
        seconds: how long it took.
        shown: the beginning of the answer's body, in printable ASCII, for whoever runs this service: to a customer it
            would show what a server says that only this service can reach.
        clock: the other side's ``Date`` in Unix seconds, or None: a clock that differs by minutes explains refusals.
    """

    status: int | None
    error: str | None = None
    retry_after: int | None = None
    seconds: float = 0.0
    shown: str = ""
    clock: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the message has arrived: 2xx, and nothing else."""
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """Makes attempts, on one event loop (asyncio or trio). Close it with ``async with`` or `aclose`.

    Args:
        targets: where messages may be sent.
        ssl_context: what proves the other side's name; the system's authorities if None.
        resolve: finds the addresses of a host.
        seconds: the deadline of an attempt.
    """

    def __init__(
        self,
        targets: Targets,
        *,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
        seconds: float = WHOLE_SECONDS,
    ) -> None:
        self._targets, self._seconds = targets, seconds
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),
            max_connections=MOST_CONNECTIONS,
            max_keepalive_connections=MOST_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE,
            network_backend=Guarded(targets, resolve),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._pool.aclose()

    async def send(self, url: str, body: bytes, headers: Iterable[tuple[str, str]]) -> Attempt:
        """POST a message, once.

        Args:
            url: where to.
            body: the octets that were signed.
            headers: the signature's, and those that `fields.check_fields` gave.

        Returns:
            What came of it. Nothing that the other side does makes this raise.

        Raises:
            ConfigurationError: it is no URL that messages may be sent to.
        """
        target = self._targets.read(url)
        began, came = time.monotonic(), list[Attempt]()
        try:
            await in_time(self._seconds, self._exchange(_request(target, body, headers), came))
        except Exception as error:  # noqa: BLE001 - whatever the network does is told, not raised
            if not came:
                came.append(Attempt(None, _said(error)))
        return came[-1]._replace(seconds=time.monotonic() - began)

    async def _exchange(self, request: httpcore2.Request, came: list[Attempt]) -> None:
        """Send and read. What came is noted as soon as it has: the head alone says whether the message arrived."""
        response = await self._pool.handle_async_request(request)
        try:
            came.append(_read_head(response))
            came.append(came[0]._replace(shown=await _beginning(response)))
        finally:
            await response.aclose()


async def send(
    url: str, body: bytes, headers: Iterable[tuple[str, str]], *, targets: Targets, resolve: Resolve = resolve
) -> Attempt:
    """POST one message with a connection of its own: see `Sender.send`."""
    async with Sender(targets, resolve=resolve) as sender:
        return await sender.send(url, body, headers)


def _request(target: Target, body: bytes, headers: Iterable[tuple[str, str]]) -> httpcore2.Request:
    fields = [
        ("Host", target.authority),
        ("User-Agent", USER_AGENT),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),  # nothing is unpacked here
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        *headers,
    ]
    url = httpcore2.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
    return httpcore2.Request("POST", url, headers=fields, content=body, extensions={"timeout": _TIMEOUTS})


def _read_head(response: httpcore2.Response) -> Attempt:
    found = {name.lower(): value.decode("latin-1") for name, value in response.headers}
    wait = retry_after(found.get(b"retry-after"), time.time())
    pause = None if wait is None else round(wait)
    return Attempt(response.status, retry_after=pause, clock=moment_in(found.get(b"date")))


async def _beginning(response: httpcore2.Response) -> str:
    """The beginning of the body. The rest is read up to a bound, so that the connection can serve again."""
    read, kept = 0, b""
    async with aclosing(response.aiter_stream()) as chunks:
        async for chunk in chunks:
            kept += chunk[: SHOWN - len(kept)]
            read += len(chunk)
            if read > MOST_READ:
                break
    return _UNPRINTABLE.sub(b"?", kept).decode()


def _said(error: Exception) -> str:
    if isinstance(error, Blocked):
        return "blocked"
    if isinstance(error, Unresolved):
        return "unresolved"
    if isinstance(error, Overloaded):
        return "busy"
    if isinstance(error, (TimeoutError, httpcore2.ReadTimeout, httpcore2.WriteTimeout, httpcore2.PoolTimeout)):
        return "timeout"
    if any(isinstance(each, ssl.SSLError) for each in (error, *error.args)):
        return "tls"
    if isinstance(error, (httpcore2.ConnectError, httpcore2.ConnectTimeout)):
        return "unreachable"
    return "broken"
