"""What a gate costs behind real servers, beside its peers: CPU time a request, and the share of the bare app's requests
a second.

    python -m benchmarks.served [--seconds 20] [--only gthread] [--controls]

The median over the rounds, with the least and the most. `--controls` puts two more beside gunicorn's: the bare app with
the fields that a gate has the server read and write, and the bare app after other work of about a gate's length.
"""

from __future__ import annotations

import argparse

from benchmarks.harness import Spread

from .apps import CONTROLS, GUARDS
from .servers import GROUPS, Taken, measured


def added(rounds: dict[str, list[Taken]], guard: str) -> Spread:
    """µs of CPU time more than the bare app in the same round."""
    return Spread.of(mine.cpu - bare.cpu for mine, bare in zip(rounds[guard], rounds["bare"], strict=True))


def share(rounds: dict[str, list[Taken]], guard: str) -> Spread:
    """Requests a second against the bare app in the same round."""
    return Spread.of(mine.rate / bare.rate for mine, bare in zip(rounds[guard], rounds["bare"], strict=True))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=20.0, help="how long each app is loaded")
    options.add_argument("--only", default="", help="groups whose name has this in it")
    options.add_argument("--controls", action="store_true", help="beside gunicorn's, two apps that are no gate")
    given = options.parse_args()
    print(f"{'':44}{'CPU us':>8}{'req/s':>8}{'added us':>10}{'(least, most)':>18}{'share':>8}   server, load busy")
    for kind, host in GROUPS:
        if given.only not in f"{kind} + {host}":
            continue
        guards = GUARDS[host] + (CONTROLS if given.controls and host == "Flask" else ())
        rounds = measured(kind, host, given.seconds, guards)
        for guard, each in rounds.items():
            cpu, rate, server, load = (Spread.of(column).middle for column in zip(*each, strict=True))
            more, part = added(rounds, guard), share(rounds, guard)
            bounds = f"({more.low:.1f}, {more.high:.1f})"
            name = f"{kind} + {host}: {guard}"
            print(f"{name:44}{cpu:8.1f}{rate:8.0f}{more.middle:10.1f}{bounds:>18}{part.middle:8.0%}", end="")
            print(f"   {server:4.0%} {load:4.0%}", flush=True)


if __name__ == "__main__":
    main()
