"""What can go wrong with the set-up or with a store. A refused request is never one of these: it is a value.

Every exception carries data, and all share one base class, so that a host can tell them apart without reading
messages. None ever holds a raw key or a hash.
"""

from __future__ import annotations

from typing import Any

# The length of an id in the default key format.
SHOWN = 12


# A part of a message that is longer holds somebody's value: its beginning and its end say enough.
_LONGEST, _END = 1200, 300


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - _END]}…{text[-_END:]}"


class KeystileError(Exception):
    """Root of every exception that keystile raises on purpose."""


class ConfigurationError(KeystileError, ValueError):
    """A setting is wrong. Raised when something is built or created, never while a request is answered.

    Args:
        reason: what is wrong and what would be right.
        key: the setting, as its user wrote it (``"rules[0].match"``).
        source: the file it stands in, if it came from one.
    """

    def __init__(self, reason: str, *, key: str | None = None, source: str | None = None) -> None:
        super().__init__(": ".join(_short(part) for part in (source, key, reason) if part))
        self.reason = reason
        self.key = key
        self.source = source


class StoreUnavailable(KeystileError):
    """A key store cannot answer. The gate stays closed: 503, and the app does not run.

    Args:
        store: which one, without credentials (``"sqlite:///keystile.db"``).
        reason: what the store said.
    """

    def __init__(self, store: str, reason: str) -> None:
        super().__init__(store, reason)
        self.store = store
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.store}: {self.reason}"


class StoreBusy(StoreUnavailable):
    """Another process has locked the store for a moment. Worth another try within milliseconds."""


class UnreadableRecord(StoreUnavailable):
    """What a store holds under a key's id is not a record; most likely somebody edited it by hand. Only that key is
    refused, with 503; other keys go on.

    Args:
        store: which one, without credentials.
        key_id: the id of the key.
        reason: what is wrong, without any part of the record.
    """

    def __init__(self, store: str, key_id: str, reason: str) -> None:
        self.key_id = key_id if len(key_id) <= SHOWN else key_id[:SHOWN] + "…"
        super().__init__(store, f"the record of {self.key_id!r} cannot be read: {reason}")


class InvalidSignature(KeystileError):
    """A message is not signed as it should be. It is the one exception for everything that can be wrong with it.

    Args:
        reason: what is wrong, for the receiver's own log; the sender is not told.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Overloaded(KeystileError):
    """A bounded pool has no free worker and no place in its queue. The gate answers 503."""


class NotFound(KeystileError, LookupError):
    """Nothing of this kind has this id.

    Args:
        kind: ``"key"``, ``"project"`` or ``"organization"``.
        id: the id that was looked up. It is public: no secret is part of it.
    """

    def __init__(self, kind: str, id: str) -> None:
        # People paste whole keys where an id belongs, so nothing beyond the length of an id is repeated.
        self.kind, self.id = kind, id if len(id) <= SHOWN else id[:SHOWN] + "…"
        super().__init__(kind, self.id)

    def __str__(self) -> str:
        return f"no {self.kind} has the id {self.id!r}"


class IdTaken(ConfigurationError):
    """Something of this kind has this id already; an id is never given twice.

    Args:
        kind: ``"key"``, ``"project"`` or ``"organization"``.
        id: which one.
    """

    def __init__(self, kind: str, id: str) -> None:
        self.kind, self.id = kind, id
        super().__init__(f"{id!r} is taken", key="id")


class KeyNotFound(NotFound):
    """No key has this id.

    Args:
        key_id: the id that was looked up.
    """

    def __init__(self, key_id: str) -> None:
        super().__init__("key", key_id)
        self.args = (self.id,)

    @property
    def key_id(self) -> str:
        """The id that was looked up; cut, if it is longer than an id."""
        return self.id


class KeyNotActive(KeystileError):
    """A key that is revoked or expired cannot be changed any more, nor get a new secret. Over HTTP: 409
    ``key_not_active``.

    Args:
        key_id: which key.
        state: ``"revoked"`` or ``"expired"``.
    """

    code = "key_not_active"

    def __init__(self, key_id: str, state: str) -> None:
        super().__init__(key_id, state)
        self.key_id, self.state = key_id, state

    def __str__(self) -> str:
        return f"the key {self.key_id!r} is {self.state}"


class KeyLimitReached(KeystileError):
    """The plan allows no more keys. Over HTTP: 409 ``key_limit_reached``.

    Args:
        limit: how many the plan allows.
        plan: its name; None for a plan that has none.
        cap_by: whose keys are counted together: ``("organization",)``, ``("owner", "organization")``.
    """

    code = "key_limit_reached"

    def __init__(self, limit: int, plan: str | None, cap_by: tuple[str, ...]) -> None:
        super().__init__(limit, plan, cap_by)
        self.limit, self.plan, self.cap_by = limit, plan, cap_by

    def __str__(self) -> str:
        whose = " and ".join(f"the same {each}" for each in self.cap_by)
        return f"the plan {self.plan!r} allows {self.limit} live keys of {whose}"

    @property
    def details(self) -> dict[str, Any]:
        """What an answer says about it."""
        return {"limit": self.limit, "plan": self.plan, "cap_by": list(self.cap_by)}


class RecordChanged(KeystileError):
    """Somebody else changed the record in the meantime: read it again. Over HTTP: 412 ``precondition_failed``.

    Args:
        kind: ``"key"``, ``"project"`` or ``"organization"``.
        id: which one.
    """

    code = "precondition_failed"

    def __init__(self, kind: str, id: str) -> None:
        super().__init__(kind, id)
        self.kind, self.id = kind, id

    def __str__(self) -> str:
        return f"the {self.kind} {self.id!r} was changed in the meantime"


class NotAllowed(KeystileError):
    """Whoever manages keys may not do this. Over HTTP: 403 with this code.

    Args:
        code: ``"insufficient_scope"``, if a right is missing; ``"more_than_held"``, if somebody would get or hand on
            more than they hold; ``"organization_required"``, if they belong to none; ``"own_key"``, if a managing key
            would change itself.
        reason: what is missing, for people.
        key: the member of what was asked for that is too much, or None.
        required_scopes: what would be needed, where that is known.
    """

    def __init__(
        self, code: str, reason: str, *, key: str | None = None, required_scopes: tuple[str, ...] = ()
    ) -> None:
        super().__init__(code, reason)
        self.code, self.reason, self.key, self.required_scopes = code, reason, key, required_scopes

    def __str__(self) -> str:
        return self.reason if self.key is None else f"{self.key}: {self.reason}"

    @property
    def details(self) -> dict[str, Any]:
        """What an answer says about it."""
        if self.required_scopes:
            return {"required_scopes": list(self.required_scopes)}
        return {} if self.key is None else {"field": self.key}


class EndpointConflict(ConfigurationError):
    """What a webhook endpoint, or its organization, is like just now forbids this. Over HTTP: 409 with this code.

    Args:
        code: ``"endpoint_disabled"``, or ``"endpoint_limit_reached"``.
        reason: for people.
        key: what it is about.
    """

    def __init__(self, code: str, reason: str, *, key: str) -> None:
        super().__init__(reason, key=key)
        self.code = code


class ForceRequired(KeystileError):
    """This would lock out who asks for it: it is done only with ``force=True``. Over HTTP: 409 ``force_required``.

    Args:
        reason: what would happen, for people.
    """

    code = "force_required"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class IdempotencyKeyReused(KeystileError):
    """This idempotency key made something else before, or what it made is gone. Over HTTP: 422
    ``idempotency_key_reused``.

    Args:
        reason: which of the two, for people. The key that was sent is not part of it.
    """

    code = "idempotency_key_reused"

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class InvalidRequest(KeystileError, ValueError):
    """The client sent something that cannot be used: a page's limit, a cursor. On an enveloped path the door turns it
    into a 400 with the code ``invalid_request``; a framework that catches every exception itself can do so with
    `answer` (Flask: ``app.register_error_handler(InvalidRequest, InvalidRequest.answer)``).

    Args:
        reason: what was expected, for people. The value that was sent is not part of it.
        parameter: the name of the parameter, as the client wrote it.
    """

    def __init__(self, reason: str, *, parameter: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.parameter = parameter

    def __str__(self) -> str:
        return f"{self.parameter}: {self.reason}"

    def answer(self) -> tuple[dict[str, Any], int]:
        """A JSON body and the status, as Flask takes them from an error handler."""
        details = {"parameter": self.parameter, "reason": self.reason}
        message = f"The parameter {self.parameter!r} cannot be used: {self.reason}."
        return {"error": {"code": "invalid_request", "message": message, "details": details}}, 400
