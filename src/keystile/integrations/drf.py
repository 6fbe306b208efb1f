"""Django REST framework: the caller that the gate let through, as ``request.user`` and ``request.auth``. Needs the
extra ``[drf]``.

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["keystile.integrations.drf.KeystileAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": [],     # the gate counts; twice would be once too often
}

It reads no key itself: the door before the site, or the middleware, has.
"""

from __future__ import annotations

from typing import Any

try:
    from rest_framework.authentication import BaseAuthentication
except ImportError:
    raise ImportError("keystile.integrations.drf needs DRF: pip install 'keystile[drf]'") from None

from ..answers.responses import challenges_of
from ..gate.presenting import schemes_of
from ..model import Principal
from ..policy.places import places_of
from ..rules import outcomes
from .django.configured import get_gate
from .django.views import current_of

__all__ = ["KeystileAuthentication", "KeystileUser"]


class KeystileUser:
    """The owner of a key, as far as Django asks: one who is authenticated, and has no permissions of Django's.

    Args:
        principal: who is calling.

    Attributes:
        pk, id: the key's `owner_id`, or ``"key:"`` and the key's id.
    """

    is_authenticated, is_active = True, True
    is_anonymous = is_staff = is_superuser = False

    def __init__(self, principal: Principal) -> None:
        self.principal = principal
        self.pk = self.id = principal.owner_id or f"key:{principal.id}"

    def __str__(self) -> str:
        return self.pk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeystileUser) and other.pk == self.pk

    def __hash__(self) -> int:
        return hash(self.pk)

    def get_username(self) -> str:
        """As Django's users have it."""
        return self.pk

    def has_perm(self, *_: Any) -> bool:
        """No: scopes are the gate's."""
        return False

    has_perms = has_module_perms = has_perm


class KeystileAuthentication(BaseAuthentication):  # type: ignore[misc]
    """Says who is calling: ``request.user`` is a `KeystileUser`, ``request.auth`` the `keystile.Principal`.

    Where no key came, on a path where none need be, it says nothing, and the next class is asked. Views that are not
    for everybody need a permission class, as with any other authentication: the answer is then 401 with the gate's
    challenge.
    """

    def authenticate(self, request: Any) -> tuple[KeystileUser, Principal] | None:
        """See DRF."""
        current = current_of(request._request)  # noqa: SLF001 - DRF's own classes get at Django's request so
        if current is None or current.principal is None:
            return None
        return KeystileUser(current.principal), current.principal

    def authenticate_header(self, request: Any) -> str:
        """See DRF."""
        current = current_of(request._request)  # noqa: SLF001 - likewise
        gate = get_gate() if current is None or current.gate is None else current.gate
        accept = places_of(gate.policy.accept) if current is None else current.admitted.demand.accept
        return challenges_of(outcomes.MISSING, schemes_of(accept), gate.policy.realm)
