"""Endpoints: what may be said of one, and how one is found, kept and ended inside a transaction."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from ..._ground.frozen import HiddenText
from ...exceptions import ConfigurationError, EndpointConflict, NotFound
from ...keys.changes.fields import check_text
from ...rules.messages import check_types
from ..schemes import Scheme
from ..secrets import SHARED, Secret
from ..sending import check_fields
from ..signing import sign
from .rows import Row
from .tables import endpoints

_SECRET_BYTES = 32
MOST_ENDPOINTS = 50
"""Of one organization: each of its messages is kept once for each of them."""


def living(
    connection: sa.Connection,
    endpoint_id: str,
    organization_id: str | None,
    *,
    locked: bool = False,
    ended: bool = False,
) -> Row:
    """The row of an endpoint.

    Args:
        connection: reads it.
        endpoint_id: which one.
        organization_id: whose it must be; None for anybody's.
        locked: let nobody else change it before the transaction ends.
        ended: whether it may be deleted.

    Raises:
        NotFound: there is none.
    """
    where = [endpoints.c.id == endpoint_id]
    if organization_id is not None:
        where.append(endpoints.c.organization_id == organization_id)
    if not ended:
        where.append(endpoints.c.deleted_at.is_(None))
    wanted = sa.select(endpoints).where(*where)
    row = connection.execute(wanted.with_for_update() if locked else wanted).mappings().first()
    if row is None:
        raise NotFound("endpoint", endpoint_id)
    return dict(row)


def insert(connection: sa.Connection, row: Row) -> bool:
    """Keep an endpoint, unless its organization has too many. Those who count at the same time take turns."""
    organization = row["organization_id"]
    if connection.dialect.name == "postgresql":
        turn = sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtextextended(f"keystile {organization}", 0)))
        connection.execute(turn)
    same = endpoints.c.organization_id == organization, endpoints.c.deleted_at.is_(None)
    count = connection.execute(sa.select(sa.func.count()).select_from(endpoints).where(*same)).scalar_one()
    if count >= MOST_ENDPOINTS:
        reason = f"has {MOST_ENDPOINTS} endpoints, and may have no more"
        raise EndpointConflict("endpoint_limit_reached", reason, key="organization_id")
    connection.execute(sa.insert(endpoints).values(row))
    return True


def was_inserted(row: Row) -> Callable[[sa.Connection], bool | None]:
    """What tells whether an endpoint was kept."""
    wanted = sa.select(endpoints.c.id).where(endpoints.c.id == row["id"])
    return lambda connection: connection.execute(wanted).first() is not None or None


def end(connection: sa.Connection, endpoint_id: str, organization_id: str | None, at: int) -> bool:
    """Mark an endpoint as deleted, and forget its secrets. From then on nothing of it is claimed."""
    living(connection, endpoint_id, organization_id)
    gone = {"deleted_at": at, "secrets": "", "headers": "", "revision": endpoints.c.revision + 1}
    connection.execute(sa.update(endpoints).where(endpoints.c.id == endpoint_id).values(gone))
    return True


def was_ended(connection: sa.Connection, endpoint_id: str, at: int) -> bool | None:
    """Whether an endpoint was deleted at this moment."""
    wanted = sa.select(endpoints.c.id).where(endpoints.c.id == endpoint_id, endpoints.c.deleted_at == at)
    return connection.execute(wanted).first() is not None or None


def check_url(url: Any) -> str:
    """A text, or ConfigurationError; what it must say beyond that is the rule of `Targets`."""
    if not isinstance(url, str):
        raise ConfigurationError(f"expected a string, got {type(url).__name__}", key="url")
    return url


def check_scheme(given: Any) -> Scheme:
    """A scheme, or the name of the one that needs nothing else; or ConfigurationError."""
    if isinstance(given, Scheme):
        if given.name != "standard":
            check_fields({given.header: "x"})
        return given
    if given != "standard":
        raise ConfigurationError("expected 'standard', or Scheme.hex_body(…) or Scheme.timestamped(…)", key="scheme")
    return Scheme.standard()


def draw() -> HiddenText:
    """A new secret, as Standard Webhooks writes it."""
    return HiddenText(SHARED + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode())


def check_secret(scheme: Scheme, secret: str) -> HiddenText:
    """The secret, if messages of this scheme can be signed with it."""
    text = HiddenText(check_text(secret, "secret"))
    sign(scheme, [Secret(text)], b"", now=0, id="msg")
    return text


def types_text(given: Any) -> str | None:
    """The types of messages that an endpoint gets, as its row keeps them."""
    types = check_types(given)
    return None if types is None else json.dumps(types)
