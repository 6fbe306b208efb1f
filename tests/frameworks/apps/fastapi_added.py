"""FastAPI with keystile's module for it, and its CORS outside of the gate."""

from fastapi.middleware.cors import CORSMiddleware
from fastapi_routes import make
from gates import gate

from keystile.integrations.fastapi import install

asgi_app = make()
install(asgi_app, gate)
asgi_app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
