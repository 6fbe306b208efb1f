"""Rows of the outbox, read: what they mean, and what of them is sealed."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..._ground.frozen import HiddenBytes, HiddenText
from ..schemes import Scheme
from ..secrets import Secret
from .records import Claimed, Delivery, Destination, Endpoint, PastAttempt
from .sealing import Seal
from .stamps import maybe, micros, moment, seconds

Row = Mapping[str, Any]

_logger = logging.getLogger("keystile")
# Another row of the same endpoint is sealed for another name: the two cannot be exchanged.
_SECRETS, _HEADERS = "{}/secrets", "{}/headers"


class Kept(NamedTuple):
    """A secret as it is kept.

    Attributes:
        text: the secret.
        expires_at: microseconds at which it ends, or None.
    """

    text: HiddenText
    expires_at: int | None = None


class Rows:
    """Reads rows, and writes what of them is sealed.

    Args:
        seal: opens and closes secrets.
    """

    def __init__(self, seal: Seal) -> None:
        self._seal = seal
        self._told: set[str] = set()

    def sealed(self, endpoint_id: str, secrets: Sequence[Kept]) -> str:
        """Secrets as a row keeps them, the newest first."""
        listed = [{"secret": each.text.plain, "expires_at": each.expires_at} for each in secrets]
        return self._seal.closed(json.dumps(listed), _SECRETS.format(endpoint_id))

    def sealed_headers(self, endpoint_id: str, headers: Sequence[tuple[str, str]]) -> str:
        """Headers as a row keeps them."""
        return self._seal.closed(json.dumps(headers), _HEADERS.format(endpoint_id))

    def secrets(self, endpoint_id: str, sealed: str, now: float) -> list[Kept] | None:
        """The secrets that are in force, the newest first; None if no key opens them."""
        text = self._seal.opened(sealed, _SECRETS.format(endpoint_id))
        if text is None:
            return None
        listed = [Kept(HiddenText(each["secret"]), each["expires_at"]) for each in json.loads(text)]
        return [each for each in listed if each.expires_at is None or each.expires_at > micros(now)]

    def claimed(self, row: Row, now: float) -> Claimed | None:
        """A delivery with its message and its endpoint, in columns that are named by their table too; None if the
        secrets cannot be opened, which is logged once for each endpoint."""
        delivery, message, endpoint = (_part(row, name) for name in ("deliveries", "messages", "endpoints"))
        destination = self._destination(endpoint, now)
        if destination is None:
            return None
        return Claimed(
            delivery_id=delivery["id"],
            message_id=message["id"],
            type=message["type"],
            payload=HiddenBytes(message["payload"]),
            endpoint=destination,
            attempt=delivery["attempt"],
            tries=delivery["attempt"] - delivery["begun_after"],
            created_at=seconds(message["created_at"]),
            lease_by=delivery["lease_by"],
            lease_until=seconds(delivery["due_at"]),
        )

    def _destination(self, row: Row, now: float) -> Destination | None:
        secrets = self.secrets(row["id"], row["secrets"], now)
        headers = self._seal.opened(row["headers"], _HEADERS.format(row["id"]))
        if secrets is None or headers is None:
            if row["id"] not in self._told:
                self._told.add(row["id"])
                said = "webhooks: no key opens the secrets of the endpoint %s: was its key replaced, and not kept?"
                _logger.warning(said, row["id"])
            return None
        scheme = scheme_of(row["scheme"])
        carried = secrets[:1] if scheme.name == "hex_body" else secrets
        return Destination(
            id=row["id"],
            organization_id=row["organization_id"],
            url=row["url"],
            scheme=scheme,
            headers=tuple((name, value) for name, value in json.loads(headers)),
            secrets=tuple(Secret(each.text) for each in carried),
            first_failure_at=None if row["first_failure_at"] is None else seconds(row["first_failure_at"]),
        )


def endpoint_of(row: Row) -> Endpoint:
    """The endpoint in a row."""
    types = row["event_types"]
    return Endpoint(
        id=row["id"],
        organization_id=row["organization_id"],
        url=row["url"],
        description=row["description"],
        event_types=None if types is None else tuple(json.loads(types)),
        scheme=scheme_of(row["scheme"]),
        header_names=tuple(json.loads(row["header_names"])),
        created_at=moment(row["created_at"]),
        disabled_at=maybe(row["disabled_at"]),
        disabled_reason=row["disabled_reason"],
        first_failure_at=maybe(row["first_failure_at"]),
        revision=row["revision"],
    )


def delivery_of(row: Row) -> Delivery:
    """The delivery in a row, with its message's type and time."""
    return Delivery(
        id=row["id"],
        message_id=row["message_id"],
        endpoint_id=row["endpoint_id"],
        type=row["type"],
        state=row["state"],
        attempts=row["attempt"],
        due_at=moment(row["due_at"]) if row["state"] == "due" else None,
        created_at=moment(row["created_at"]),
    )


def attempt_of(row: Row) -> PastAttempt:
    """The attempt in a row."""
    return PastAttempt(
        delivery_id=row["delivery_id"],
        attempt=row["attempt"],
        at=moment(row["at"]),
        status=row["status"],
        error=row["error"],
        seconds=row["ms"] / 1000,
        response_head=row["response_head"],
    )


def scheme_of(text: str) -> Scheme:
    """The scheme in a row."""
    given = json.loads(text)
    return Scheme(given["name"], given["header"], given["prefix"])


def scheme_text(scheme: Scheme) -> str:
    """A scheme as a row keeps it."""
    return json.dumps({"name": scheme.name, "header": scheme.header, "prefix": scheme.prefix})


def _part(row: Row, table: str) -> dict[str, Any]:
    before = f"keystile_{table}_"
    return {name.removeprefix(before): value for name, value in row.items() if name.startswith(before)}
