"""How answers are written: a refusal as a whole, and the headers that the gate adds to the host's answers.

Written once for both doors. WSGI wants headers as str, ASGI as bytes with names in lower case; each writer is built for
one of the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from operator import itemgetter
from typing import AnyStr, Generic, NamedTuple

from ..model import Reason, Refused
from .headers.limits import NAMES as LIMIT_NAMES
from .headers.limits import unit_header_names
from .problems import ENVELOPE, MEDIA_TYPES, ErrorText, error_text

Fields = list[tuple[AnyStr, AnyStr]]
_name = itemgetter(0)
_new = tuple.__new__

OPT_OUT = "keystile-envelope"

# RFC 9213 section 2.1 ranks targeted fields above Cache-Control; their names end like this. Older fields of vendors
# rank above it too: of Fastly and Varnish, Akamai, and nginx. Expires and Pragma do not (RFC 9111 section 5.3).
_TARGETED = "-cache-control"
_VENDORS = ("surrogate-control", "edge-control", "x-accel-expires")
_LONGEST_NAME, _MOST_NAMES = 64, 1024


class Reply(NamedTuple, Generic[AnyStr]):
    """An answer that the gate itself gives: status, header fields with names in lower case, body."""

    status: int
    headers: list[tuple[AnyStr, AnyStr]]
    body: bytes


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


def given_request_id(text: str | None, holds_key: Callable[[str], bool]) -> str | None:
    """The client's own request id, if it may stand in headers, bodies and logs unchanged.

    Args:
        text: what the client sent, or None.
        holds_key: whether a text holds a key.
    """
    return text if text is not None and _REQUEST_ID.fullmatch(text) and not holds_key(text) else None


@lru_cache(maxsize=2)
def _timestamp(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def timestamp(now: float) -> str:
    """ISO 8601 in UTC with whole seconds and ``Z``, from Unix seconds."""
    return _timestamp(int(now))


class RefusalWriter(Generic[AnyStr]):
    """Writes refusals as error documents, in the text type of one door.

    Two refusals for the same reason differ only in the request id and the timestamp, and both of these have a constant
    length, unless the client chose the id: what a stranger tries leaves no trace in the answer. So everything else is
    made once for each reason.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
        vary: the header names that a key is read from, in lower case.
        realm: for ``WWW-Authenticate`` (RFC 6750 section 3).
    """

    _KEPT = 1024

    def __init__(self, encode: Callable[[str], AnyStr], vary: Sequence[str], realm: str) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._vary, self._realm = ", ".join(vary), realm
        self._id: AnyStr = encode("x-request-id")
        self._templates: dict[str, dict[tuple[Reason, tuple[str, ...]], tuple[Fields[AnyStr], ErrorText, int]]] = {
            form: {} for form in MEDIA_TYPES
        }

    def write(
        self,
        refused: Refused,
        now: float,
        limits: Sequence[tuple[AnyStr, AnyStr]] = (),
        form: str = ENVELOPE,
    ) -> Reply[AnyStr]:
        """The whole answer.

        Args:
            refused: the outcome.
            now: Unix seconds.
            limits: the fields of a `limits.FieldWriter`.
            form: one of `policy.ErrorFormat`.
        """
        reason, request_id, _, _, _, schemes = refused
        try:
            headers, text, length = self._templates[form][reason, schemes]
        except KeyError:
            headers, text, length = self._prepare(reason, schemes, form)
        body = text.with_id(request_id, _timestamp(int(now)))
        written = headers.copy()
        if len(body) != length:  # the client chose the request id
            written[1] = (written[1][0], self._encode(str(len(body))))
        written.append((self._id, self._encode(request_id)))
        written += limits
        found: Reply[AnyStr] = _new(Reply, (reason.status, written, body))
        return found

    def _prepare(self, reason: Reason, schemes: tuple[str, ...], form: str) -> tuple[Fields[AnyStr], ErrorText, int]:
        text = error_text(form, reason.status, reason.code, reason.message, reason.details)
        length = len(text.with_id("req_" + 24 * "0", timestamp(0)))
        fields = [
            ("content-type", MEDIA_TYPES[form]),
            ("content-length", str(length)),
            ("cache-control", "no-store"),
            ("vary", self._vary),
        ]
        challenges = challenges_of(reason, schemes, self._realm)
        if challenges:
            fields.append(("www-authenticate", challenges))
        if reason.retry_after is not None:
            fields.append(("retry-after", str(reason.retry_after)))
        template = [(self._encode(name), self._encode(value)) for name, value in fields], text, length
        if len(self._templates[form]) >= self._KEPT:
            self._templates[form].clear()
        self._templates[form][reason, schemes] = template
        return template


def challenges_of(reason: Reason, schemes: Sequence[str], realm: str) -> str:
    """The value of ``WWW-Authenticate`` (RFC 9110 section 11.6.1); empty if there is none.

    Args:
        reason: its challenge follows the realm, but for Basic, which knows none of it (RFC 7617 section 2).
        schemes: in lower case. Basic is named with 401 only: it opens a window in browsers.
        realm: of all of them.
    """
    if reason.challenge is None:
        return ""
    named = [f'{scheme.title()} realm="{realm}"{reason.challenge}' for scheme in schemes if scheme != "basic"]
    if "basic" in schemes and reason.status == 401:
        named.append(f'Basic realm="{realm}", charset="UTF-8"')
    return ", ".join(named)


class HeaderWriter(Generic[AnyStr]):
    """Adds the gate's headers to an answer of the host's, in the text type of one door.

    On a protected path the answer depends on the key, and caches must be told (by itself, RFC 9111 section 3.5 keeps
    them only from storing answers to requests with ``Authorization``). ``Cache-Control`` gets ``private`` unless the
    app set something at least as strict, ``Vary`` names every header that a key is read from, and fields that tell
    shared caches otherwise are left out.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
        vary: the header names that a key is read from, in lower case.
        units: the named units that windows may count.
    """

    def __init__(self, encode: Callable[[str], AnyStr], vary: Sequence[str], units: Sequence[str] = ()) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._vary_on = tuple(vary)
        self._id: AnyStr = encode("x-request-id")
        self._cache: AnyStr = encode("cache-control")
        self._vary: AnyStr = encode("vary")
        names = (*LIMIT_NAMES, *(name.lower() for name in unit_header_names(units)))
        self._limit_names: frozenset[AnyStr] = frozenset(encode(name) for name in names)
        # By this field an app opts out of the envelope. Nobody else needs to see it.
        self._hidden: AnyStr = encode(OPT_OUT)
        self._names: frozenset[AnyStr] = (
            frozenset((self._id, self._cache, self._vary, self._hidden)) | self._limit_names
        )
        self._targeted: AnyStr = encode(_TARGETED)
        self._vendors: frozenset[AnyStr] = frozenset(encode(name) for name in _VENDORS)
        # Names that the gate leaves alone, as apps write them: one look-up is enough.
        self._others: set[AnyStr] = set()
        self._usual: Fields[AnyStr] = [(self._cache, encode("private")), (self._vary, encode(", ".join(vary)))]

    def write(
        self,
        headers: Iterable[tuple[AnyStr, AnyStr]],
        request_id: AnyStr,
        *,
        protected: bool,
        limits: Sequence[tuple[AnyStr, AnyStr]] = (),
    ) -> Fields[AnyStr]:
        """The app's header fields with the gate's added. A new list: the app may send its own again.

        Args:
            headers: (name, value) pairs, kept in order, repeats included.
            request_id: replaces the app's ``X-Request-ID``, so that answer, log and envelope agree.
            protected: whether a key was asked for.
            limits: the fields of a `limits.FieldWriter`; they replace the app's fields of the same names.
        """
        return self.finish(list(headers), self.fields(request_id, limits, protected=protected))

    def fields(self, request_id: AnyStr, limits: Sequence[tuple[AnyStr, AnyStr]], *, protected: bool) -> Fields[AnyStr]:
        """What an answer gets in which nothing concerns the gate."""
        return [(self._id, request_id), *(self._usual if protected else ()), *limits]

    def finish(self, headers: Fields[AnyStr], own: Sequence[tuple[AnyStr, AnyStr]]) -> Fields[AnyStr]:
        """The app's header fields with these of the gate's added, as `write` gives them.

        Args:
            headers: the app's, in a list that may be changed.
            own: what `fields` gives, and perhaps more behind it.
        """
        if not self._others.issuperset(map(_name, headers)) and any(map(self._concerns_us, map(_name, headers))):
            return self._merged(headers, own)
        headers += own
        return headers

    def _concerns_us(self, name: AnyStr) -> bool:
        if name in self._others:
            return False
        lowered = name.lower()
        if lowered in self._names or self._grants(lowered):
            return True
        if len(name) <= _LONGEST_NAME and len(self._others) < _MOST_NAMES:
            self._others.add(name)
        return False

    def _grants(self, lowered: AnyStr) -> bool:
        """Whether a field tells shared caches something that ranks above ``Cache-Control``."""
        return lowered.endswith(self._targeted) or lowered in self._vendors

    def _merged(self, headers: Fields[AnyStr], own: Sequence[tuple[AnyStr, AnyStr]]) -> Fields[AnyStr]:
        """The app's fields without those that the gate writes itself, and the gate's, of which those for caches take in
        the app's."""
        written = {name for name, _ in own}
        ours = {self._id, self._hidden}
        if not self._limit_names.isdisjoint(written):
            ours |= self._limit_names
        if self._cache not in written:
            return [field for field in headers if field[0].lower() not in ours] + list(own)
        ours |= {self._cache, self._vary}
        merged = {
            self._cache: self._encode(merged_cache_control(_values(headers, self._cache))),
            self._vary: self._encode(merged_vary(_values(headers, self._vary), self._vary_on)),
        }
        named = ((field[0].lower(), field) for field in headers)
        kept = [field for name, field in named if name not in ours and not self._grants(name)]
        return kept + [(name, merged.get(name, value)) for name, value in own]


# An element of a list field (RFC 9110 section 5.6.1). A comma inside quotes does not end it.
_ELEMENT = re.compile(r'(?:[^,"]++|"(?:[^"\\]++|\\.)*+"?+)++')
# The most characters in all lines together. Nobody needs more to instruct a cache, so beyond that the strictest holds.
_MOST_MERGED = 4096


def merged_cache_control(values: Iterable[str]) -> str:
    """The directives of these lines, never looser: without ``public``, and with ``private`` unless ``no-store``."""
    values = list(values)
    if sum(map(len, values)) > _MOST_MERGED:
        return "private, no-store"
    directives = [each for each in _elements(values) if each.lower() != "public"]
    if not {"private", "no-store"} & {each.lower() for each in directives}:
        directives.append("private")
    return ", ".join(directives)


def merged_vary(values: Iterable[str], names: Iterable[str]) -> str:
    """The names of these lines and ours, each once; ``*`` stands for all."""
    values = list(values)
    if sum(map(len, values)) > _MOST_MERGED:
        return "*"
    listed = list({name.lower(): name for name in reversed(_elements(values))}.values())[::-1]
    lowered = {name.lower() for name in listed}
    if "*" in lowered:
        return "*"
    return ", ".join([*listed, *(name for name in names if name not in lowered)])


def _elements(values: Iterable[str]) -> list[str]:
    found = (part.strip() for value in values for part in _ELEMENT.findall(value))
    return [part for part in found if part]


def _values(headers: Iterable[tuple[AnyStr, AnyStr]], name: AnyStr) -> list[str]:
    values = (field[1] for field in headers if field[0].lower() == name)
    return [value if isinstance(value, str) else value.decode("latin-1") for value in values]
