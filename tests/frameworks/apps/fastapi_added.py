"""FastAPI with the gate among its middleware, and its CORS outside of the gate."""

from fastapi.middleware.cors import CORSMiddleware
from fastapi_routes import make
from gates import gate

from keystile.asgi import GateMiddleware

asgi_app = make()
asgi_app.add_middleware(GateMiddleware, gate=gate)
asgi_app.add_middleware(CORSMiddleware, allow_origins=["https://page.example"], allow_headers=["x-api-key"])
