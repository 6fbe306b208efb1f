"""The few files that pages load: read once, named by what is in them, and served from memory."""

from __future__ import annotations

import hashlib
import re
from importlib import resources
from typing import NamedTuple

from ..requests import ManagementAnswer
from .rules.headers import file_fields

_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_NAMED = re.compile(r"/static/([a-z]+)\.([0-9a-f]{16})\.([a-z]+)")


class Static(NamedTuple):
    """A file.

    Attributes:
        body: what is in it.
        digest: stands in its name.
        type: its media type.
    """

    body: bytes
    digest: str
    type: str


class Statics:
    """The files, by their plain names: ``style.css``."""

    def __init__(self) -> None:
        folder = resources.files(__package__) / "static"
        self._files = {each.name: _read(each.name, each.read_bytes()) for each in folder.iterdir()}

    def path(self, name: str) -> str:
        """The path of a file below the mount. It changes with the file, so it may be kept for ever."""
        stem, _, kind = name.rpartition(".")
        return f"/static/{stem}.{self._files[name].digest}.{kind}"

    def answer(self, path: str) -> ManagementAnswer | None:
        """The file at this path; None if there is none.

        For a name of another version the file is given as it is now, and not kept: during a deploy, pages of one
        version ask servers of another.
        """
        named = _NAMED.fullmatch(path)
        file = None if named is None else self._files.get(f"{named[1]}.{named[3]}")
        if named is None or file is None:
            return None
        fields = file_fields(current=named[2] == file.digest)
        return ManagementAnswer(200, (("content-type", file.type), ("etag", f'"{file.digest}"'), *fields), file.body)


def _read(name: str, body: bytes) -> Static:
    return Static(body, hashlib.sha256(body).hexdigest()[:16], _TYPES[name.rpartition(".")[2]])
