"""Where settings come from: the file, which an error names, and the environment, which no error shows.

A value from the environment may be a secret. So the reason of an error names the variable instead of its value, and if
a part of the value would still show, the reason is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ..exceptions import ConfigurationError

# "$${" comes first, so that the text after it is not read as a reference. "${" without a valid name is an error.
_REFERENCE = re.compile(r"\$\$\{|\$\{(?:([A-Za-z_][A-Za-z0-9_]*)\})?")
# A shorter value is not treated as a secret: ordinary words of the message would look like one.
_TELLING = 4


class Origin:
    """Where settings come from: the file that an error must name, and the values that it must not show.

    Args:
        source: the file's name, as its user wrote it.
        environ: where references are looked up.
    """

    def __init__(self, source: str, environ: Mapping[str, str]) -> None:
        self.source, self._environ = source, environ
        self._referenced: dict[str, dict[str, str]] = {}

    def error(self, key: str | None, reason: str) -> ConfigurationError:
        """The exception for this setting. The reason must hold no value from the environment."""
        return ConfigurationError(reason, key=key, source=self.source)

    def hiding(self, key: str | None, reason: str) -> ConfigurationError:
        """The exception for this setting. Values from the environment are taken out of the reason."""
        mine: dict[str, str] = {}
        for at, found in self._referenced.items():
            mine.update(found if _overlap(at, key) else {})
            for name, value in found.items():
                if len(value) >= _TELLING:
                    reason = reason.replace(value, f"${{{name}}}")
        rest = _REFERENCE.sub("", reason)
        if any(_shows(rest, value) for value in mine.values()):
            reason = "cannot be used"
        if mine:
            names = ", ".join(f"${{{name}}}" for name in mine)
            reason += f" (from the environment and not shown: {names})"
        return self.error(key, reason)

    def variable(self, key: str, name: str) -> str:
        """The value of this environment variable. Raises ConfigurationError if it is unset, empty or not UTF-8."""
        value = self._environ.get(name, "")
        if not value:
            raise self.error(key, f"the environment variable {name} is unset or empty")
        self._referenced.setdefault(key, {})[name] = value
        try:
            value.encode()
        except UnicodeEncodeError:  # octets that the locale cannot decode; Python's exception would show them
            raise self.error(key, "is not UTF-8") from None
        return value

    def resolve(self, key: str, text: str) -> str:
        """The text with its references replaced."""

        def replacement(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if match[1] is None:
                raise self.error(key, "'${' begins a reference like ${NAME}; write $${ for a literal '${'")
            return self.variable(key, match[1])

        resolved = _REFERENCE.sub(replacement, text)
        if "\0" in resolved:
            raise self.error(key, "holds a NUL character")
        return resolved


def _overlap(one: str, other: str | None) -> bool:
    """Whether one setting is the same as the other, or a part of it."""
    if other is None:
        return False
    short, long = sorted((one, other), key=len)
    return long == short or long.startswith((f"{short}.", f"{short}["))


def _shows(message: str, value: str) -> bool:
    """Whether the message holds the value or a revealing part of it, plain or escaped by repr."""
    message = message.casefold()
    for text in (value.casefold(), repr(value)[1:-1].casefold()):
        width = min(_TELLING, len(text))
        if any(text[start : start + width] in message for start in range(len(text) - width + 1)):
            return True
    return False
