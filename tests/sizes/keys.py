"""Keys of other forms, hashes of other programs, files and reports of keys: ways to feed what reads them."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric import ec

from keystile import Argon2Hasher, ConfigurationError, Gate
from keystile._sync import inline, run_now
from keystile.keys.existing.foreign import AdoptingHasher, plain_digest
from keystile.keys.existing.opaque import OpaqueFormat
from keystile.keys.format import PrefixedFormat
from keystile.keys.leaks import pattern_of, shortened
from keystile.leaks import Fetched, Partner
from keystile.leaks.partner import IDENTIFIER, SIGNATURE
from keystile.leaks.reports import labelled, read_reports
from keystile.leaks.signatures import PublicKeys, is_signed, read_keys
from keystile.rules.leaks import find

PEPPERS = [b"%016d" % number for number in range(4)]
ANY = OpaqueFormat(PEPPERS, separator=".")
SK = OpaqueFormat(PEPPERS, prefix="key")
HASHER = AdoptingHasher(Argon2Hasher(memory_kib=8, time_cost=1))
PATTERNS = {name: pattern_of(each) for name, each in (("prefixed", PrefixedFormat("key")), ("opaque", SK))}
PUBLIC = ec.generate_private_key(ec.SECP256R1()).public_key()
PARTNER = Partner(Gate(prefix="key"), fetch=lambda _: Fetched(b'{"public_keys": []}'))
KEYS = PublicKeys(lambda _: Fetched(b'{"public_keys": []}'))


def opaque(sent: bytes) -> None:
    """A key as the gate meets it: no longer than a credential may be."""
    for each in (ANY, SK):
        each.parse(sent[:1024])
        each.candidates(sent[:1024])


def adopt(sent: str) -> None:
    plain_digest(sent)
    for begins in ("", "$2b$04$", "pbkdf2_sha256$1$", "argon2$argon2id$", "sha512$$"):
        with suppress(ConfigurationError):
            HASHER.adopt(begins + sent)
        HASHER.verify(f"$foreign${begins}{sent}", b"key")


def looked_through(form: str) -> Callable[[bytes], object]:
    """A file of which nothing else is known."""
    pattern = PATTERNS[form]
    compiled = re.compile(pattern.expression.encode())

    def look(sent: bytes) -> None:
        for found in find([sent[:50_000], sent[50_000:]], compiled, pattern.longest):
            shortened(pattern.prefix, found.raw)

    return look


def reports(begin: bytes = b"", end: bytes = b"") -> Callable[[bytes], object]:
    """A body with a right signature: nobody but GitHub gets so far."""

    def feed(sent: bytes) -> None:
        with suppress(ValueError):
            labelled(read_reports(begin + sent + end), PATTERNS["prefixed"].checks)

    return feed


def signed(sent: bytes) -> None:
    text = sent.decode("latin-1")
    is_signed(PUBLIC, text, sent)
    is_signed(PUBLIC, text[:200], sent)
    PARTNER.refuse_head("POST", {IDENTIFIER: text, SIGNATURE: text, "content-length": text})
    run_now(KEYS.find(text, inline))


def received(sent: bytes) -> None:
    run_now(PARTNER.receive(sent, {IDENTIFIER: "one", SIGNATURE: "MEQ="}, inline))


def public_keys(sent: bytes) -> None:
    with suppress(ValueError):
        read_keys(sent)
