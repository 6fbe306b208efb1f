"""What an operator should know of the servers that keep keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._ground.redis.eviction import policy_in

OFF = "the append-only file is off: what was written since the last snapshot is lost in a crash: set appendonly yes"
REPLICA = "it is a replica: it hears of a revocation later, and takes no writes; name the primary"
SECOND = (
    "appendfsync is everysec: what was written in the last second may be lost in a crash of the machine: set "
    "appendfsync always"
)
SYSTEM = "appendfsync is no: the system decides when what was written is on the disk: set appendfsync always"
DROPS = (
    "maxmemory-policy is {}: a server that is full drops API keys and their history (keystile:keys:1:*); set noeviction"
)


def advice_on(
    replication: Mapping[str, Any], memory: Mapping[str, Any], persistence: Mapping[str, Any], synced: str | None
) -> list[str]:
    """What may be lost or late, and why.

    Args:
        replication, memory, persistence: these sections of ``INFO``.
        synced: the setting ``appendfsync``; None where the server does not tell.
    """
    found = [REPLICA] if replication.get("role") == "slave" else []
    policy = policy_in(memory)
    # Nothing of ours that matters has a time to live.
    if policy.startswith("allkeys"):
        found.append(DROPS.format(policy))
    if not persistence.get("aof_enabled"):
        found.append(OFF)
    else:
        found += {"everysec": [SECOND], "no": [SYSTEM]}.get(synced or "", [])
    return found
