"""The fields that bodies about webhook endpoints hold.

What each of them may be is decided by `webhooks.outbox`, which names the field that it refuses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ....policy.webhooks import LONGEST_GRACE
from ..fields import Body, Field, moment
from ..members import GRACE, MAYBE_LINE, ORGANIZATION, are_texts, is_text, list_schema, or_null


def _are_headers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_text, value.values()))


URL = Field(
    "url",
    "Where messages go: `https://…`, to an address that is public.",
    {"type": "string", "minLength": 1, "maxLength": 2048, "format": "endpoint-url"},
    is_text,
    member=False,
)
EVENT_TYPES = Field(
    "event_types",
    "The types of messages that it gets; null for all.",
    list_schema({"type": "string", "maxLength": 100, "pattern": "^[a-z][a-z0-9_.]*$"}, 1, null=True),
    or_null(are_texts),
    member=False,
)
SCHEME = Field(
    "scheme",
    "How messages are signed: `standard` is Standard Webhooks, and the default.",
    {"type": "string", "enum": ["standard", "hex_body", "timestamped"]},
    is_text,
    member=False,
)
SIGNATURE_HEADER = Field(
    "signature_header",
    "The header with the signature, for `hex_body` and `timestamped`, which need it.",
    {"type": ["string", "null"], "pattern": "^[A-Za-z0-9-]{1,64}$"},
    or_null(is_text),
    member=False,
)
HEADERS = Field(
    "headers",
    "Headers that its messages carry too, at most 20. All of them: those before are replaced. Their values are kept "
    "sealed, and never shown.",
    {"type": ["object", "null"], "maxProperties": 20, "additionalProperties": {"type": "string", "maxLength": 1024}},
    or_null(_are_headers),
    member=False,
)
DESCRIPTION = Field("description", "A label for people.", MAYBE_LINE, or_null(is_text), member=False)
_GRACE = replace(
    GRACE,
    meaning="For how many seconds the secret before it signs as well; a day if nothing is said.",
    schema={**GRACE.schema, "maximum": LONGEST_GRACE},
)
SINCE = Field(
    "since",
    "What was added at this moment or later.",
    {"type": "string", "format": "date-time"},
    is_text,
    moment,
    member=False,
)

NEW_ENDPOINT = Body(
    "NewEndpoint",
    (URL, EVENT_TYPES, SCHEME, SIGNATURE_HEADER, HEADERS, DESCRIPTION),
    (ORGANIZATION,),
    required=frozenset(("url",)),
)
ENDPOINT_CHANGE = Body("EndpointChange", (URL, EVENT_TYPES, HEADERS, DESCRIPTION), merge=True)
SECRET_ROTATION = Body("SecretRotation", (_GRACE,))
RETRY = Body("Retry", (SINCE,), required=frozenset(("since",)))
