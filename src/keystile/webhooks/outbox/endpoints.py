"""What a service does with the endpoints of its customers: create, get, list, update, rotate, enable, disable, delete.

Every operation on one endpoint takes the organization that asks: the endpoint of another one is not found.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import sqlalchemy as sa

from ..._ground.frozen import HiddenText
from ..._sync import Offload
from ...exceptions import ConfigurationError, RecordChanged
from ...keys.changes.fields import UNSET, Unset, check_optional, check_page, check_seconds, check_text
from ...keys.changes.twins import awaited, blocking
from ...policy.webhooks import LONGEST_GRACE
from ...rules.network.targets import Targets
from ..schemes import Scheme
from ..sending import check_fields
from . import history, registering
from .database import Database
from .records import Endpoint, IssuedEndpoint
from .registering import check_scheme, check_secret, check_url, draw, living, types_text
from .rows import Kept, Row, Rows, endpoint_of, scheme_text
from .stamps import ENDPOINT, micros, new_id
from .tables import endpoints

GRACE = 86_400
_BY_HAND = "by hand"

Change = Callable[[Row], Mapping[str, Any]]
"""Works out what to set, from an endpoint's row."""


class Endpoints:
    """The endpoints of one outbox; `outbox.endpoints` is one.

    Every operation has an awaited twin: `acreate`, `aget` and so on. They raise StoreUnavailable if the database does
    not answer.

    Args:
        database: where they are kept.
        rows: seals their secrets.
        targets: where messages may be sent.
        clock: gives Unix seconds.
        authorization: whether headers may hold ``Authorization``.
    """

    needs_await = False

    def __init__(
        self,
        database: Database,
        rows: Rows,
        targets: Targets,
        clock: Callable[[], float],
        *,
        authorization: bool = False,
    ) -> None:
        self._database, self._rows, self._targets, self._clock = database, rows, targets, clock
        self._authorization = authorization

    async def _create(
        self,
        offload: Offload,
        url: str,
        *,
        organization_id: str,
        event_types: Sequence[str] | None = None,
        scheme: Scheme | str = "standard",
        headers: Mapping[str, str] | None = None,
        description: str | None = None,
        secret: str | None = None,
    ) -> IssuedEndpoint:
        """Make an endpoint. It gets the messages that are added from now on.

        Args:
            url: where messages go: ``https://…``, to an address that is the public's.
            organization_id: whose it is.
            event_types: the types of messages that it gets; None for all.
            scheme: how its messages are signed: ``"standard"``, or a `Scheme` with a header of its own.
            headers: names and values that its messages carry too. They are sealed like the secret.
            description: a label for people.
            secret: what its messages were signed with before, elsewhere; None draws one.

        Raises:
            ConfigurationError: something of it cannot be used, or the organization has too many.
        """
        now = self._clock()
        endpoint_id, signing = new_id(ENDPOINT, now), check_scheme(scheme)
        drawn = draw() if secret is None else check_secret(signing, secret)
        fields = self._headers(endpoint_id, {} if headers is None else headers)
        self._targets.read(check_url(url))
        row = {
            "id": endpoint_id,
            "organization_id": check_text(organization_id, "organization_id"),
            "url": url,
            "description": check_optional(description, "description"),
            "event_types": types_text(event_types),
            "scheme": scheme_text(signing),
            "secrets": self._rows.sealed(endpoint_id, [Kept(drawn)]),
            **fields,
            "created_at": micros(now),
            "disabled_at": None,
            "disabled_reason": None,
            "first_failure_at": None,
            "deleted_at": None,
            "revision": 1,
        }
        work = partial(registering.insert, row=row)
        await self._database.write(offload, work, registering.was_inserted(row))
        return IssuedEndpoint(endpoint_of(row), drawn.plain)

    async def _get(self, offload: Offload, endpoint_id: str, *, organization_id: str | None = None) -> Endpoint:
        """The endpoint with this id.

        Raises:
            NotFound: there is none, or it is another organization's.
        """
        wanted = check_text(endpoint_id, "endpoint_id"), check_optional(organization_id, "organization_id")
        return endpoint_of(await self._database.read(offload, lambda connection: living(connection, *wanted)))

    async def _list(
        self, offload: Offload, *, organization_id: str | None = None, after: str | None = None, limit: int = 100
    ) -> Sequence[Endpoint]:
        """Endpoints, oldest first.

        Args:
            organization_id: only its own.
            after: only those after the one with this id, the last one of the previous page.
            limit: at most this many, 1 to 1000.
        """
        where: list[sa.ColumnElement[bool]] = [endpoints.c.deleted_at.is_(None)]
        if check_optional(organization_id, "organization_id") is not None:
            where.append(endpoints.c.organization_id == organization_id)
        if check_optional(after, "after") is not None:
            where.append(endpoints.c.id > after)
        wanted = sa.select(endpoints).where(*where).order_by(endpoints.c.id).limit(check_page(limit))
        found = await self._database.read(offload, lambda connection: connection.execute(wanted).mappings().all())
        return [endpoint_of(dict(row)) for row in found]

    async def _update(
        self,
        offload: Offload,
        endpoint_id: str,
        *,
        organization_id: str | None = None,
        url: str | Unset = UNSET,
        event_types: Sequence[str] | Unset | None = UNSET,
        headers: Mapping[str, str] | Unset = UNSET,
        description: str | Unset | None = UNSET,
        revision: int | None = None,
    ) -> Endpoint:
        """Change an endpoint. What is left out stays. What is due to it already goes to the new URL.

        Raises:
            NotFound: there is none, or it is another organization's.
            RecordChanged: it has another revision than the given one.
            ConfigurationError: something of it cannot be used.
        """
        changes: dict[str, Any] = {}
        if not isinstance(url, Unset):
            self._targets.read(check_url(url))
            changes["url"] = url
        if not isinstance(event_types, Unset):
            changes["event_types"] = types_text(event_types)
        if not isinstance(headers, Unset):
            changes |= self._headers(check_text(endpoint_id, "endpoint_id"), headers)
        if not isinstance(description, Unset):
            changes["description"] = check_optional(description, "description")
        return await self._change(offload, endpoint_id, organization_id, lambda _row: changes, revision)

    async def _rotate(
        self,
        offload: Offload,
        endpoint_id: str,
        *,
        organization_id: str | None = None,
        grace: float | None = None,
        secret: str | None = None,
        revision: int | None = None,
    ) -> IssuedEndpoint:
        """Give an endpoint a new secret. Until the grace is over, messages are signed with both.

        Args:
            endpoint_id: which one.
            organization_id: whose it must be.
            grace: for how many seconds the present secret goes on signing; None stands for a day. Of older ones none
                does. ``hex_body`` has room for one signature, so there it ends at once.
            secret: the new one; None draws one.
            revision: the one that the caller has seen; None for any.

        Raises:
            RecordChanged: it has another revision.
            NotFound: there is none, or it is another organization's.
            ConfigurationError: the secret or the grace cannot be used, or no key opens what was sealed.
        """
        now, drawn = self._clock(), draw() if secret is None else HiddenText(check_text(secret, "secret"))
        lasts = None if grace is None else check_seconds(grace, LONGEST_GRACE, "grace")

        def renewed(row: Row) -> Mapping[str, Any]:
            scheme = endpoint_of(row).scheme
            check_secret(scheme, drawn)
            if scheme.name == "hex_body" and lasts:
                raise ConfigurationError("a message of 'hex_body' carries one signature: grace must be 0", key="grace")
            kept = self._rows.secrets(row["id"], row["secrets"], now)
            if kept is None:
                raise ConfigurationError("does not open the secret of this endpoint", key="key")
            ends = 0 if scheme.name == "hex_body" else GRACE if lasts is None else lasts
            # A second try, when nobody heard of the first one, finds the new one there already.
            before = [each.text for each in kept if each.text != drawn][:1]
            older = [Kept(text, micros(now + ends)) for text in before if ends]
            return {"secrets": self._rows.sealed(row["id"], [Kept(drawn), *older])}

        changed = await self._change(offload, endpoint_id, organization_id, renewed, revision)
        return IssuedEndpoint(changed, drawn.plain)

    async def _enable(
        self, offload: Offload, endpoint_id: str, *, organization_id: str | None = None, revision: int | None = None
    ) -> Endpoint:
        """Have an endpoint get messages again, also those that waited; NotFound if there is none. What was added in the
        meantime was not kept for it."""
        changes = {"disabled_at": None, "disabled_reason": None, "first_failure_at": None}
        return await self._change(offload, endpoint_id, organization_id, lambda _row: changes, revision)

    async def _disable(
        self,
        offload: Offload,
        endpoint_id: str,
        *,
        organization_id: str | None = None,
        reason: str = _BY_HAND,
        revision: int | None = None,
    ) -> Endpoint:
        """Let an endpoint get nothing, until it is enabled; NotFound if there is none. What is due to it waits; what is
        added is not kept for it."""
        changes = {"disabled_at": micros(self._clock()), "disabled_reason": check_text(reason, "reason")}
        return await self._change(
            offload, endpoint_id, organization_id, lambda row: {} if row["disabled_at"] else changes, revision
        )

    async def _delete(self, offload: Offload, endpoint_id: str, *, organization_id: str | None = None) -> None:
        """End an endpoint for good; NotFound if there is none. What was due to it is dropped: nothing of it is sent any
        more, but for what is under way. Its secrets are forgotten; its deliveries can be read until they are purged."""
        wanted = check_text(endpoint_id, "endpoint_id"), check_optional(organization_id, "organization_id")
        at = micros(self._clock())
        await self._database.write(
            offload,
            lambda connection: registering.end(connection, *wanted, at),
            lambda connection: registering.was_ended(connection, endpoint_id, at),
        )
        # In parts: a long queue takes longer than one transaction may. What a crash leaves is dropped by the purge.
        while await self._database.write(offload, history.drop, lambda _connection: None) == history.BATCH:
            pass

    async def _change(
        self,
        offload: Offload,
        endpoint_id: str,
        organization_id: str | None,
        change: Change,
        revision: int | None = None,
    ) -> Endpoint:
        wanted = check_text(endpoint_id, "endpoint_id"), check_optional(organization_id, "organization_id")

        def work(connection: sa.Connection) -> Row:
            row = living(connection, *wanted, locked=True)
            if revision is not None and row["revision"] != revision:
                raise RecordChanged("endpoint", endpoint_id)
            changes = change(row)
            if changes:
                values = {**changes, "revision": row["revision"] + 1}
                connection.execute(sa.update(endpoints).where(endpoints.c.id == endpoint_id).values(values))
            return living(connection, *wanted)

        # A second try sets the same once more, though with a `revision` it may find its own change there.
        return endpoint_of(await self._database.write(offload, work, lambda _connection: None))

    def _headers(self, endpoint_id: str, given: Mapping[str, str]) -> dict[str, str]:
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"expected a mapping, got {type(given).__name__}", key="headers")
        fields = check_fields(given, authorization=self._authorization)
        names = json.dumps([name for name, _ in fields])
        return {"headers": self._rows.sealed_headers(endpoint_id, fields), "header_names": names}

    create, acreate = blocking(_create), awaited(_create)
    get, aget = blocking(_get), awaited(_get)
    list, alist = blocking(_list), awaited(_list)
    update, aupdate = blocking(_update), awaited(_update)
    rotate, arotate = blocking(_rotate), awaited(_rotate)
    enable, aenable = blocking(_enable), awaited(_enable)
    disable, adisable = blocking(_disable), awaited(_disable)
    delete, adelete = blocking(_delete), awaited(_delete)
