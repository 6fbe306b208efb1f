"""Keys by HTTP and by hand: who may manage what, the operations, the management API, and pages for people.

Knows the gate and what is below it, and of what stands beside it the outbox of webhooks alone, where there is one.
`authority` says who manages, `operations` what can be done. Nothing that is done here is decided twice: the operations
ask `gate.keys`, `gate.projects`, `gate.organizations` and the outbox, never the store. `requests` holds the plain
values that both doors read and send; `asgi` and `wsgi` are the doors of the management app, and `dashboard` has the
pages for people.
"""

from .authority import ALL, RIGHTS, Authority, Everything, Right, authority_of

__all__ = ["ALL", "RIGHTS", "Authority", "Everything", "Right", "authority_of"]
