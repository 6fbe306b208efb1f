"""The store as a gate opens it, and its twin for asyncio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.util import greenlet_spawn

from ... import _sync
from ..._ground.checks import check_count
from ..._ground.health import Health
from ...exceptions import UnreadableRecord
from ...policy import REMEMBERED_KEYS
from ..contract import ignore
from ..records import Records
from . import migrations
from .links import Links
from .places import Place
from .work import Work

# While it is down no request is answered, so a database is asked more often than a limiter, in seconds.
PROBE_EVERY = 1.0


class SQLStore(Work):
    """A `KeyStore` in a database that many machines share.

    Every `find` reads the database, in one round trip, so a change by another process takes effect on the next request.
    The row is decoded only if a revision has changed: its own, its project's, or its organization's. A use is no such
    change, as in `stores.sqlite`.

    For callers that may block: WSGI, and trio through worker threads. Under asyncio use `for_asyncio()`. Threads and
    forked processes may share it; each process makes its own connections.

    Args:
        url: as for `places.Place`.
        remembered_keys: how many decoded records are kept; 1.3 kB each, and what its metadata needs.

    Raises:
        ConfigurationError: the URL is wrong, the driver is not installed, the database does not answer, or its tables
            are missing or of another version.
    """

    blocking = True

    def __init__(self, url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> None:
        check_count(remembered_keys, "remembered_keys")
        self._place = place = Place(url)
        self.on_unreadable: Callable[[UnreadableRecord], object] = ignore
        """Called with each record that `list` leaves out because it cannot be read."""
        self._kept = Records(place.name, remembered_keys, self._tell)
        health = Health(lambda _error: None, PROBE_EVERY)  # the gate tells of an outage itself
        links = Links(place, health, self._kept.forget)
        _check(place, links)
        super().__init__(links, self._kept)
        self._for_asyncio = AsyncSQLStore(place, health, self._kept) if place.driver.engine_awaited else None

    def __repr__(self) -> str:
        return f"SQLStore({self._place.name!r})"

    def _tell(self, error: UnreadableRecord) -> None:
        self.on_unreadable(error)

    def for_asyncio(self) -> AsyncSQLStore | None:
        """The same store for an asyncio host, always the same object; None if the driver only blocks."""
        return self._for_asyncio


class AsyncSQLStore:
    """The same for asyncio. Each event loop has its own connections; several loops may use it at once.

    Methods and errors as `SQLStore`; what was decoded, and whether the database is up, they know together.
    """

    def __init__(self, place: Place, health: Health, kept: Records) -> None:
        self._place = place
        self._works: _sync.PerLoop[Work] = _sync.PerLoop(
            lambda: Work(Links(place, health, kept.forget, awaited=True), kept)
        )

    find: Callable[..., Any]

    def __repr__(self) -> str:
        return f"AsyncSQLStore({self._place.name!r})"

    async def close(self) -> None:
        """Close the running loop's connections. The store may be used again."""
        work = self._works.pop()
        if work is not None:
            await greenlet_spawn(work.close)


def _awaited(name: str) -> Callable[..., Any]:
    async def method(self: AsyncSQLStore, *args: Any) -> Any:
        return await greenlet_spawn(getattr(self._works.get(), name), *args)

    method.__name__, method.__doc__ = name, f"As `SQLStore.{name}`."
    return method


for _name in [name for name in vars(Work) if not name.startswith("_")]:
    setattr(AsyncSQLStore, _name, _awaited(_name))


def _check(place: Place, links: Links) -> None:
    """ConfigurationError unless the database is there, with the tables of today."""
    reason = ""
    try:
        with links.writers.connect() as connection:
            migrations.check(place, connection, migrations.KEYS)
    except sa.exc.SQLAlchemyError as error:
        reason = f"cannot be used: {place.said(error)}"
    except TypeError:  # so pymysql says that it knows no such option
        reason = "its options cannot be used"
    finally:
        links.close()
    if reason:
        raise place.wrong(reason)
