import cherrypy
from gates import gate

from keystile import current
from keystile.wsgi import GateMiddleware


class V1:
    @cherrypy.expose
    @cherrypy.tools.json_out()
    def me(self):
        return {"caller": current().caller.name}


cherrypy.config.update({"environment": "embedded"})
app = cherrypy.tree.mount(V1(), "/v1")
application = GateMiddleware(cherrypy.tree, gate=gate)
