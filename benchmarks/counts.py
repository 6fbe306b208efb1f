"""What a request costs in things that can be counted. They are the same in every run, so that a test can hold them.

    python -m benchmarks.counts

For each door and path, with those of the bare app around which the door stands: Python calls, calls of functions in C,
bytecodes, objects made; and how often the key store and the limiter were asked and argon2 was run. Bytecodes and
objects differ between versions of Python. At the end come the commands that Redis receives where it keeps the windows.

An object is a block of memory that the interpreter's allocator holds more of after a bytecode than before it, by
`sys.getallocatedblocks`. What one bytecode makes and gives back is not seen; nor is what Python keeps to use again
(short tuples, lists, dictionaries and floats): such a thing is taken from a list and not made. Each call of a Python
function makes one more when it is watched, its frame, and that one is not counted.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from types import FrameType
from typing import Any, NamedTuple

from keystile import Gate, Plan, Rule, asgi, wsgi
from keystile.limiters import memory as limiter_module
from keystile.limiters.memory import MemoryLimiter
from keystile.stores import memory as store_module

from .bare import asgi_app, receive, scope_of, send, through_asgi, through_wsgi, wsgi_app
from .harness import Case, parser, redis_server

WIDE = "10000000/minute; 500000000/day"
TURNS = 5
_TOLD = ("call", "c_call", "store", "limiter", "argon2")
_ASKED = {store_module.__name__: "store", limiter_module.__name__: "limiter"}


class Counts(NamedTuple):
    """Of one request.

    Attributes:
        calls: of Python functions; a coroutine is counted each time that it goes on.
        c_calls: of functions in C.
        bytecodes: executed.
        objects: made, as the module says.
        store: how often the key store was asked.
        limiter: how often the limiter was asked; in Redis, each is a command.
        argon2: hashes worked out.
    """

    calls: int
    c_calls: int
    bytecodes: int
    objects: int
    store: int
    limiter: int
    argon2: int


def count(case: Case) -> Counts:
    """What one call of this does, when it has been called before: of each the least of a few calls, for some calls do
    something besides, as at the turn of a second."""
    case()
    gc.collect()
    gc.disable()  # what it would collect in the middle of the call, and whom it would tell, is not of the call
    try:
        return _counted(case)
    finally:
        gc.enable()


def _counted(case: Case) -> Counts:
    told = [_called(case) for _ in range(TURNS)]
    calls, c_calls, store, limiter, argon2 = (min(each[what] for each in told) for what in _TOLD)
    bytecodes = min(_bytecodes(case) for _ in range(TURNS))
    made = min(_made(case) for _ in range(TURNS)) - min(_made(_nothing) for _ in range(TURNS))
    return Counts(calls, c_calls, bytecodes, made, store, limiter, argon2)


def _called(case: Case) -> Counter[str]:
    told: Counter[str] = Counter()

    def profile(frame: FrameType, event: str, argument: Any) -> None:
        told[event] += 1
        if event == "call":
            room = frame.f_globals["__name__"]
            outside = frame.f_back is None or frame.f_back.f_globals["__name__"] != room
            told[_ASKED.get(room, "")] += outside
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


def _nothing() -> None:
    pass


def _made(case: Case) -> int:
    blocks = sys.getallocatedblocks
    made = before = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal made, before
        grown = blocks() - before - (frame.f_trace is None)  # the first time that this frame is looked at
        if grown > 0:
            made += grown
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        before = blocks()
        return trace

    sys.settrace(trace)
    before = blocks()
    try:
        case()
    finally:
        sys.settrace(None)
    return made


def cases() -> dict[str, dict[str, Case]]:
    """What is counted, by door: every path that a request can take through the gate in memory."""
    found: dict[str, dict[str, Case]] = {"asgi": {"bare app": through_asgi(asgi_app, None)}}
    found["wsgi"] = {"bare app": through_wsgi(wsgi_app, None)}
    for name, plan in {"no windows": Plan(None), "2 windows": Plan(WIDE)}.items():
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


def _gate(plan: Plan, **settings: Any) -> tuple[Gate, str]:
    rules = [Rule("POST /v1/exports", scopes=["exports:write"])]
    # On a clock that stands: a request in another part of a window costs a few bytecodes more. A number's conjugate is
    # itself, and a function in C like the clock that a limiter has otherwise.
    settings.setdefault("limiter", MemoryLimiter(clock=(10**15).conjugate))
    gate = Gate(prefix="acme", plans={"p": plan}, default_plan="p", public=["/health"], rules=rules, **settings)
    key = gate.keys.create("key", ip_allowlist=["127.0.0.0/8"]).secret
    through_wsgi(wsgi.GateMiddleware(wsgi_app, gate), key)()  # proves the key
    return gate, key


def _through(gate: Gate) -> dict[str, Any]:
    doors = asgi.GateMiddleware(asgi_app, gate), wsgi.GateMiddleware(wsgi_app, gate)
    return {
        "asgi": lambda *args, **named: through_asgi(doors[0], *args, **named),
        "wsgi": lambda *args, **named: through_wsgi(doors[1], *args, **named),
    }


def redis_commands(url: str) -> dict[str, list[str]]:
    """By door, the commands that Redis receives for a request with a warm key and two windows."""
    import redis

    from .redis_script import commands_of

    gate, key = _gate(Plan(WIDE), limiter=url)
    doors = asgi.GateMiddleware(asgi_app, gate), wsgi.GateMiddleware(wsgi_app, gate)
    scope = scope_of(key)
    with redis.Redis.from_url(url) as raw, asyncio.Runner() as runner:
        cases: dict[str, Case] = {
            "asgi": lambda: runner.run(doors[0](dict(scope), receive, send)),
            "wsgi": through_wsgi(doors[1], key),
        }
        found = {}
        for door, case in cases.items():
            case()  # connects
            found[door] = commands_of(raw, case)
        runner.run(gate.aclose())
    return found


def main() -> None:
    """Print them all."""
    parser(__doc__).parse_args()
    print(f"Python {sys.version.split()[0]}\n{'':28}" + "".join(f"{name:>11}" for name in Counts._fields))
    for door, each in cases().items():
        for name, case in each.items():
            print(f"{door + ', ' + name:28}" + "".join(f"{number:11}" for number in count(case)))
    with redis_server() as url:
        for door, names in redis_commands(url).items() if url else ():
            print(f"{door}, warm, 2 windows in Redis: {len(names)} command, {' '.join(names)}")


if __name__ == "__main__":
    main()
