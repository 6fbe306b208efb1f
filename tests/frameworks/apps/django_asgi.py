"""Django with the gate around its ASGI application."""

from django.conf import settings
from django.core.asgi import get_asgi_application
from gates import gate
from starlette.middleware.cors import CORSMiddleware

from django_site import SEEN
from keystile.asgi import GateMiddleware

settings.MIDDLEWARE = [SEEN]
asgi_app = CORSMiddleware(
    GateMiddleware(get_asgi_application(), gate=gate),
    allow_origins=["https://page.example"],
    allow_headers=["x-api-key"],
)
