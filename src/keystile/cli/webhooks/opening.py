"""The outbox that a command works on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...exceptions import ConfigurationError
from ..opening import Opened

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox


@contextmanager
def outbox_of(found: Opened) -> Iterator[Outbox]:
    """The outbox that the file of a gate names, for as long as the command runs."""
    from ...webhooks.outbox import Outbox

    settings = None if found.settings is None else found.settings.webhooks
    if settings is None or settings.outbox is None:
        raise found.error("webhooks.outbox", "is missing: name a database, like 'sqlite:///outbox.db'")
    try:
        outbox = Outbox.of(settings)
    except ConfigurationError as error:
        raise found.error(f"webhooks.{error.key}", error.reason) from None
    try:
        yield outbox
    finally:
        outbox.close()
