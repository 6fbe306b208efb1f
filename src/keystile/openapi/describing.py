"""A document of the app's, as it is behind the gate."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from .._ground.frozen import FrozenDict
from ..exceptions import ConfigurationError
from ..gate import Gate
from ..policy import METHODS
from ..policy.places import Place, places_of
from ..rules.requests.templates import Found, rules_for_template
from .envelopes import Enveloper, resolved
from .errors import answers_of, counted, headers, limit_names, refs, responses, schemas
from .schemes import REQUIRED, alternatives, named_schemes, required_by, shown_schemes

Document = dict[str, Any]

_MARK = "x-keystile"
_OPERATIONS = (*(method.lower() for method in sorted(METHODS)), "query")
_NOTHING: Mapping[str, str] = FrozenDict()


def components(gate: Gate) -> Document:
    """What a gate adds to the ``components`` of a document: `securitySchemes`, `schemas`, `responses`, `headers`.

    Args:
        gate: the one in front of the app.
    """
    prefix = _prefix(gate)
    named = named_schemes(_places(gate), prefix, {})
    return {
        "securitySchemes": shown_schemes(named, prefix),
        "schemas": schemas(gate),
        "responses": responses(gate),
        "headers": headers(gate),
    }


def describe(
    document: Mapping[str, Any], gate: Gate, prefix: str = "", *, templates: Mapping[str, str] = _NOTHING
) -> Document:
    """The document of an app as it is behind the gate. What it is given stays as it is; a document that has been
    described comes back unchanged.

    An operation gets `security` by the rules of its path, unless it has its own; each refusal that it can meet, unless
    it has a response of that status; the headers of the gate's answers; and the envelope around what it answers.

    Args:
        document: OpenAPI 3, with paths relative to the app.
        gate: the one in front of it.
        prefix: where the app is mounted in the app behind the gate; rules see it, the document does not.
        templates: where the document does not say that a parameter may hold several segments: the template by the path
            of the document: ``{"/files/{name}": "/files/{name:path}"}``.

    Raises:
        ConfigurationError: it is no document of OpenAPI 3, or the prefix is no path.
    """
    if not str(document.get("openapi", "")).startswith("3."):
        raise ConfigurationError("expected a document of OpenAPI 3", key="document")
    check_prefix(prefix)
    if _MARK in document:
        return dict(deepcopy(document))
    return _Writer(gate, prefix, templates, dict(deepcopy(document))).written()


def check_prefix(prefix: str) -> None:
    """ConfigurationError unless an app can be mounted there."""
    if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
        raise ConfigurationError(f"expected a path like '/sub', got {prefix!r}", key="prefix")


def _places(gate: Gate) -> frozenset[Place]:
    return places_of(gate.policy.all_accepted())


def _prefix(gate: Gate) -> str | None:
    prefix = getattr(gate.parts, "prefix", None)
    return prefix if isinstance(prefix, str) else None


class _Writer:
    """Writes into a copy of the document."""

    def __init__(self, gate: Gate, prefix: str, templates: Mapping[str, str], document: Document) -> None:
        self._gate, self._mount, self._templates, self._document = gate, prefix, templates, document
        own = document["components"] = document.get("components") or {}
        schemes = own.get("securitySchemes") or {}
        schemes.pop(REQUIRED, None)
        self._named = named_schemes(_places(gate), _prefix(gate), schemes)
        self._used: set[str] = set()
        self._enveloper = Enveloper(gate, document)
        # Before 3.1 only OAuth had scopes.
        self._scoped = not str(document["openapi"]).startswith("3.0")

    def written(self) -> Document:
        paths = self._document.get("paths") or {}
        listed = {path: item for path, item in paths.items() if path.startswith("/") and isinstance(item, dict)}
        paths |= {path: self._separate(item) for path, item in listed.items()}
        for path in listed:
            self._describe_all(path, paths[path])
        ours = components(self._gate)
        ours["securitySchemes"] = shown_schemes(self._named, _prefix(self._gate), self._used)
        for kind, parts in ours.items():
            self._document["components"][kind] = parts | (self._document["components"].get(kind) or {})
        self._document[_MARK] = True
        return self._document

    def _separate(self, item: Document) -> Document:
        """What stands at a path, and at no other: what it refers to, and what it shares, may meet other rules there."""
        if "$ref" in item:
            item = resolved(self._document, item) | {name: value for name, value in item.items() if name != "$ref"}
        return {name: deepcopy(value) for name, value in item.items()}

    def _describe_all(self, path: str, item: Document) -> None:
        further = item.get("additionalOperations") or {}
        for method, operation in [*further.items(), *((each, item.get(each)) for each in _OPERATIONS)]:
            if isinstance(operation, dict):
                self._describe(path, method, operation)

    def _describe(self, path: str, method: str, operation: Document) -> None:
        template = self._mount + self._templates.get(path, path)
        found = rules_for_template(self._gate.rules, method.upper(), template)
        demand = found.strictest
        own, required = required_by(operation)
        if own is not None:
            operation["security"] = own
        else:
            scopes = demand.scopes | required if self._scoped else ()
            operation["security"] = alternatives(self._named, demand.accept, scopes, public=demand.public)
        self._used.update(name for each in operation["security"] for name in each)
        listed: Document = operation.get("responses") or {}
        operation["responses"] = listed
        for status, response in list(listed.items()):
            if isinstance(response, dict):  # others are extensions
                listed[status] = self._answer(str(status), response, found)
        said = set(map(str, listed))  # in some documents they are numbers
        listed |= {status: answer for status, answer in answers_of(self._gate, demand).items() if status not in said}

    def _answer(self, status: str, response: Document, found: Found) -> Document:
        """A response of the app's: the envelope, and the headers that the door adds."""
        if any(each.envelope for each in found.demands):
            always = all(each.envelope for each in found.demands)
            response = self._enveloper.envelop(status, response, always=always)
        if "$ref" in response:
            return response
        names = ["X-Request-ID"]
        if counted(self._gate, found.strictest):
            names += limit_names(self._gate, [each.unit for each in found.strictest.reserve])
        return response | {"headers": refs(names) | response.get("headers", {})}
