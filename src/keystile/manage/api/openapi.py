"""The OpenAPI 3.1 document, from the table of routes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..._ground.frozen import FrozenDict
from ...answers.problems import MEDIA_TYPES, PROBLEM
from ...gate import Gate
from ...policy.pages import PageStyle
from ..live.sending import EVENT_STREAM
from ..operations.calls import MOST_LISTED
from .fields import Body, Field
from .names import Case
from .queries import parameters_of
from .routes import Route
from .shapes import FLAG, TEXT, WHOLE, Shape

_ABOUT = (
    "Projects and keys of one organization. A key that is made here is shown once. Nobody grants more than they hold, "
    "and what belongs to others is answered like what never existed."
)
_STATUSES = {
    400: "The query, a header or the JSON cannot be used.",
    401: "No key, or not a good one.",
    403: "Not allowed to this caller.",
    404: "Nothing here has this id.",
    409: "The state of the record, a cap, or a guard forbids it.",
    412: "The record is not the one that `If-Match` names.",
    413: "The body is too long.",
    415: "The body is not sent as JSON.",
    422: "Fields of the body cannot be used: `details.fields` names each.",
    429: "A window is full, or too many keys were wrong.",
    503: "The service is temporarily unavailable.",
}
_FIELD = {
    "type": "object",
    "properties": {"path": TEXT, "code": TEXT, "message": TEXT},
    "required": ["path", "code", "message"],
}
_HEADERS = {
    "X-Request-ID": ("The id of the request, as in the log.", TEXT),
    "X-RateLimit-Limit": ("How many requests the window that binds first admits.", WHOLE),
    "X-RateLimit-Remaining": ("How many of them are left.", WHOLE),
    "X-RateLimit-Reset": ("When that next grows, in Unix seconds.", WHOLE),
    "Retry-After": ("After how many seconds it is worth another try.", WHOLE),
    "ETag": ("The revision of the record, for `If-Match`.", TEXT),
    "Link": ("The next page (RFC 8288).", TEXT),
}
_ALWAYS = ("X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_ENTITY_TAG = {"type": "string", "minLength": 1, "maxLength": 100, "format": "entity-tag"}
_PRINTABLE = {"type": "string", "minLength": 1, "maxLength": 255, "format": "idempotency-key"}


def document(
    gate: Gate, case: Case, mount: str, routes: Iterable[Route], *, sessions: bool, public: bool
) -> dict[str, Any]:
    """The whole document.

    Args:
        gate: its settings shape the answers.
        case: how names are written.
        mount: where the API is served.
        routes: which there are.
        sessions: a host says who manages, and not a key.
        public: whether this document needs no key.
    """
    writer = _Writer(gate, case, sessions=sessions, public=public)
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(writer.path(route), {})[route.method.lower()] = writer.operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Management of API keys", "version": "1", "description": _ABOUT},
        "servers": [{"url": mount or "/"}],
        **({} if sessions else {"security": [{"bearer": []}, {"apiKey": []}]}),
        "paths": paths,
        "components": writer.components(),
    }


class _Writer:
    def __init__(self, gate: Gate, case: Case, *, sessions: bool, public: bool) -> None:
        policy = gate.policy
        self._case, self._sessions, self._public = case, sessions, public
        self._envelope, self._style, self._form = policy.envelope, policy.page_style, policy.error_format
        self._plans, self._grace = list(policy.plans), policy.max_grace
        self._schemas: dict[str, Any] = {}

    def path(self, route: Route) -> str:
        return "/".join(f"{{{self._case(part[1:-1])}}}" if part[:1] == "{" else part for part in route.path.split("/"))

    def operation(self, route: Route) -> dict[str, Any]:
        found: dict[str, Any] = {
            "operationId": route.name,
            "summary": route.meaning,
            "parameters": [*self._ids(route), *self._query(route), *self._conditions(route)],
            "responses": self._responses(route),
        }
        if route.right:
            found["description"] = f"Needs `{route.right}`."
        if route.body is not None:
            found["requestBody"] = self._request_body(route.body)
        if route.kind == "document" and self._public:
            found["security"] = []
        return found

    def components(self) -> dict[str, Any]:
        found = {
            "schemas": self._schemas | self._of_errors(),
            "responses": {str(status): self._error(status) for status in _STATUSES},
            "headers": {name: {"description": said, "schema": schema} for name, (said, schema) in _HEADERS.items()},
        }
        if not self._sessions:
            found["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        return found

    def _ids(self, route: Route) -> list[dict[str, Any]]:
        schema = {"type": "string", "minLength": 1}
        return [{"name": self._case(name), "in": "path", "required": True, "schema": schema} for name in route.ids]

    def _query(self, route: Route) -> list[dict[str, Any]]:
        found = [
            {"name": self._case(each.name), "in": "query", "description": each.meaning, "schema": dict(each.schema)}
            for each in parameters_of(route, sessions=self._sessions)
        ]
        return found + (_of_pages(self._style) if route.kind == "page" else [])

    def _conditions(self, route: Route) -> list[dict[str, Any]]:
        found = []
        if route.matched or route.method == "DELETE":
            found.append(_field("If-Match", "Do it only if the record has this `ETag`.", _ENTITY_TAG))
        if route.repeatable:
            said = "A second request with this name makes nothing, and gives what the first made, without its secret."
            found.append(_field("Idempotency-Key", said, _PRINTABLE))
        return found

    def _request_body(self, body: Body) -> dict[str, Any]:
        schema = self._body(body)
        types = ["application/json", *(["application/merge-patch+json"] if body.merge else [])]
        return {"required": bool(body.required), "content": {each: {"schema": schema} for each in types}}

    def _body(self, body: Body) -> dict[str, Any]:
        known = body.all(sessions=self._sessions)
        self._schemas[body.name] = {
            "type": "object",
            "properties": {
                self._case(each.name): {"description": each.meaning, **_plain(each.schema), **self._own(each)}
                for each in known
            },
            "required": [self._case(each.name) for each in known if each.name in body.required],
            "additionalProperties": False,
        }
        return {"$ref": f"#/components/schemas/{body.name}"}

    def _own(self, each: Field) -> dict[str, Any]:
        """What follows from the gate's settings."""
        if each.name == "plan":
            return {"enum": [*self._plans, None]}
        return {"maximum": min(self._grace, each.schema.get("maximum", self._grace))} if each.name == "grace" else {}

    def _responses(self, route: Route) -> dict[str, Any]:
        success: dict[str, Any] = {"description": "Done.", "headers": self._headers(_of_success(route))}
        if route.answer is not None or route.kind == "document":
            success["content"] = {"application/json": {"schema": self._answer(route)}}
        if route.kind == "stream":
            success["content"] = {EVENT_STREAM: {"schema": TEXT}}
        errors = {str(status): {"$ref": f"#/components/responses/{status}"} for status in statuses(route)}
        return {str(route.status): success, **errors}

    def _headers(self, names: Iterable[str]) -> dict[str, Any]:
        return {name: {"$ref": f"#/components/headers/{name}"} for name in names}

    def _answer(self, route: Route) -> dict[str, Any]:
        if route.answer is None:
            return {"type": "object"}
        inner = self._schema(route.answer)
        if route.kind == "record":
            return _object({"data": inner, "meta": self._meta()}) if self._envelope else inner
        members: dict[str, Any] = {"data": {"type": "array", "items": inner}}
        optional: set[str] = set()
        if route.kind == "page":
            more, optional = _end_of_page(self._style)
            members |= more
        if self._envelope and (self._style.meta or route.kind == "list"):
            members["meta"] = self._meta()
        return _object(members, optional)

    def _meta(self) -> dict[str, Any]:
        self._schemas["Meta"] = _object({"request_id": TEXT, "timestamp": {"type": "string", "format": "date-time"}})
        return {"$ref": "#/components/schemas/Meta"}

    def _schema(self, given: Any) -> Any:
        """A JSON Schema with each shape in it by its name."""
        if isinstance(given, Shape):
            if given.name not in self._schemas:
                self._schemas[given.name] = {}  # a shape may be needed within itself
                properties = {self._case(each.name): self._schema(each.schema) for each in given.members}
                self._schemas[given.name] = _object(properties)
            return {"$ref": f"#/components/schemas/{given.name}"}
        if isinstance(given, Mapping):
            return {name: self._schema(value) for name, value in given.items()}
        return [self._schema(value) for value in given] if isinstance(given, list) else given

    def _error(self, status: int) -> dict[str, Any]:
        more = ["Retry-After"] if status in (429, 503) else []
        types = dict.fromkeys((self._form, PROBLEM))
        content = {MEDIA_TYPES[form]: {"schema": {"$ref": f"#/components/schemas/{_NAMES[form]}"}} for form in types}
        return {"description": _STATUSES[status], "headers": self._headers((*_ALWAYS, *more)), "content": content}

    def _of_errors(self) -> dict[str, Any]:
        details = {"type": "object", "properties": {"fields": {"type": "array", "items": _FIELD}}}
        error = _object({"code": TEXT, "message": TEXT, "details": details})
        own = ("type", "title", "detail", "code", "request_id", "timestamp")
        problem = {
            "type": "object",
            "properties": {**dict.fromkeys(own, TEXT), "status": WHOLE, "fields": {"type": "array", "items": _FIELD}},
            "required": [*own, "status"],
        }
        return {"Error": _object({"error": error, "meta": {"type": "object"}}), "Problem": problem}


_NAMES = {"envelope": "Error", PROBLEM: "Problem"}


def statuses(route: Route) -> list[int]:
    """How a route may refuse, but for what fails."""
    found = {400, 401, 403, 429, 503}
    if route.ids or route.name in {"getOrganization", "setPlan", "listKeys"}:
        found.add(404)
    if route.conflicts:
        found.add(409)
    if route.matched or route.method == "DELETE":
        found.add(412)
    if route.body is not None:
        found |= {413, 415, 422}
    return sorted(found)


def _of_success(route: Route) -> tuple[str, ...]:
    more = ("ETag",) if route.tagged else ("Link",) if route.kind == "page" else ()
    return (*_ALWAYS, *more)


def _of_pages(style: PageStyle) -> list[dict[str, Any]]:
    most = min(style.max_limit, MOST_LISTED)
    said = f"How many items at most; {min(style.default_limit, most)} by default, and never more than {most}."
    return [
        {"name": "limit", "in": "query", "description": said, "schema": {"type": "integer", "minimum": 1}},
        {
            "name": style.parameter,
            "in": "query",
            "description": "Where the page before it ended.",
            "schema": {"type": "string", "format": "cursor"},
        },
    ]


def _end_of_page(style: PageStyle) -> tuple[dict[str, Any], set[str]]:
    """The members that say where a page ends, and which of them may be left out."""
    found: dict[str, Any] = {} if style.limit is None else {style.limit: WHOLE}
    found[style.has_more] = FLAG
    found[style.next_cursor] = {"type": ["string", "null"]}
    if style.member is None:
        return found, {style.next_cursor}
    return {style.member: _object(found)}, set()


def _field(name: str, said: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": said, "schema": dict(schema)}


def _object(properties: Mapping[str, Any], optional: Iterable[str] = ()) -> dict[str, Any]:
    left_out = set(optional)
    required = [name for name in properties if name not in left_out]
    return {"type": "object", "properties": dict(properties), "required": required, "additionalProperties": False}


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {name: dict(value) if isinstance(value, FrozenDict) else value for name, value in schema.items()}
