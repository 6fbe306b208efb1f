"""The fields that every page is sent with: what a browser may do with it, and what not.

The policy has no exceptions: no inline script, no inline style, nothing from elsewhere (CSP 3; OWASP ASVS 5.0 V3.4).
"""

from __future__ import annotations

from collections.abc import Sequence

Fields = tuple[tuple[str, str], ...]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors {}"
)
NO_STORE = ("cache-control", "no-store")
KEPT = ("cache-control", "public, max-age=31536000, immutable")
_FOR_ALL: Fields = (
    ("x-content-type-options", "nosniff"),
    # With "no-referrer", browsers send `Origin: null` with our own forms, and over plain http that is all they send.
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)


def page_fields(embed_in: Sequence[str]) -> Fields:
    """The fields of a page; the origins are of those that may show it in a frame."""
    return (
        ("content-security-policy", _POLICY.format(" ".join(embed_in) or "'none'")),
        *_FOR_ALL,
        ("cross-origin-opener-policy", "same-origin"),
        ("permissions-policy", "clipboard-write=(self)"),
        ("x-robots-tag", "noindex"),
        NO_STORE,
    )


def stream_fields() -> Fields:
    """The fields of a stream of events, besides its own."""
    return _FOR_ALL


def file_fields(*, current: bool) -> Fields:
    """The fields of a file that pages load; `current` if its name says which version it is."""
    return (*_FOR_ALL, KEPT if current else NO_STORE)


SIGNED_OUT = ("clear-site-data", '"cache", "storage"')
"""Sent when somebody signs out, so that nothing stays in the browser."""
