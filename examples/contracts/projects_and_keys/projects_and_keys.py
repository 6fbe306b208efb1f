"""An API that manages projects and their keys, for either door: it is keystile's management API, and nothing else."""

from keystile import asgi, wsgi
from keystile.config.file import load, open_gate

gate = open_gate(load())
asgi_app = asgi.GateMiddleware(asgi.management_app(gate, field_case="camel"), gate)
wsgi_app = wsgi.GateMiddleware(wsgi.management_app(gate, field_case="camel"), gate)
