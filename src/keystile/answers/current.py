"""What the app sees of the request that it handles: who is calling, and what it may say of its answer."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..model import Admitted, Principal, Usage

if TYPE_CHECKING:
    from ..gate import Gate
    from .pages import Page, PageParams
    from .shape import Shape

T = TypeVar("T")


class Current(NamedTuple):
    """The request that is being handled.

    Attributes:
        admitted: the gate's verdict on it.
        shape: how its answer is shaped, or None where that gets nothing but headers. For doors.
    """

    admitted: Admitted
    shape: Shape | None = None

    @property
    def principal(self) -> Principal | None:
        """The caller, or None on a public path."""
        return self.admitted.principal

    @property
    def caller(self) -> Principal:
        """Who is calling, for paths that need a key: never None, as `principal` is on public paths.

        Raises:
            LookupError: nobody is known to call: the path is public, or the request a CORS preflight that passed.
        """
        principal = self.admitted.principal
        if principal is None:
            raise LookupError("nobody is known to call here, because no key was asked for: look at `principal`")
        return principal

    @property
    def request_id(self) -> str:
        """The value of ``X-Request-ID`` in the answer."""
        return self.admitted.request_id

    @property
    def usages(self) -> tuple[Usage, ...]:
        """Where the caller stands in each window that holds here, this request counted."""
        return self.admitted.usages

    def add_meta(self, **fields: Any) -> None:
        """Add members to the ``meta`` of this answer's envelope. Where there is no envelope this does nothing.

        Args:
            fields: JSON values by name.

        Raises:
            ValueError: a name is one of the gate's own, or a number is not finite.
            TypeError: a value is not JSON.
            RuntimeError: the answer has begun.
        """
        if self.shape is not None:
            self.shape.add_meta(fields)

    def page_params(self, *, default: int | None = None, maximum: int | None = None) -> PageParams:
        """How many items the client wants, and after which: from the query of this request.

        Args:
            default: items in a page when the client names no limit; without it, the page style's.
            maximum: items in a page at most; without it, the page style's.

        Raises:
            InvalidRequest: the limit or the cursor cannot be used. The door answers 400, naming the parameter.
            LookupError: the answers of this path have no envelope.
            ConfigurationError: there is a cursor, and nothing to verify it with.
        """
        return self._enveloped().page_params(default, maximum)

    def paginate(self, page: Page[T]) -> list[T]:
        """Have the envelope of this answer say where the page ends, and its ``Link`` lead to the next.

        Args:
            page: what the answer lists.

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
        LookupError: no gate let the running code's request through.
    """
    try:
        return _current.get()
    except LookupError:
        raise LookupError("no request of a keystile gate is being handled here") from None


def enter(handled: Current) -> Token[Current]:
    """Make it the current one, until `leave`. For doors."""
    return _current.set(handled)


leave = _current.reset


def shaper(gate: Gate) -> Callable[[Admitted], Shape | None] | None:
    """What makes the shape of an answer, where its path asks for one; None if no path of this gate does."""
    if not gate.shapes:  # not for every gate: pages need a good part of the standard library
        return None
    from .shape import Pages, Shape

    policy = gate.policy
    pages = Pages(policy.page_style, gate.cursor_secrets, policy.public_url, gate.mask)
    return partial(_shaped, partial(Shape, pages))


def _shaped(make: Callable[[Admitted], Shape], admitted: Admitted) -> Shape | None:
    demand = admitted.demand
    return make(admitted) if demand.envelope or demand.json else None
