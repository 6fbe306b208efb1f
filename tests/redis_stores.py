"""Servers for key stores, each started when a test first asks for it, and emptied for each."""

from __future__ import annotations

import atexit
from functools import cache

import redis

from keystile.stores.redis import RedisStore
from tests.redis_server import Cluster, Server, redis62_binary, valkey_binary


@cache
def _started(kind: str) -> Server | Cluster:
    made = Cluster() if kind == "cluster" else Server(redis62_binary() if kind == "redis62" else valkey_binary())
    atexit.register(made.close)
    return made


def emptied(kind: str) -> str:
    """The URL of an empty server: ``"valkey"``, ``"redis62"``, or a ``"cluster"`` of three."""
    server = _started(kind)
    for node in server.nodes if isinstance(server, Cluster) else [server]:
        node.command("FLUSHALL")
    return server.url


def patient(url: str) -> RedisStore:
    """A store that waits for a busy machine: for tests that are not about time."""
    return RedisStore(url, socket_timeout=20, socket_connect_timeout=20)


def clients(kind: str) -> list[redis.Redis]:
    """A connection to each of its nodes, which a test may use to look at what is there."""
    return list(_clients(kind))


@cache
def _clients(kind: str) -> tuple[redis.Redis, ...]:
    server = _started(kind)
    nodes = server.nodes if isinstance(server, Cluster) else [server]
    made = tuple(redis.Redis(port=node.port) for node in nodes)
    for client in made:
        atexit.register(client.close)
    return made
