"""The records in the rows of tables: keys are decoded once for as long as their revisions stay the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from .._ground.frozen import HiddenRow
from ..exceptions import UnreadableRecord
from ..model import ApiKey, AuditEntry, Organization, Project
from .rows import KEY_COLUMNS, Kept, Remembered, Row, entry_of, key_of, moment, organization_of, project_of

R = TypeVar("R")
# In a row of a key, after its three revisions.
ID, CREATED_AT = 3 + KEY_COLUMNS.index("id"), 3 + KEY_COLUMNS.index("created_at")


class Records:
    """Reads rows.

    Args:
        name: of the database, for errors.
        remembered: how many decoded keys are kept.
        tell: called with each record that a list leaves out.
    """

    def __init__(self, name: str, remembered: int, tell: Callable[[UnreadableRecord], object]) -> None:
        self._name, self._remembered, self._tell = name, remembered, tell
        self.kept = Kept()

    def forget(self) -> None:
        """Start with no decoded records."""
        self.kept.forget()

    def found(self, row: Row) -> ApiKey:
        """The key in this row; the same object as before, if its revisions are."""
        records = self.kept.records
        known = records.get(row[ID])
        return known[1] if known is not None and known[0] == row[:3] else self.decoded(row, records)

    def decoded(self, row: Row, records: Remembered) -> ApiKey:
        """The key in this row. It is remembered among those that were there before the row was read: if all are
        forgotten in between, so is this one."""
        key_id, key = row[ID], self.key(row)
        records.pop(key_id, None)
        records[key_id] = (row[:3], key)
        if len(records) > self._remembered:
            records.popitem(last=False)
        return key

    def key(self, row: Row, more: str = "") -> ApiKey:
        """The key in a row."""
        return self._read(lambda row: key_of(row[0], row[3:-2], *row[-2:]), row, row[ID], more)

    def key_or_tell(self, row: Row) -> ApiKey | None:
        """The same; None for one that cannot be read, which is told."""
        try:
            return self.key(row)
        except UnreadableRecord as error:
            self._tell(error)
            return None

    def project(self, row: Row) -> Project:
        """The project in a row."""
        return self._read(project_of, row, row[1])

    def organization(self, row: Row) -> Organization:
        """The organization in a row."""
        return self._read(organization_of, row, row[1])

    def entry(self, row: Row) -> AuditEntry:
        """The audit entry in a row."""
        return self._read(entry_of, row, row[0])

    def moment(self, row: Row, key_id: str) -> Any:
        """The moment in a row of one."""
        return self._read(lambda row: moment(row[0]), row, key_id)

    def _read(self, decode: Callable[[Row], R], row: Row, id: Any, more: str = "") -> R:
        row = HiddenRow(row)
        try:
            return decode(row)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a record, its hashes must not be in a traceback
            reason = type(error).__name__
        del row
        raise UnreadableRecord(self._name, str(id), reason + more)
