"""Reads the lines of a file of keys: JSON, one object a line, or CSV with a header.

A line is never repeated in an error: it may hold a raw key.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import count
from typing import Any, BinaryIO, NamedTuple

from ..._ground.frozen import HiddenText

# Metadata may be 16 kB, and its characters escaped.
MOST_LINE = 131_072
_SECRETS = ("key", "hash")
_TWICE = "names one field twice"
_LISTS = ("scopes", "ip_allowlist", "may")


class LineFault(Exception):
    """A line cannot be imported.

    Args:
        number: of the line, from 1.
        reason: what is wrong, without any part of the line.
    """

    def __init__(self, number: int, reason: str) -> None:
        super().__init__(number, reason)
        self.number, self.reason = number, reason


class Line(NamedTuple):
    """What a line says.

    Attributes:
        number: of the line, from 1.
        fields: by name; raw keys and hashes show in no repr.
    """

    number: int
    fields: Mapping[str, Any]


def json_lines(stream: BinaryIO, first: int = 1) -> Iterator[Line]:
    """The JSON object of each line from `first` on; empty lines are passed over."""
    for number, text in _texts(stream, first):
        if text.strip():
            yield Line(number, _typed(number, _object(number, text)))


def csv_lines(stream: BinaryIO, first: int = 1) -> Iterator[Line]:
    """Each row that begins at line `first` or later, under the names of the first row of all. Lists are separated by
    spaces, metadata is JSON, and what is empty is left out."""
    texts = _texts(stream)
    reader = csv.reader((text for _, text in texts), strict=True)
    names: list[str] = []
    begins = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error:
            raise LineFault(begins, "is not CSV") from None
        if row is None:
            return
        if not names:
            names = [name.strip() for name in row]
            if len(set(names)) < len(names):
                raise LineFault(begins, _TWICE)
        elif row and begins >= first:
            yield Line(begins, _typed(begins, _row(begins, names, row)))
        begins = reader.line_num + 1


def _texts(stream: BinaryIO, first: int = 1) -> Iterator[tuple[int, str]]:
    """Each line from `first` on. Those before it may be anything."""
    for number in count(1):
        octets = stream.readline(MOST_LINE + 1)
        if not octets:
            return
        if number < first:
            while len(octets) > MOST_LINE and not octets.endswith(b"\n"):
                octets = stream.readline(MOST_LINE + 1)
            continue
        if len(octets) > MOST_LINE:
            raise LineFault(number, f"is longer than {MOST_LINE} bytes")
        try:
            text = octets.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError:
            raise LineFault(number, "is not UTF-8") from None
        yield number, text


def _object(number: int, text: str) -> dict[str, Any]:
    try:
        found = json.loads(text, object_pairs_hook=_pairs)
    except _Twice:
        raise LineFault(number, _TWICE) from None
    except (ValueError, RecursionError):
        raise LineFault(number, "is not JSON") from None
    if not isinstance(found, dict):
        raise LineFault(number, 'is not a JSON object like {"key": …, "name": …}')
    return {name: value for name, value in found.items() if value is not None}


class _Twice(Exception):
    """A name stands twice in one object."""


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


def _row(number: int, names: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(names):
        raise LineFault(number, f"has {len(row)} fields; expected {len(names)}")
    found: dict[str, Any] = {name: value for name, value in zip(names, row, strict=True) if value}
    for name in _LISTS:
        if name in found:
            found[name] = found[name].split(";" if name == "may" else None)
    if "metadata" in found:
        found["metadata"] = _object(number, found["metadata"])
    return found


def _typed(number: int, fields: dict[str, Any]) -> dict[str, Any]:
    for name in _SECRETS:
        if isinstance(fields.get(name), str):
            fields[name] = HiddenText(fields[name])
    if "expires_at" in fields:
        try:
            fields["expires_at"] = datetime.fromisoformat(fields["expires_at"])
        except (TypeError, ValueError):
            raise LineFault(number, "expires_at: expected a time like 2030-01-31T12:00:00Z") from None
    return fields
