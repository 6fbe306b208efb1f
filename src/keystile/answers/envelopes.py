"""The app's answers in the envelope: which ones get it, and how their heads change.

A success is spliced, not parsed: octets are added before and after the app's own. So a stream stays a stream, and the
length grows by a number that is known when the answer starts. An error is short, so it is read, up to a bound, and
rewritten as an error document. Any other answer goes out unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import AnyStr, Generic

from ..exceptions import InvalidRequest
from ..rules.requests.bodies import is_json_type
from .hosterrors import MAX_BODY, describe
from .problems import MEDIA_TYPES, error_text, prefers
from .responses import OPT_OUT, Fields, Reply

BEFORE, EMPTY = b'{"data":', b"null"
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
# A part of the app's own bytes is what the client asked for (206); the others have no body to splice.
_UNTOUCHED = frozenset((204, 205, 206))
# RFC 9110 section 6.4.1, RFC 9112 section 6.3: a body here would be read as the next answer.
BODYLESS = frozenset((204, 304))
# These describe octets that the client will not get.
_OF_THE_OCTETS = ("accept-ranges", "content-md5", "digest", "content-digest", "repr-digest")
_OF_THE_BODY = (
    *_OF_THE_OCTETS,
    "content-type",
    "content-length",
    "content-encoding",
    "content-disposition",
    "content-language",
    "etag",
    "last-modified",
    "transfer-encoding",
)
# Up to this many octets, one copy is cheaper than one more write to the socket.
MAX_JOINED = 262_144

# The role of a header field. None of the numbers is 0, so that none is false.
_TYPE, _LENGTH, _RARE, _OTHER = range(1, 5)


_BLANKS = b" \t\n\r"  # RFC 8259 section 2; section 3 says what a value begins with
_BEGINNINGS = frozenset(b'{["-0123456789tfn')


def begins_json(octets: bytes, *, whole: bool) -> bool:
    """Whether a JSON text may begin like this.

    Args:
        octets: the first octets of a body; not empty.
        whole: there are no more octets.
    """
    if octets[0] in _BEGINNINGS:
        return True
    rest = octets.lstrip(_BLANKS)
    return rest[0] in _BEGINNINGS if rest else not whole


class Splice:
    """Octets around a stream of octets.

    Args:
        after: what follows the app's octets.
    """

    __slots__ = ("_after", "_before")

    def __init__(self, after: bytes) -> None:
        self._before, self._after = BEFORE, after

    def pieces(self, chunk: bytes, *, last: bool) -> list[bytes]:
        """What to send for this chunk of the app's; no piece is empty, and a large chunk is not copied."""
        found = []
        if chunk:
            found = [self._before, chunk] if self._before else [chunk]
            self._before = b""
        if last:
            found += [self._before, EMPTY, self._after] if self._before else [self._after]
        return [b"".join(found)] if found and len(chunk) <= MAX_JOINED else found


def whole(chunk: bytes, after: bytes) -> bytes:
    """The envelope around a body that came in one chunk."""
    return b"".join((BEFORE, chunk or EMPTY, after))


class Collected:
    """The body of an error, up to the greatest length that is read."""

    def __init__(self) -> None:
        self._octets = bytearray()
        self.too_long = False
        """The body is too long, and nothing of it is kept."""

    def add(self, chunk: bytes) -> None:
        """Take one more chunk. A body that gets too long is dropped at once."""
        self.too_long = self.too_long or len(self._octets) + len(chunk) > MAX_BODY
        if self.too_long:
            self._octets.clear()
        else:
            self._octets += chunk

    @property
    def body(self) -> bytes | None:
        """The octets, or None if there were too many."""
        return None if self.too_long else bytes(self._octets)


class EnvelopeWriter(Generic[AnyStr]):
    """Decides on the heads of answers, in the text type of one door.

    Args:
        encode: turns a lower-case str into the door's text: ``str.encode``, or ``str``.
    """

    def __init__(self, encode: Callable[[str], AnyStr]) -> None:
        self._encode: Callable[[str], AnyStr] = encode
        self._type: AnyStr = encode("content-type")
        self._coding: AnyStr = encode("content-encoding")
        self._length: AnyStr = encode("content-length")
        self._etag: AnyStr = encode("etag")
        self._opt_out: AnyStr = encode(OPT_OUT)
        self._weak: AnyStr = encode("W/")
        self._link: AnyStr = encode("link")
        self._dropped: frozenset[AnyStr] = frozenset(encode(name) for name in _OF_THE_OCTETS)
        self._body_fields: frozenset[AnyStr] = frozenset(encode(name) for name in _OF_THE_BODY)
        self._roles: dict[AnyStr, int] = {}
        self._json_types: set[AnyStr] = set()

    def spliced(self, status: int, headers: Sequence[tuple[AnyStr, AnyStr]], added: int) -> Fields[AnyStr] | None:
        """The head of a success with the envelope around its body, or None if the answer goes out unchanged.

        Args:
            status: the HTTP status.
            headers: the app's.
            added: how many octets the envelope adds after the app's.
        """
        if not 200 <= status < 300 or status in _UNTOUCHED:
            return None
        roles, written, rare = self._roles, list(headers), False
        types = lengths = length = 0
        for at, (name, value) in enumerate(written):
            role = roles.get(name) or self._role(name)
            if role == _TYPE:
                types += 1 if value in self._json_types or self._is_json(value) else 2
            elif role == _LENGTH:
                lengths += 1
                if not value.isdigit() or not value.isascii() or len(value) > 18:
                    return None
                length = int(value)
                written[at] = name, self._encode(str((length or len(EMPTY)) + len(BEFORE) + added))
            elif role == _RARE:
                rare = True
        # A repeated field cannot be relied on. Without a type, only a body announced as empty can become JSON.
        if types > 1 or lengths > 1 or (not types and (length or not lengths)):
            return None
        if not types:
            written.append((self._type, self._encode("application/json")))
        if not rare:
            return written
        return self._reworded(written) if self._is_plain(headers) else None

    def _role(self, name: AnyStr) -> int:
        lowered = name.lower()
        if lowered == self._type:
            role = _TYPE
        elif lowered == self._length:
            role = _LENGTH
        else:
            role = _RARE if lowered in (self._coding, self._etag, self._opt_out, *self._dropped) else _OTHER
        if len(self._roles) < 1024 and len(name) < 64:
            self._roles[name] = role
        return role

    def replaces(self, status: int, headers: Iterable[tuple[AnyStr, AnyStr]], accept: str) -> bool:
        """Whether this is an error that is rewritten as an error document.

        Args:
            status, headers: the app's.
            accept: what the client accepts. An error page that it prefers to JSON stays as it is, unless the status is
                500 or above: such a page may show a traceback.
        """
        if status < 400:
            return False
        types = []
        for name, value in headers:
            lowered = name.lower()
            if lowered == self._opt_out and self._is_off(value):
                return False
            if lowered == self._type:
                types.append(self._text(value))
        return not (status < 500 and accept and len(types) == 1 and prefers(accept, types[0]))

    def error(  # noqa: PLR0917 - all that an error is made of
        self,
        status: int,
        headers: Fields[AnyStr],
        body: bytes | None,
        form: str,
        request_id: str,
        moment: str,
        more: str,
    ) -> Reply[AnyStr]:
        """An error of the app's, rewritten as an error document.

        Args:
            status, headers: the app's. Headers that do not describe the body stay.
            body: the app's, or None if it cannot be read.
            form: one of `policy.ErrorFormat`.
            request_id, moment: for ``meta``.
            more: further members of ``meta``, each after its comma.
        """
        types = [self._text(value) for name, value in headers if name.lower() == self._type]
        encoded = any(name.lower() == self._coding for name, _ in headers)
        said = describe(status, types[0] if len(types) == 1 else "", None if encoded else body)
        written = error_text(form, status, *said).with_id(request_id, moment, more)
        return Reply(status, self._error_fields(headers, written, form), written)

    def vary(self) -> tuple[AnyStr, AnyStr]:
        """The field that says that an error would look different for another ``Accept``."""
        return self._encode("vary"), self._encode("accept")

    def invalid(  # noqa: PLR0917 - as `error`
        self,
        fault: InvalidRequest,
        headers: Fields[AnyStr],
        form: str,
        request_id: str,
        moment: str,
        more: str,
    ) -> Reply[AnyStr]:
        """The answer to a fault that the app found in the request; the other arguments are those of `error`."""
        body, status = fault.answer()
        written = error_text(form, status, **body["error"]).with_id(request_id, moment, more)
        return Reply(status, self._error_fields(headers, written, form), written)

    def speaks_json(self, headers: Iterable[tuple[AnyStr, AnyStr]]) -> bool:
        """Whether the app declares this as JSON of any kind."""
        return any(name.lower() == self._type and "json" in self._text(value).lower() for name, value in headers)

    def revalidated(self, headers: Iterable[tuple[AnyStr, AnyStr]]) -> Fields[AnyStr]:
        """The head of a 304, with the validator of the 200 that it stands for (RFC 9110 section 15.4.5)."""
        return self._reworded(headers)

    def link(self, target: str) -> tuple[AnyStr, AnyStr]:
        """The field that leads to the next page."""
        return self._link, self._encode(target)

    def without_length(self, headers: Fields[AnyStr]) -> Fields[AnyStr]:
        """The fields of an answer to HEAD if nobody knows how long the body would be."""
        return [field for field in headers if field[0].lower() != self._length]

    def _is_plain(self, headers: Sequence[tuple[AnyStr, AnyStr]]) -> bool:
        """Whether the body is not encoded and the app has not opted out."""
        for name, value in headers:
            lowered = name.lower()
            if lowered == self._coding and self._text(value).strip().lower() not in ("", "identity"):
                return False
            if lowered == self._opt_out and self._is_off(value):
                return False
        return True

    def _is_json(self, content_type: AnyStr) -> bool:
        text = self._text(content_type)
        if len(text) > 256 or not is_json_type(text, kinds=False):
            return False
        if len(self._json_types) < 256:
            self._json_types.add(content_type)
        return True

    def _reworded(self, headers: Iterable[tuple[AnyStr, AnyStr]]) -> Fields[AnyStr]:
        """The fields without what no longer holds for the octets that go out."""
        found: Fields[AnyStr] = []
        for name, value in headers:
            lowered = name.lower()
            if lowered == self._etag and not value.startswith(self._weak):
                # The octets differ each time, but not their meaning (RFC 9110 section 8.8.1).
                found.append((name, self._weak + value))
            elif lowered not in self._dropped:
                found.append((name, value))
        return found

    def _error_fields(self, headers: Fields[AnyStr], body: bytes, form: str) -> Fields[AnyStr]:
        own = [
            (self._type, self._encode(MEDIA_TYPES[form])),
            (self._length, self._encode(str(len(body)))),
            self.vary(),
        ]
        return own + [field for field in headers if field[0].lower() not in self._body_fields]

    def _is_off(self, value: AnyStr) -> bool:
        return self._text(value).strip().lower() == "off"

    @staticmethod
    def _text(value: AnyStr) -> str:
        return value if isinstance(value, str) else value.decode("latin-1")
