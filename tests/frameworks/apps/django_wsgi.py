"""Django with the gate around its WSGI application."""

import django_site  # noqa: F401 - it sets Django up
from django.core.wsgi import get_wsgi_application
from gates import gate

from keystile.wsgi import GateMiddleware

wsgi_app = GateMiddleware(get_wsgi_application(), gate=gate)
