"""How things are called in Redis: the names of keys, and the members of zsets.

In a Cluster, what stands between the braces of a name decides on the slot. A key's record, its uses and what is told of
it share one, so that one script can write all of them. An organization, a project and an owner have one each, with the
indexes of their keys; so has all that belongs to everybody.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from ...model import ApiKey
from ..rows import microseconds

# Names the layout, so that no other layout reads it.
_PREFIX = "keystile:keys:1:"
_BEFORE_ALL = 2**63
OWNERS = {"organization_id": "organization", "project_id": "project", "owner_id": "owner"}
"""The members of a key by which it is listed and counted, and the kinds of their slots."""


class Slot(NamedTuple):
    """A slot: the kind of what has it, and its id; None for the keys that belong to nobody of this kind."""

    kind: str
    id: str | None = None

    def name(self, what: str) -> bytes:
        """The name of something in this slot."""
        if self.id is None:
            return f"{_PREFIX}{what}:{{{self.kind}}}".encode()
        # The whole id is the hash tag, whatever braces it holds.
        escaped = self.id.replace("%", "%25").replace("}", "%7D")
        return f"{_PREFIX}{what}:{{{self.kind}:{escaped}}}".encode("utf-8", "surrogatepass")


EVERYBODY = Slot("all")


def field(value: str | None) -> bytes:
    """A field of an entry, with its length before it: no two lists of fields look alike."""
    if value is None:
        return b"-:"
    octets = octets_of(value)
    return b"%d:%s" % (len(octets), octets)


def octets_of(text: str) -> bytes:
    """The text as octets, whose order is the order of the text."""
    return text.encode("utf-8", "surrogatepass")


def text_of(octets: bytes) -> str:
    """The text of these octets."""
    return octets.decode("utf-8", "surrogatepass")


def fields(entry: bytes) -> list[str | None]:
    """The fields of an entry."""
    found: list[str | None] = []
    while entry:
        size, _, rest = entry.partition(b":")
        length = 0 if size == b"-" else int(size)
        found.append(None if size == b"-" else text_of(rest[:length]))
        entry = rest[length:]
    return found


def age_of(at: datetime) -> bytes:
    """A moment such that octets compare as moments do."""
    moment = microseconds(at)
    assert moment is not None  # noqa: S101 - for the type checker
    return b"%016x" % (moment + _BEFORE_ALL)


class Entry(NamedTuple):
    """That a key belongs to its owners: noted in their indexes before the key is written, under a token of that write.

    The record says which token holds. So an entry whose write never happened, or was followed by another one, is known
    as such, and taking it out cannot take out another one.
    """

    key: ApiKey
    token: str

    @property
    def octets(self) -> bytes:
        """Its member in the zset of live keys."""
        key = self.key
        return b"".join(map(field, (key.id, self.token, key.organization_id, key.project_id, key.owner_id)))

    @property
    def listed(self) -> bytes:
        """Its member in a list by age."""
        return listed(self.key.created_at, self.key.id, self.token)

    @property
    def slots(self) -> list[Slot]:
        """Where it is noted."""
        return [Slot(kind, getattr(self.key, name)) for name, kind in OWNERS.items()]

    @property
    def expires(self) -> str:
        """When it is no longer live."""
        end = microseconds(self.key.expires_at)
        return "+inf" if end is None else str(end)


def listed(at: datetime, id: str, more: str = "") -> bytes:
    """A member of a list by age: the moment, the id, and more."""
    return age_of(at) + octets_of(id) + b"\0" + octets_of(more)


def behind(at: datetime, id: str) -> bytes:
    """Where what follows all members with this moment and id begins."""
    return b"(" + age_of(at) + octets_of(id) + b"\0\xff"


def unlisted(member: bytes) -> tuple[str, str]:
    """The id in a member of a list, and what follows it. The latter holds no NUL."""
    found, _, more = member[16:].rpartition(b"\0")
    return text_of(found), text_of(more)
