"""The gate of the matrix: the servers' processes and the tests' open the same one."""

from __future__ import annotations

from pathlib import Path

from keystile import Gate, HmacHasher, Rule

PUBLIC = ("/health", "/public/*")


def open_gate(folder: Path) -> Gate:
    return Gate(
        f"sqlite:///{folder}/keys.db",
        prefix="acme",
        hasher=HmacHasher(b"matrix" * 3),
        public=PUBLIC,
        rules=[Rule("POST /v1/exports", scopes=["exports:write"]), Rule("/v1/wrapped/*", envelope=True)],
        failure_limits=None,  # or from the twentieth on, every bad key would be 429
    )
