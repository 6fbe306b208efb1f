"""What a command works on: the gate of a configuration, opened for as long as the command runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from ..config.file import Settings, load, open_gate
from ..gate import Gate

# How long a command waits for a limiter that servers are writing to, in seconds.
PATIENCE = 5.0
_IN_MEMORY = {
    "store": "keys in memory end with this command; name a store like 'sqlite:///keystile.db'",
    "limiter": "no command can see what a server counts in its memory; name a limiter like 'sqlite:///keystile.db'",
}


@contextmanager
def opened(config: Path | None, *lasting: str) -> Iterator[Gate]:
    """The gate, if what these settings name outlasts this command."""
    settings = load(config)
    for name in lasting:
        if in_memory(settings, name):
            raise settings.error(name, _IN_MEMORY[name])
    with closing(open_gate(settings)) as gate:
        yield gate


def in_memory(settings: Settings, name: str) -> bool:
    """Whether what this setting names ends with its process."""
    return url_of(settings, name).startswith("memory:")


def url_of(settings: Settings, name: str) -> str:
    """Where keys are kept, or windows counted."""
    url: str = settings.gate.get(name, "memory://")
    return url
