"""What GitHub reports, and what it is answered: JSON lists, one member for each place where a key was found."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .._ground.frozen import HiddenText

MOST_REPORTS, MOST_TOKEN, MOST_TEXT = 10_000, 1024, 2048


class Report(NamedTuple):
    """Something with the form of a key, in a public place.

    Attributes:
        token: what was found; no repr shows it.
        type: what GitHub calls its pattern.
        url: where; may be empty.
        source: what kind of place, such as ``"commit"``.
    """

    token: HiddenText
    type: str
    url: str
    source: str


def read_reports(body: bytes) -> tuple[Report, ...]:
    """The reports in a body that was proved to come from GitHub.

    Raises:
        ValueError: it is no list of reports; nothing of the body is in the message.
    """
    try:
        listed = json.loads(body)
    except (ValueError, RecursionError):
        listed = None
    if not isinstance(listed, list):
        raise ValueError("expected a JSON list")  # noqa: TRY004 - of a body, not of an argument
    if len(listed) > MOST_REPORTS:
        raise ValueError(f"expected at most {MOST_REPORTS} reports")
    return tuple(_report(each) for each in listed)


def _report(given: Any) -> Report:
    token = given.get("token") if isinstance(given, dict) else None
    if not isinstance(token, str) or not 1 <= len(token) <= MOST_TOKEN:
        raise ValueError("expected a token in each report")
    kind, url, source = (str(given.get(name) or "")[:MOST_TEXT] for name in ("type", "url", "source"))
    return Report(HiddenText(token), kind, url, source)


def labelled(reports: Iterable[Report], checks: Callable[[bytes], bool]) -> bytes:
    """GitHub's answer: which of them are keys by form and check. The token goes back as its SHA-256 alone."""
    labels = ("false_positive", "true_positive")
    return json.dumps(
        [
            {
                "token_hash": hashlib.sha256(each.token.encode(errors="replace")).hexdigest(),
                "token_type": each.type,
                "label": labels[checks(each.token.encode(errors="replace"))],
            }
            for each in reports
        ]
    ).encode()
