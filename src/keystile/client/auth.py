"""The key on its way: only to the origin that the caller asked, and not over plain http.

An auth of httpx sees the request that the caller made, but not those that redirects make of it: the client copies the
header for these, and takes off ``Authorization`` alone where the origin is another. So a key in ``Authorization`` is
written here. A key in any other place is written by `transports`, which sees every request; the client's own request
never holds it, nor does what the client logs.
"""

from __future__ import annotations

import base64
import re
from ipaddress import ip_address
from typing import Any, TypeVar
from urllib.parse import quote, unquote_plus

from .._ground.checks import check_flag, check_origin
from .._ground.frozen import HiddenText
from ..exceptions import ConfigurationError
from ..policy.places import BASIC, SUBPROTOCOL, Place, place_of
from .errors import KeyNotSent
from .shapes import Origin, origin_of, written_origin

R = TypeVar("R")

EXTENSION = "keystile.key"
# What a header's value, a query and a JSON text can all hold, and no gate takes for two keys.
_KEY = re.compile(r"[!#-+\--\[\]-~]{1,1024}")


class KeyAuth:
    """Sends a key: ``httpx2.Client(auth=KeyAuth(key))``, and the same with httpx.

    Args:
        key: the key. No repr, error or log of ours shows it.
        header: the place, as in the gate's `accept`: ``"Authorization: Bearer"``, ``"X-API-Key"``, ``"?api_key"``.
            Places other than ``Authorization`` need the client's transport to be a `gate_transport`. Without it, the
            key is not sent.
        origin: ``"https://api.example.com"``: requests to other origins go out without the key. If None, the key goes
            to whatever the caller asks, but not along with a redirect to another origin.
        allow_http: send it over plain http, too. To this machine it is always sent.

    Raises:
        ConfigurationError: the key or the place cannot be used, or `origin` is plain http without `allow_http`.
    """

    def __init__(
        self, key: str, header: str = "Authorization: Bearer", *, origin: str | None = None, allow_http: bool = False
    ) -> None:
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            reason = "expected 1 to 1024 characters of visible ASCII, without quotes, backslashes and commas"
            raise ConfigurationError(reason, key="key")
        self._key, self._place = HiddenText(key), place_of(header, "header")
        if self._place == SUBPROTOCOL:
            raise ConfigurationError("a subprotocol is for websockets, which are opened otherwise", key="header")
        self._allow_http = check_flag(allow_http, "allow_http")
        self._origin = None if origin is None else written_origin(check_origin(origin, "origin"))
        if self._origin is not None and not self._is_safe(self._origin):
            raise ConfigurationError("is plain http, and allow_http is not set", key="origin")

    def __repr__(self) -> str:
        return f"KeyAuth(<hidden>, {self._place.shown!r})"

    def __call__(self, request: R) -> R:
        """The request with its key; what the client calls.

        Raises:
            KeyNotSent: it would go over plain http.
        """
        asked: Any = request
        origin, before = origin_of(asked.url), carried_by(asked)
        if before is not None and before.key == self._key and before.is_left_at(origin):
            before.leave(asked)  # the caller follows redirects by hand
            return request
        if self._origin not in (None, origin):
            return request
        if not self._is_safe(origin):
            raise KeyNotSent(origin[1])
        asked.extensions[EXTENSION] = Carried(self._key, self._place, origin)
        if self._place.header == b"authorization":
            asked.headers["Authorization"] = _value(self._key.plain, self._place)
        return request

    def _is_safe(self, origin: Origin) -> bool:
        """Whether nobody listens on the way, or the caller allows it."""
        scheme, host, _ = origin
        return scheme == "https" or self._allow_http or _is_this_machine(host)


class Carried:
    """A key on its way. A request and all that redirects make of it share one of these.

    Args:
        key: the key.
        place: where it belongs.
        origin: where it may go.
        is_left: whether a redirect has led elsewhere. What comes after it is elsewhere's wish, even if it leads back.
    """

    def __init__(self, key: HiddenText, place: Place, origin: Origin, *, is_left: bool = False) -> None:
        self._key, self._place, self._origin, self._is_left = key, place, origin, is_left

    def __repr__(self) -> str:
        return f"<a key in {self._place.shown}>"

    @property
    def key(self) -> HiddenText:
        """The key, for those who hide it."""
        return self._key

    @property
    def forms(self) -> tuple[str, ...]:
        """What an answer that repeats a request may hold of the key, the longest first."""
        key = self._key.plain
        basic = _value(key, BASIC).removeprefix("Basic ").rstrip("=")
        return tuple(sorted({key, quote(key), quote(key, safe=""), basic}, key=len, reverse=True))

    def is_left_at(self, origin: Origin) -> bool:
        """Whether a request to this origin goes without the key."""
        return self._is_left or origin != self._origin

    def leave(self, request: Any) -> None:
        """Let this request, and those that redirects make of it, go without the key."""
        left = Carried(self._key, self._place, self._origin, is_left=True)
        request.extensions = {**request.extensions, EXTENSION: left}

    def put(self, request: Any) -> Any:
        """A copy of the request with the key in its place, or the same request if it is not to have it."""
        if self.is_left_at(origin_of(request.url)):
            self.leave(request)
            return request
        if self._place.header == b"authorization":
            return request
        url, fields, place = request.url, request.headers.raw, self._place
        if place.is_parameter:
            name, given = place.header[1:].decode(), url.query.decode("ascii").split("&")
            kept = [pair for pair in given if pair and unquote_plus(pair.partition("=")[0]) != name]
            pairs = [*kept, f"{quote(name)}={quote(self._key, safe='')}"]
            url = url.copy_with(query="&".join(pairs).encode())
        else:
            fields = [pair for pair in fields if pair[0].lower() != place.header]
            fields.append((place.header, _value(self._key.plain, place).encode()))
        return type(request)(request.method, url, headers=fields, stream=request.stream, extensions=request.extensions)


def carried_by(request: Any) -> Carried | None:
    """The key that goes with this request, if it is one of `KeyAuth`."""
    found = request.extensions.get(EXTENSION)
    return found if isinstance(found, Carried) else None


def _value(key: str, place: Place) -> str:
    if place == BASIC:
        return "Basic " + base64.b64encode(f"{key}:".encode()).decode()
    return f"{place.shown.partition(': ')[2]} {key}" if place.scheme else key


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
