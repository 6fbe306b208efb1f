"""Managing keys from outside the process: who may do it, and what the management API and the dashboard both call.

`authority` says who manages, `operations` what can be done. Nothing that is done here is decided twice: the operations
ask `gate.keys`, `gate.projects` and `gate.organizations`, never the store.
"""

from .authority import ALL, RIGHTS, Authority, Everything, Right, authority_of

__all__ = ["ALL", "RIGHTS", "Authority", "Everything", "Right", "authority_of"]
