"""Keys in PostgreSQL, MySQL or MariaDB, for any number of machines.

What the tables are is in `tables`, how a database gets them in `migrations`; which database a URL names and how its
driver behaves in `places`, `postgresql` and `mysql`; when something is tried again in `links`; the statements in
`reading` and `writing`. `store` has what this package shows, twice: for callers that block, and for asyncio.
"""

from collections.abc import Callable

from . import migrations
from .places import Place
from .store import AsyncSQLStore, SQLStore
from .tables import metadata

__all__ = ["AsyncSQLStore", "SQLStore", "metadata", "migrate"]


def migrate(url: str, tell: Callable[[int, int, str], object], *, dry: bool = False) -> int:
    """Bring the database of a key store up to date; see `migrations.migrate`."""
    return migrations.migrate(Place(url), migrations.KEYS, tell, dry=dry)
