"""Requests without a key that is good: CORS preflights that the gate answers itself, and what one look tells of others.

`order` is the specification of the second part, as it is of `lanes`: what is met here would be answered there likewise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from ..events import Events
from ..model import Admitted, Asked, Refused, Request
from ..policy import Policy
from ..rules import outcomes
from ..rules.limits.quotas import Quotas
from ..rules.requests.credentials import TOKEN_CHARS
from ..rules.requests.masks import Mask
from ..rules.requests.paths import RuleTable
from ..rules.requests.preflights import granted, listed
from .transport import RequestIds, Target

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


Meet = Callable[["bytes | None", Target, bool], "Admitted | Refused | None"]

_new = tuple.__new__


def meeting(  # noqa: PLR0917 - what a gate is made of
    policy: Policy,
    rules: RuleTable,
    quotas: Quotas,
    ids: RequestIds,
    events: Events,
    is_candidate: Callable[[bytes], Any],
    schemes: tuple[str, ...],
) -> Meet:
    """A function that takes the one token of a request, or None, its target, and whether it came over https, if there
    is nothing else in it and this is no key that is known; and gives what becomes of it, or None where only the order
    can say.

    Args:
        policy: the settings: whether https is demanded, now and for the future.
        rules: what a path demands.
        quotas: whether requests without a key are counted.
        ids: of requests.
        events: whether somebody listens.
        is_candidate: whether a token may be a key, by its form and its check.
        schemes: how a key can be presented.
    """
    https, hsts, counted = policy.https != "off", policy.hsts is not None, bool(quotas.for_anyone(()))
    met, look_up, wanted = rules.met.get, rules.demand, events.wanted

    def meet(token: bytes | None, target: Target, secure: bool) -> Admitted | Refused | None:
        demand = met(target) or look_up(*target)
        if (https and not secure) or demand.admits is not None or demand.would_admit is not None:
            return None
        if demand.public is True:
            if counted or demand.windows:
                return None
            return _new(Admitted, (None, ids.draw(), (), demand, hsts and secure))
        # Who is told of refusals is told by the order: here the key stands in the clear in a frame of the door's.
        if demand.public or wanted(logging.INFO):
            return None
        reason = outcomes.MISSING
        if token is not None:
            try:
                if not token or token.translate(None, TOKEN_CHARS) or is_candidate(token):
                    return None
            except Exception:  # noqa: BLE001 - the form is the host's: the order asks once more, and tells of it
                return None
            reason = outcomes.INVALID
        return _new(Refused, (reason, ids.draw(), (), hsts and secure, None, schemes))

    return meet
