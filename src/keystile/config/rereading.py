"""A file that is read again while the gate that it describes serves."""

from __future__ import annotations

import logging
from pathlib import Path

from ..events import Event
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..keys.parts import Parts
from ..rules.reloading import cannot_change
from .file import Settings, load, policy_of
from .tables import FileAlone, in_files

# The gate itself compares the settings of its policy.
_OF_THE_FILE = tuple(in_files(FileAlone))
_BUILT_IN = (*_OF_THE_FILE, *in_files(Parts))


class Rereader:
    """Reads the file again, and has the gate decide by what it says then.

    Args:
        settings: what the file said when the gate was made.
        gate: the gate.
    """

    def __init__(self, settings: Settings, gate: Gate) -> None:
        self._settings, self._gate = settings, gate
        # Whoever serves may change the working directory.
        self._file = Path(settings.source).absolute()

    def __call__(self) -> None:
        """Read it now. A file that cannot be used changes nothing, and the event says why. Never raises."""
        try:
            self._reload()
        except ConfigurationError as error:
            self._tell(str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the gate goes on as it was
            self._tell(f"{self._file}: {type(error).__name__}")

    def _reload(self) -> None:
        if self._file.exists() and not self._file.is_file() and not self._file.is_dir():
            # Nobody may ever write to a pipe, and whoever waits for it does nothing else any more.
            raise ConfigurationError("is no file, but a pipe or a device", source=str(self._file))
        found = load(self._file)
        fixed = [name for name in _BUILT_IN if _said(found, name) != _said(self._settings, name)]
        if fixed:
            raise found.error(fixed[0], cannot_change(fixed))
        try:
            self._gate.reload(policy_of(found))
        except ConfigurationError as error:
            if error.source is not None:
                raise
            raise found.error(error.key, error.reason) from None

    def _tell(self, why: str) -> None:
        reason = f"the configuration was read again and is not used, the one before holds: {why}"
        self._gate.events.tell(Event("not_reloaded", logging.ERROR, reason=reason))


def _said(settings: Settings, name: str) -> object:
    """What a file says of a setting, for comparison; None if it says nothing."""
    return getattr(settings, name) if name in _OF_THE_FILE else settings.gate.get(name)
