"""The gate of the little apps. The recipes name this module too: on the page it is the reader's own."""

from __future__ import annotations

import os
from pathlib import Path

from keystile import Gate, HmacHasher, Rule


def open_gate(folder: Path) -> Gate:
    """The servers' processes and the tests' open the same keys; windows are counted in each process for itself."""
    return Gate(
        f"sqlite:///{folder}/keys.db",
        prefix="acme",
        hasher=HmacHasher(b"frameworks" * 2),
        public=["/health"],
        rules=[
            Rule("POST /v1/exports", scopes=["exports:write"]),
            Rule("GET /v1/limited", limits="2/hour"),
            Rule("GET /sub/guarded", scopes=["exports:write"]),
        ],
        envelope=True,
        cors_origins=os.environ.get("KEYSTILE_CORS_ORIGINS", "").split(),
    )


gate = open_gate(Path(os.environ["KEYSTILE_FRAMEWORKS"]))
