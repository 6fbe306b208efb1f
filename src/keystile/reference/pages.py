"""Every page, by the name of its file."""

from __future__ import annotations

from ..cli import reference as commands
from ..config import reference as settings
from . import errors, events, headers


def written() -> dict[str, str]:
    """The text of each page."""
    return {
        "cli.md": commands.page(),
        "errors.md": errors.page(),
        "events.md": events.page(),
        "headers.md": headers.page(),
        "settings.md": settings.page(),
    }
