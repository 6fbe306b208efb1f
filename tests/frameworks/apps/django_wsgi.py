"""Django with the gate around its WSGI application."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from gates import gate

from django_site import SEEN
from keystile.wsgi import GateMiddleware

settings.MIDDLEWARE = [SEEN]
wsgi_app = GateMiddleware(get_wsgi_application(), gate=gate)
