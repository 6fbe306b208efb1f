"""What becomes of first uses after a restart, with quick proofs and without: many valid keys within a second.

    python -m benchmarks.restart [--keys 1000] [--within 1.0] [--rounds 1]

The keys are in one SQLite file and were never used in this process. Under ASGI each request is a task, under WSGI each
has a thread; all from one address, or each from one of its own. A 503 must not come before `hashing_wait`, which is 5
seconds; there must be no 429. With argon2 a process proves about 50 keys a second on each core.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import anyio

from keystile import Gate
from keystile._sync import inline, pooled, run_now, worker_count
from keystile.model import Refused, Request

from .harness import parser, percentiles

PEPPER = "only for this benchmark"


class Use(NamedTuple):
    """The status of a request, and how long it took in milliseconds."""

    status: int
    took: float


def request(secret: str, peer: str) -> Request:
    return Request("GET", "/v1", b"", [(b"x-api-key", secret.encode())], peer)


def due(number: int, begun: float, pace: float) -> float:
    """In how many seconds this one begins."""
    return max(0.0, begun + number * pace - time.perf_counter())


def through_asgi(gate: Gate, requests: Sequence[Request], pace: float) -> list[Use]:
    found: list[Use] = []

    async def one(number: int, begun: float) -> None:
        await anyio.sleep(due(number, begun, pace))
        at = time.perf_counter()
        found.append(use(await gate.check(requests[number], pooled), at))

    async def everything() -> None:
        begun = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for number in range(len(requests)):
                tasks.start_soon(one, number, begun)
        await gate.aflush()

    anyio.run(everything)
    return found


def through_wsgi(gate: Gate, requests: Sequence[Request], pace: float) -> list[Use]:
    begun = time.perf_counter()

    def one(number: int) -> Use:
        time.sleep(due(number, begun, pace))
        at = time.perf_counter()
        return use(run_now(gate.check(requests[number], inline)), at)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(one, range(len(requests))))


def use(outcome: object, at: float) -> Use:
    return Use(outcome.reason.status if isinstance(outcome, Refused) else 200, (time.perf_counter() - at) * 1e3)


def show(name: str, uses: Sequence[Use]) -> None:
    counted = Counter(each.status for each in uses)
    waits = [each.took for each in uses if each.status == 503]
    middle, late, _, longest = percentiles([each.took for each in uses if each.status == 200])
    first = f"{min(waits):9,.0f}" if waits else f"{'-':>9}"
    print(f"{name:34}{counted[200]:6}{counted[429]:6}{counted[503]:6}{first}{middle:10,.1f}{late:9,.1f}{longest:9,.1f}")


def main() -> None:
    options = parser(__doc__, rounds=1)
    options.add_argument("--keys", type=int, default=1000)
    options.add_argument("--within", type=float, default=1.0, help="in how many seconds all are sent")
    given = options.parse_args()
    ways: dict[str, Callable[[Gate, Sequence[Request], float], list[Use]]] = {
        "ASGI": through_asgi,
        "WSGI": through_wsgi,
    }
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/keys.db"
        gate = Gate(url, peppers=[PEPPER], quick_proofs=True)
        with ThreadPoolExecutor(worker_count()) as threads:
            secrets = list(threads.map(lambda _: gate.keys.create("key").secret, range(given.keys)))
        gate.close()
        print(f"{'milliseconds':36} 200   429   503 first 503       p50      p99  longest")
        for quick in (True, False) * given.rounds:
            for way, run in ways.items():
                for peers in ("one address", "many addresses"):
                    each = [
                        request(secret, "192.0.2.1" if peers == "one address" else f"10.0.{at // 250}.{at % 250}")
                        for at, secret in enumerate(secrets)
                    ]
                    gate = Gate(url, peppers=[PEPPER], quick_proofs=quick)
                    uses = run(gate, each, given.within / given.keys)
                    gate.close()
                    show(f"{'quick proofs' if quick else 'argon2'}, {way}, {peers}", uses)


if __name__ == "__main__":
    main()
