"""What the app sees of the request that it handles: who is calling, and what the app may add to its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..model import Admitted, Principal, Usage
from .charging import Charged, check_charge

if TYPE_CHECKING:
    from ..events import Events
    from ..gate import Gate
    from .pages import Page, PageParams
    from .shape import Shape

T = TypeVar("T")


class Current(NamedTuple):
    """The request that is being handled.

    Attributes:
        admitted: the gate's decision on it.
        shape: how its answer is shaped, or None if the answer gets only headers. For doors.
        charged: what the app used of named units; None if no rule reserves any here. For doors.
        gate: who decided. For integrations.
    """

    admitted: Admitted
    shape: Shape | None = None
    charged: Charged | None = None
    gate: Gate | None = None

    @property
    def principal(self) -> Principal | None:
        """The caller, or None on a public path, or in dry run of the gate for who has no key that is good and alive."""
        return self.admitted.principal

    @property
    def caller(self) -> Principal:
        """Who is calling, for paths that need a key. Never None; `principal` is None on public paths.

        Raises:
            LookupError: the caller is unknown: the path is public, the request is a CORS preflight that passed, or the
                gate is in dry run.
        """
        principal = self.admitted.principal
        if principal is None:
            public = self.admitted.demand.public
            why = "no key was asked for" if public else "the gate is in dry run and no good key came"
            raise LookupError(f"the caller is unknown here, because {why}: use `principal`")
        return principal

    @property
    def request_id(self) -> str:
        """The value of ``X-Request-ID`` in the answer."""
        return self.admitted.request_id

    @property
    def usages(self) -> tuple[Usage, ...]:
        """Where the caller stands in each window that holds here, with this request counted."""
        return self.admitted.usages

    def add_meta(self, **fields: Any) -> None:
        """Add members to the ``meta`` of this answer's envelope. Without an envelope this does nothing.

        Args:
            fields: JSON values by name.

        Raises:
            ValueError: a name is one that the gate sets itself, or a number is not finite.
            TypeError: a value is not JSON.
            RuntimeError: the answer has begun.
        """
        if self.shape is not None:
            self.shape.add_meta(fields)

    def charge(self, **used: int) -> None:
        """Say how many units this request used: ``current().charge(tokens=1234)``.

        It only adds to a number, so call it as often as you like, from any thread or task, until the answer has ended;
        in a background task of the framework too. Then the difference to what was reserved is given back or counted.
        A unit that is never charged costs what was reserved of it; charge 0 if nothing was used.

        Args:
            used: numbers from 0, by unit. Each unit must be in a `reserve` that holds for this request.

        Raises:
            LookupError: no rule of this request reserves such a unit.
            TypeError, ValueError: a number is not whole, or out of range.
        """
        if self.charged is None:
            return check_charge(used, ())
        return self.charged.add(used)

    def page_params(self, *, default: int | None = None, maximum: int | None = None) -> PageParams:
        """How many items the client wants, and after which one: from the query of this request.

        Args:
            default: items in a page when the client names no limit; if None, the page style's.
            maximum: most items in a page; if None, the page style's.

        Raises:
            InvalidRequest: the limit or the cursor cannot be used. The door answers 400, naming the parameter.
            LookupError: the answers of this path have no envelope.
            ConfigurationError: there is a cursor, and no usable secret to verify it with; or `default` or `maximum` is
                below 1.
        """
        return self._enveloped().page_params(default, maximum)

    def paginate(self, page: Page[T]) -> list[T]:
        """Put into this answer's envelope where the page ends, and into its ``Link`` header the next page.

        Args:
            page: the page that the answer lists.

        Returns:
            The page's items, for the handler to return.

        Raises:
            LookupError: the answers of this path have no envelope.
            RuntimeError: the answer has begun.
        """
        return self._enveloped().paginate(page)

    def _enveloped(self) -> Shape:
        if self.shape is None:
            raise LookupError("the answers of this path have no envelope: use keystile.pagination by itself")
        return self.shape


_current: ContextVar[Current] = ContextVar("keystile_current")


def current() -> Current:
    """The request that is being handled: its `caller` and `request_id`. For sync and async handlers.

    Raises:
        LookupError: the running code handles no request that a gate let through.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no request of a keystile gate is being handled here") from None


# For doors: make this the current request, until `leave` is given what `enter` gave. Without frames of our own.
enter, leave = _current.set, _current.reset


def charger(gate: Gate) -> Callable[[Admitted], Charged | None] | None:
    """A function that makes the place for a request's charges if its path reserves units; None if no path of this gate
    does."""
    return partial(_charged, gate.events) if gate.charges else None


def _charged(events: Events, admitted: Admitted) -> Charged | None:
    return Charged(admitted, events) if admitted.demand.reserve else None


def shaper(gate: Gate) -> Callable[[Admitted], Shape | None] | None:
    """A function that makes the shape of an answer if its path asks for one; None if no path of this gate does."""
    if not gate.shapes:  # imported only where needed: pages load a good part of the standard library
        return None
    from .shape import Pages, Shape

    policy = gate.policy
    pages = Pages(policy.page_style, gate.cursor_secrets, policy.public_url, gate.mask)
    return partial(_shaped, partial(Shape, pages))


def _shaped(make: Callable[[Admitted], Shape], admitted: Admitted) -> Shape | None:
    demand = admitted.demand
    return make(admitted) if demand.envelope or demand.json else None
