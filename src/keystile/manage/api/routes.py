"""THE table of routes: the app, its OpenAPI document, the page about it and the tests follow from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from . import handlers, members, shapes
from .fields import Body
from .handlers import Asked
from .members import LINE
from .shapes import Shape

Kind = Literal["record", "page", "list", "none", "document", "stream"]


class Parameter(NamedTuple):
    """A parameter of the query.

    Attributes:
        name: as it is called here.
        schema: its JSON Schema.
        meaning: for people.
        by_sessions: it is for callers whom a host names, who may see several organizations.
    """

    name: str
    schema: Mapping[str, Any]
    meaning: str
    by_sessions: bool = False


class Route(NamedTuple):
    """A route.

    Attributes:
        method, path: ``{name}`` in the path stands for one segment.
        name: of the operation, unique.
        meaning: what it does, for people, in one sentence.
        right: what the caller needs; empty for whoever has a key.
        handle: does it.
        answer: what it gives; None for nothing but a status.
        kind: how it gives that: one record, a page of a list, a whole list, nothing, a standard's own document,
            or a stream.
        status: of a success.
        body: what it takes, or None.
        query: which parameters it takes.
        tagged: the answer has an ``ETag``.
        matched: it takes ``If-Match``.
        repeatable: it takes ``Idempotency-Key``.
        conflicts: whether the state of a record may forbid it: 409.
    """

    method: str
    path: str
    name: str
    meaning: str
    right: str
    handle: Callable[[Asked], Awaitable[Any]] | None
    answer: Shape | None = None
    kind: Kind = "record"
    status: int = 200
    body: Body | None = None
    query: tuple[Parameter, ...] = ()
    tagged: bool = False
    matched: bool = False
    repeatable: bool = False
    conflicts: bool = False

    @property
    def segments(self) -> tuple[str, ...]:
        """The path's parts."""
        return tuple(self.path.split("/")[1:])

    @property
    def ids(self) -> tuple[str, ...]:
        """The names in the path."""
        return tuple(part[1:-1] for part in self.segments if part.startswith("{"))

    @property
    def changes(self) -> bool:
        """Whether it writes."""
        return self.method != "GET"


_READ, _MANAGE, _PLANS, _AUDIT = "keys:read", "keys:manage", "plans:manage", "audit:read"
WHOSE = Parameter("organization_id", LINE, "Of which organization, for callers who see several.", by_sessions=True)
FORCE = Parameter(
    "force",
    {"type": "string", "enum": ["true", "false"]},
    "Do it even if no key could manage the organization afterwards, or the key that asks ends by it.",
)
_OF_PROJECT = Parameter("project_id", LINE, "Only the keys of this project.")
_OF_OWNER = Parameter("owner_id", LINE, "Only the keys of this owner.")
_STATE = Parameter("state", shapes.STATE, "Only keys in this part of their life.")
_SEARCH = Parameter("search", LINE, "Only keys whose name or id holds this text.")
_FILTERS = (_STATE, _SEARCH, _OF_OWNER, WHOSE)
_MOMENT = {"type": "string", "format": "date-time"}
_USAGE = (
    Parameter("from", _MOMENT, "The hour or day that this moment lies in is the first."),
    Parameter("to", _MOMENT, "The hour or day that this moment lies in is the last; by default it is now."),
    Parameter("step", {"type": "string", "enum": ["hour", "day"]}, "How long each period is; by default an hour."),
)
_TOLD = (
    Parameter("target", LINE, "Only what was done to the key, project or organization with this id."),
    Parameter("event", LINE, "Only this event, like `key.revoke`."),
    WHOSE,
)

# fmt: off
ROUTES = (
    Route("GET", "/whoami", "whoami", "Say who calls, what it may do, where it stands in its windows and what it used "
          "this month.", "", handlers.whoami, shapes.WHOAMI),
    Route("GET", "/projects", "listProjects", "List the projects of the caller's organization, the oldest first.",
          _READ, handlers.list_projects, shapes.PROJECT, "page", query=(WHOSE,)),
    Route("POST", "/projects", "createProject", "Make a project and its first key, whose secret is in the answer, this "
          "once.", _MANAGE, handlers.create_project, shapes.NEW_PROJECT, status=201, body=members.NEW_PROJECT,
          tagged=True, repeatable=True, conflicts=True),
    Route("GET", "/projects/{project_id}", "getProject", "Give a project.", _READ, handlers.get_project,
          shapes.PROJECT, tagged=True),
    Route("PATCH", "/projects/{project_id}", "updateProject", "Change what is given of a project.", _MANAGE,
          handlers.update_project, shapes.PROJECT, body=members.PROJECT_CHANGE, tagged=True, matched=True),
    Route("PUT", "/projects/{project_id}", "replaceProject", "Change a project; what is not given stays.", _MANAGE,
          handlers.update_project, shapes.PROJECT, body=members.PROJECT_REPLACEMENT, tagged=True, matched=True),
    Route("DELETE", "/projects/{project_id}", "deleteProject", "Delete a project for good; its keys are refused at "
          "once.", _MANAGE, handlers.delete_project, None, "none", 204, query=(FORCE,), conflicts=True),
    Route("GET", "/projects/{project_id}/api-keys", "listKeysOfProject", "List the keys of a project, the oldest "
          "first.", _READ, handlers.list_keys, shapes.KEY, "page", query=_FILTERS),
    Route("POST", "/projects/{project_id}/api-keys", "createKeyInProject", "Make a key of a project; its secret is in "
          "the answer, this once.", _MANAGE, handlers.create_key, shapes.NEW_KEY, status=201,
          body=members.NEW_KEY_OF_PROJECT, tagged=True, repeatable=True, conflicts=True),
    Route("GET", "/api-keys", "listKeys", "List the keys of the caller's organization, the oldest first.", _READ,
          handlers.list_keys, shapes.KEY, "page", query=(_OF_PROJECT, *_FILTERS)),
    Route("POST", "/api-keys", "createKey", "Make a key of a project, or straight of the organization; its secret is "
          "in the answer, this once.", _MANAGE, handlers.create_key, shapes.NEW_KEY, status=201, body=members.NEW_KEY,
          tagged=True, repeatable=True, conflicts=True),
    Route("GET", "/api-keys/{key_id}", "getKey", "Give a key: what it may do, its secrets in force by their last four "
          "characters, and its last use.", _READ, handlers.get_key, shapes.KEY, tagged=True),
    Route("PATCH", "/api-keys/{key_id}", "updateKey", "Change what is given of a key; null clears. It holds from the "
          "next request on.", _MANAGE, handlers.update_key, shapes.KEY, body=members.KEY_CHANGE, tagged=True,
          matched=True, conflicts=True),
    Route("DELETE", "/api-keys/{key_id}", "revokeKey", "Revoke a key for good: its next request is refused. Twice is "
          "no error.", _MANAGE, handlers.revoke_key, None, "none", 204, query=(FORCE,), conflicts=True),
    Route("POST", "/api-keys/{key_id}/rotate", "rotateKey", "Give a key a new secret, which is in the answer, this "
          "once; the one before it remains valid for `grace` seconds.", _MANAGE, handlers.rotate_key,
          shapes.ROTATED_KEY, body=members.ROTATION, tagged=True, matched=True, conflicts=True),
    Route("POST", "/api-keys/{key_id}/suspend", "suspendKey", "Refuse a key from the next request on, until it is "
          "resumed.", _MANAGE, handlers.suspend_key, shapes.KEY, body=members.NOTHING, tagged=True, matched=True,
          conflicts=True),
    Route("POST", "/api-keys/{key_id}/resume", "resumeKey", "Take a key's suspension back.", _MANAGE,
          handlers.resume_key, shapes.KEY, body=members.NOTHING, tagged=True, matched=True, conflicts=True),
    Route("GET", "/api-keys/{key_id}/usage", "getUsage", "Say how often a key was admitted and refused in each hour "
          "or on each day.", _READ, handlers.key_usage, shapes.PERIOD, "list", query=_USAGE),
    Route("GET", "/api-keys/{key_id}/limits", "getLimits", "Say where a key stands in each of its windows.", _READ,
          handlers.key_limits, shapes.WINDOW, "list"),
    Route("GET", "/audit", "listAudit", "List what was changed in the caller's organization and by whom, the newest "
          "first.", _AUDIT, handlers.list_audit, shapes.AUDIT, "page", query=_TOLD),
    Route("GET", "/organization", "getOrganization", "Give the caller's organization.", _READ,
          handlers.get_organization, shapes.ORGANIZATION, query=(WHOSE,), tagged=True),
    Route("PUT", "/organization/plan", "setPlan", "Give the organization another plan, or with null none.", _PLANS,
          handlers.set_plan, shapes.ORGANIZATION, body=members.PLAN_CHANGE, query=(WHOSE,), tagged=True, matched=True),
    Route("GET", "/openapi.json", "getOpenAPI", "Give the OpenAPI document of all this.", "", None, None, "document"),
)
# Only where it is asked for.
EVENTS = Route("GET", "/events", "listenToEvents", "Tell what the gate refuses of the caller's organization, and first "
               "uses of its keys, as it happens: server-sent events, which end after ten minutes at most.",
               _READ, None, None, "stream", query=(WHOSE,))
# fmt: on


class Found(NamedTuple):
    """Where a request leads.

    Attributes:
        route: the route, or None if the path does not know the method.
        ids: what stands in the path.
        methods: those that the path knows; empty if there is no such path.
    """

    route: Route | None
    ids: dict[str, str]
    methods: tuple[str, ...]


def find(method: str, path: str, routes: Sequence[Route] = ROUTES) -> Found:
    """The route of a request, among these. HEAD is GET without the body."""
    wanted = "GET" if method == "HEAD" else method
    given = tuple(path.split("/")[1:])
    fitting = [route for route in routes if _fits(route.segments, given)]
    methods = sorted({route.method for route in fitting} | ({"HEAD"} if any(not r.changes for r in fitting) else set()))
    route = next((each for each in fitting if each.method == wanted), None)
    ids = {} if route is None else dict(zip(route.ids, _ids(route, given), strict=True))
    return Found(route, ids, tuple(methods))


def _fits(segments: tuple[str, ...], given: tuple[str, ...]) -> bool:
    return len(segments) == len(given) and all(
        bool(sent) if part.startswith("{") else part == sent for part, sent in zip(segments, given, strict=True)
    )


def _ids(route: Route, given: tuple[str, ...]) -> list[str]:
    return [sent for part, sent in zip(route.segments, given, strict=True) if part.startswith("{")]
