from gates import gate
from pyramid.config import Configurator

from keystile import current
from keystile.wsgi import GateMiddleware


def me(request):
    return {"caller": current().caller.name}


with Configurator() as config:
    config.add_route("me", "/v1/me")
    config.add_view(me, route_name="me", renderer="json")
    application = GateMiddleware(config.make_wsgi_app(), gate=gate)
