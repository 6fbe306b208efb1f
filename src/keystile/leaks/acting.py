"""What becomes of a key that was published: proved, then revoked or only told, off the path of the request.

Whoever knows the public part of a key can publish a text that looks like it. So nothing is done before the secret is
proved. A service hears of it as the event ``key_leaked``.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal

from .._sync import later
from ..events import Event
from ..exceptions import KeyNotFound
from ..gate import Gate
from ..model import Actor, ApiKey
from .reports import Report

OnLeak = Literal["revoke", "notify"]
# Who the audit says has revoked a key.
_ACTOR = Actor("system", None, "GitHub secret scanning", "leak_scan")
# Between two batches the thread does other work, such as noting when keys were used.
BATCH, TRIES = 20, 3


class Acting:
    """Deals with the keys in reports.

    Args:
        gate: whose keys they are.
        on_leak: ``"revoke"`` or ``"notify"``; None revokes all but those for development.
    """

    def __init__(self, gate: Gate, on_leak: OnLeak | None) -> None:
        self._gate, self._on_leak = gate, on_leak

    def begin(self, reports: Sequence[Report]) -> None:
        """Deal with them soon, each key once."""
        self._go_on(tuple({each.token: each for each in reversed(reports)}.values())[::-1], TRIES)

    def _go_on(self, reports: Sequence[Report], tries: int) -> None:
        if reports:
            later(self._awaited if self._gate.needs_await else self._blocking, reports, tries)

    def _blocking(self, reports: Sequence[Report], tries: int) -> None:
        keys = self._gate.keys
        failed: list[Report] = []
        for each in reports[:BATCH]:
            key = None
            try:
                key = keys.identify(each.token)
                if key is not None:
                    revoked = self._revokes(key) and keys.revoke(key.id, actor=_ACTOR) is not None
                    self._tell(each, key, revoked=revoked)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other reports are dealt with
                failed += self._failed(each, key, error, tries)
        self._after(reports, failed, tries)

    async def _awaited(self, reports: Sequence[Report], tries: int) -> None:
        keys = self._gate.keys
        failed: list[Report] = []
        for each in reports[:BATCH]:
            key = None
            try:
                key = await keys.aidentify(each.token)
                if key is not None:
                    self._tell(
                        each, key, revoked=self._revokes(key) and await keys.arevoke(key.id, actor=_ACTOR) is not None
                    )
            except Exception as error:  # noqa: BLE001 - likewise
                failed += self._failed(each, key, error, tries)
        self._after(reports, failed, tries)

    def _revokes(self, key: ApiKey) -> bool:
        if key.revoked_at is not None:
            return False
        return (self._on_leak or ("notify" if key.environment == "development" else "revoke")) == "revoke"

    def _failed(self, report: Report, key: ApiKey | None, error: Exception, tries: int) -> tuple[Report, ...]:
        """What is to be tried again. A key that was proved is told even if it cannot be revoked."""
        if isinstance(error, KeyNotFound):
            return ()
        if key is not None and tries == 1:
            self._tell(report, key, revoked=False)
        return (report,)

    def _after(self, reports: Sequence[Report], failed: Sequence[Report], tries: int) -> None:
        self._go_on(reports[BATCH:], tries)
        if not failed:
            return
        if tries > 1:
            self._go_on(failed, tries - 1)
        else:
            reason = f"{len(failed)} reported keys could not be looked up or revoked"
            self._gate.events.tell(Event("leaks_unhandled", logging.ERROR, reason=reason))

    def _tell(self, report: Report, key: ApiKey, *, revoked: bool) -> None:
        done = "revoked" if revoked else "it was revoked before" if key.revoked_at is not None else "still valid"
        found = self._gate.mask.hide(f"{report.source} {report.url}".replace(report.token, "***").strip())
        event = Event("key_leaked", logging.WARNING, key_id=key.id, reason=f"{done}; found in: {found or 'unknown'}")
        self._gate.events.tell(event._replace(organization_id=key.organization_id))
