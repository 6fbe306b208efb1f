"""What a worker delivers: messages to 20 endpoints, all well, then with one of them that hangs.

    python -m benchmarks.webhooks [--messages 10000] [--workers 1] [sqlite:///… postgresql://…]

Each endpoint is a server of its own on loopback, all in a process of their own, and answers at once; the one that hangs
reads the request and never answers. The messages are added first, then the workers start. Printed are messages a second
over all endpoints that are well, when the last of those messages arrived, and how long a message waited that was added
while the worker was busy (p50, p99). What the dead endpoint costs the others is the difference of the two lines.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

ENDPOINTS = 20
PROBES = 40
KEY = "a2V5IG9mIGEgYmVuY2htYXJrLCAzMiBieXRlcyBsb25n"


def receive(pipe: Connection, hanging: int) -> None:
    """Serve on `ENDPOINTS` ports; the first so many hang. Answers each question with what came since the last one."""
    asyncio.run(_receive(pipe, hanging))


async def _receive(pipe: Connection, hanging: int) -> None:
    came: list[tuple[int, float]] = []

    async def serve(number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                await reader.readexactly(length)
                if number < hanging:
                    await reader.read()
                    break
                came.append((number, time.time()))
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    servers = [
        await asyncio.start_server(lambda r, w, n=number: serve(n, r, w), "127.0.0.1", 0) for number in range(ENDPOINTS)
    ]
    pipe.send([each.sockets[0].getsockname()[1] for each in servers])
    while True:
        while not pipe.poll():  # noqa: ASYNC110 - another process sends
            await asyncio.sleep(0.02)
        if pipe.recv() is None:
            return
        pipe.send(came)
        came = []


@contextlib.contextmanager
def receivers(hanging: int) -> Iterator[tuple[Connection, list[int]]]:
    """The servers, and their ports."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=receive, args=(theirs, hanging))
    process.start()
    try:
        yield ours, ours.recv()
    finally:
        ours.send(None)
        process.join()
