"""FastAPI with the gate around all of it, its own 500 included."""

from fastapi.middleware.cors import CORSMiddleware
from fastapi_routes import make
from gates import gate

from keystile.asgi import GateMiddleware

asgi_app = CORSMiddleware(
    GateMiddleware(make(), gate=gate), allow_origins=["https://page.example"], allow_headers=["x-api-key"]
)
