"""The fields of forms about keys: a record as text, and text as members of a record."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ....exceptions import ConfigurationError, NotAllowed
from ...operations import ShownKey
from .. import texts
from ..rules.forms import BadField, json_in, lines, listed, moment
from .shown import plain

LABELS = {
    "name": texts.NAME,
    "organization_id": texts.ORGANIZATION,
    "project_id": texts.PROJECT,
    "environment": texts.ENVIRONMENT,
    "scopes": texts.SCOPES,
    "may": texts.MAY,
    "ip_allowlist": texts.ALLOWLIST,
    "plan": texts.PLAN,
    "limits": texts.LIMITS,
    "expires_at": texts.EXPIRES,
    "metadata": texts.METADATA,
}
PLANNED = ("plan", "limits")
"""Set by those who may manage plans alone."""
WIDENING = {"may": "every_request", "ip_allowlist": "anywhere"}
"""Fields that, once empty, let a key do more; and the box that says that this is meant."""


@dataclass(frozen=True)
class Form:
    """A form as it is shown: what stands in it, and what is wrong.

    Attributes:
        values: the text of each field.
        errors: what is wrong, by field.
        problem: what is wrong with all of it, or "".
        labels: what the fields are called.
    """

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    labels: Mapping[str, str] = field(default_factory=lambda: LABELS)


def emptied(names: Iterable[str], sent: Mapping[str, str]) -> dict[str, str]:
    """The text of each of these fields: what was sent, or "". Browsers send the ends of lines as CRLF."""
    return {name: sent.get(name, "").replace("\r\n", "\n") for name in names}


def values_of(shown: ShownKey) -> dict[str, str]:
    """A key's record as the text of the form."""
    key = shown.key
    return {
        "name": key.name,
        "project_id": key.project_id or "",
        "environment": key.environment,
        "scopes": " ".join(key.scopes),
        "may": "\n".join(key.may or ()),
        "ip_allowlist": "\n".join(key.ip_allowlist or ()),
        "plan": key.plan or "",
        "limits": key.limits or "",
        "expires_at": "" if key.expires_at is None else f"{key.expires_at:%Y-%m-%dT%H:%M}",
        "metadata": json.dumps(plain(key.metadata), ensure_ascii=False, indent=2) if key.metadata else "",
    }


def members(texts_of: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The members of a record that these texts stand for, and what is wrong with those that stand for nothing."""
    found: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in texts_of.items():
        try:
            found[name] = _READ[name](text)
        except BadField as error:
            errors[error.field] = error.reason
    return found, errors


def wrong(error: ConfigurationError | NotAllowed, names: Iterable[str]) -> Form:
    """What an operation says about a member, said about its field; about all of the form if it has none."""
    named = (error.key or "").partition("[")[0].removeprefix("key.")
    if named in names:
        return Form(errors={named: error.reason})
    return Form(problem=str(error))


def _optional(text: str) -> str | None:
    return text.strip() or None


_READ: Mapping[str, Callable[[str], Any]] = {
    "name": str.strip,
    "organization_id": _optional,
    "project_id": lambda text: text or None,
    "environment": str,
    "scopes": listed,
    "may": lambda text: lines(text) or None,
    "ip_allowlist": lambda text: listed(text) or None,
    "plan": _optional,
    "limits": _optional,
    "expires_at": lambda text: moment("expires_at", text),
    "metadata": lambda text: json_in("metadata", text),
}
