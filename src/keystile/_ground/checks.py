"""What a setting must be: each check gives the value or says in a ConfigurationError what would be right."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, get_args
from urllib.parse import urlsplit

from ..exceptions import ConfigurationError

T = TypeVar("T")

# RFC 6749 section 3.3: a scope token is printable ASCII without space, quote and backslash.
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")
_ORIGIN = re.compile(r"https?://(?:[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")
# Plain segments without a slash at the end, or nothing.
_ROOT_PATH = re.compile(r"(?:/(?!\.\.?(?:/|\Z))[0-9A-Za-z._~!$&'()*+,=:@-]+)*")
_NAME = re.compile(r"[0-9A-Za-z_.-]{1,100}")


@contextmanager
def errors_under(key: str) -> Iterator[None]:
    """A ConfigurationError from within is about this setting: whoever found the fault does not know its name."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(error.reason, key=key) from None


def known(names: Iterable[str], wrong: str = "") -> str:
    """What to say about an unknown name: the likeliest of the names if one is close, else all of them."""
    import difflib  # only needed after a mistake

    listed = list(names)
    near = difflib.get_close_matches(wrong, listed, n=1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"there are {', '.join(listed)}" if listed else "there are none"


def check_scopes(scopes: Any, key: str = "scopes") -> tuple[str, ...]:
    """The scopes as a tuple without repeats, or ConfigurationError (RFC 6749 section 3.3)."""
    listed = dict.fromkeys(check_strings(scopes, key))
    for scope in listed:
        if not _SCOPE.fullmatch(scope):
            raise ConfigurationError(
                f"{scope!r} is not a scope: use printable ASCII without spaces, quotes, backslashes", key=key
            )
    return tuple(listed)


def check_strings(values: Any, key: str) -> tuple[str, ...]:
    """The values as a tuple of str, or ConfigurationError. A single string is refused: nobody means its letters."""
    return check_all(values, str, key)


def check_all(values: Any, kind: type[T], key: str) -> tuple[T, ...]:
    """The values as a tuple, each of this type, or ConfigurationError."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise ConfigurationError(f"expected a list of {kind.__name__}, got {type(values).__name__}", key=key)
    listed = members(values, key)
    for value in listed:
        if not isinstance(value, kind):
            raise ConfigurationError(f"expected a list of {kind.__name__}, got {type(value).__name__} in it", key=key)
    return listed


def members(values: Iterable[T], key: str) -> tuple[T, ...]:
    """All of an iterable; ConfigurationError if it raises something, of which only the type is told."""
    try:
        return tuple(values)
    except Exception as error:
        raise ConfigurationError(f"reading the list raised {type(error).__name__}", key=key) from error


def check_limits(limits: Any, key: str = "limits") -> str | tuple[str, ...] | None:
    """A rate notation, or several as a tuple, or None. `rules.limits.notation` parses them."""
    return limits if limits is None or isinstance(limits, str) else check_strings(limits, key)


def check_choice(value: Any, literal: Any, key: str) -> Any:
    """The value, if it is one of those of a ``Literal`` type, which is all that knows them; or ConfigurationError."""
    choices = get_args(literal)
    # 301.0 equals 301, but nobody means it.
    if not any(isinstance(value, type(choice)) and value == choice for choice in choices):
        raise ConfigurationError(f"expected one of {', '.join(map(str, choices))}", key=key)
    return value


# What a setting that there was is said with now.
_NOW = {"query_parameter": "did you mean accept=['?name'], with the name of the parameter?"}


def unknown_name(name: str, names: Iterable[str]) -> str:
    """What to say about a setting that does not exist: the one that was probably meant, or all of them."""
    if name in _NOW:
        return f"there is no such setting; {_NOW[name]}"
    return f"there is no such setting; {known(names, name)}"


def names_checked(kind: type[T]) -> type[T]:
    """Have a class raise ConfigurationError for an unknown argument, where Python would raise TypeError. The signature
    stays the same for editors, type checkers and `inspect`."""
    init: Callable[..., None] = kind.__init__
    known = [name for name in signature(init).parameters if name != "self"]

    @wraps(init)
    def checked(self: T, *args: Any, **named: Any) -> None:
        for name in named:
            if name not in known:
                raise ConfigurationError(unknown_name(name, known), key=name)
        init(self, *args, **named)

    kind.__init__ = checked  # type: ignore[method-assign,assignment]
    return kind


def check_text(value: Any, key: str) -> str:
    """A string, or ConfigurationError. The value is not repeated: it may be a secret."""
    if not isinstance(value, str):
        raise ConfigurationError(f"expected a string, got {type(value).__name__}", key=key)
    return value


def check_flag(value: Any, key: str) -> bool:
    """True or False, or ConfigurationError."""
    if not isinstance(value, bool):
        raise ConfigurationError(f"expected true or false, got {value!r}", key=key)
    return value


def check_whole(value: Any, key: str) -> int:
    """A whole number from 0, or ConfigurationError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"expected a whole number from 0, got {value!r}", key=key)
    return value


def check_count(value: Any, key: str) -> int:
    """A whole number of at least 1, or ConfigurationError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"expected a whole number of at least 1, got {value!r}", key=key)
    return value


def check_between(value: Any, least: int, most: int, key: str) -> int:
    """A whole number in this range, or ConfigurationError."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ConfigurationError(f"expected a whole number from {least} to {most}", key=key)
    return value


def check_seconds(value: Any, key: str) -> float:
    """A number of seconds, from 0 to an hour, or ConfigurationError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 3600:
        raise ConfigurationError(f"expected a number of seconds from 0 to 3600, got {value!r}", key=key)
    return value


def check_form(value: Any, form: re.Pattern[str], expected: str, key: str) -> str:
    """A string of this form, or ConfigurationError with what was expected. The value is repeated: no secrets here."""
    if not isinstance(value, str) or not form.fullmatch(value):
        raise ConfigurationError(f"expected {expected}, got {value!r}", key=key)
    return value


def check_name(value: Any, key: str) -> str:
    """A word that needs no escaping in JSON or in a query, or ConfigurationError."""
    return check_form(value, _NAME, "a name of letters, digits, '_', '-' and '.'", key)


def check_root_path(value: Any, key: str) -> str:
    """A path of plain segments without a slash at its end, or an empty string, or ConfigurationError."""
    return check_form(value, _ROOT_PATH, "a path like '/api', or '' for none", key)


def check_origin(value: Any, key: str) -> str:
    """A scheme and a host, without a path, or ConfigurationError."""
    if isinstance(value, str) and _ORIGIN.fullmatch(value):
        try:
            parts = urlsplit(value)
            port = parts.port  # raises if this is not a port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.hostname and port != 0:
            return value.rstrip("/")
    raise ConfigurationError("expected a scheme and a host, like 'https://api.example.com'", key=key)
