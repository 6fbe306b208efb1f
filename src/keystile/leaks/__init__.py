"""Told by GitHub that a key was published: the endpoint of its secret scanning partner program.

    app.mount("/leaks/github", asgi_app(gate))                                       # Starlette, FastAPI
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/leaks/github": wsgi_app(gate)})     # Flask

GitHub signs what it sends, and only that is believed. The answer goes out first; then each reported secret is proved,
and its key is revoked or told. Mount it outside the gate's middleware, or name its path in `public`, with the slash at
its end that a mount of Starlette has: GitHub has no key. Needs ``keystile[leaks]``. docs/guides/leaks.md has the whole
story.

`signatures` says what is signed, `reports` reads it, `partner` decides, `acting` revokes, and `apps` are the two doors.
"""

from .acting import OnLeak
from .apps import asgi_app, wsgi_app
from .partner import MOST_BODY, Partner
from .signatures import GITHUB_KEYS, Fetch, Fetched

__all__ = ["GITHUB_KEYS", "MOST_BODY", "Fetch", "Fetched", "OnLeak", "Partner", "asgi_app", "wsgi_app"]
