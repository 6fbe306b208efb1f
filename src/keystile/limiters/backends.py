"""A storage of `limits`: which it is, whether its driver is there, and the best strategy that it supports."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from typing import Any

import limits.aio.storage
import limits.aio.strategies
import limits.errors
import limits.storage
import limits.strategies

from .._ground.checks import known
from .._ground.urls import place_of
from ..exceptions import ConfigurationError, StoreUnavailable
from ..model import Charge

# The best first; each with the class of the storages that support it, and the method that reads its counter.
_STRATEGIES = (
    ("SlidingWindowCounterRateLimiter", "SlidingWindowCounterSupport", "get_sliding_window"),
    ("MovingWindowRateLimiter", "MovingWindowSupport", None),
    ("FixedWindowRateLimiter", "Storage", "get"),
)
# Without these timeouts a driver waits for ever.
_TIMEOUTS = {
    "memcached": {"connect_timeout": 0.25, "timeout": 0.25},
    # Here the gate's own deadline comes first. A driver's would also count time in which the loop did not run.
    "async+memcached": {"connect_timeout": 5.0, "read_timeout": 5.0},
}


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ImportError:  # the package that the module would belong to
        return False


class Backend:
    """A storage: where it is, how to open it, and what it raises."""

    def __init__(self, url: str, prefix: str, options: dict[str, Any]) -> None:
        self.name = place_of(url)
        self._url = prefix + url
        self._options = {**_TIMEOUTS.get(self._url.partition(":")[0], {}), **options}
        self._strategies: Any = limits.aio.strategies if prefix else limits.strategies
        self._kinds: Any = limits.aio.storage if prefix else limits.storage
        self._longest = 15 * 86_400 if url.startswith("memcached") else math.inf
        self.failures: tuple[type[Exception], ...] = ()
        scheme = self._url.partition(":")[0]
        self.lower = {"memcached": "storage.storage.decr", "async+memcached": "storage.bridge.decr"}.get(scheme)
        """The method that lowers a counter, if `hit` cannot."""
        self.counter: str | None = None
        """The storage's method that reads the counter of a window; None if its strategy has none."""

    def open(self) -> Any:
        """The best strategy for the storage."""
        self._check_driver()
        try:
            storage: Any = limits.storage.storage_from_string(self._url, **self._options)
            own = storage.base_exceptions
        except (limits.errors.ConfigurationError, ImportError, TypeError, ValueError) as error:
            raise self._wrong(f"limits cannot use it: {type(error).__name__}") from None
        own = own if isinstance(own, tuple) else (own,)
        self.failures = (OSError, limits.errors.ConcurrentUpdateError, *own)
        name, self.counter = next(
            (name, counter) for name, kind, counter in _STRATEGIES if isinstance(storage, getattr(self._kinds, kind))
        )
        return getattr(self._strategies, name)(storage)

    def _check_driver(self) -> None:
        """Check before `limits` does. Its errors do not say what to install, and it leaves a half-built storage
        behind."""
        schemes: dict[str, Any] = vars(limits.storage)["SCHEMES"]
        kind = schemes.get(self._url.partition(":")[0])
        if kind is None:
            raise self._wrong(self._unknown(schemes))
        # A list names packages that are needed together, a mapping names alternatives.
        together, needed = isinstance(kind.DEPENDENCIES, list), list(kind.DEPENDENCIES)
        missing = [module for module in needed if not _is_installed(module)]
        if missing and (together or missing == needed) and "library" not in self._options:
            packages = dict.fromkeys(module.partition(".")[0] for module in (missing if together else missing[:1]))
            raise self._wrong(f"needs a driver: pip install {' '.join(packages)}")

    def _unknown(self, schemes: Iterable[str]) -> str:
        if not self._url.startswith(self.name.partition(":")[0]):
            return "limits has no asyncio driver for it"
        plain = ["sqlite", *(scheme for scheme in schemes if not scheme.startswith("async+"))]
        return f"there is no such limiter; {known(plain, self.name.partition(':')[0])}"

    def _wrong(self, reason: str) -> ConfigurationError:
        return ConfigurationError(reason, key="limiter", source=self.name)

    def check(self, charges: Sequence[Charge]) -> Sequence[Charge]:
        """The charges, if the storage can keep their windows at all."""
        for window, _ in charges:
            if window.unit or window.watching:
                raise ConfigurationError(
                    "a storage of limits counts windows one after the other, so it takes neither units nor windows "
                    "that only watch; use memory, sqlite or redis",
                    key="limiter",
                    source=self.name,
                )
            if window.seconds > self._longest:
                raise ConfigurationError(
                    "memcached cannot store a window longer than 15 days; write a shorter one", source=self.name
                )
        return charges

    def unavailable(self, error: Exception) -> StoreUnavailable:
        """The error without the driver's own words, which may hold secrets."""
        return StoreUnavailable(self.name, type(error).__name__)
