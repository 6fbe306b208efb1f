"""Webhook endpoints of an organization, and what is delivered to them.

They are kept in the outbox, which may be another database than that of keys. What the other side answered is shown to
nobody here: it may come from a server that only this service can reach.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ...exceptions import ConfigurationError, NotFound
from ...keys.changes.fields import UNSET, Unset
from ...webhooks import Scheme
from .calls import Call, check_listed, listed
from .shown import Listed, Retried, ShownAttempt, ShownDelivery

if TYPE_CHECKING:
    from ...webhooks.outbox import Delivery, Endpoint, IssuedEndpoint, Outbox
    from ...webhooks.outbox.records import State

MOST_RETRIED = 5000
"""About so many deliveries are sent once more by one call."""
# Every id of the outbox is written so. What is not is the id of nothing.
_ID = re.compile(r"[0-9A-Za-z_]{1,64}")


class EndpointOperations:
    """What can be done with webhook endpoints.

    Args:
        outbox: where they are kept.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox, self._endpoints = outbox, outbox.endpoints

    async def list(
        self, call: Call, *, organization_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Listed[Endpoint]:
        """Endpoints, oldest first; the arguments are those of the list of keys."""
        call.authority.require("webhooks:read")
        check_listed(limit)
        organization = call.organization(organization_id)
        endpoints = self._endpoints
        found = await call.ask(
            endpoints.list, endpoints.alist, organization_id=organization, after=after, limit=limit + 1
        )
        return listed(found, limit)

    async def get(self, call: Call, endpoint_id: str) -> Endpoint:
        """One endpoint."""
        call.authority.require("webhooks:read")
        return await self._seen(call, endpoint_id)

    async def create(
        self,
        call: Call,
        url: str,
        *,
        organization_id: str | None = None,
        event_types: Sequence[str] | None = None,
        scheme: Any = "standard",
        signature_header: str | None = None,
        headers: Mapping[str, str] | None = None,
        description: str | None = None,
    ) -> IssuedEndpoint:
        """Make an endpoint; gives the secret that its messages are signed with, this once.

        Args:
            call: who asks.
            url: where messages go.
            organization_id: whose it is; a managing key leaves it out.
            event_types: the types of messages that it gets; None for all.
            scheme: ``"standard"``, ``"hex_body"`` or ``"timestamped"``.
            signature_header: the header with the signature, for the latter two.
            headers: names and values that its messages carry too.
            description: a label for people.

        Raises:
            EndpointConflict: the organization has as many as it may have.
        """
        call.authority.require("webhooks:manage")
        organization = call.organization(organization_id)
        if organization is None:
            raise ConfigurationError("say whose it is", key="organization_id")
        return await call.ask(
            self._endpoints.create,
            self._endpoints.acreate,
            url,
            organization_id=organization,
            event_types=event_types,
            scheme=_scheme(scheme, signature_header),
            headers=headers,
            description=description,
        )

    async def update(
        self,
        call: Call,
        endpoint_id: str,
        *,
        url: str | Unset = UNSET,
        event_types: Sequence[str] | Unset | None = UNSET,
        headers: Mapping[str, str] | Unset | None = UNSET,
        description: str | Unset | None = UNSET,
        revision: int | None = None,
    ) -> Endpoint:
        """Change an endpoint. What is left out stays; `headers` replaces all of them."""
        call.authority.require("webhooks:manage")
        found = await self._seen(call, endpoint_id)
        return await call.ask(
            self._endpoints.update,
            self._endpoints.aupdate,
            found.id,
            organization_id=found.organization_id,
            url=url,
            event_types=event_types,
            headers={} if headers is None else headers,
            description=description,
            revision=revision,
        )

    async def rotate(
        self, call: Call, endpoint_id: str, *, grace: float | None = None, revision: int | None = None
    ) -> IssuedEndpoint:
        """Give an endpoint a new secret, shown this once; the arguments are those of `outbox.endpoints.rotate`."""
        call.authority.require("webhooks:manage")
        found = await self._seen(call, endpoint_id)
        return await call.ask(
            self._endpoints.rotate,
            self._endpoints.arotate,
            found.id,
            organization_id=found.organization_id,
            grace=grace,
            revision=revision,
        )

    async def enable(self, call: Call, endpoint_id: str, *, revision: int | None = None) -> Endpoint:
        """Have an endpoint get messages again, also those that waited."""
        call.authority.require("webhooks:manage")
        found, endpoints = await self._seen(call, endpoint_id), self._endpoints
        whose = found.organization_id
        return await call.ask(endpoints.enable, endpoints.aenable, found.id, organization_id=whose, revision=revision)

    async def disable(self, call: Call, endpoint_id: str, *, revision: int | None = None) -> Endpoint:
        """Let an endpoint get nothing, until it is enabled. What is due to it waits."""
        call.authority.require("webhooks:manage")
        found, endpoints = await self._seen(call, endpoint_id), self._endpoints
        whose = found.organization_id
        return await call.ask(endpoints.disable, endpoints.adisable, found.id, organization_id=whose, revision=revision)

    async def delete(self, call: Call, endpoint_id: str) -> Endpoint:
        """End an endpoint for good; gives it as it was. What was due to it is not sent any more."""
        call.authority.require("webhooks:manage")
        found, endpoints = await self._seen(call, endpoint_id), self._endpoints
        await call.ask(endpoints.delete, endpoints.adelete, found.id, organization_id=found.organization_id)
        return found

    async def test(self, call: Call, endpoint_id: str) -> str:
        """Have a message of the type ``webhook.test`` sent to an endpoint; gives the message's id.

        Raises:
            EndpointConflict: it is disabled.
        """
        call.authority.require("webhooks:manage")
        found, outbox = await self._seen(call, endpoint_id), self._outbox
        return await call.ask(outbox.test, outbox.atest, found.id, organization_id=found.organization_id)

    async def deliveries(
        self, call: Call, endpoint_id: str, *, state: State | None = None, after: str | None = None, limit: int = 100
    ) -> Listed[Delivery]:
        """What was and is to be delivered to an endpoint, the newest first."""
        call.authority.require("webhooks:read")
        check_listed(limit)
        found = await self._seen(call, endpoint_id)
        deliveries = await call.ask(
            self._outbox.deliveries,
            self._outbox.adeliveries,
            found.id,
            state,
            organization_id=found.organization_id,
            after=after,
            limit=limit + 1,
        )
        return listed(deliveries, limit)

    async def delivery(self, call: Call, endpoint_id: str, delivery_id: str) -> ShownDelivery:
        """One delivery to an endpoint, with its attempts."""
        call.authority.require("webhooks:read")
        found = await self._delivery(call, endpoint_id, delivery_id)
        attempts = await call.ask(self._outbox.attempts, self._outbox.aattempts, found.id)
        history = (ShownAttempt(each.attempt, each.at, each.status, each.error, each.seconds) for each in attempts)
        return ShownDelivery(found, tuple(history))

    async def retry(self, call: Call, endpoint_id: str, delivery_id: str) -> Delivery:
        """Have a message sent to an endpoint once more, now; also one that has arrived."""
        call.authority.require("webhooks:manage")
        found = await self._delivery(call, endpoint_id, delivery_id)
        return await call.ask(self._outbox.retry, self._outbox.aretry, found.id)

    async def retry_failed(self, call: Call, endpoint_id: str, *, since: datetime) -> Retried:
        """Have everything sent once more that was given up, of what was added since then; about `MOST_RETRIED` of it,
        the oldest first."""
        call.authority.require("webhooks:manage")
        found, outbox = await self._seen(call, endpoint_id), self._outbox
        whose = found.organization_id
        count = await call.ask(
            outbox.retry_failed,
            outbox.aretry_failed,
            found.id,
            since=since,
            organization_id=whose,
            most=MOST_RETRIED,
        )
        return Retried(count, count >= MOST_RETRIED)

    async def _seen(self, call: Call, endpoint_id: str) -> Endpoint:
        """The endpoint with this id; NotFound if there is none that the caller sees."""
        if not _ID.fullmatch(endpoint_id):
            raise NotFound("endpoint", endpoint_id)
        found = await call.ask(self._endpoints.get, self._endpoints.aget, endpoint_id)
        if not call.authority.sees(found.organization_id):
            raise NotFound("endpoint", endpoint_id)
        return found

    async def _delivery(self, call: Call, endpoint_id: str, delivery_id: str) -> Delivery:
        """The delivery with this id, if it is one to this endpoint."""
        endpoint = await self._seen(call, endpoint_id)
        if not _ID.fullmatch(delivery_id):
            raise NotFound("delivery", delivery_id)
        found = await call.ask(self._outbox.delivery, self._outbox.adelivery, delivery_id)
        if found.endpoint_id != endpoint.id:
            raise NotFound("delivery", delivery_id)
        return found


def _scheme(name: Any, header: str | None) -> Scheme:
    """The scheme that a customer wants. The header of its signature is as free as those that the customer adds."""
    from ...webhooks.sending import check_fields

    scheme = Scheme.named(name, header)
    if header is not None:
        try:
            check_fields({header: "x"})
        except ConfigurationError as error:
            raise ConfigurationError(error.reason, key="signature_header") from None
    return scheme
