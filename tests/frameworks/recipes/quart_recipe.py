from gates import gate
from quart import Quart

from keystile import current
from keystile.asgi import GateMiddleware

app = Quart(__name__)
app.asgi_app = GateMiddleware(app.asgi_app, gate=gate)


@app.get("/v1/me")
async def me():
    return {"caller": current().caller.name}
