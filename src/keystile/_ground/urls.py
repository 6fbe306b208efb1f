"""What is known of every URL: which part of a store's may be shown, and the ports of the web's schemes."""

from __future__ import annotations

import re

OWN_PORTS = {"http": 80, "https": 443}
"""The port that a URL of this scheme means if it names none."""
_PLACE = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d+)?")


def place_of(url: str) -> str:
    """Scheme, hosts and ports of a URL, for messages: no credentials, nor anything that may be part of them.

    ``"redis://:secret@10.0.0.1:6379/0?x=y"`` is ``"redis://10.0.0.1:6379"``.
    """
    scheme, _, rest = url.partition("://")
    # Text before the last @ may be a password, and so may text after the question mark.
    hosts = rest.partition("?")[0].rpartition("@")[2].partition("/")[0]
    return f"{scheme}://" + (hosts if all(map(_PLACE.fullmatch, hosts.split(","))) else "")
