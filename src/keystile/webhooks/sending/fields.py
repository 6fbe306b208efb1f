"""The headers that whoever owns an endpoint may add to its messages."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...exceptions import ConfigurationError

MOST_FIELDS, LONGEST = 20, 1024
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}")
# RFC 9110 section 5.5, in ASCII; neither begins nor ends with a blank.
_VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
# Written by us, of the connection (RFC 9110 section 7.6.1), or credentials of somebody.
_OURS = frozenset(
    (
        *("host", "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "expect", "cookie"),
        *("authorization", "accept", "accept-encoding", "user-agent", "forwarded", "via", "date"),
    )
)
_OUR_PREFIXES = ("content-", "webhook-", "proxy-", "x-forwarded-", "sec-")


def check_fields(given: Mapping[str, str], *, authorization: bool = False) -> tuple[tuple[str, str], ...]:
    """These headers, if they may be added.

    Args:
        given: names and values.
        authorization: whether ``Authorization`` may be among them.

    Raises:
        ConfigurationError: a name is ours or no name, a value is none, or there are too many.
    """
    if len(given) > MOST_FIELDS:
        raise ConfigurationError(f"expected at most {MOST_FIELDS} headers", key="headers")
    if len({str(name).lower() for name in given}) < len(given):
        raise ConfigurationError("expected each name once: upper and lower case are the same", key="headers")
    return tuple(_checked(name, value, authorization=authorization) for name, value in given.items())


def _checked(name: str, value: str, *, authorization: bool) -> tuple[str, str]:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r:.80} is no name of a header: use letters, digits and '-'", key="headers")
    lowered = name.lower()
    ours = lowered in _OURS or lowered.startswith(_OUR_PREFIXES)
    if ours and not (authorization and lowered == "authorization"):
        raise ConfigurationError(f"{name!r} cannot be set: it belongs to the message or its connection", key="headers")
    if not isinstance(value, str) or len(value) > LONGEST or not _VALUE.fullmatch(value):
        # The value may be a credential.
        raise ConfigurationError(f"{name!r} needs 1 to {LONGEST} printable ASCII characters", key="headers")
    return name, value
