"""CORS (Fetch standard, section 3.3): which answers the scripts of which pages may read.

The last touch on every answer, whoever gave it: the app, its envelope, a refusal. An answer in which the app itself
says who may read it stays as it is. Where it says nothing of that, all that it says of CORS is ours to decide: what it
says of credentials was meant for other origins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import AnyStr, Generic

from ...model import Refused
from ...policy import Policy
from ...policy.origins import EVERY
from ...rules.requests.preflights import NAMES, ORIGIN, WANTED
from ..responses import Fields, merged_vary

ALLOW, CREDENTIALS, EXPOSE = (
    f"access-control-{name}" for name in ("allow-origin", "allow-credentials", "expose-headers")
)
MAX_AGE = 600
"""For how many seconds a browser may remember the answer to a preflight."""


class CorsWriter(Generic[AnyStr]):
    """Adds what the gate says of CORS to the head of an answer, in the text type of one door.

    Args:
        policy: which origins are listed.
        limits: the fields in which answers may say where a caller stands.
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
    """

    def __init__(self, policy: Policy, limits: Iterable[str], encode: Callable[[str], AnyStr]) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._everyone = EVERY in tuple(policy.cors_origins)
        self._exposed = ", ".join((*limits, "Retry-After", "X-Request-ID", "Link", "API-Key-Expires"))
        self._allow: AnyStr = encode(ALLOW)
        self._expose: AnyStr = encode(EXPOSE)
        self._vary: AnyStr = encode("vary")
        self._ours: frozenset[AnyStr] = frozenset((self._allow, self._expose, self._vary, encode(CREDENTIALS)))
        self._lengths = frozenset(map(len, self._ours))
        self._grants: dict[str, Fields[AnyStr]] = {}
        for origin in policy.cors_origins:
            self._grants[origin] = [(self._allow, encode(origin))]
            if policy.cors_credentials:
                self._grants[origin].append((encode(CREDENTIALS), encode("true")))

    def write(self, headers: Iterable[tuple[AnyStr, AnyStr]], origin: str) -> Fields[AnyStr]:
        """The header fields of an answer with ours added.

        Args:
            headers: (name, value) pairs, with the gate's other fields among them.
            origin: the request's ``Origin``, empty if it has none.
        """
        said: dict[AnyStr, list[AnyStr]]
        written, said = self._parted(headers)
        vary = said.pop(self._vary, [])
        if not self._everyone:
            vary = [self._encode(merged_vary(map(_text, vary), (ORIGIN,)))]
        written += [(self._vary, value) for value in vary]
        grant = self._grants.get(EVERY if self._everyone else origin)
        if grant is None or self._allow in said:
            for name, values in said.items():
                written += [(name, value) for value in values]
            return written
        exposed = ", ".join([self._exposed, *map(_text, said.get(self._expose, ()))])
        written += grant
        written.append((self._expose, self._encode(exposed)))
        return written

    def _parted(self, headers: Iterable[tuple[AnyStr, AnyStr]]) -> tuple[Fields[AnyStr], dict[AnyStr, list[AnyStr]]]:
        """The fields that are none of ours, and the values of those that are, by name."""
        others: Fields[AnyStr] = []
        said: dict[AnyStr, list[AnyStr]] = {}
        for field in headers:
            # Most names already differ in length.
            if len(field[0]) in self._lengths and (name := field[0].lower()) in self._ours:
                said.setdefault(name, []).append(field[1])
            else:
                others.append(field)
        return others, said

    def preflight(self, refused: Refused) -> Fields[AnyStr]:
        """The fields of the answer to a preflight, but for what `write` adds to every answer."""
        methods, names = refused.granted or ((), ())
        fields = [
            ("vary", f"{WANTED}, {NAMES}"),
            ("x-request-id", refused.request_id),
            ("access-control-allow-methods", ", ".join(methods)),
            ("access-control-max-age", str(MAX_AGE)),
        ]
        if names:
            fields.append(("access-control-allow-headers", ", ".join(names)))
        return [(self._encode(name), self._encode(value)) for name, value in fields]


def _text(value: AnyStr) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")
