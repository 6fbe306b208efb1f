"""Django with the gate among its middleware, under WSGI."""

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from django_site import KEYSTILE, SEEN

settings.MIDDLEWARE = [KEYSTILE, SEEN]
wsgi_app = get_wsgi_application()
