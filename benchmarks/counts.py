"""What a request costs in things that can be counted. They are the same in every run, so that a test can hold them.

    python -m benchmarks.counts

For each door and path: Python calls, calls of functions in C, and bytecodes, each with those of the bare app around
which the door stands; and how often the store was asked and argon2 was run. Bytecodes differ between versions of
Python.
"""

from __future__ import annotations

import gc
import sys
from collections import Counter
from types import FrameType
from typing import Any, NamedTuple

from keystile import Gate, Plan, Rule, asgi, wsgi
from keystile.stores.memory import MemoryStore

from .bare import asgi_app, through_asgi, through_wsgi, wsgi_app
from .harness import Case, parser


class Counts(NamedTuple):
    """Of one request.

    Attributes:
        calls: of Python functions; a coroutine is counted each time that it goes on.
        c_calls: of functions in C.
        bytecodes: executed.
        store: how often a method of the key store was called.
        argon2: hashes worked out.
    """

    calls: int
    c_calls: int
    bytecodes: int
    store: int
    argon2: int


def count(case: Case) -> Counts:
    """What one call of this does, when it has been called before."""
    case()
    gc.collect()
    gc.disable()  # what it would collect in the middle of the call, and whom it would tell, is not of the call
    try:
        return _counted(case)
    finally:
        gc.enable()


def _counted(case: Case) -> Counts:
    told = _called(case)
    return Counts(told["call"], told["c_call"], _bytecodes(case), told["store"], told["argon2"])


def _called(case: Case) -> Counter[str]:
    told: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        told[event] += 1
        if event == "call":
            asked = isinstance(frame.f_locals.get("self"), MemoryStore)
            outside = frame.f_back is None or not isinstance(frame.f_back.f_locals.get("self"), MemoryStore)
            told["store"] += asked and outside
        elif event == "c_call" and argument.__name__ == "argon2_verify":
            told["argon2"] += 1

    sys.setprofile(profile)
    try:
        case()
    finally:
        sys.setprofile(None)
    told["c_call"] -= 1  # the end of the profile
    return told


def _bytecodes(case: Case) -> int:
    executed = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal executed
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        executed += event == "opcode"
        return trace

    sys.settrace(trace)
    try:
        case()
    finally:
        sys.settrace(None)
    return executed


def cases() -> dict[str, dict[str, Case]]:
    """What is counted, by door: every path that a request can take through the gate in memory."""
    found: dict[str, dict[str, Case]] = {"asgi": {"bare app": through_asgi(asgi_app, None)}}
    found["wsgi"] = {"bare app": through_wsgi(wsgi_app, None)}
    for name, plan in {"no windows": Plan(None), "2 windows": Plan("10000000/minute; 500000000/day")}.items():
        gate, key = _gate(plan)
        for door, each in _through(gate).items():
            found[door][f"warm, {name}"] = each(key)
    gate, key = _gate(Plan(None))
    spent, poor = _gate(Plan("1/day"))
    for door, each in _through(gate).items():
        found[door] |= {
            "public": each(None, path="/health"),
            "401 no key": each(None),
            "401 failed check": each(key[:-1] + ("0" if key[-1] != "0" else "1")),
            "403 scope": each(key, method="POST", path="/v1/exports"),
            "429": _through(spent)[door](poor),
        }
    return found


def _gate(plan: Plan) -> tuple[Gate, str]:
    rules = [Rule("POST /v1/exports", scopes=["exports:write"])]
    gate = Gate(prefix="acme", plans={"p": plan}, default_plan="p", public=["/health"], rules=rules)
    key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
    through_wsgi(wsgi.GateMiddleware(wsgi_app, gate), key)()  # proves the key
    return gate, key


def _through(gate: Gate) -> dict[str, Any]:
    doors = asgi.GateMiddleware(asgi_app, gate), wsgi.GateMiddleware(wsgi_app, gate)
    return {
        "asgi": lambda *args, **named: through_asgi(doors[0], *args, **named),
        "wsgi": lambda *args, **named: through_wsgi(doors[1], *args, **named),
    }


def main() -> None:
    """Print them all."""
    parser(__doc__).parse_args()
    print(f"Python {sys.version.split()[0]}\n{'':28}" + "".join(f"{name:>11}" for name in Counts._fields))
    for door, each in cases().items():
        for name, case in each.items():
            print(f"{door + ', ' + name:28}" + "".join(f"{number:11}" for number in count(case)))


if __name__ == "__main__":
    main()
