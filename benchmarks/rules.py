"""What it costs to know which rules hold for a request, and to build the table of them.

    python -m benchmarks.rules [--rounds 15] [--number 20000]

The median over the rounds is printed. A path that was asked for before is "warm"; "new" is one that never was, as if
every request had another id in its path.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time

from keystile import Rule
from keystile.rules.requests.paths import RuleTable

from .harness import Case, in_turn, mean, parser


def table_of(count: int) -> RuleTable:
    """So many rules with templates, and a wide one that holds together with each."""
    rules = [Rule(f"GET,POST /v1/r{number}/{{id}}/items", scopes=[f"s{number % 9}"]) for number in range(count)]
    return RuleTable((f"rules[{place}]", rule) for place, rule in enumerate([*rules, Rule("/v1/*", limits="9/minute")]))


def cases(count: int) -> dict[str, Case]:
    table, numbers = table_of(count), itertools.count()

    def new() -> object:
        path = f"/v1/r{count // 2}/{next(numbers)}/items"
        return table.demand("GET", path, path.encode())

    path = f"/v1/r{count // 2}/7/items"
    raw_path = path.encode()
    return {
        f"{count:,} rules: warm": lambda: table.demand("GET", path, raw_path),
        f"{count:,} rules: new id": new,
        f"{count:,} rules: not canonical, new": lambda: table.demand("GET", f"//{next(numbers)}", b""),
    }


def main() -> None:
    arguments = parser(__doc__, number=20_000).parse_args()
    print(f"Python {sys.version.split()[0]}")
    found: dict[str, Case] = {}
    for count in (1, 100, 10_000):
        start = time.process_time()
        found |= cases(count)
        print(f"{count:>6,} rules: built in {time.process_time() - start:.3f} s of CPU time")
    samplers = {name: lambda case=case: mean(case, arguments.number) for name, case in found.items()}
    print("\nthe look-up, us")
    for name, each in in_turn(samplers, arguments.rounds).items():
        print(f"{name:48}{statistics.median(each):8.2f}")


if __name__ == "__main__":
    main()
