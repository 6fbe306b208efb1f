"""The worker: claims what is due, has it sent, and goes on.

Any number of workers may run, on any number of machines: a delivery is claimed by one of them, for a minute. One that
dies leaves its deliveries to the others when that time is over, so a message may arrive twice, and none is lost.
"""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

from ..._ground.checks import check_count, check_seconds
from ..._sync import Crew, sleep, start_apart
from ...events import TEXT, Events, Outage
from ...exceptions import ConfigurationError
from ...gate import Gate
from ...policy.webhooks import check_own_types, own_types
from ..outbox import Outbox
from ..sending import Sender
from ..sending.attempt import WHOLE_SECONDS
from ..sending.network import Resolve, resolve
from .delivering import Delivering
from .places import EACH, MOST, Places
from .pump import Pump
from .shift import IDLE, Shift
from .telling import Telling

PURGE_EVERY = 3600.0
SLOWEST_ATTEMPT = 30.0
"""Seconds, as Standard Webhooks says. With time to note what came, it must be within a lease."""


class Worker:
    """Sends what is due, on asyncio or trio: ``async with Worker(outbox): …`` in a host's lifespan, or `run`.

    Args:
        outbox: where messages wait.
        gate: whose changes are told (`events`), and who tells what becomes of messages; None tells the logger
            ``keystile`` alone.
        events: which changes of the gate's keys, projects and organizations become messages: ``["key.*"]``.
        most: how many messages are sent at once.
        each: how many of them to one endpoint.
        seconds: the deadline of an attempt, 30 at most.
        ssl_context: what proves the other side's name; the system's authorities if None.
        resolve: finds the addresses of a host.
        clock: Unix seconds, the same for all workers of an outbox.

    Raises:
        ConfigurationError: an argument cannot be used, or `events` are wanted of no gate.
    """

    def __init__(
        self,
        outbox: Outbox,
        *,
        gate: Gate | None = None,
        events: Sequence[str] = (),
        most: int = MOST,
        each: int = EACH,
        seconds: float = WHOLE_SECONDS,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolve = resolve,
        clock: Callable[[], float] = time.time,
    ) -> None:
        wanted = own_types(check_own_types(tuple(events), "events"))
        if wanted and gate is None:
            raise ConfigurationError("tells changes of a gate, but there is none: give gate as well", key="events")
        if check_count(most, "most") > MOST:
            raise ConfigurationError(f"expected at most {MOST}, got {most}", key="most")
        check_count(each, "each")
        if not 0 < check_seconds(seconds, "seconds") <= SLOWEST_ATTEMPT:
            raise ConfigurationError(f"expected at most {SLOWEST_ATTEMPT:.0f} seconds, got {seconds}", key="seconds")
        self._seconds = seconds
        self._outbox, self._ssl_context, self._resolve, self._clock = outbox, ssl_context, resolve, clock
        told = Events(TEXT) if gate is None else gate.events
        self._telling = Telling(told)
        self._pump = Pump(outbox, gate, wanted, told) if gate is not None and wanted else None
        # A name of its own for each worker: what one claimed, no other may finish.
        name = f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(4)}"
        outage = Outage(told, "outbox", "no message is sent")
        self._shift = Shift(name, outbox, Places(most, each), outage, seconds, clock)

    async def __aenter__(self) -> Self:
        self._ended = start_apart(self.run)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        await self._ended()

    def stop(self) -> None:
        """Begin nothing more, and end `run` when what is under way has ended: soon after its deadline at the latest.
        From any thread."""
        self._shift.stop()

    async def run(self, *, once: bool = False) -> None:
        """Work until `stop` is called.

        Args:
            once: work until nothing is due, and no longer.

        Raises:
            KeystileError: with `once`, the outbox or the audit does not answer. Without, the worker waits for them.
        """
        sender = Sender(
            self._outbox.targets, ssl_context=self._ssl_context, resolve=self._resolve, seconds=self._seconds
        )
        async with sender, Crew() as crew:
            if self._pump is not None and once:
                await self._pump.once()
            elif self._pump is not None:
                crew.start(self._pump.run)
            if not once:
                crew.start(self._forget)
            delivering = Delivering(self._outbox, sender, self._telling, self._clock)
            await self._shift.run(delivering, crew, once=once)

    async def _forget(self) -> None:
        """Have the outbox delete what is old, by and by."""
        while True:
            with suppress(
                Exception
            ):  # it is tried again, and that the outbox is down is told where messages are claimed
                while await self._outbox.apurge():
                    await sleep(IDLE)
            await sleep(PURGE_EVERY)
