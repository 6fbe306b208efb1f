"""The doors compared with other limiters' middleware: what each adds to a bare app, in process.

    python -m benchmarks.doors [--rounds 15] [--number 1000]

slowapi and flask-limiter are measured too if they are installed: pip install 'keystile[bench]'.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from keystile import Gate, Plan, asgi, wsgi

from .bare import asgi_app, through_asgi, through_wsgi, wsgi_app
from .harness import in_turn, mean, parser, print_quartiles
from .peers import TIGHT, WIDE, Row, flask_limiter_rows, slowapi_rows


def ours(folder: Path) -> list[Row]:
    rows: list[Row] = []
    places = {
        "all in memory": ("memory://", "memory://"),
        "key in sqlite": (f"sqlite:///{folder}/key.db", "memory://"),
        "key, windows in sqlite": (f"sqlite:///{folder}/both.db", f"sqlite:///{folder}/windows.db"),
    }
    for place, (store, limiter) in places.items():
        gate = Gate(
            store,
            limiter=limiter,
            prefix="acme",
            plans={"wide": Plan(WIDE), "tight": Plan(TIGHT)},
            default_plan="wide",
        )
        key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
        guarded = wsgi.GateMiddleware(wsgi_app, gate)
        through_wsgi(guarded, key)()  # proves the key, which makes it warm
        into = through_asgi(asgi.GateMiddleware(asgi_app, gate), key)
        rows += [
            (f"keystile ASGI, {place}", False, through_asgi(asgi_app, key), into),
            (f"keystile WSGI, {place}", False, through_wsgi(wsgi_app, key), through_wsgi(guarded, key)),
        ]
        if place == "all in memory":
            rows += refused(gate)
    return rows


def refused(gate: Gate) -> list[Row]:
    key = gate.keys.create("tight", plan="tight").secret
    guarded = wsgi.GateMiddleware(wsgi_app, gate)
    through_wsgi(guarded, key)()
    into = through_asgi(asgi.GateMiddleware(asgi_app, gate), key)
    return [
        ("keystile ASGI, 429", True, through_asgi(asgi_app, key), into),
        ("keystile WSGI, 429", True, through_wsgi(wsgi_app, key), through_wsgi(guarded, key)),
    ]


def added(row: Row, number: int) -> float:
    """The time added to the bare app in the same round; for a refusal, the whole time."""
    _, whole, bare, guarded = row
    return mean(guarded, number) - (0.0 if whole else mean(bare, number))


def main() -> None:
    arguments = parser(__doc__, number=1000).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = ours(Path(folder)) + slowapi_rows() + flask_limiter_rows()
        samplers = {row[0]: lambda row=row: added(row, arguments.number) for row in rows}
        print_quartiles("2 windows, warm key; added (429: whole)", in_turn(samplers, arguments.rounds))


if __name__ == "__main__":
    main()
