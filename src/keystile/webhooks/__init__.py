"""Webhooks: messages that are signed by whoever sends them.

Here is the half that needs neither network nor store: `sign` and `verify`, plain functions on octets. `receiving` holds
the middleware that verifies before an app runs (`keystile.asgi.WebhookMiddleware` and its twin for WSGI), `sending`
makes one attempt to deliver, and never to an address that is not the public's (`Targets`), and `outbox` keeps
endpoints and messages that wait. Receiving and sending do not know each other.
"""

from ..exceptions import InvalidSignature
from ..policy.webhooks import Receiver
from ..rules.network.targets import Targets
from .schemes import Scheme
from .secrets import Secret
from .signing import Received, sign, verify

__all__ = ["InvalidSignature", "Received", "Receiver", "Scheme", "Secret", "Targets", "sign", "verify"]
