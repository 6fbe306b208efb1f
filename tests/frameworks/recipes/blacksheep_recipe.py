from blacksheep import Application, get
from gates import gate

from keystile import current
from keystile.asgi import GateMiddleware

app = Application()


@get("/v1/me")
async def me():
    return {"caller": current().caller.name}


application = GateMiddleware(app, gate=gate)
