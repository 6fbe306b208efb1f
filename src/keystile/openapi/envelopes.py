"""The app's own responses as they are with the envelope around them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from ..gate import Gate
from ..policy.pages import PageStyle
from ..rules.requests.bodies import is_json_type
from .errors import META, content

Document = dict[str, Any]

# They have no body, or are passed on as they are.
_UNTOUCHED = ("204", "205", "206")
_FASTAPI = "/HTTPValidationError"
_EXAMPLE = {"request_id": "req_000000000000000000000000", "timestamp": "2026-01-15T10:30:00Z"}


class Enveloper:
    """Puts the envelope into responses of one document.

    Args:
        gate: its settings shape the envelope.
        document: where references lead.
    """

    def __init__(self, gate: Gate, document: Mapping[str, Any]) -> None:
        self._gate, self._document, self._style = gate, document, gate.policy.page_style
        self._old = str(document.get("openapi", "")).startswith("3.0")

    def envelop(self, status: str, response: Document, *, always: bool) -> Document:
        """A response as it is with the envelope.

        Args:
            status: as in the document: ``"200"``, ``"2XX"``, ``"default"``.
            response: the app's; may be a reference.
            always: whether every path of the operation has the envelope, and not only some of them.
        """
        found = self._resolved(response)
        listed = found.get("content")
        if not isinstance(listed, dict) or status in _UNTOUCHED or status[:1] in "13":
            return response
        if status[:1] == "2":
            return found | {"content": {kind: self._success(kind, media, always) for kind, media in listed.items()}}
        return found | {"content": self._error(listed, always)}

    def _success(self, kind: str, media: Document, always: bool) -> Document:
        if not is_json_type(kind, kinds=False) or "schema" not in media:
            return media
        schema = self._wrapped(media["schema"])
        found = media | {"schema": schema if always else {"anyOf": [schema, media["schema"]]}}
        if always and "example" in media:
            found["example"] = {"data": media["example"], "meta": _EXAMPLE}
        if always and "examples" in media:
            found["examples"] = {name: self._example(each) for name, each in media["examples"].items()}
        return found

    def _example(self, example: Document) -> Document:
        return example | {"value": {"data": example["value"], "meta": _EXAMPLE}} if "value" in example else example

    def _wrapped(self, schema: Document) -> Document:
        style = self._style
        properties: Document = {"data": schema, "meta": {"$ref": f"#/components/schemas/{META}"}}
        required = ["data", "meta"]
        if self._lists(schema):  # the app says with each answer whether it is a page
            properties |= self._page(style)
            required = required if style.meta else ["data"]
        return {"type": "object", "required": required, "properties": properties}

    def _page(self, style: PageStyle) -> Document:
        cursor: Document = {"type": "string"}
        if style.member is not None:
            cursor = {"type": "string", "nullable": True} if self._old else {"type": ["string", "null"]}
        members: Document = {} if style.limit is None else {style.limit: {"type": "integer"}}
        members |= {style.has_more: {"type": "boolean"}, style.next_cursor: cursor}
        if style.member is None:
            return members
        return {style.member: {"type": "object", "required": list(members), "properties": members}}

    def _lists(self, schema: Any) -> bool:
        resolved = self._resolved(schema)
        return resolved.get("type") == "array"

    def _error(self, listed: Document, always: bool) -> Document:
        """Errors of the app are rewritten, whatever their body was."""
        if not any(is_json_type(kind, kinds=True) for kind in listed):
            return listed
        schema = next(media.get("schema") or {} for kind, media in listed.items() if is_json_type(kind, kinds=True))
        details = {}
        if str(schema.get("$ref", "")).endswith(_FASTAPI):
            details = {"errors": self._resolved(schema).get("properties", {}).get("detail", {"type": "array"})}
        others = {kind: value for kind, value in listed.items() if not (always and is_json_type(kind, kinds=True))}
        written = content(self._gate, ["validation_failed"] if details else (), details)
        if not always:
            written = {
                kind: {"schema": {"anyOf": [value["schema"], others[kind].get("schema", {})]}}
                if kind in others
                else value
                for kind, value in written.items()
            }
        return others | written

    def _resolved(self, part: Any) -> Document:
        return resolved(self._document, part)


def resolved(document: Mapping[str, Any], part: Any) -> Document:
    """A part that a reference within this document leads to, copied; or the part itself; empty if it is no object."""
    for _ in range(8):
        ref = part.get("$ref") if isinstance(part, Mapping) else None
        if not isinstance(ref, str) or not ref.startswith("#/"):
            break
        found: Any = document
        for name in ref[2:].split("/"):
            found = found.get(name.replace("~1", "/").replace("~0", "~"), {}) if isinstance(found, Mapping) else {}
        part = deepcopy(found)
    return part if isinstance(part, dict) else {}
