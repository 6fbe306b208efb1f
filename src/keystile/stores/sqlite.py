"""Keys in one SQLite file that every process on the machine may use at once, with no server to run.

What is looked up or changed on its own has a column; lists, metadata and hashes are JSON. Moments are whole
microseconds since the epoch, so that they compare as numbers in every SQLite tool.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from .._ground.checks import check_count
from .._ground.frozen import HiddenRow, frozen
from .._ground.sqlite import IN_PLACE, SQLiteFile, path_of
from ..exceptions import UnreadableRecord
from ..model import ApiKey, Principal, SecretHash
from ..policy import REMEMBERED_KEYS
from . import ignore

__all__ = ["IN_PLACE", "SQLiteStore"]

_MOMENTS = ("created_at", "expires_at", "revoked_at", "last_used_at")
_JSON = ("scopes", "ip_allowlist", "metadata", "hashes")
_COLUMNS = (*(field.name for field in fields(Principal)), "hashes")
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM keystile_keys"  # noqa: S608 - only constants
_BY_ID = f"{_SELECT} WHERE id = ?"
_FIND = _BY_ID.replace("SELECT", "SELECT revision,", 1)
_REVISION = "SELECT revision FROM keystile_keys WHERE id = ?"
_LAST_USED = "SELECT last_used_at FROM keystile_keys WHERE id = ?"
_ADD = f"INSERT INTO keystile_keys ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - likewise
# A value that keystile never writes there is no moment, so the record could not be read even when the rest is mended.
_REVOKE = """UPDATE keystile_keys SET revoked_at = CASE typeof(revoked_at) WHEN 'integer' THEN revoked_at ELSE ? END
    WHERE id = ?"""
_ID, _CREATED_AT = _COLUMNS.index("id"), _COLUMNS.index("created_at")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# Something has changed on which a verdict depends. A later `last_used_at` does not count: otherwise a key that is used
# less than once a minute would be read and decoded anew for every request. The first use does count as a change. The
# row's own revision does not protect it: whoever puts back a saved row puts back its revision too, and some process may
# remember another record under that number.
_UNCHANGED = " AND ".join(f"new.{name} IS old.{name}" for name in _COLUMNS if name != "last_used_at")
_DRAW = "BEGIN UPDATE keystile_keys SET revision = random() WHERE id = new.id; END"
_REVISED = f"""CREATE TRIGGER keystile_keys_revised AFTER UPDATE ON keystile_keys
    WHEN NOT ({_UNCHANGED} AND (new.last_used_at IS NULL) = (old.last_used_at IS NULL)) {_DRAW}"""
_INSERTED = f"CREATE TRIGGER keystile_keys_inserted AFTER INSERT ON keystile_keys {_DRAW}"
_SCHEMA = (
    "keys",
    3,
    (
        """CREATE TABLE keystile_keys (
            id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, organization_id TEXT, project_id TEXT, owner_id TEXT,
            environment TEXT NOT NULL, plan TEXT, limits TEXT, scopes TEXT NOT NULL, ip_allowlist TEXT,
            created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER, last_used_at INTEGER,
            metadata TEXT NOT NULL, hashes TEXT NOT NULL, revision INTEGER NOT NULL DEFAULT (random())
        ) WITHOUT ROWID""",
        _REVISED,
        _INSERTED,
        "CREATE INDEX keystile_keys_by_age ON keystile_keys (created_at, id)",
        "CREATE INDEX keystile_keys_by_organization ON keystile_keys (organization_id, created_at, id)",
    ),
)
# The first step only replaced the trigger, which the second one does again.
_STEPS = {1: (), 2: ("DROP TRIGGER keystile_keys_revised", _REVISED, _INSERTED)}
Row = tuple[Any, ...]


class _Kept:
    """Recently decoded records with their revisions. All are forgotten when a connection is opened."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start with none. A reader that is under way goes on with the old ones."""
        # Not a plain dict: taking the oldest entry out of one gets slower with each entry taken out before.
        self.records: OrderedDict[str, tuple[tuple[int], ApiKey]] = OrderedDict()


class SQLiteStore:
    """A `KeyStore` in a file.

    Every `find` reads the file, so a change by another process takes effect on the next request. It first reads the
    row's revision, a random number that triggers draw anew on every change, even if somebody edits the table by hand.
    The row itself is read and decoded only if its revision has changed. Only the first `last_used_at` is such a change:
    the record from `find` may show an older moment, and `last_used` reads the current one.

    Args:
        path: of the file; created if it is missing.
        remembered_keys: how many decoded records are kept; 1 kB each, and what its metadata needs.

    Raises:
        ConfigurationError: the file cannot be used, or was written by another version of the schema.
    """

    blocking = False

    def __init__(self, path: str | os.PathLike[str], *, remembered_keys: int = REMEMBERED_KEYS) -> None:
        check_count(remembered_keys, "remembered_keys")
        self._remembered = remembered_keys
        self._kept = _Kept()
        self.on_unreadable: Callable[[UnreadableRecord], object] = ignore
        """Called with each record that `list` leaves out because it cannot be read."""
        self._file = SQLiteFile(path, _SCHEMA, steps=_STEPS, forget=self._kept.forget)

    @classmethod
    def from_url(cls, url: str, *, remembered_keys: int = REMEMBERED_KEYS) -> SQLiteStore:
        """The store in the file of ``sqlite:///relative.db`` or ``sqlite:////absolute.db``."""
        return cls(path_of(url), remembered_keys=remembered_keys)

    def __repr__(self) -> str:
        return f"SQLiteStore({self._file.path!r})"

    def find(self, key_id: str) -> ApiKey | None:
        """The record as it stands in the file now, or None."""
        records = self._kept.records
        known = records.get(key_id)
        if known is not None and self._file.row(_REVISION, (key_id,)) == known[0] and records is self._kept.records:
            return known[1]
        row = self._file.row(_FIND, (key_id,))
        if row is None:
            return None
        row = HiddenRow(row)
        key = self._decode(row[1:])
        records.pop(key_id, None)
        records[key_id] = (row[:1], key)
        if len(records) > self._remembered:
            records.popitem(last=False)
        return key

    def last_used(self, key_id: str) -> datetime | None:
        """When the key was used last; None for never, and for an unknown id."""
        row = self._file.row(_LAST_USED, (key_id,))
        try:
            return None if row is None else _moment(row[0])
        except (TypeError, OverflowError) as error:
            raise UnreadableRecord(self._file.url, key_id, type(error).__name__) from None

    def add(self, key: ApiKey) -> None:
        """Keep a new record; KeyError if the id is taken."""
        with self._file.write(synced=True) as connection:
            try:
                connection.execute(_ADD, _encode(key))
            except sqlite3.IntegrityError:
                raise KeyError(key.id) from None

    def list(
        self,
        organization_id: str | None = None,
        owner_id: str | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Sequence[ApiKey]:
        """Records by age. Those that cannot be read are left out and told to `on_unreadable`."""
        filters: dict[str, Row] = {
            "organization_id = ?": (organization_id,),
            "owner_id = ?": (owner_id,),
            "(created_at, id) > (SELECT created_at, id FROM keystile_keys WHERE id = ?)": (after,),
        }
        filters = {condition: values for condition, values in filters.items() if values != (None,)}
        found: list[ApiKey] = []
        # Those that are left out make no page shorter: a short one would say that there are no more keys.
        while len(found) < limit:
            wanted = limit - len(found)
            rows = self._rows(filters, wanted)
            found += filter(None, map(self._decode_or_tell, rows))
            if len(rows) < wanted:
                break
            filters["(created_at, id) > (?, ?)"] = (rows[-1][_CREATED_AT], rows[-1][_ID])
        return found

    def _rows(self, filters: Mapping[str, Row], limit: int) -> Sequence[Row]:
        where = f"WHERE {' AND '.join(filters)}" if filters else ""
        sql = f"{_SELECT} {where} ORDER BY created_at, id LIMIT ?"
        return [HiddenRow(row) for row in self._file.rows(sql, (*chain.from_iterable(filters.values()), limit))]

    def touch(self, key_id: str, at: datetime) -> None:
        """Set `last_used_at`, never backwards."""
        moment = _microseconds(at)
        with self._file.write() as connection:
            connection.execute(
                "UPDATE keystile_keys SET last_used_at = ? WHERE id = ? AND coalesce(last_used_at, ? - 1) < ?",
                (moment, key_id, moment, moment),
            )

    def revoke(self, key_id: str, at: datetime) -> ApiKey | None:
        """Set `revoked_at` for good, even if the rest of the record cannot be read."""
        with self._file.write(synced=True) as connection:
            connection.execute(_REVOKE, (_microseconds(at), key_id))
            row = HiddenRow(connection.execute(_BY_ID, (key_id,)).fetchone() or ())
        return self._decode(row, "; the key is revoked all the same") if row else None

    def rehash(self, key_id: str, old: SecretHash, new: SecretHash) -> None:
        """Replace one hash by another."""
        with self._file.write(synced=True) as connection:
            row = HiddenRow(connection.execute(_BY_ID, (key_id,)).fetchone() or ())
            if not row:
                return
            hashes = [new if each == old else each for each in self._decode(row).hashes]
            connection.execute("UPDATE keystile_keys SET hashes = ? WHERE id = ?", (_hashes_text(hashes), key_id))

    def close(self) -> None:
        """Close this process's connections."""
        self._file.close()

    def _decode(self, row: Row, more: str = "") -> ApiKey:
        try:
            return _decoded(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, its hashes must not be in a traceback
            reason = type(error).__name__
        key_id = row[_ID]
        del row
        raise UnreadableRecord(self._file.url, str(key_id), reason + more)

    def _decode_or_tell(self, row: Row) -> ApiKey | None:
        try:
            return self._decode(row)
        except UnreadableRecord as error:
            self.on_unreadable(error)
            return None


def _microseconds(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _hashes_text(hashes: Sequence[SecretHash]) -> str:
    return json.dumps([[each.hash, each.hint, _microseconds(each.expires_at)] for each in hashes])


def _encode(key: ApiKey) -> Row:
    values = {name: getattr(key, name) for name in _COLUMNS}
    for name in _MOMENTS:
        values[name] = _microseconds(values[name])
    for name in ("scopes", "metadata"):
        values[name] = json.dumps(values[name])
    if key.ip_allowlist is not None:
        values["ip_allowlist"] = json.dumps(key.ip_allowlist)
    values["hashes"] = _hashes_text(key.hashes)
    return tuple(values.values())


def _decoded(row: Row) -> ApiKey:
    """The record. If this raises anything, the row cannot be read."""
    values = dict(zip(_COLUMNS, row, strict=True))
    for name in _MOMENTS:
        values[name] = _moment(values[name])
    for name in _JSON:
        values[name] = None if values[name] is None else frozen(json.loads(values[name]))
    values["hashes"] = tuple(_as_hash(*each) for each in values["hashes"])
    key = ApiKey(**values)
    _check(key)
    return key


def _as_hash(text: Any, hint: Any, end: int | None) -> SecretHash:
    if not isinstance(text, str) or not isinstance(hint, str):
        raise TypeError
    return SecretHash(text, hint, _moment(end))


def _check(key: ApiKey) -> None:
    """Raise TypeError for values that keystile never writes: a text as scope list would grant each of its letters."""
    texts = [key.id, key.name, key.environment, *key.scopes, *(key.ip_allowlist or ())]
    texts += [each for each in (key.organization_id, key.project_id, key.owner_id, key.plan, key.limits) if each]
    lists = [key.scopes, () if key.ip_allowlist is None else key.ip_allowlist]
    if not all(isinstance(each, str) for each in texts) or not all(isinstance(each, tuple) for each in lists):
        raise TypeError
    if not isinstance(key.metadata, Mapping) or not isinstance(key.created_at, datetime):
        raise TypeError
