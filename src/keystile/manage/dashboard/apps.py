"""The dashboard as an app, for each door."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypedDict, Unpack

from ..._sync import Offload, pooled
from ...gate import Gate
from .. import asgi, wsgi
from ..requests import ManagementAnswer, ManagementRequest
from .entering import Authorize, check_plain, entering
from .local import Local
from .rules.forms import MOST_BODY
from .site import Site

if TYPE_CHECKING:
    from ...webhooks.outbox import Outbox


class Shown(TypedDict):
    """What a host says of its dashboard; `Site` tells what each is for."""

    public_url: str | None
    embed_in: Iterable[str]
    sign_out: str | None
    live: bool
    outbox: Outbox | None


def asgi_app(gate: Gate, authorize: Authorize, **shown: Unpack[Shown]) -> asgi.ServedByASGI:
    """See `keystile.asgi.dashboard_app`."""
    site = Site(gate, entering(authorize), **shown)
    return asgi.served(site.handle, gate, most_body=MOST_BODY, refuse=site.refuse)


def wsgi_app(gate: Gate, authorize: Authorize, **shown: Unpack[Shown]) -> wsgi.ServedByWSGI:
    """See `keystile.wsgi.dashboard_app`."""
    site = Site(gate, entering(authorize), **shown)
    check_plain(authorize)
    return wsgi.served(site.handle, gate, most_body=MOST_BODY, refuse=site.refuse)


def beside(local: Local, gate: Gate, run: Callable[..., ManagementAnswer]) -> wsgi.ServedByWSGI:
    """The dashboard of `keystile dashboard`, for a gate that is async.

    Args:
        local: the dashboard.
        gate: whose keys these are.
        run: calls a coroutine function on the loop beside, and waits for what it gives.
    """

    async def handle(request: ManagementRequest, _offload: Offload) -> ManagementAnswer:
        return run(local.handle, request, pooled)

    return wsgi.ServedByWSGI(handle, gate, MOST_BODY, local.site.refuse)


def local_app(local: Local, gate: Gate) -> wsgi.ServedByWSGI:
    """The dashboard of `keystile dashboard`."""
    return wsgi.served(local.handle, gate, most_body=MOST_BODY, refuse=local.site.refuse)
