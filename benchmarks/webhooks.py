"""What a worker delivers: messages to 20 endpoints that are all well, then with one of them that hangs.

    python -m benchmarks.webhooks [--messages 10000] [--workers 1] [sqlite postgresql://… …]

Each endpoint is a server of its own on loopback, all in one other process, and answers at once; the one that hangs
reads the request and never answers. A message goes to one endpoint, so each has a twentieth of them; all are added
first, then the workers start, each in a process of its own. Printed is what the 19 endpoints that are well got:
messages a second, and when half of them and the last of them had arrived. What the one that hangs costs them is the
difference of the two lines. A database that is named must not hold an outbox that anybody needs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection

from keystile.webhooks import Targets
from keystile.webhooks.outbox import Outbox, new_key
from keystile.webhooks.working import Worker

ENDPOINTS = 20


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


def work(url: str, key: str, ports: list[int]) -> None:
    """One worker, until it is killed."""
    asyncio.run(Worker(opened(url, key, ports)).run())


def opened(url: str, key: str, ports: list[int]) -> Outbox:
    targets = Targets(allow_networks=["127.0.0.0/8"], allow_ports=ports, allow_http=True)
    return Outbox(url, key, targets=targets)


def measured(url: str, messages: int, workers: int, *, hanging: int) -> list[float]:
    """When the messages of all endpoints but the first arrived, in seconds since the workers were started."""
    key, organization = new_key(), new_key()
    with receivers(hanging) as (pipe, ports):
        outbox = opened(url, key, ports)
        outbox.migrate()
        for number, port in enumerate(ports):
            outbox.endpoints.create(f"http://127.0.0.1:{port}/", organization_id=f"{organization}{number}")
        for number in range(messages):
            outbox.add("a.b", {"number": number}, organization_id=f"{organization}{number % ENDPOINTS}")
        context = multiprocessing.get_context("spawn")
        running = [context.Process(target=work, args=(url, key, ports)) for _ in range(workers)]
        begun = time.time()
        for each in running:
            each.start()
        came: list[float] = []
        while len(came) < messages * (ENDPOINTS - 1) // ENDPOINTS:
            time.sleep(0.1)
            pipe.send("what came")
            came += [at - begun for number, at in pipe.recv() if number]
        for each in running:
            each.kill()
            each.join()
        outbox.close()
    return sorted(came)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=10_000)
    options.add_argument("--workers", type=int, default=1)
    options.add_argument("databases", nargs="*", default=["sqlite"])
    given = options.parse_args()
    for name in given.databases:
        for hanging in (0, 1):
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{folder}/outbox.db" if name == "sqlite" else name
                came = measured(url, given.messages, given.workers, hanging=hanging)
            begin = came[0]
            rate = len(came) / (came[-1] - begin)
            what = "one hangs" if hanging else "all well"
            print(
                f"{name.partition(':')[0]:12} {what:10} {len(came):6} messages {rate:7.0f}/s"
                f"   half after {came[len(came) // 2] - begin:6.2f} s, the last after {came[-1] - begin:6.2f} s"
            )


if __name__ == "__main__":
    main()
