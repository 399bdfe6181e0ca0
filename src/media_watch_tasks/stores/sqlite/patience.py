"""Waiting for another connection that is in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn, TypeVar

from media_watch_tasks.clock import NANOSECONDS, Clock
from media_watch_tasks.errors import StoreError
from media_watch_tasks.stores.sqlite.driver_errors import as_store_error, is_busy, shown_path

__all__ = ["Patience"]

_T = TypeVar("_T")
_SHORTEST_PAUSE = 0.000_2
_LONGEST_PAUSE = 0.002


class Patience:
    """Repeats what failed because a lock was held, after short random pauses, for a limited time.

    SQLite's own busy handler is not used: its pauses grow to 0.1 s, and it starves one process of several for seconds.
    """

    __slots__ = ("_clock", "_draw", "_limit_ns", "_path")

    def __init__(self, path: str, *, clock: Clock, draw: Callable[[], float], limit: float) -> None:
        """Wait at most `limit` seconds of the clock; `draw` gives random numbers from 0 to 1."""
        self._path = path
        self._clock = clock
        self._draw = draw
        self._limit_ns = round(limit * NANOSECONDS)

    def until_free(self, attempt: Callable[[], _T]) -> _T:
        """The result of the first attempt that meets no lock.

        Raises:
            StoreError: the lock stood for the whole time, or the database failed otherwise.
        """
        began = self._clock.monotonic_ns()
        while True:
            try:
                return attempt()
            except Exception as error:
                if not is_busy(error):
                    self.fail(error)
                waited = self._clock.monotonic_ns() - began
                if waited >= self._limit_ns:
                    raise StoreError(
                        f"the database {shown_path(self._path)} is locked by another program for "
                        f"{waited / NANOSECONDS:.0f} s: end the program that holds it, or try again later"
                    ) from error
            self._clock.sleep(_SHORTEST_PAUSE + (_LONGEST_PAUSE - _SHORTEST_PAUSE) * self._draw())

    def fail(self, error: Exception) -> NoReturn:
        """Raise the error, as a `StoreError` if the driver's code says what is wrong with the database."""
        translated = as_store_error(error, self._path)
        if translated is None:
            raise error
        raise translated from error
