"""What an app is not to see of a request, because it would get octets past the gate."""

from __future__ import annotations

from .wire import Scope

# By these an app would send octets past us: it does not see that the server can.
_SHORT_CUTS = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


def hide(scope: Scope) -> Scope:
    """Take from the scope what would lead to an encoded answer or to a short cut; otherwise as `hide_short_cuts`."""
    before = {"headers": scope["headers"], **hide_short_cuts(scope)}
    scope["headers"] = [
        field for field in scope["headers"] if len(field[0]) != 15 or field[0].lower() != b"accept-encoding"
    ]
    return before


def hide_short_cuts(scope: Scope) -> Scope:
    """Take from the scope the server's offer to send files by itself.

    In place, because middleware around us reads what the app and its router leave there. What this gives is to be put
    back when the app has run.
    """
    extensions = scope.get("extensions")
    if not extensions or _SHORT_CUTS.isdisjoint(extensions):
        return {}
    scope["extensions"] = {name: value for name, value in extensions.items() if name not in _SHORT_CUTS}
    return {"extensions": extensions}
