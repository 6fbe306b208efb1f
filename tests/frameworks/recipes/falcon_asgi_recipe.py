import falcon.asgi
from gates import gate

from keystile import current
from keystile.asgi import GateMiddleware


class Me:
    async def on_get(self, request: falcon.asgi.Request, response: falcon.asgi.Response) -> None:
        response.media = {"caller": current().caller.name}


app = falcon.asgi.App()
app.add_route("/v1/me", Me())
application = GateMiddleware(app, gate=gate)
