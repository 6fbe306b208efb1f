"""A Flask app that has its users and their tokens in a table of its own, behind keystile.

USERS=users.db gunicorn app:app
curl -H "Authorization: Bearer 17.9f86d0..." http://127.0.0.1:8000/me
"""

from flask import Flask
from guard import gate

from keystile import current
from keystile.wsgi import GateMiddleware

app = Flask(__name__)
app.wsgi_app = GateMiddleware(app.wsgi_app, gate=gate)  # type: ignore[method-assign]


@app.get("/me")
def me() -> dict[str, str]:
    return {"email": current().caller.name}
