"""Sending: one attempt to deliver a message, with a bound for everything that the other side could draw out.

Which addresses are the public's is a rule (`rules.network.targets`). `network` holds every connection to it, `fields`
says which headers a customer may add, `attempt` sends and tells what came. When to try again is not known here.
"""

from .attempt import Attempt, Sender, send
from .fields import check_fields

__all__ = ["Attempt", "Sender", "check_fields", "send"]
