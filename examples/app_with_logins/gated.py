"""The same services behind a gate that knows nothing of their logins: nobody who could use them before is turned away.

Programs get keys. A program's key is a caller of the gate; everything else is the service's own affair, as before.
"""

import os

import notes_fastapi
import notes_flask

from keystile import Gate, Rule, asgi, wsgi

gate = Gate(
    store=os.environ.get("KEYSTILE_STORE", "memory://"),
    prefix="acme",
    foreign="ignore",
    rules=[
        Rule("/*", public="optional"),
        Rule("/export", scopes=["export"]),  # new, for programs alone
    ],
)
asgi_app = asgi.GateMiddleware(notes_fastapi.app, gate=gate)
wsgi_app = wsgi.GateMiddleware(notes_flask.app, gate=gate)
