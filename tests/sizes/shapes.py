"""Texts of a size that hurt parsers, and what it costs to read them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from itertools import count

from tests.selection import some

# Each is repeated to the size: what separates, what opens and is never closed, what is escaped, decoded or folded.
UNITS = (
    *(b"a", b"0", b"9", b"/", b"//", b"/a", b"/.", b"/../", b".", b"&", b"&a", b"a=1&", b"&=", b"=", b"+", b"%"),
    *(b"%2", b"%61", b"%2f", b"%25", b"%C3%A9", b"&api_key=a", b"&%61pi_key", b",", b"a,", b", ", b'"', b'",', b'"a",'),
    *(b'"\\', b'\\"', b"\\", b"'", b";", b"a=b;", b'a="b";', b'a="b",', b'for="', b"for=10.0.0.2,", b"for=9;", b" "),
    *(b"\t", b", \t", b":", b"::", b"10.0.0.2,", b"[", b"]", b"[]", b"[],", b"[[],", b"{", b'{"a":', b'{"":1},', b"1,"),
    *(b"0.1,", b"1e9,", b'"\\ud800",', b"<p>", b"<br>", b"&lt;", b"&#x", b"&#99999999;", b"\xff", b"\xc3\xa9", b"\x00"),
    *(b"\r\n", b"\n", b"-", b"_", b"~", b"Bearer ", b",Bearer", b", Bearer\t", b"q=0.5;", b"application/problem+json,"),
    *(
        b"key_",
        b"key_live_",
        b"key_live_0123456789abx",
        b"key_live_0123456789abx/",
        b"%255F",
        b"abcdefgh/",
        b"abcdefgh ",
    ),
)
SMALL = some((250, 1000, 4000, 8000), 250, 8000)  # where what has a bound is still read to its end
USUAL, LARGE = 64_000, 1_000_000

_serial = count()


def shape(unit: bytes, size: int) -> bytes:
    """The unit again and again; no two are the same, so that nothing is found in a cache."""
    last = b"%d" % next(_serial)
    return (unit * (size // len(unit)))[: size - len(last)] + last


def cost(prepare: Callable[[], Callable[[], object]], enough: float) -> float:
    """Seconds of this thread's CPU time that a call takes at best, tried until it takes no more than `enough`.

    CPU time, and the best of several, over three seconds: what else the machine does is no matter. Nor is it what the
    garbage collector makes of all that the tests hold.
    """
    best = float("inf")
    for number in range(8):
        time.sleep(number * 0.1)
        call = prepare()
        gc.disable()
        try:
            begun = time.thread_time()
            call()
            best = min(best, time.thread_time() - begun)
        finally:
            gc.enable()
        if best <= enough:
            break
    return best
