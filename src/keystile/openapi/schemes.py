"""The places that a key may stand in, as security schemes, and what one operation demands of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from ..policy.places import BASIC, SUBPROTOCOL, Place

Document = dict[str, Any]

REQUIRED = "keystile-require"
"""The scheme under which an integration notes, in the `security` of an operation, the scopes that its handler requires.
`describe` takes it out again and adds the scopes to its own schemes."""

# What no other characters may stand in (OpenAPI, "Components Object").
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]")
_NAMES = {
    Place(b"authorization", b"bearer"): "bearerKey",
    Place(b"x-api-key"): "apiKeyHeader",
    Place(b"api-key"): "keyHeader",
    BASIC: "basicKey",
}
_SAID = {b"bearer": "An API key.", b"basic": "An API key as the user or as the password."}


def named_schemes(places: Iterable[Place], prefix: str | None, taken: Mapping[str, Any]) -> dict[Place, str]:
    """A name for each place that a document can describe, those first that people should prefer.

    Args:
        places: where keys may stand. A subprotocol is left out: no document describes websockets.
        prefix: what keys begin with, or None.
        taken: schemes that the document has already; a name of something else is not used.
    """
    found: dict[Place, str] = {}
    for place in sorted(set(places) - {SUBPROTOCOL}, key=_rank):
        name, scheme = _name(place), scheme_of(place, prefix)
        while name in found.values() or taken.get(name, scheme) != scheme:
            name += "_"
        found[place] = name
    return found


def scheme_of(place: Place, prefix: str | None) -> Document:
    """One place as a Security Scheme Object."""
    if place.is_parameter:
        return {"type": "apiKey", "in": "query", "name": place.header.decode()[1:], "description": "An API key."}
    scheme = place.scheme
    if scheme in _SAID:
        found = {"type": "http", "scheme": scheme.decode(), "description": _SAID[scheme]}
        return found | ({"bearerFormat": f"{prefix}_…"} if prefix and scheme == b"bearer" else {})
    header, _, name = place.shown.partition(": ")
    # Tools show no field for a scheme of HTTP that they do not know.
    said = f"The word {name}, a blank, and an API key." if name else "An API key."
    return {"type": "apiKey", "in": "header", "name": header, "description": said}


def shown_schemes(named: Mapping[Place, str], prefix: str | None, used: Collection[str] = ()) -> Document:
    """The schemes of a document, by name. One that tools do not know is only mentioned beside the others, unless some
    operation has nothing else.

    Args:
        named: as from `named_schemes`.
        prefix: what keys begin with, or None.
        used: the names that stand in the `security` of operations.
    """
    usual = [place for place in named if _is_usual(place)]
    listed = [place for place in named if place in usual or named[place] in used or not usual]
    found = {named[place]: scheme_of(place, prefix) for place in listed}
    others = [place.shown for place in named if place not in listed]
    if others:
        first = found[named[listed[0]]]
        first["description"] += f" It is also read from {', '.join(f'`{each}`' for each in others)}."
    return found


def alternatives(
    named: Mapping[Place, str], accepted: Collection[Place], scopes: Iterable[str], *, public: object
) -> list[Document]:
    """The `security` of an operation: a key in any one of these places will do.

    Schemes of ``Authorization`` that tools do not know stand there only where nothing else is accepted.
    """
    if public is True:
        return []
    here = [place for place in named if place in accepted] or list(named)
    usual = [place for place in here if _is_usual(place)]
    listed: list[Document] = [{named[place]: sorted(scopes)} for place in usual or here]
    return [*listed, {}] if public == "optional" else listed


def required_by(operation: Mapping[str, Any]) -> tuple[list[Document] | None, set[str]]:
    """The host's own `security` of an operation, None if it has none; and the scopes that its handler requires."""
    security = operation.get("security")
    if security is None:
        return None, set()
    scopes = {scope for each in security for scope in each.get(REQUIRED, ())}
    own = [{name: value for name, value in each.items() if name != REQUIRED} for each in security]
    kept = [now for now, before in zip(own, security, strict=True) if now or not before]
    return (kept if kept or not security else None), scopes


def _is_usual(place: Place) -> bool:
    return not place.scheme or place.scheme in _SAID


def _rank(place: Place) -> tuple[bool, int, str]:
    known = list(_NAMES)
    return place.is_parameter, known.index(place) if place in known else len(known), place.shown


def _name(place: Place) -> str:
    if place in _NAMES:
        return _NAMES[place]
    first, *others = re.split(r"[^A-Za-z0-9]+", _NO_NAME.sub("-", place.shown).strip("-"))
    kind = "Query" if place.is_parameter else "Key" if place.scheme else "Header"
    return first[:1].lower() + first[1:] + "".join(part.capitalize() for part in others) + kind
