import falcon
from gates import gate

from keystile import current
from keystile.wsgi import GateMiddleware


class Me:
    def on_get(self, request: falcon.Request, response: falcon.Response) -> None:
        response.media = {"caller": current().caller.name}


app = falcon.App()
app.add_route("/v1/me", Me())
application = GateMiddleware(app, gate=gate)
