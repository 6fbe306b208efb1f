"""The endpoint as a function: octets and two headers in, an answer out. The doors only carry both."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .._sync import Offload, Pool
from ..exceptions import ConfigurationError, Overloaded
from ..gate import Gate
from .acting import Acting, OnLeak
from .reports import Report, labelled, read_reports
from .signatures import (
    GITHUB_KEYS,
    MOST_IDENTIFIER,
    MOST_SIGNATURE,
    Fetch,
    KeysUnavailable,
    PublicKeys,
    fetch_from,
    is_signed,
    needed,
)

MOST_BODY = 5 * 1_048_576
IDENTIFIER, SIGNATURE = "github-public-key-identifier", "github-public-key-signature"
_CHOICES = (None, "revoke", "notify")


class Answer(NamedTuple):
    """What goes out.

    Attributes:
        status: the HTTP status.
        body: JSON.
        headers: more than content type and length.
    """

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def refusal(status: int, code: str, message: str, *headers: tuple[str, str]) -> Answer:
    """An error in the gate's own shape."""
    error = {"code": code, "message": message, "details": {}}
    return Answer(status, json.dumps({"error": error}).encode(), headers)


TOO_LONG = refusal(413, "body_too_large", f"The body is longer than {MOST_BODY} bytes.")
_NOT_POST = refusal(405, "method_not_allowed", "Reports are sent with POST.", ("allow", "POST"))
_NO_HEADERS = refusal(400, "invalid_request", "The headers that name the key and hold the signature are missing.")
_UNSIGNED = refusal(403, "invalid_signature", "This was not signed with the key that it names.")
_UNAVAILABLE = refusal(503, "unavailable", "It cannot be checked now who sent this.", ("retry-after", "60"))


class Partner:
    """GitHub's partner endpoint of one gate.

    Args:
        gate: whose keys are reported.
        fetch: gets GitHub's public keys; by default over HTTP, from `keys_url`.
        keys_url: where they are.
        on_leak: ``"revoke"`` or ``"notify"``; None revokes all but the keys for development.

    Raises:
        ConfigurationError: an argument is wrong, keys cannot be told from other texts, or a library is missing.
    """

    def __init__(
        self, gate: Gate, *, fetch: Fetch | None = None, keys_url: str = GITHUB_KEYS, on_leak: OnLeak | None = None
    ) -> None:
        if on_leak not in _CHOICES:
            raise ConfigurationError("expected 'revoke', 'notify' or None", key="on_leak")
        needed()
        self._checks = gate.keys.pattern.checks
        self._keys = PublicKeys(fetch_from(keys_url) if fetch is None else fetch)
        self._acting = Acting(gate, on_leak)
        self._pool = Pool(2, 16)

    def refuse_head(self, method: str, headers: Mapping[str, str]) -> Answer | None:
        """Why a request is refused before its body is read, or None.

        Args:
            method: of the request.
            headers: `IDENTIFIER`, `SIGNATURE` and ``content-length``, those that came.
        """
        if method != "POST":
            return _NOT_POST
        identifier, signature = headers.get(IDENTIFIER, ""), headers.get(SIGNATURE, "")
        if not 1 <= len(identifier) <= MOST_IDENTIFIER or not 1 <= len(signature) <= MOST_SIGNATURE:
            return _NO_HEADERS
        length = headers.get("content-length", "0")
        too_long = not length.isdecimal() or len(length) > 10 or int(length) > MOST_BODY
        return TOO_LONG if too_long else None

    async def receive(self, body: bytes, headers: Mapping[str, str], offload: Offload) -> Answer:
        """The answer to a request that `refuse_head` let through. What was reported is dealt with later.

        Args:
            body: the raw body, whole.
            headers: as for `refuse_head`.
            offload: how this door runs what blocks.
        """
        if len(body) > MOST_BODY:
            return TOO_LONG
        try:
            key = await self._keys.find(headers[IDENTIFIER], offload)
            read = await offload.run(self._pool, self._read, key, headers[SIGNATURE], body)
        except (KeysUnavailable, Overloaded):
            return _UNAVAILABLE
        if isinstance(read, Answer):
            return read
        answer, keys = read
        self._acting.begin(keys)
        return answer

    def _read(self, key: Any, signature: str, body: bytes) -> Answer | tuple[Answer, tuple[Report, ...]]:
        if key is None or not is_signed(key, signature, body):
            return _UNSIGNED
        try:
            reports = read_reports(body)
        except ValueError as error:
            return refusal(400, "invalid_request", f"The body cannot be used: {error}.")
        keys = tuple(each for each in reports if self._checks(each.token.encode(errors="replace")))
        return Answer(200, labelled(reports, self._checks)), keys
