"""What it costs to know who is calling: allowlists, and the client behind proxies.

    python -m benchmarks.addresses [--rounds 15] [--number 20000]

The median over the rounds is printed. A "warm" address was seen before; a "new" one was not, as if every request came
from another address.
"""

from __future__ import annotations

import itertools
import statistics
import sys
from functools import partial
from ipaddress import ip_network

from keystile.rules.network.addresses import Allowlist, parse
from keystile.rules.network.bounds import admission, read_lists
from keystile.rules.network.clients import ClientResolver

from .harness import Case, in_turn, mean, parser

PROXY, OUTSIDER = "10.0.0.1", "192.0.2.1"


def allowlists() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for size in (1, 10, 1000):
        v4 = Allowlist([f"10.{number // 250}.{number % 250}.0/24" for number in range(size)])
        v6 = Allowlist([f"2001:db8:{number:x}::/48" for number in range(size)])
        for allowlist, inside, outside in ((v4, "10.0.0.9", "11.0.0.9"), (v6, "2001:db8::9", "2001:db9::9")):
            family = "v4" if allowlist is v4 else "v6"
            found[f"allowlist of {size:,} {family}: inside"] = member(allowlist, inside)
            found[f"allowlist of {size:,} {family}: outside"] = member(allowlist, outside)
    mixed = [str(ip_network((number << 96, 16 + number % 113), strict=False)) for number in range(2**31, 2**31 + 1000)]
    found["allowlist of 1,000 v6, every length: outside"] = member(Allowlist(mixed), "2001:db9::9")
    admits = admission([each for each in (read_lists("", None, mixed), read_lists("", ["::/0"], None)) if each])
    if admits is not None:
        found["deny list of 1,000, every length, and an allow list"] = partial(admits, "2001:db9::9")
    return found


def member(allowlist: Allowlist, address: str) -> Case:
    return lambda: parse(address) in allowlist


def clients() -> dict[str, Case]:
    listed, standard, lone = (
        ClientResolver(["10.0.0.0/8"], None, name) for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP")
    )
    hops = ClientResolver([], 1, "X-Forwarded-For")
    numbers = itertools.count()

    def new() -> object:
        number = next(numbers)
        return listed.resolve(PROXY, 1, [b"2001:db8:%x:%x::1" % (number >> 16 & 0xFFFF, number & 0xFFFF)], [])

    element = b'for="[2001:db8::5]:4711";proto=https'
    return {
        "client: untrusted peer": resolve(listed, OUTSIDER),
        "client: untrusted peer that sends the headers": resolve(listed, OUTSIDER, b"192.0.2.9"),
        "client: proxy, no header": resolve(listed, PROXY),
        "client: X-Forwarded-For, one entry": resolve(listed, PROXY, b"192.0.2.9"),
        "client: X-Forwarded-For, one entry, new": new,
        "client: X-Forwarded-For, [v6]:port": resolve(listed, PROXY, b"[2001:db8::5]:443"),
        "client: X-Forwarded-For, two proxies": resolve(listed, PROXY, b"192.0.2.9, 10.0.0.2"),
        "client: X-Forwarded-For, counted hops": resolve(hops, None, b"192.0.2.9"),
        "client: X-Real-IP": resolve(lone, PROXY, b"192.0.2.9"),
        "client: Forwarded, one element": resolve(standard, PROXY, element),
        "client: Forwarded, two proxies": resolve(standard, PROXY, element + b", for=10.0.0.2"),
        "client: X-Forwarded-For, 64 KiB of proxies": resolve(listed, PROXY, b"10.0.0.2," * 7281 + b"10.0.0.2"),
        "client: Forwarded, 64 KiB of proxies": resolve(standard, PROXY, b"for=10.0.0.2," * 5041 + b"for=10.0.0.2"),
        "client: X-Forwarded-For, 64 KiB of blanks": resolve(listed, PROXY, b" " * 65_536),
        "client: Forwarded, 64 KiB of quotes": resolve(standard, PROXY, b'"' * 65_536),
    }


def resolve(resolver: ClientResolver, peer: str | None, line: bytes = b"") -> Case:
    forwarded, proto = ([line], [b"https"]) if line else ([], [])
    return lambda: resolver.resolve(peer, 50_000, forwarded, proto)


def main() -> None:
    arguments = parser(__doc__, number=20_000).parse_args()
    few = arguments.number // 100
    samplers = {
        name: lambda case=case, number=few if "KiB" in name else arguments.number: mean(case, number)
        for name, case in (allowlists() | clients()).items()
    }
    print(f"Python {sys.version.split()[0]}\n\n{'':52}{'median µs':>10}")
    for name, taken in in_turn(samplers, arguments.rounds).items():
        print(f"{name:52}{statistics.median(taken):10.2f}")


if __name__ == "__main__":
    main()
