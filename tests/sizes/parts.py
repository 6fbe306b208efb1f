"""Parts of a gate and of a door that need some making before they can be fed, and what feeds them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from unittest import mock

from keystile import Argon2Hasher, Gate, Rule
from keystile._ground.redis.links import with_script
from keystile._sync import inline, run_now
from keystile.doors.asgi import wire as asgi_wire
from keystile.events import Events
from keystile.gate.budget import FailureBudget
from keystile.keys.workshop import as_limiter
from keystile.limiters.failsafe import Failsafe
from keystile.limiters.script import HIT, SCRIPT, arguments, is_unreadable, usages
from keystile.model import Request, Window
from keystile.policy import Policy
from keystile.rules.limits.packed import UNREADABLE, ends, forget, unpack
from keystile.rules.limits.quotas import Quotas
from keystile.rules.network.peers import is_rewritten
from keystile.rules.requests.canonical import ambiguous, below, repeats

MOST_LINES = 20_000  # of a header with the shortest of names, in a head of 1 MB
POLICY = Policy(failure_limits="1000000/day")
QUOTAS = Quotas(POLICY, ())
CHARGES = ((Window(10, 60), 1), (Window(100, 3600), 1), (Window(1000, 60, "POST /x", "tokens", watching=True), 50))
CREDENTIALS = frozenset((b"authorization", b"x-api-key"))

failures = QUOTAS.failures


def below_root(root: str) -> Callable[[str], object]:
    """What both doors do with a path where the app is served below a prefix."""

    def read(sent: str) -> None:
        for path in (sent, root + sent, root + "/" + sent):
            ambiguous(path, root)
            repeats(below(path, root), root)

    return read


def rewritten(peer: str, port: int | None) -> Callable[[list[bytes]], object]:
    """Lists that name the peer itself, often; only where it is trusted its port is looked for."""
    return lambda sent: is_rewritten(peer, port, sent, trusted=port is not None)


async def _unproved(name: object, until: float) -> None:
    """No key is right here."""


BUDGET = FailureBudget(POLICY, QUOTAS, Failsafe(as_limiter("memory://"), "local", Events("text")))


def spend(sent: str) -> None:
    """A wrong key, from whatever the server takes for an address."""
    run_now(BUDGET.spend(sent, sent[-32:].encode(), inline, _unproved))


def unpack_all(sent: bytes) -> None:
    """What stands where a subject's windows should stand."""
    for read in (unpack, ends, lambda packed: forget(packed, ())):
        with suppress(*UNREADABLE):
            read(sent)


def command(sent: str) -> None:
    """A subject's name, as the Redis limiter sends it."""
    with_script(arguments(HIT, sent, CHARGES), SCRIPT)


def reply(sent: bytes) -> None:
    """An answer of the script that is none."""
    is_unreadable(sent)
    with suppress(ValueError):
        usages(sent, CHARGES)


def gate() -> tuple[Gate, Any, Request]:
    """A gate that checks its callers again, what it admitted, and the request."""
    made = Gate(
        hasher=Argon2Hasher(memory_kib=8, time_cost=1), rules=[Rule("/a/*", scopes=["x"])], recheck_in_flight=True
    )
    made.on_event(lambda event: None)
    key = made.keys.create(name="test").secret.encode()
    request = Request("GET", "/", b"/", [(b"x-api-key", key)], "10.0.0.1")
    return made, run_now(made.check(request, inline)), request


RECHECKING, ADMITTED, REQUEST = gate()


def recheck(where: str) -> Callable[[bytes], Callable[[], object]]:
    """The same request once more, with too much of something."""

    def feed(sent: bytes) -> Callable[[], object]:
        changed: dict[str, Any] = {
            "path": {"path": "/" + sent.decode("latin-1"), "raw_path": sent},
            "key": {"credentials": [(b"x-api-key", sent)]},
            "keys": {"credentials": [(b"x-api-key", each) for each in sent.split(b",", MOST_LINES)]},
        }[where]
        request = REQUEST._replace(**changed)
        return lambda: run_now(RECHECKING.recheck(ADMITTED, request, inline))

    return feed


def wire(header: bytes | None, *, merging: bool) -> Callable[[bytes], Callable[[], object]]:
    """A head of many lines, some of them long; `merging` is the server that puts trailers among them."""

    def feed(sent: bytes) -> Callable[[], object]:
        named = [(name, sent) for name in (b"X-Forwarded-For", b"x_forwarded_for", b"x-forwarded-proto")]
        some = [(each[:40], each[40:]) for each in sent.split(b",", MOST_LINES)]
        many = [(b"x-forwarded-for", each) for _, each in some]
        scope = {"headers": [*named, *some[: MOST_LINES // 2], *many[: MOST_LINES // 2]], "client": ("10.0.0.1", 9)}

        def read() -> None:
            with mock.patch.object(asgi_wire, "_MERGING", "sys" if merging else ""):
                asgi_wire.read_wire(scope, header, b"x_forwarded_for", CREDENTIALS)

        return read

    return feed
