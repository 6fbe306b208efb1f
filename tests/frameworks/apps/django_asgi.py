"""Django with the gate around its ASGI application."""

import django_site  # noqa: F401 - it sets Django up
from django.core.asgi import get_asgi_application
from gates import gate
from starlette.middleware.cors import CORSMiddleware

from keystile.asgi import GateMiddleware

asgi_app = CORSMiddleware(
    GateMiddleware(get_asgi_application(), gate=gate),
    allow_origins=["https://page.example"],
    allow_headers=["x-api-key"],
)
