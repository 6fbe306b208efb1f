"""How a stream ends whose caller may not have the rest of it.

Its head has left, so no status can say so any more. Nor may it end as if it were whole. So it ends as when the client
leaves: servers close the connection, apps clean up, and the client sees an answer that broke off.
"""

from __future__ import annotations

import errno

from ..model import Refused


def cut(refused: Refused) -> ConnectionResetError:
    """What is raised into the server or into the app."""
    return ConnectionResetError(errno.ECONNRESET, f"the caller may not have the rest: {refused.reason.code}")
