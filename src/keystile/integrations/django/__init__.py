"""Django: the gate before views, where it cannot stand before the whole site. Needs the extra ``[django]``.

application = GateMiddleware(get_wsgi_application(), gate=get_gate())     # wsgi.py, asgi.py: before the whole site
MIDDLEWARE = ["keystile.integrations.django.KeystileMiddleware", ...]     # settings.py: at the top of the list
KEYSTILE = {"config": BASE_DIR / "keystile.toml", "only": ["/api/*"]}

The middleware is no second gate: `middleware` says how it has a door do the work.
"""

try:
    import django  # noqa: F401
except ImportError:
    raise ImportError("keystile.integrations.django needs Django: pip install 'keystile[django]'") from None

from .configured import get_gate
from .middleware import KeystileMiddleware
from .views import require

require_scopes = require

__all__ = ["KeystileMiddleware", "get_gate", "require", "require_scopes"]
