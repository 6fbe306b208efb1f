"""What keys cost that are used seldom, and what many keys cost that are used in turn; and the memory that they need.

    python -m benchmarks.remembered [--rounds 7] [--number 300] [--keys 100000] [postgresql://… redis://… …]

Between two requests of a key that is used once a minute, the gate's clock moves on by a minute, and what is counted is
written every ten requests; that is outside of what is timed, for a server does it beside the requests. Of many keys in
turn, each request is another key's; all were proved before. There, what is timed is the processor time of the thread
that serves; and the memory is all that the process has more when it has served each key once, without the windows.
"""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from contextlib import ExitStack, closing
from hashlib import sha256
from pathlib import Path

from keystile import Gate, HmacHasher, asgi, wsgi
from keystile._sync import run_now
from keystile.stores import USE_EVERY

from .bare import asgi_app, environ_of, start_response, through_asgi, through_wsgi, wsgi_app
from .filling import keep, told_of
from .harness import Case, in_turn, mean, parser, print_quartiles

SERVED = 10
PEPPER = b"remembered keys!"


class Quick:
    """Makes hashes as long as those of argon2id, in microseconds."""

    blocking = False

    def hash(self, raw: bytes) -> str:
        """The stored text for a raw key."""
        return f"$argon2id$v=19$m=19456,t=2,p=1${'salt' * 5}AA${sha256(raw).hexdigest()[:43]}"

    def verify(self, stored: str, raw: bytes) -> bool:
        """Whether this is its text."""
        return stored == self.hash(raw)

    def needs_rehash(self, _stored: str) -> bool:
        """Never."""
        return False

    def decoy(self) -> str:
        """The text of no key."""
        return self.hash(b"")


def seldom(stack: ExitStack, store: str, minutes: float, number: int) -> dict[str, Callable[[], float]]:
    """Microseconds a request of one key, at each door, when so many minutes lie between two of them."""
    now = [1e9]
    gate = stack.enter_context(closing(Gate(store, prefix="acme", hasher=HmacHasher(PEPPER), clock=lambda: now[0])))
    key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
    doors = {
        "wsgi": through_wsgi(wsgi.GateMiddleware(wsgi_app, gate), key),
        "asgi": through_asgi(asgi.GateMiddleware(asgi_app, gate), key),
    }
    doors["wsgi"]()  # proves the key

    def sample(case: Case) -> float:
        times = []
        for turn in range(number):
            now[0] += minutes * USE_EVERY
            begun = time.perf_counter()
            case()
            times.append(time.perf_counter() - begun)
            if turn % SERVED == 0:
                gate.flush()
        return statistics.median(times) * 1e6

    return {door: lambda case=case: sample(case) for door, case in doors.items()}


def many(stack: ExitStack, store: str, keys: int) -> Callable[[], float]:
    """Microseconds a request, through the WSGI door, when each is another key's; the keys are made and proved here."""
    gate = stack.enter_context(closing(Gate(store, prefix="acme", hasher=Quick(), remembered_keys=keys)))
    elsewhere = Gate(prefix="acme", hasher=Quick())
    issued = [elsewhere.keys.create(f"key {number}") for number in range(keys)]
    kept = ((each.key, told_of(each.key, number)) for number, each in enumerate(issued))
    run_now(keep(store, gate._shop.store, kept))
    made = [f"Bearer {each.secret}" for each in issued]
    del elsewhere, issued, kept
    door, environ = wsgi.GateMiddleware(wsgi_app, gate), environ_of(None)

    def sample() -> float:
        begun = time.thread_time()
        for each in made:
            door(environ | {"HTTP_AUTHORIZATION": each}, start_response)
        return (time.thread_time() - begun) / keys * 1e6

    gate.flush()
    gc.collect()
    tracemalloc.start()
    sample()
    gate.flush()
    gc.collect()
    print(
        f"{store.partition(':')[0]}: {tracemalloc.get_traced_memory()[0] / keys:,.0f} octets are remembered for a key"
    )
    tracemalloc.stop()
    return sample


def main() -> None:
    options = parser(__doc__, rounds=7, number=300)
    options.add_argument("--keys", type=int, default=100_000, help="how many keys take turns")
    options.add_argument("stores", nargs="*", help="URLs of more stores for many keys; each must have none yet")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        samplers: dict[str, Callable[[], float]] = {
            f"{door}: bare app": lambda bare=bare: mean(bare, given.number)
            for door, bare in (("asgi", through_asgi(asgi_app, "k")), ("wsgi", through_wsgi(wsgi_app, "k")))
        }
        for kind in ("memory", "sqlite"):
            for minutes, how in ((0.0, "all the time"), (1.0, "once a minute")):
                store = "memory://" if kind == "memory" else f"sqlite:///{Path(folder) / how.replace(' ', '-')}.db"
                found = seldom(stack, store, minutes, given.number)
                samplers |= {f"{door}, {kind}: a key used {how}": each for door, each in found.items()}
        print_quartiles("one key", in_turn(samplers, given.rounds))
        for store in ("memory://", f"sqlite:///{folder}/many.db", *given.stores):
            name = f"wsgi, {store.partition(':')[0]}: {given.keys:,} keys in turn"
            print_quartiles("many keys", in_turn({name: many(stack, store, given.keys)}, max(2, given.rounds // 2)))


if __name__ == "__main__":
    main()
