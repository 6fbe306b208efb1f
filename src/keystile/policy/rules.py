"""What holds for the requests of a path."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .._ground.checks import check_scopes, names_checked
from ..exceptions import ConfigurationError
from .plans import Limits
from .settings import check_settings, described, setting

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"))
"""The methods that rules distinguish (RFC 9110 section 9.1, RFC 5789); they are case-sensitive."""

_MATCH = re.compile(r"(?:([A-Z][A-Z-]*) )?(/[^ ]*)")
# How routers write a segment that may be anything. For a rule it would be literal text, which guards nothing.
_PARAMETER = re.compile(r"/(?:[^/]*[{<]|:)[^/]*")


def _check_match(match: str, key: str) -> str:
    found = _MATCH.fullmatch(match)
    if found is None:
        raise ConfigurationError(f"expected '/path' or 'METHOD /path', got {match!r}", key=key)
    method, path = found.groups()
    if method is not None and method not in METHODS:
        raise ConfigurationError(
            f"{method!r} is not one of {', '.join(sorted(METHODS))}: leave it out, because a request with another "
            "method has to meet every rule of its path",
            key=key,
        )
    parameter = _PARAMETER.search(path)
    if parameter is not None:
        raise ConfigurationError(
            f"{match!r}: path parameters like {parameter[0][1:]!r} are not supported yet, and as literal text "
            f"this would guard nothing; write '{path[: parameter.start()]}/*' for everything below",
            key=key,
        )
    return match


@names_checked
@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for a path: ``Rule("POST /v1/exports", scopes=["exports:write"])``. docs/settings.md describes each
    setting.

    Raises:
        ConfigurationError: the rule cannot be read or contradicts itself.
    """

    match: str = field(
        metadata=described(
            '"POST /v1/exports" or "/v1/exports/*": an optional method, then a path. The path is exact; `/*` at its '
            "end means everything below it. GET also covers HEAD and the websocket handshake. The path is relative to "
            "the app, without a mount's prefix. What a rule demands holds with and without a slash at the path's end; "
            "a path is public only as it is spelled.",
            check=_check_match,
        )
    )
    public: bool = setting("No key is asked for.", default=False)
    scopes: Sequence[str] = setting(
        "The key must hold all of them; there are no wildcards.", default=(), check=check_scopes
    )
    limits: Limits = setting(
        'Windows for this path alone, in addition to the caller\'s own ("10/hour"). On a public path they count by '
        "client address.",
        default=None,
    )
    cost: int = setting("How many units a request counts in each window.", default=1)
    envelope: bool | None = setting(
        "Whether answers get the envelope; None means as the gate does. On public paths they never do.", default=None
    )
    require_json: bool | None = setting(
        "Whether a request's body must be JSON; None means what the gate says.", default=None
    )

    def __post_init__(self) -> None:
        check_settings(self)
        if not self.public:
            return
        if self.path == "/*":
            raise ConfigurationError(
                f"{self.match!r} would make every path public; run the app without a gate instead", key="public"
            )
        if self.envelope:
            raise ConfigurationError(
                f"{self.match!r} is public, and answers of public paths never get the envelope", key="envelope"
            )
        if self.scopes:
            raise ConfigurationError(
                f"{self.match!r} is public but asks for scopes, and nobody could hold them", key="scopes"
            )

    @property
    def method(self) -> str:
        """The method, or an empty string for any."""
        return self.match.rpartition(" ")[0]

    @property
    def path(self) -> str:
        """The path, with ``/*`` at its end if the rule holds for everything below."""
        return self.match.rpartition(" ")[2]
