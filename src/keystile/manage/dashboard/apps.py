"""The dashboard as an app, for each door."""

from __future__ import annotations

from collections.abc import Iterable

from ...gate import Gate
from .. import asgi, wsgi
from .entering import Authorize, check_plain, entering
from .forms import MOST_BODY
from .site import Site


def asgi_app(
    gate: Gate, authorize: Authorize, public_url: str | None, embed_in: Iterable[str], sign_out: str | None
) -> asgi.ServedByASGI:
    """See `keystile.asgi.dashboard_app`."""
    site = Site(gate, entering(authorize), public_url=public_url, embed_in=embed_in, sign_out=sign_out)
    return asgi.served(site.handle, gate, most_body=MOST_BODY, refuse=site.refuse)


def wsgi_app(
    gate: Gate, authorize: Authorize, public_url: str | None, embed_in: Iterable[str], sign_out: str | None
) -> wsgi.ServedByWSGI:
    """See `keystile.wsgi.dashboard_app`."""
    site = Site(gate, entering(authorize), public_url=public_url, embed_in=embed_in, sign_out=sign_out)
    check_plain(authorize)
    return wsgi.served(site.handle, gate, most_body=MOST_BODY, refuse=site.refuse)
