"""Django with the gate among its middleware, under ASGI."""

from django.conf import settings
from django.core.asgi import get_asgi_application

from django_site import KEYSTILE, SEEN

settings.MIDDLEWARE = [KEYSTILE, SEEN]
asgi_app = get_asgi_application()
