"""The part of the management API that is there only with an outbox: webhook endpoints and their deliveries.

`routes` is its table; `members`, `shapes` and `handlers` are for it what those beside this package are for the others.
`told` describes the messages about keys that a service may send, for the OpenAPI document.
"""

from .routes import WEBHOOK_ROUTES
from .told import own_messages

__all__ = ["WEBHOOK_ROUTES", "own_messages"]
