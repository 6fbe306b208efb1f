"""Does everybody read this request in the same way: its path, and its method?

Servers do not normalise paths and routers do, each in its own way. So `/public/../admin` may be public to a gate and
private to the app behind it. The same holds for the prefix under which an app is served: some routers take it off at
the start of the path only, others wherever they find it. And middleware inside the gate may run another method than
the request's own, if a header says so.
"""

from __future__ import annotations

import re

LONGEST = 8192
"""In characters, for a path and for its raw form. A longer one is not looked at."""
MOST_SEGMENTS = 64

OVERRIDES = ("x-http-method-override", "x-http-method", "x-method-override")
"""The headers that name another method."""

# A segment is not empty, not a dot segment, and holds nothing that some parser decodes, splits or folds: no "\", no
# ";" (path parameters), no "%" (a second decoding), no control characters, nothing that was not UTF-8 (U+FFFD,
# surrogates). The quantifiers are possessive, so that the time grows only linearly with the length.
_SEGMENT = r"/(?!\.\.?(?:/|\Z))[^/\\;%\x00-\x1f\x7f-\x9f\ud800-\udfff\ufffd]++"
_CANONICAL = re.compile(rf"(?:{_SEGMENT}){{0,{MOST_SEGMENTS}}}+/?")
# Encoded octets that servers decode before we see the path: "/", "\", "." and NUL.
_SMUGGLED = re.compile(rb"%(?:2[fFeE]|5[cC]|00)")


def canonical(path: str, raw_path: bytes = b"") -> bool:
    """Whether every server, router and file system reads this path in the same way.

    Args:
        path: decoded.
        raw_path: as sent, still encoded; empty if unknown.
    """
    if not path or len(path) > LONGEST or len(raw_path) > LONGEST or _CANONICAL.fullmatch(path) is None:
        return False
    return b"%" not in raw_path or _SMUGGLED.search(raw_path) is None


def below(path: str, root_path: str) -> str:
    """The path below the mount: the root path is taken off once, and only if it ends at the end of a segment.

    Servers differ in whether `path` includes `root_path`. Starlette's router reads both in this same way.
    """
    if path.startswith(root_path):
        rest = path[len(root_path) :]
        if not rest or rest.startswith("/"):
            return rest
    return path


def ambiguous(path: str, root_path: str, *, strict_router: bool = False) -> bool:
    """Whether routers differ in what they leave of the path after taking off the root path.

    Args:
        path: decoded, as the server gives it; with the root path or without.
        root_path: not empty.
        strict_router: the app's router is known to look only at the start of a path, as `below` does. Others split
            the path where they first find the root path, even in the middle of a segment.
    """
    if len(path) > LONGEST:
        return True
    rest = below(path, root_path)
    if rest == path and not strict_router and root_path != "/":
        return root_path in path
    return repeats(rest, root_path)


def repeats(rest: str, root_path: str) -> bool:
    """Whether the rest of a path holds the root path once more, as whole segments."""
    return f"{root_path}/" in f"{rest}/"
