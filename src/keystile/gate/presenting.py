"""The key that a request presents, which ways of presenting one a refusal names, and what becomes of one over http.

A gate that reads plain headers or parameters, the same on every path, needs none of this: `plain` says so, and then
`requests.credentials.extract` alone reads the key.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..exceptions import ConfigurationError
from ..keys.workshop import Workshop
from ..model import Demand, Reason, Request
from ..policy import Policy
from ..policy.places import BASIC, Place
from ..rules import outcomes
from ..rules.places.basic import is_ambient, is_fetch
from ..rules.places.finding import Finder
from ..rules.requests.credentials import Accepted, Unusable, extract
from ..rules.requests.masks import Mask
from .dryrun import DryRun
from .transport import Transport, Visit, leads_on

_BEARER, _API_KEY = "bearer", "api-key"


class Presenting:
    """Finds the key of a request.

    Args:
        policy: the settings.
        shop: its key format says what our keys look like.
        accepted: the places that any rule accepts.

    Raises:
        ConfigurationError: a setting needs keys that begin with a prefix, and these do not.
    """

    def __init__(self, policy: Policy, shop: Workshop, accepted: Accepted) -> None:
        ignores = policy.foreign == "ignore"
        if shop.prefix is None:
            _check_prefix(policy, accepted)
        if policy.hide_credentials and not shop.mask.is_sure:
            reason = "key_format takes any long word for a key, so that apps would miss their Host and Content-Type"
            raise ConfigurationError(f"True cannot be used: {reason}", key="hide_credentials")
        self.plain = not (ignores or accepted.basic or accepted.subprotocols or _by_path(policy))
        """Whether a key is read in the same way on every path, and from plain headers or parameters alone."""
        self._accepted, self._public_url = accepted, policy.public_url
        self._origins = frozenset(origin.lower() for origin in policy.cors_origins)
        self._finder = Finder(accepted, shop.ours, lambda raw: shop.key_format.parse(raw) is not None, ignores=ignores)

    def find(self, request: Request, demand: Demand, *, secure: bool) -> bytes | Unusable:
        """The one key of a request, if it stands where it may on this path.

        Args:
            request: what the door read.
            demand: what its path demands.
            secure: it came over https.
        """
        key, places = self._finder.find(request.credentials)
        if key is Unusable.MISSING or key is Unusable.AMBIGUOUS:
            return key
        here, site = places & demand.accept, request.site
        if places and not here:
            return Unusable.ELSEWHERE
        if site is None or here != {BASIC}:
            return key
        ambient = is_ambient(site, self._origins, self._public_url, secure=secure)
        return Unusable.AMBIENT if ambient else key

    def is_missing(self, request: Request) -> bool:
        """Whether a request presents no key at all, wherever it may stand."""
        if self.plain:
            return extract(request.credentials, self._accepted) is Unusable.MISSING
        return self._finder.find(request.credentials).key is Unusable.MISSING

    def schemes(self, request: Request, demand: Demand) -> tuple[str, ...]:
        """The schemes of ``WWW-Authenticate`` for a refusal on this path."""
        site = request.site
        return schemes_of(demand.accept, basic=site is None or not is_fetch(site))


def schemes_of(places: Iterable[Place], *, basic: bool = True) -> tuple[str, ...]:
    """The schemes to name, in lower case: those of ``Authorization``, Bearer first and Basic last.

    `Api-Key` is another spelling of Bearer, and not repeated beside it. It stands for places that no scheme names, for
    an answer of 401 must name one (RFC 9110 section 15.5.2).
    """
    found = {place.scheme.decode() for place in places if place.scheme}
    named = found - {"basic"}
    if _BEARER in named or not found:
        named = (named - {_API_KEY}) or {_API_KEY}
    listed = sorted(named, key=lambda scheme: (scheme != _BEARER, scheme))
    return (*listed, *(["basic"] if basic and "basic" in found else [])) or (_API_KEY,)


def _by_path(policy: Policy) -> bool:
    return any(rule.accept is not None for rule in policy.rules)


def _check_prefix(policy: Policy, accepted: Accepted) -> None:
    needing = "key_format gives keys without a prefix, so that nothing tells them from others"
    if policy.foreign == "ignore":
        raise ConfigurationError(f"'ignore' cannot be used: {needing}", key="foreign")
    if accepted.subprotocols:
        raise ConfigurationError(f"'Sec-WebSocket-Protocol' cannot be used: {needing}", key="accept")


class InTheClear:
    """Says why a request over http is refused.

    Args:
        policy: the settings.
        transport: reports keys that came over http.
        mask: finds keys within a text.
        dry: whether the gate is in dry run.
    """

    def __init__(self, policy: Policy, transport: Transport, mask: Mask, dry: DryRun) -> None:
        self._policy, self._transport, self._mask, self._dry = policy, transport, mask, dry

    def refusal(self, visit: Visit, *, keyless: bool, again: bool) -> Reason | None:
        """Why, or None in dry run of the gate.

        Args:
            visit: the request.
            keyless: it presents no key. One that it presents is not looked at for that, but it is reported as sent.
            again: the request is judged once more, so that nothing is reported.
        """
        request, reason = visit.request, outcomes.HTTPS_REQUIRED
        if not again and not keyless:
            self._transport.tell_of_clear(visit)
        redirects = self._policy.https == "redirect" and request.scheme == "http"
        if redirects and leads_on(request, self._mask, keyless=keyless):
            reason = outcomes.HTTPS_REDIRECTS[self._policy.redirect_status]
        if self._dry.enforces:
            return reason
        if not again:
            self._dry.tell(reason, visit)
        return None
