"""What an app must not see of a request, because it could then send octets past the gate."""

from __future__ import annotations

from .wire import Scope

# With these an app would send octets past the gate, so they are hidden from it.
_SHORT_CUTS = frozenset(("http.response.pathsend", "http.response.zerocopysend"))


def hide(scope: Scope) -> Scope:
    """Remove from the scope what would lead to an encoded answer or a short cut; otherwise like `hide_short_cuts`."""
    before = {"headers": scope["headers"], **hide_short_cuts(scope)}
    scope["headers"] = [
        field for field in scope["headers"] if len(field[0]) != 15 or field[0].lower() != b"accept-encoding"
    ]
    return before


def hide_short_cuts(scope: Scope) -> Scope:
    """Remove from the scope the server's offer to send files by itself.

    This changes the scope in place, because middleware around the gate reads what the app and its router leave there.
    The caller puts what is returned back into the scope after the app has run.
    """
    extensions = scope.get("extensions")
    if not extensions or _SHORT_CUTS.isdisjoint(extensions):
        return {}
    scope["extensions"] = {name: value for name, value in extensions.items() if name not in _SHORT_CUTS}
    return {"extensions": extensions}
