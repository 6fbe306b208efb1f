"""Making a key: its record, its raw key and the cap that it counts against, before anything is written."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, NamedTuple

from ..._ground.frozen import HiddenBytes, HiddenText
from ..._sync import Offload
from ...exceptions import ConfigurationError
from ...model import ApiKey, IssuedKey, Organization, Project, SecretHash
from ...rules.limits.quotas import Quotas
from ...stores import Cap, Written
from ..format import BASE62, ID, ID_LENGTH, PrefixedFormat
from ..workshop import Workshop
from .caps import Caps
from .fields import checked
from .records import Records


class Draft(NamedTuple):
    """A key that is not written yet.

    Attributes:
        key: the record.
        raw: the raw key.
        cap: what it counts against, or None.
    """

    key: ApiKey
    raw: HiddenText
    cap: Cap | None

    def issued(self, written: Written) -> IssuedKey:
        """What whoever asked for the key gets."""
        ended = (each for each in written.entries if each.event == "key.revoke")
        return IssuedKey(written.record, self.raw.plain, tuple(each.targets[0].id for each in ended))


class Maker:
    """Makes keys.

    Args:
        workshop: the key format and the hasher.
        quotas: the plans and limits that a key may have.
        caps: how many keys a plan allows.
        records: where projects and organizations are read.
    """

    def __init__(self, workshop: Workshop, quotas: Quotas, caps: Caps, records: Records) -> None:
        self.workshop = workshop
        self._quotas, self._caps, self._records = quotas, caps, records

    def of(self, workshop: Workshop) -> Maker:
        """One that makes secrets as this workshop does."""
        return Maker(workshop, self._quotas, self._caps, self._records)

    async def draft(
        self,
        offload: Offload,
        given: Mapping[str, Any],
        at: datetime,
        project: Project | None = None,
        *,
        id: str | None = None,
    ) -> Draft:
        """A new key.

        Args:
            offload: how this door runs what blocks.
            given: the members of its record.
            at: when it is made.
            project: one that is not written yet, which the key comes with.
            id: its id; None draws one.
        """
        values = checked(given, at)
        if project is None:
            project = await self.project(offload, values.get("project_id"))
        if project is not None:
            place(values, project)
        self._quotas.check_key(values.get("plan"), values.get("limits"))
        key = ApiKey(id="" if id is None else self._usable(id), hashes=(), created_at=at, **values)
        raw, key_id, secret_hash = await self.mint(offload, key)
        key = replace(key, id=key_id, hashes=(secret_hash,))
        return Draft(key, raw, await self.cap(offload, key))

    async def mint(self, offload: Offload, key: ApiKey) -> tuple[HiddenText, str, SecretHash]:
        """A new raw key, its id and its hash. If the key has an id already, it keeps that.

        Raises:
            ConfigurationError: the key format cannot do that.
            Overloaded: too much hashing is under way.
        """
        shop, hints = self.workshop, {each.hint for each in key.hashes}
        while True:
            raw = HiddenText(self._raw(key))
            parsed = shop.key_format.parse(raw.encode())
            if parsed is None or (key.id and parsed.id != key.id):
                raise ConfigurationError("cannot read the keys that it makes itself", key="key_format")
            if parsed.hint not in hints:  # or a key would need two proofs
                break
        octets = HiddenBytes(raw.encode())
        stored = await offload.run(shop.hash_pool, shop.hasher.hash, octets)
        return raw, parsed.id, SecretHash(stored, parsed.hint, quick=shop.quick.made(octets))

    async def cap(self, offload: Offload, key: ApiKey) -> Cap | None:
        """What a key counts against, by the plan that holds for it."""
        plan = key.plan
        if plan is None and key.organization_id is not None:
            organization: Organization | None = await self._records.call(
                offload, "find_organization", key.organization_id
            )
            plan = None if organization is None else organization.plan
        return self._caps.cap(plan, key)

    async def project(self, offload: Offload, project_id: str | None) -> Project | None:
        """The project with this id, NotFound if there is none; None for no project."""
        found: Project | None = None
        if project_id is not None:
            found = await self._records.found(offload, "project", project_id)
        return found

    @property
    def takes_ids(self) -> bool:
        """Whether the id of a new key can be chosen: in the default format, where it does not follow from the
        secret."""
        return isinstance(self.workshop.key_format, PrefixedFormat)

    def _usable(self, id: Any) -> str:
        if not self.takes_ids:
            raise ConfigurationError("the key format gives its keys their ids; leave it out", key="id")
        if not isinstance(id, str) or not ID.fullmatch(id):
            raise ConfigurationError(f"expected {ID_LENGTH} letters and digits", key="id")
        return id

    def _raw(self, key: ApiKey) -> str:
        if not key.id:
            return self.workshop.key_format.mint(key.environment, _draw)
        renew = getattr(self.workshop.key_format, "renew", None)
        if renew is None:
            raise ConfigurationError("cannot make another secret for a key that there is already", key="key_format")
        raw: str = renew(key.id, key.environment, _draw)
        return raw


def place(values: dict[str, Any], project: Project) -> None:
    """Give the members of a key what follows from its project; ConfigurationError if it is another organization's."""
    if values.get("organization_id") not in {None, project.organization_id}:
        raise ConfigurationError("is not the organization of the project_id", key="organization_id")
    values["project_id"], values["organization_id"] = project.id, project.organization_id
    values.setdefault("environment", project.environment)


def _draw(length: int) -> str:
    return "".join(secrets.choice(BASE62) for _ in range(length))
