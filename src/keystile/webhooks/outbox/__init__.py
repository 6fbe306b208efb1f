"""The outbox: webhook endpoints, and messages that wait in the host's own database until they have arrived.

`outbox` and `endpoints` are what a service calls; `claiming` is what a worker does. What each does to the tables is in
plain functions on a connection (`adding`, `claiming`, `history`), which run inside the host's transaction or one of
their own (`database`). Nothing here sends, and nothing here knows when an attempt is due again.
"""

try:
    import sqlalchemy as _needed  # noqa: F401 - said here, before a module that needs it fails
except ImportError as error:
    raise ImportError("the outbox needs SQLAlchemy: pip install 'keystile[sql,webhooks]'") from error

from .endpoints import Endpoints
from .outbox import Outbox
from .records import (
    Claimed,
    Delivery,
    Destination,
    Endpoint,
    Finished,
    IssuedEndpoint,
    Next,
    PastAttempt,
)
from .sealing import new_key
from .tables import metadata

__all__ = [
    "Claimed",
    "Delivery",
    "Destination",
    "Endpoint",
    "Endpoints",
    "Finished",
    "IssuedEndpoint",
    "Next",
    "Outbox",
    "PastAttempt",
    "metadata",
    "new_key",
]
