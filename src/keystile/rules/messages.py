"""What a webhook message may be: its type, its octets, and which endpoints want it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from ..exceptions import ConfigurationError

LONGEST_TYPE, MOST_TYPES = 100, 100
# Every level costs frames wherever the message is read.
MOST_LEVELS = 32
_TYPE = re.compile(r"[a-z][a-z0-9_.]*")


def check_type(value: Any, key: str = "type") -> str:
    """The type of a message, or ConfigurationError."""
    if not isinstance(value, str) or len(value) > LONGEST_TYPE or not _TYPE.fullmatch(value):
        raise ConfigurationError(
            f"expected a type like 'invoice.paid': at most {LONGEST_TYPE} of a-z, 0-9, '_' and '.'", key=key
        )
    return value


def check_types(values: Any) -> tuple[str, ...] | None:
    """The types that an endpoint wants, without repeats; None stands for all. Or ConfigurationError."""
    if values is None:
        return None
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence) or not 1 <= len(values) <= MOST_TYPES:
        raise ConfigurationError(f"expected a list of 1 to {MOST_TYPES} types, or None for all", key="event_types")
    return tuple(dict.fromkeys(check_type(each, "event_types") for each in values))


def wants(event_types: Sequence[str] | None, type: str) -> bool:
    """Whether an endpoint with these types gets a message of this one."""
    return event_types is None or type in event_types


def payload_of(type: str, data: Any, at: datetime, most: int) -> bytes:
    """The octets of a message: what is signed and sent, the same at every attempt. The form is that of Standard
    Webhooks: ``{"type": …, "timestamp": …, "data": …}``.

    Args:
        type: what happened.
        data: a mapping of JSON values.
        at: when.
        most: how many bytes it may have.

    Raises:
        ConfigurationError: there is no JSON for the data (RFC 8259), or it is too much.
    """
    _check_json(data, most)
    moment = at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    whole = {"type": type, "timestamp": moment, "data": data}
    try:
        octets = json.dumps(whole, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        raise _wrong("half of a character, which UTF-8 has not") from None
    except ValueError:
        raise _wrong("a number that JSON has not, such as NaN") from None
    if len(octets) > most:
        raise ConfigurationError(f"expected at most {most} bytes as JSON, got {len(octets)}", key="data")
    return octets


def _check_json(data: Any, most: int) -> None:
    """ConfigurationError unless this is a mapping of what JSON has. Without recursion, and with a bound for the values
    that are looked at: it may be deep, it may hold itself, and a list that holds another many times is small only
    here."""
    if not isinstance(data, Mapping):
        raise ConfigurationError(f"expected a mapping, got {type(data).__name__}", key="data")
    level, count = [data], 0
    for _ in range(MOST_LEVELS):
        inner: list[Any] = []
        for each in level:
            inner += _items(each)
            if count + len(inner) > most:  # each takes at least one byte
                raise ConfigurationError(f"expected at most {most} bytes as JSON", key="data")
        if not inner:
            return
        level, count = inner, count + len(inner)
    raise ConfigurationError(f"has more than {MOST_LEVELS} levels", key="data")


def _items(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise _wrong("a name that is no string")
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return value
    if value is None or isinstance(value, (str, bool, int, float)):
        return ()
    raise _wrong(type(value).__name__)


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"expected JSON values, but it holds {what}", key="data")
