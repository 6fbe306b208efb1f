"""What to tell secret scanners of a service's keys: a pattern, and strings that it finds or does not find.

The pattern has no look-around and no back-references: Hyperscan (GitHub) and RE2 (gitleaks, trufflehog) know none.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal, NamedTuple

from ..exceptions import ConfigurationError
from .existing.opaque import LONGEST, OpaqueFormat
from .format import KeyFormat, PrefixedFormat

Scanner = Literal["github", "gitleaks", "trufflehog"]
# Of a key that was found, people see the prefix and as much of its public id as helps them to find the place again.
_SHOWN = 4


class Pattern(NamedTuple):
    """How keys are found in texts.

    Attributes:
        prefix: how all of them begin.
        expression: a regular expression.
        longest: no match is longer.
        checks: whether a match is a key by its form and its check.
        finds: strings that it finds. None of them is a key that anybody has.
        passes: strings that it must not find.
    """

    prefix: str
    expression: str
    longest: int
    checks: Callable[[bytes], bool]
    finds: tuple[str, ...]
    passes: tuple[str, ...]


def pattern_of(key_format: KeyFormat) -> Pattern:
    """The pattern of this format's keys.

    Raises:
        ConfigurationError: nothing tells these keys from other texts.
    """
    if not isinstance(key_format, (PrefixedFormat, OpaqueFormat)) or key_format.pattern is None:
        reason = "keys that do not begin alike cannot be found in texts: that needs a prefix"
        raise ConfigurationError(reason, key="prefix")
    examples = tuple(key_format.mint(each, _unlikely) for each in ("production", "staging", "development"))
    prefix, read = str(key_format.prefix), key_format.parse
    longest = LONGEST if isinstance(key_format, OpaqueFormat) else max(map(len, examples))
    passes = (f"{prefix}_live_", f"{prefix}-live-{'0' * 50}", f"{prefix}_{'0' * 5}")
    return Pattern(prefix, key_format.pattern, longest, lambda raw: read(raw) is not None, examples, passes)


def shortened(prefix: str, raw: bytes) -> str:
    """As much of a key as may be shown: ``acme_live_7Qx2…``; of a key of another form only its prefix."""
    parts = raw.decode(errors="replace").split("_", 2)
    own_form = len(parts) == 3 and len(parts[2]) == 50 and parts[2].isalnum()
    return f"{parts[0]}_{parts[1]}_{parts[2][:_SHOWN]}…" if own_form else f"{prefix}_…"


def described_for(scanner: Scanner, pattern: Pattern) -> str:
    """What to give to this scanner."""
    return {"github": _for_github, "gitleaks": _for_gitleaks, "trufflehog": _for_trufflehog}[scanner](pattern)


def _unlikely(length: int) -> str:
    """Not drawn at random, so that nobody has such a key; and not all alike, which scanners pass over."""
    return ("7Qx2mB9aLk3dVw8RtYp5HsJ6" * 2)[:length]


def _for_github(pattern: Pattern) -> str:
    lines = [f"type: {pattern.prefix}_api_key", f"pattern: {pattern.expression}"]
    lines += ["must match:", *(f"  {each}" for each in pattern.finds)]
    return "\n".join([*lines, "must not match:", *(f"  {each}" for each in pattern.passes)])


def _for_gitleaks(pattern: Pattern) -> str:
    lines = ["[[rules]]", f'id = "{pattern.prefix}-api-key"', f'description = "{pattern.prefix} API key"']
    lines += [f"regex = '''{pattern.expression}'''", f'keywords = ["{pattern.prefix.lower()}_"]']
    return "\n".join([*lines, *(f"# finds {each}" for each in pattern.finds)])


def _for_trufflehog(pattern: Pattern) -> str:
    lines = ["detectors:", f"  - name: {pattern.prefix}-api-key", f"    keywords: [{json.dumps(pattern.prefix + '_')}]"]
    lines += ["    regex:", f"      key: {json.dumps(pattern.expression)}"]
    return "\n".join([*lines, *(f"    # finds {each}" for each in pattern.finds)])
