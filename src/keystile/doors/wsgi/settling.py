"""How the WSGI door learns that the app's output has ended, where units are reserved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from .protocol import close


def settled(iterable: Iterable[bytes], settle: Callable[[], None]) -> Iterable[bytes]:
    """The same octets. `settle` is called when the server closes them, which it does however they end (PEP 3333)."""
    return _SettledList(iterable, settle) if isinstance(iterable, (list, tuple)) else _Settled(iterable, settle)


class _Settled:
    def __init__(self, iterable: Iterable[bytes], settle: Callable[[], None]) -> None:
        self._iterable, self._settle = iterable, settle

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._iterable)

    def close(self) -> None:
        """See PEP 3333."""
        try:
            close(self._iterable)
        finally:
            self._settle()


class _SettledList(_Settled):
    """With a length, which servers read: one chunk gets a Content-Length."""

    _iterable: Sequence[bytes]

    def __len__(self) -> int:
        return len(self._iterable)
