"""Where a Redis or Valkey is, how to connect to it, and what its errors mean.

Drivers differ, and so do their versions; only this module knows about that. It distinguishes two kinds of errors: a
server that is loading, full or read-only answers nobody, so it is down; any other error reply concerns one call.
"""

from __future__ import annotations

import re
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ...exceptions import ConfigurationError, StoreUnavailable
from ..urls import place_of
from .roles import REASON, primary_only, primary_only_awaited

# How long opening a connection may take, and answering a command, in seconds.
TIMEOUT = 0.25

_KINDS = ("", "s", "+unix", "+sentinel", "+cluster")
_DRIVERS = {f"{driver}{kind}": driver for driver in ("redis", "valkey") for kind in _KINDS}
# Options for the drivers' own Cluster clients, which are not used here.
_CLUSTER_ONLY = (
    "address_remap",
    "cluster_error_retry_attempts",
    "dynamic_startup_nodes",
    "load_balancing_strategy",
    "read_from_replicas",
    "reinitialize_steps",
    "require_full_coverage",
)

# Replies of a server that answers nobody. Drivers have classes for some of them and then drop the first word. Redis
# before 7 puts its own words in front when a script fails.
_SERVER_CLASSES = {
    "AuthenticationError",
    "ClusterDownError",
    "MasterDownError",
    "MovedError",
    "NoPermissionError",
    "OutOfMemoryError",
    "ReadOnlyError",
}
_SERVER_WORDS = re.compile(
    r"\b(BUSY|CLUSTERDOWN|LOADING|MASTERDOWN|MISCONF|NOAUTH|NOPERM|NOREPLICAS|OOM|READONLY|UNKILLABLE|WRONGPASS)\b"
    r"|^MOVED |^(ERR )?unknown command"
)
_ELSEWHERE = re.compile(r"^(?:MOVED |ASK )?(\d+) (\S*):(\d+)$")


class CannotWrite(StoreUnavailable):
    """The server can write nothing to its disk, and refuses whatever counts as a write."""


class Servers:
    """A single server, the master that Sentinels name, or a Cluster.

    Args:
        url: as for `limiters.redis.RedisLimiter`.
        options: for the driver.
        setting: what the URL is the value of, for errors.
        refused: raised for one call alone, where the server is not down.

    Raises:
        ConfigurationError: the URL or an option is wrong, or the driver is not installed.
    """

    def __init__(self, url: str, options: dict[str, Any], setting: str, refused: type[StoreUnavailable]) -> None:
        self._setting, self.refused = setting, refused
        scheme, _, hosts = place_of(url).partition("://")
        if scheme not in _DRIVERS:
            raise ConfigurationError(f"expected a URL of one of the schemes {', '.join(_DRIVERS)}", key=self._setting)
        self.name = f"{scheme}://{hosts}"
        self.is_cluster = scheme.endswith("+cluster")
        self.hosts = hosts.split(",") if self.is_cluster else []
        self.remap = options.get("address_remap") or _as_told
        self.timeout: float = options.get("socket_timeout", TIMEOUT)
        self._url, self._options = url, dict(options)
        self.is_sentinel, self._driver = scheme.endswith("+sentinel"), _DRIVERS[scheme]
        if self.is_cluster:
            self._read_cluster()
        try:
            exceptions = vars(import_module(f"{self._driver}.exceptions"))
        except ImportError:
            raise self._wrong(f"needs the driver {self._driver}: pip install 'keystile[redis]'") from None
        self.no_script: type[Exception] = exceptions["NoScriptError"]
        self.reply: type[Exception] = exceptions["ResponseError"]
        self._read_only: type[Exception] = exceptions["ReadOnlyError"]
        # A driver's errors do not all share a base class. ValueError: a reply that the script does not send.
        known = (each for each in exceptions.values() if isinstance(each, type) and issubclass(each, Exception))
        self.failures: tuple[type[Exception], ...] = (OSError, ValueError, *known)

    def connect(self, node: str = "") -> Any:
        """A blocking client, for a node of a Cluster if one is named. It connects when it is used."""
        client = self._client("", node, {}).get_connection()
        try:  # a driver only checks its options when it connects, which would be while a request waits
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
        except TypeError as error:
            raise self._wrong(f"the driver refuses an option: {error}") from None
        return client

    def connect_async(self, node: str = "") -> Any:
        """The same for the running event loop. It has no time limit for calls: `_sync.in_time` sets that."""
        implementation = {"redis": "redispy"}.get(self._driver, self._driver)
        more = {"implementation": implementation, "socket_timeout": None, "socket_connect_timeout": None}
        return self._client("async+", node, more).bridge.get_connection()

    def unavailable(self, error: Exception, node: str = "") -> StoreUnavailable:
        """The exception for callers. The driver's own words may hold secrets."""
        kind = self.refused if self._concerns_one_call(error) else StoreUnavailable
        if kind is StoreUnavailable and "MISCONF" in str(error):
            kind = CannotWrite
        reason = REASON if self.is_replica(error) else type(error).__name__
        return kind(f"{self.name}, {node}" if node else self.name, reason)

    def is_replica(self, error: Exception) -> bool:
        """Whether a server says that it accepts no writes."""
        return type(error).__name__ == "ReadOnlyError" or "READONLY" in str(error)

    def elsewhere(self, error: Exception, node: str) -> tuple[int, str, bool] | None:
        """If a node of a Cluster redirects: the slot, the node that has it, and whether only for this call. Else
        None."""
        kind, text = type(error).__name__, str(error)
        is_asking = kind == "AskError" or text.startswith("ASK ")
        found = _ELSEWHERE.match(text) if is_asking or kind == "MovedError" or text.startswith("MOVED ") else None
        if found is None:
            return None
        slot, host, port = found.groups()
        return int(slot), self.node(host or node.rpartition(":")[0], int(port)), is_asking

    def node(self, host: str, port: int) -> str:
        """The name of a Cluster's node, as it can be reached from here."""
        host, port = self.remap((host.strip("[]"), port))
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _concerns_one_call(self, error: Exception) -> bool:
        if (
            type(error).__name__ == "MaxConnectionsError"
        ):  # this process's pool has no free connection; the server is fine
            return True
        if not isinstance(error, self.reply) or _SERVER_WORDS.search(str(error)):
            return False
        return not any(each.__name__ in _SERVER_CLASSES for each in type(error).__mro__)

    def _read_cluster(self) -> None:
        if not all(":" in each for each in self.hosts):
            raise self._wrong("expected host:port,host:port")
        for name in _CLUSTER_ONLY:
            self._options.pop(name, None)
        try:
            given = urlsplit(self._url)
            found = {"username": given.username, "password": given.password}
        except ValueError:
            raise self._wrong("cannot read it") from None
        self._options = {name: value for name, value in found.items() if value} | self._options
        self._url = ""

    def _wrong(self, reason: str) -> ConfigurationError:
        return ConfigurationError(reason, key=self._setting, source=self.name)

    def _client(self, prefix: str, node: str, more: dict[str, Any]) -> Any:
        """The storage of `limits` for this URL: they know how to read all these URLs."""
        from limits.errors import ConfigurationError as LimitsError
        from limits.storage import storage_from_string

        library = f"{self._driver}.asyncio" if prefix else self._driver
        never = import_module(f"{library}.retry").Retry(import_module(f"{self._driver}.backoff").NoBackoff(), 0)
        timeouts = {"socket_timeout": TIMEOUT, "socket_connect_timeout": TIMEOUT}
        options = {**timeouts, **self._options, **more, "retry": never}
        if not self.is_cluster:  # there a replica sends every caller to its primary
            judge = primary_only_awaited if prefix else primary_only
            options[f"{self._driver}_connect_func"] = judge(self._read_only, self.reply)
        if self.is_sentinel:
            options["sentinel_kwargs"] = {**timeouts, **options.get("sentinel_kwargs", {}), **more, "retry": never}
            options["sentinel_kwargs"].pop("implementation", None)
        try:
            storage: Any = storage_from_string(prefix + (self._url or f"{self._driver}://{node}"), **options)
        except (LimitsError, ValueError) as error:  # the message may repeat the URL
            raise self._wrong(f"cannot use it: {type(error).__name__}") from None
        return storage


def _as_told(address: tuple[str, int]) -> tuple[str, int]:
    return address


def with_sentinels(client: Any) -> list[Any]:
    """The client, and the Sentinel clients that it asks for the master: nobody else closes those."""
    manager = getattr(getattr(client, "connection_pool", None), "sentinel_manager", None)
    return [client, *getattr(manager, "sentinels", ())]
