"""CORS preflights that the gate answers itself: for which origins, and with what."""

from __future__ import annotations

from ..model import Asked, Request
from ..policy import Policy
from ..rules.requests.masks import Mask
from ..rules.requests.paths import RuleTable
from ..rules.requests.preflights import granted, listed

Granted = tuple[tuple[str, ...], tuple[str, ...]]
"""The methods and the names of headers that the answer allows."""


class Preflights:
    """Says which preflights the gate answers.

    Args:
        policy: the settings.
        rules: know the methods of a path.
        mask: finds keys within a text.
    """

    def __init__(self, policy: Policy, rules: RuleTable, mask: Mask) -> None:
        self._origins, self._rules, self._mask = frozenset(policy.cors_origins), rules, mask

    def granted(self, request: Request, asked: Asked) -> Granted | None:
        """What the answer to a preflight allows; None if it is not the gate's to answer."""
        if not listed(asked.origin, self._origins):
            return None
        known = () if request.unreadable else self._rules.methods(request.path, request.raw_path)
        # Where any long word may be a key, names of headers are taken for what they are.
        return granted(asked, known, self._mask.holds if self._mask.is_sure else _no_key)


def _no_key(_: str) -> bool:
    """Whether a text holds a key, where nothing tells."""
    return False
