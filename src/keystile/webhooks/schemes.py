"""How a signature stands in the headers of a message: three schemes, each with what it reads and what it writes.

What is read is bounded: one line of each header, at most 4 KiB and 16 signatures, and nothing that could be read in two
ways. What is unknown (a version of tomorrow) is passed over; what has no form at all is refused.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .._ground.checks import check_choice, check_seconds
from ..exceptions import ConfigurationError, InvalidSignature
from ..policy.webhooks import TOLERANCE, Receiver, SchemeName, check_header, check_prefix
from .secrets import Key, Secret

MOST_SIGNATURES = 16
VERSIONS = ("v1", "v1a")
"""The versions of signatures that are known: HMAC-SHA256, and ed25519."""
LONGEST = 4096
"""Bytes in the header with the signatures."""

Fields = Mapping[bytes, Sequence[bytes]]
"""The lines of each header, by its name in lower case."""

# Unix seconds in canonical form: what two parsers could read differently (" 1", "+1", "01", "1.0", "1e9") is none.
_TIME = re.compile(rb"0|[1-9][0-9]{0,11}")
# No dot: the id stands before one in what is signed, and `a.1` with `614` is `a` with `1.614`.
_ID = re.compile(rb"[A-Za-z0-9_-]{1,128}")
_HEX = re.compile(rb"[0-9a-fA-F]{64}")
_VERSIONED = re.compile(rb"(v[0-9]{1,3}[a-z]{0,3}),([\x21-\x2b\x2d-\x7e]{1,512})")
_NAMED = re.compile(rb"([a-z][a-z0-9]{0,15})=([\x21-\x2b\x2d-\x7e]{1,512})")


class Claim(NamedTuple):
    """What the headers of a message say about it, before anything is proved.

    Attributes:
        signatures: the version and the octets of each signature that can be read.
        before: what stands before the body in what is signed.
        id: the message's id, or None if the scheme has none.
        timestamp: Unix seconds, or None if the scheme has none.
    """

    signatures: tuple[tuple[str, bytes], ...]
    before: bytes = b""
    id: str | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Scheme:
    """How messages are signed. Made by `hex_body`, `standard` and `timestamped`.

    Attributes:
        name: which of the three.
        header: the header with the signature, as it is written.
        prefix: what stands before the digits, in `hex_body`.
        tolerance: seconds that a time may be off, both ways.
    """

    name: SchemeName
    header: str
    prefix: str = ""
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        check_seconds(self.tolerance, "tolerance")

    @classmethod
    def hex_body(cls, header: str, prefix: str = "sha256=") -> Scheme:
        """The HMAC-SHA256 of the body in hex, behind a prefix: ``X-Hub-Signature-256: sha256=7571…``. The scheme has no
        id and no time, so whoever has seen a message can send it again."""
        return cls("hex_body", check_header(header, "header"), check_prefix(prefix, "prefix"))

    @classmethod
    def standard(cls, *, tolerance: float = TOLERANCE) -> Scheme:
        """Standard Webhooks: ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature: v1,g0hM9S…``."""
        return cls("standard", "webhook-signature", "", tolerance)

    @classmethod
    def timestamped(cls, header: str, *, tolerance: float = TOLERANCE) -> Scheme:
        """Time and signatures in one header, as Stripe does: ``Stripe-Signature: t=1614265330,v1=42b3…``."""
        return cls("timestamped", check_header(header, "header"), "", tolerance)

    @classmethod
    def named(cls, name: SchemeName, header: str | None) -> Scheme:
        """The scheme of this name, with the header that carries its signature where it has none of its own.

        Raises:
            ConfigurationError: there is no such scheme, or a header is missing, too much, or no name of one.
        """
        check_choice(name, SchemeName, "scheme")
        if (name == "standard") is not (header is None):
            reason = "belongs to hex_body and timestamped, which need it"
            raise ConfigurationError(reason, key="signature_header")
        if header is None:
            return cls.standard()
        check_header(header, "signature_header")
        return cls.hex_body(header) if name == "hex_body" else cls.timestamped(header)

    @classmethod
    def of(cls, receiver: Receiver) -> Scheme:
        """The scheme that a receiver's settings name."""
        prefix = receiver.prefix if receiver.scheme == "hex_body" else ""
        return cls(receiver.scheme, receiver.header or "webhook-signature", prefix, receiver.tolerance)

    @property
    def headers(self) -> tuple[str, ...]:
        """The names of the headers that it reads, in lower case."""
        return _STANDARD if self.name == "standard" else (self.header.lower(),)

    def keys(self, secrets: Iterable[Secret]) -> tuple[Key, ...]:
        """The keys that these secrets stand for, in their order.

        Raises:
            ConfigurationError: there is none, there are more than one message can carry signatures, or one of them is
                no secret for this scheme.
        """
        listed = list(secrets)
        if not 1 <= len(listed) <= MOST_SIGNATURES:
            raise ConfigurationError(f"expected 1 to {MOST_SIGNATURES} secrets, got {len(listed)}", key="secrets")
        if not all(isinstance(each, Secret) for each in listed):
            raise ConfigurationError("expected a list of Secret", key="secrets")
        return tuple(each.standard_key() if self.name == "standard" else each.plain_key() for each in listed)

    def read(self, fields: Fields) -> Claim:
        """What these headers say.

        Raises:
            InvalidSignature: there is no signature, or a header is missing, repeated, too long or has not its form.
        """
        return _READ[self.name](self, fields)

    def write(self, keys: Iterable[Key], body: bytes, id: str | None, now: int) -> list[tuple[str, str]]:
        """The headers for a message.

        Raises:
            ConfigurationError: the scheme needs an id and this is none, or a key cannot sign.
        """
        return _WRITE[self.name](self, keys, body, id, now)


_STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


def _line(fields: Fields, name: str, longest: int = LONGEST) -> bytes:
    """The one line of a header."""
    lines = fields.get(name.encode(), ())
    if len(lines) != 1:
        raise InvalidSignature(f"{name} is missing" if not lines else f"{name} stands {len(lines)} times")
    if len(lines[0]) > longest:
        raise InvalidSignature(f"{name} is longer than {longest} bytes")
    return lines[0]


def _seconds(text: bytes) -> int:
    if not _TIME.fullmatch(text):
        raise InvalidSignature("the timestamp is not a plain number of seconds")
    return int(text)


def _split(line: bytes, separator: bytes, form: re.Pattern[bytes]) -> list[tuple[bytes, bytes]]:
    """The parts of a line, each of which has this form."""
    parts = line.split(separator, MOST_SIGNATURES + 1)
    found = [form.fullmatch(part) for part in parts]
    if any(each is None for each in found):
        raise InvalidSignature("the signatures are not a list in the form of the scheme")
    return [(each[1], each[2]) for each in found if each is not None]


def _few(signatures: list[tuple[bytes, bytes]]) -> None:
    if len(signatures) > MOST_SIGNATURES:
        raise InvalidSignature(f"there are more than {MOST_SIGNATURES} signatures")


def _read_hex_body(scheme: Scheme, fields: Fields) -> Claim:
    line, prefix = _line(fields, scheme.headers[0]), scheme.prefix.encode()
    if not line.startswith(prefix) or not _HEX.fullmatch(line[len(prefix) :]):
        raise InvalidSignature("the signature is not the prefix and 64 hex digits")
    return Claim((("v1", bytes.fromhex(line[len(prefix) :].decode())),))


def _read_standard(_scheme: Scheme, fields: Fields) -> Claim:
    identity, moment, line = (_line(fields, name) for name in _STANDARD)
    if not _ID.fullmatch(identity):
        raise InvalidSignature("the id is not 1 to 128 letters, digits, '_' and '-'")
    timestamp = _seconds(moment)
    listed = _split(line, b" ", _VERSIONED)
    _few(listed)
    signatures = [(version.decode(), _of_base64(text)) for version, text in listed]
    return Claim(_known(signatures), b"%b.%b." % (identity, moment), identity.decode(), timestamp)


def _read_timestamped(scheme: Scheme, fields: Fields) -> Claim:
    listed = _split(_line(fields, scheme.headers[0]), b",", _NAMED)
    moments = [value for name, value in listed if name == b"t"]
    if len(moments) != 1:
        raise InvalidSignature(f"the time stands {len(moments)} times in the header")
    timestamp = _seconds(moments[0])
    others = [each for each in listed if each[0] != b"t"]
    _few(others)
    signatures = [
        ("v1", bytes.fromhex(text.decode())) for name, text in others if name == b"v1" and _HEX.fullmatch(text)
    ]
    return Claim(_known(signatures), b"%b." % moments[0], None, timestamp)


def _known(signatures: list[tuple[str, bytes]]) -> tuple[tuple[str, bytes], ...]:
    found = tuple(each for each in signatures if each[0] in VERSIONS and each[1])
    if not found:
        raise InvalidSignature("no signature is of a version that is known")
    return found


def _of_base64(text: bytes) -> bytes:
    """The octets, or none if this is not how base64 writes them."""
    try:
        octets = base64.b64decode(text, validate=True)
    except ValueError:
        return b""
    return octets if base64.b64encode(octets) == text else b""


def _write_hex_body(
    scheme: Scheme, keys: Iterable[Key], body: bytes, _id: str | None, _now: int
) -> list[tuple[str, str]]:
    first, *others = keys
    if others:
        raise ConfigurationError("one message of 'hex_body' carries one signature: sign with one secret", key="secrets")
    return [(scheme.header, scheme.prefix + first.sign(body).hex())]


def _write_standard(
    scheme: Scheme, keys: Iterable[Key], body: bytes, id: str | None, now: int
) -> list[tuple[str, str]]:
    identity = (id or "").encode(errors="replace")
    if not _ID.fullmatch(identity):
        raise ConfigurationError("expected 1 to 128 letters, digits, '_' and '-'", key="id")
    before = b"%b.%d." % (identity, now)
    listed = [f"{key.version},{base64.b64encode(key.sign(before, body)).decode()}" for key in keys]
    return [("webhook-id", identity.decode()), ("webhook-timestamp", str(now)), (scheme.header, " ".join(listed))]


def _write_timestamped(
    scheme: Scheme, keys: Iterable[Key], body: bytes, _id: str | None, now: int
) -> list[tuple[str, str]]:
    before = b"%d." % now
    listed = [f"v1={key.sign(before, body).hex()}" for key in keys]
    return [(scheme.header, ",".join([f"t={now}", *listed]))]


_READ: dict[SchemeName, Callable[[Scheme, Fields], Claim]] = {
    "hex_body": _read_hex_body,
    "standard": _read_standard,
    "timestamped": _read_timestamped,
}
_WRITE: dict[SchemeName, Callable[..., list[tuple[str, str]]]] = {
    "hex_body": _write_hex_body,
    "standard": _write_standard,
    "timestamped": _write_timestamped,
}
