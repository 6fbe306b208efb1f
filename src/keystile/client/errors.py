"""What is raised for an answer that is an error. One base class, and a class for each kind that callers tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exceptions import KeystileError


class KeyNotSent(KeystileError):
    """The key would have gone over plain http, so nothing was sent.

    Args:
        host: of the request.
    """

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.host = host

    def __str__(self) -> str:
        return f"the key is not sent to {self.host[:100]!r} over plain http: use https, or say allow_http=True"


class ApiError(KeystileError):
    """The answer is an error. None of its parts holds the key that was sent.

    Args:
        status: the HTTP status.
        code: stable, for machines: ``"rate_limited"``. The server's own, or that of keystile for the status.
        message: for people, one line of at most 1000 characters.
        details: JSON values; empty if the server said no more.
        request_id: for asking the server's operators, or None.
        retry_after: seconds to wait before the next try, or None if the server did not say.
    """

    def __init__(  # noqa: PLR0917 - copies are made from `args`, in their order
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, code, message, details, request_id, retry_after)
        self.status, self.code, self.message = status, code, message
        self.details: Mapping[str, Any] = details or {}
        self.request_id, self.retry_after = request_id, retry_after

    def __str__(self) -> str:
        text = f"{self.status} {self.code}: {self.message}"
        return text if self.request_id is None else f"{text} ({self.request_id})"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"


class Invalid(ApiError):
    """400, 413, 415, 422: the request is not as the server wants it."""


class Unauthorized(ApiError):
    """401: no key, or one that is not good (any more)."""


class Forbidden(ApiError):
    """403: a good key, but not for this."""


class NotFound(ApiError):
    """404, 410: it is not there."""


class Conflict(ApiError):
    """409, 412, 428: it is not in the state that the request needs."""


class RateLimited(ApiError):
    """429: too many requests. `retry_after` says when there is room; it is None if there never will be."""


class ServerError(ApiError):
    """5xx: the server failed."""


class Unavailable(ServerError):
    """502, 503, 504: the server is down, or overloaded."""


class UnusableAnswer(ApiError):
    """No error by its status, but not what was asked for: not a page, or a page that leads nowhere."""


_KINDS: Mapping[int, type[ApiError]] = {
    **dict.fromkeys((400, 413, 415, 422), Invalid),
    401: Unauthorized,
    403: Forbidden,
    **dict.fromkeys((404, 410), NotFound),
    **dict.fromkeys((409, 412, 428), Conflict),
    429: RateLimited,
    **dict.fromkeys((502, 503, 504), Unavailable),
}


def kind_of(status: int) -> type[ApiError]:
    """The class for an answer with this status, 400 or above."""
    return _KINDS.get(status) or (ServerError if status >= 500 else ApiError)
