"""What integrations and the documents of apps take: mostly the app's own words, and of strangers what is bounded."""

from __future__ import annotations

_HOST = "takes what the app's own code says"
_DOORS = "fed by the server of the app; see events.Events.tell and answers.problems.asks_for_problem"

NOT_FED = {
    "integrations.refusing.caller_of": _DOORS,
    "integrations.refusing.check_scopes": _DOORS,
    "integrations.refusing.passed": _DOORS,
    "integrations.refusing.reply_to": _DOORS,
    "integrations.refusing.wanted_scopes": _HOST,
    "rules.requests.matching.Step.admits": "takes segments of rules",
}
NO_STRANGERS = {
    "integrations.fastapi": _HOST,
    "openapi": "only names what others hold",
    "openapi.described": _HOST,
    "openapi.describing": _HOST,
    "openapi.envelopes": _HOST,
    "openapi.errors": "takes the settings of a gate",
    "openapi.schemes": _HOST,
    "rules.requests.templates": "takes the paths of routes, not of requests",
    "testing": "for the tests of an app",
}
