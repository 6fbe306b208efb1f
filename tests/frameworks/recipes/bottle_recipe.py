from bottle import Bottle
from gates import gate

from keystile import current
from keystile.wsgi import GateMiddleware

app = Bottle()


@app.get("/v1/me")
def me():
    return {"caller": current().caller.name}


application = GateMiddleware(app, gate=gate)
