from gates import gate
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from keystile import current
from keystile.asgi import GateMiddleware


async def me(request: Request) -> JSONResponse:
    return JSONResponse({"caller": current().caller.name})


app = Starlette(routes=[Route("/v1/me", me)], middleware=[Middleware(GateMiddleware, gate=gate)])
