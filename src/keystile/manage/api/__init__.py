"""The management API: keys, projects, audit and usage as JSON over HTTP.

`routes` is the one table: the app, its OpenAPI document, the page docs/guides/management.md and the tests follow from
it. `members` says what may be sent and `shapes` what is answered; `fields`, `bodies`, `queries` and `preconditions`
read a request, `handlers` say which operation does it, `faults` what can go wrong, `app` what a request meets on its
way.
"""

from .app import ManagementAPI
from .routes import ROUTES

__all__ = ["ROUTES", "ManagementAPI"]
