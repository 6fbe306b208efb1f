"""What a view knows of its caller, and asks of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import wraps
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import ResponseHeaders

from ...answers.current import Current
from ..refusing import Refusal, check_scopes, reply_to, wanted_scopes


def current_of(request: HttpRequest) -> Current | None:
    """What the gate decided on a request, wherever the gate stands; None if none let it through."""
    scope = getattr(request, "scope", {})
    current: Current | None = getattr(request, "keystile", None) or request.META.get("keystile.admitted")
    return current or scope.get("keystile")


class _Refused(HttpResponse):  # type: ignore[misc]
    """An answer that may be awaited, as the view in whose place it stands may be. No decorator can tell of the method
    `dispatch` of a class whether it gives answers, or coroutines."""

    def __await__(self) -> Generator[None, None, HttpResponse]:
        yield from ()
        return self


def require(*scopes: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Have a view ask for scopes: ``@require("exports:write")``, or with Django's ``method_decorator`` on a class.

    Who lacks one is answered as by the gate, 403. That comes after the windows have counted the request; the scopes of
    a `Rule` come before, and hold for what has no view too. A view that asks for scopes asks for no login.

    Args:
        scopes: all of them are needed.

    Raises:
        ConfigurationError: there is none, or one is no scope.
    """
    wanted = wanted_scopes(scopes)

    def refused(request: HttpRequest) -> HttpResponse | None:
        current = current_of(request)
        if current is None:
            raise RuntimeError("no gate let this request through: is its path outside of KEYSTILE['only']?")
        try:
            check_scopes(current, wanted, request.method, request.path_info)
        except Refusal as refusal:
            reply = reply_to(refusal, request.headers.get("accept", ""))
            response = _Refused(reply.body, status=reply.status)
            response.headers = ResponseHeaders(dict(reply.headers))
            return response
        return None

    def guard(view: Callable[..., Any]) -> Callable[..., Any]:
        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded(request: HttpRequest, *args: Any, **named: Any) -> Any:
                return refused(request) or await view(request, *args, **named)

        else:

            @wraps(view)
            def guarded(request: HttpRequest, *args: Any, **named: Any) -> Any:
                return refused(request) or view(request, *args, **named)

        # Of Django's LoginRequiredMiddleware, which would send whoever has a key to the page with the form.
        guarded.login_required = False  # type: ignore[attr-defined]
        return guarded

    return guard
