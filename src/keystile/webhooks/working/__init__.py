"""Working: a loop that takes due messages from the outbox, sends them, and notes what came of it.

`places` says how many at once and whose, `shift` claims, `delivering` makes one attempt, `telling` says what people
should look at, `pump` makes messages of the gate's own changes (`own`), and `worker` puts them together.
"""

from .worker import Worker

__all__ = ["Worker"]
