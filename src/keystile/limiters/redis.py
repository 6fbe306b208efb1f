"""Windows in Redis or Valkey, shared by every process on every machine.

One script decides and counts all windows of a request in one command. Here is only how that command is sent and its
reply read; the arithmetic is `windows.lua`, the twin of `rules/windows.py`.

A command is never sent twice: after a timeout or a broken connection nobody knows whether it was counted. The one
exception is a server that says it does not know the script, because then it did nothing.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from importlib import import_module, resources
from typing import Any

from .._sync import PerLoop
from ..exceptions import ConfigurationError, StoreUnavailable
from ..model import Usage, Window
from ..rules.urls import place_of

SCRIPT = resources.files(__package__).joinpath("windows.lua").read_text("utf-8")
SHA = hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest().encode()
# How long a connection may take to open, and a command to be answered, in seconds.
TIMEOUT = 0.25

LOOK, HIT, FORGET, REFUND = range(4)
_SECOND = 1_000_000
# Lua's numbers are exact up to here; a larger limit or cost means the same.
_MOST = 2**53
_PREFIX = "keystile:1:"  # with the layout of the stored value, so that another layout never reads it

_KINDS = ("", "s", "+unix", "+sentinel", "+cluster")
_DRIVERS = {f"{driver}{kind}": driver for driver in ("redis", "valkey") for kind in _KINDS}

Command = tuple[str | bytes, ...]

# On the path of every request, where a named tuple's own constructor costs twice as much.
_new = tuple.__new__


def key_of(subject: str) -> bytes:
    """The key that holds a subject's windows. All of the subject is the Cluster hash tag, whatever braces it has."""
    escaped = subject.replace("%", "%25").replace("}", "%7D")
    return f"{_PREFIX}{{{escaped}}}".encode("utf-8", "surrogatepass")


@lru_cache(maxsize=4096)
def _packed(act: int, windows: tuple[Window, ...], cost: int) -> bytes:
    parts = [bytes([act]), min(cost, _MOST).to_bytes(7, "little")]
    for limit, seconds, scope in windows:
        name = seconds.to_bytes(4, "big") + scope.encode("utf-8", "surrogatepass")
        parts += (min(limit, _MOST).to_bytes(7, "little"), len(name).to_bytes(2, "little"), name)
    if len({(window.scope, window.seconds) for window in windows}) < len(windows):
        raise ConfigurationError("two windows have the same seconds", key="limits")
    return b"".join(parts)


def arguments(act: int, subject: str, windows: Sequence[Window], cost: int) -> Command:
    """The command that does one of LOOK, HIT, FORGET and REFUND."""
    return ("EVALSHA", SHA, b"1", key_of(subject), _packed(act, tuple(windows), cost))


def with_script(command: Command) -> Command:
    """The same for a server that does not know the script yet."""
    return ("EVAL", SCRIPT, *command[2:])


def usages(reply: object, windows: Sequence[Window]) -> tuple[Usage, ...]:
    """What the script answered.

    Raises:
        ValueError: this is no answer of the script.
    """
    if not isinstance(reply, bytes) or len(reply) != 24 * len(windows):
        raise ValueError("malformed reply")
    return tuple(
        _new(Usage, (window, remaining, grows / _SECOND, None if wait < 0 else wait / _SECOND))
        for window, (remaining, grows, wait) in zip(windows, struct.iter_unpack("<qqq", reply), strict=True)
    )


class _Server:
    """Where the server is, how to connect to it, and what its driver raises.

    Raises:
        ConfigurationError: as `RedisLimiter`.
    """

    def __init__(self, url: str, options: dict[str, Any]) -> None:
        scheme, _, hosts = place_of(url).partition("://")
        if scheme not in _DRIVERS:
            raise ConfigurationError(f"expected a URL of one of the schemes {', '.join(_DRIVERS)}", key="limiter")
        self.name = f"{scheme}://{hosts}"
        self.is_cluster = scheme.endswith("+cluster")
        self._url, self._options = url, options
        self._sentinel, self._driver = scheme.endswith("+sentinel"), _DRIVERS[scheme]
        if self.is_cluster and not all(":" in each for each in hosts.split(",")):
            raise self._wrong("expected host:port,host:port")
        try:
            exceptions = vars(import_module(f"{self._driver}.exceptions")).values()
        except ImportError:
            raise self._wrong(f"needs the driver {self._driver}: pip install 'keystile[redis]'") from None
        self.no_script = next(each for each in exceptions if getattr(each, "__name__", "") == "NoScriptError")
        # Not all of a driver's errors share a root. ValueError: a reply that is not what the script sends.
        known = (each for each in exceptions if isinstance(each, type) and issubclass(each, Exception))
        self.failures: tuple[type[Exception], ...] = (OSError, ValueError, *known)

    def connect(self) -> Any:
        """A client that blocks. It connects when it is used; a Cluster's does so at once."""
        client = self._client("", import_module(f"{self._driver}.retry")).get_connection()
        if not self.is_cluster:
            try:  # a driver looks at its options when it connects, which would be while a request waits
                client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
            except TypeError as error:
                raise self._wrong(f"the driver refuses an option: {error}") from None
        return client

    def connect_async(self) -> Any:
        """A client for the running event loop; connects when it is used."""
        implementation = {"redis": "redispy"}.get(self._driver, self._driver)
        retry = import_module(f"{self._driver}.asyncio.retry")
        return self._client("async+", retry, implementation=implementation).bridge.get_connection()

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """What callers get to see; the driver's own words may hold more than they should."""
        return StoreUnavailable(self.name, type(error).__name__)

    def _wrong(self, reason: str) -> ConfigurationError:
        return ConfigurationError(reason, key="limiter", source=self.name)

    def _client(self, prefix: str, retry: Any, **more: Any) -> Any:
        """One of the storages of `limits`, which know how to read all these URLs."""
        from limits.errors import ConfigurationError as LimitsError
        from limits.storage import storage_from_string

        never = retry.Retry(import_module(f"{self._driver}.backoff").NoBackoff(), 0)
        timeouts = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        options = {**timeouts, **self._options, **more, "retry": never}
        if self._sentinel:
            options["sentinel_kwargs"] = {**timeouts, **options.get("sentinel_kwargs", {}), "retry": never}
        if self.is_cluster and not hasattr(never, "get_retries"):  # before redis 6 it counted them by itself
            options["cluster_error_retry_attempts"] = 0
        try:
            storage: Any = storage_from_string(prefix + self._url, **options)
        except (LimitsError, ValueError) as error:  # their words may repeat the URL
            raise self._wrong(f"cannot use it: {type(error).__name__}") from None
        return storage


def _with_sentinels(client: Any) -> list[Any]:
    """The client and those that it asks where the master is; nobody else closes them."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return [client, *getattr(manager, "sentinels", ())]


class RedisLimiter:
    """A `RateLimiter` in Redis (5 or newer) or Valkey: strict windows, decided by one command a request.

    For callers that may block: WSGI, and trio through worker threads. Under asyncio use `for_asyncio()`. Threads may
    share it, and forked processes too: each opens connections of its own.

    Args:
        url: ``redis://``, ``rediss://``, ``redis+unix://``, ``redis+sentinel://host:port,host:port/name`` or
            ``redis+cluster://host:port,host:port``, with credentials as `limits` reads them; the same with ``valkey``.
        options: for the driver: ``socket_timeout`` and ``socket_connect_timeout`` (0.25 seconds), ``ssl_ca_certs``...

    Raises:
        ConfigurationError: the URL or an option is wrong, or the driver is not installed.
    """

    blocking = True

    def __init__(self, url: str, **options: Any) -> None:
        self._server = server = _Server(url, options)
        self._client: Any = None if server.is_cluster else server.connect()
        self._for_asyncio = AsyncRedisLimiter(url, **options)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> RedisLimiter:
        """The limiter at this URL."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"RedisLimiter({self._server.name!r})"

    def for_asyncio(self) -> AsyncRedisLimiter:
        """The same windows for an asyncio host; always the same object."""
        return self._for_asyncio

    def hit(self, subject: str, windows: Sequence[Window], cost: int) -> tuple[Usage, ...]:
        """Count the cost in all windows if it fits in each, else in none.

        Args:
            subject: whose windows.
            windows: all that hold for this request.
            cost: units, at least 1.

        Returns:
            Where each window stands now; admitted, if no `retry_after` is above 0 or None.

        Raises:
            StoreUnavailable: no answer; whether it was counted is not known.
        """
        return self._ask(HIT, subject, windows, cost)

    def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """Where each window stands, with `retry_after` for a cost of 1. Counts nothing; raises as `hit`."""
        return self._ask(LOOK, subject, windows, 1)

    def refund(self, subject: str, windows: Sequence[Window], cost: int) -> None:
        """Take back what an admitted hit of this cost counted, the newest units first; raises as `hit`."""
        self._ask(REFUND, subject, windows, cost)

    def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """Forget what was counted in these windows; raises as `hit`."""
        self._ask(FORGET, subject, windows, 1)

    def close(self) -> None:
        """Close the connections. The limiter may be used again."""
        client, self._client = self._client, None
        if client is not None:
            for each in _with_sentinels(client):
                each.close()

    def _ask(self, act: int, subject: str, windows: Sequence[Window], cost: int) -> tuple[Usage, ...]:
        command = arguments(act, subject, windows, cost)
        try:
            client = self._client
            if client is None:
                client = self._client = self._server.connect()
            try:
                reply = client.execute_command(*command)
            except self._server.no_script:
                reply = client.execute_command(*with_script(command))
            return usages(reply, windows)
        except self._server.failures as error:
            raise self._server.unavailable(error) from None


class AsyncRedisLimiter:
    """The same for asyncio, with one client for each event loop; several loops may use it at once.

    Args and Raises as `RedisLimiter`; its methods too.
    """

    def __init__(self, url: str, **options: Any) -> None:
        self._server = _Server(url, options)
        self._clients: PerLoop[Any] = PerLoop(self._server.connect_async)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> AsyncRedisLimiter:
        """The limiter at this URL."""
        return cls(url, **options)

    def __repr__(self) -> str:
        return f"AsyncRedisLimiter({self._server.name!r})"

    async def hit(self, subject: str, windows: Sequence[Window], cost: int) -> tuple[Usage, ...]:
        """As `RedisLimiter.hit`."""
        return await self._ask(HIT, subject, windows, cost)

    async def peek(self, subject: str, windows: Sequence[Window]) -> tuple[Usage, ...]:
        """As `RedisLimiter.peek`."""
        return await self._ask(LOOK, subject, windows, 1)

    async def refund(self, subject: str, windows: Sequence[Window], cost: int) -> None:
        """As `RedisLimiter.refund`."""
        await self._ask(REFUND, subject, windows, cost)

    async def reset(self, subject: str, windows: Sequence[Window]) -> None:
        """As `RedisLimiter.reset`."""
        await self._ask(FORGET, subject, windows, 1)

    async def close(self) -> None:
        """Close the running loop's connections. The limiter may be used again."""
        client = self._clients.pop()
        if client is None:
            return
        if self._server.is_cluster:
            with suppress(*self._server.failures):  # after a failure it closes nothing before it looked around again
                await client.initialize()
        for each in _with_sentinels(client):
            await each.aclose()

    async def _ask(self, act: int, subject: str, windows: Sequence[Window], cost: int) -> tuple[Usage, ...]:
        command = arguments(act, subject, windows, cost)
        try:
            client = self._clients.get()
            try:
                reply = await client.execute_command(*command)
            except self._server.no_script:
                reply = await client.execute_command(*with_script(command))
            return usages(reply, windows)
        except self._server.failures as error:
            raise self._server.unavailable(error) from None
