"""What becomes of a request over http where https is demanded."""

from __future__ import annotations

from ..model import Reason
from ..policy import Policy
from ..rules import outcomes
from ..rules.requests.masks import Mask
from .dryrun import DryRun
from .transport import Transport, Visit, leads_on


class InTheClear:
    """Says why a request over http is refused.

    Args:
        policy: the settings.
        transport: reports keys that came over http.
        mask: finds keys within a text.
        dry: whether the gate is in dry run.
    """

    def __init__(self, policy: Policy, transport: Transport, mask: Mask, dry: DryRun) -> None:
        self._policy, self._transport, self._mask, self._dry = policy, transport, mask, dry

    def refusal(self, visit: Visit, *, keyless: bool, again: bool) -> Reason | None:
        """Why, or None in dry run of the gate.

        Args:
            visit: the request.
            keyless: it presents no key. One that it presents is not looked at for that, but it is reported as sent.
            again: the request is judged once more, so that nothing is reported.
        """
        request, reason = visit.request, outcomes.HTTPS_REQUIRED
        if not again and not keyless:
            self._transport.tell_of_clear(visit)
        redirects = self._policy.https == "redirect" and request.scheme == "http"
        if redirects and leads_on(request, self._mask, keyless=keyless):
            reason = outcomes.HTTPS_REDIRECTS[self._policy.redirect_status]
        if self._dry.enforces:
            return reason
        if not again:
            self._dry.tell(reason, visit)
        return None
