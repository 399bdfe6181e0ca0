"""WriteRamp: no faster than Firestore can spread a new collection over its servers."""

from __future__ import annotations

import threading
from datetime import timedelta

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError

__all__ = ["WriteRamp"]

_LONGEST_GAP_NS = 10 * NANOSECONDS
_SMALLEST_LEVEL = -6


class WriteRamp:
    """500 writes a second at first, and half as many more every 5 minutes of writing (Firestore's "500/50/5" rule).

    One may be shared by several uploaders and syncs that write to one database: the rate is then theirs together.
    Time in which nothing is written does not count, and each answer that asks for less sends the rate back by a step.

    Args:
        first: writes a second at the start.
        growth: the factor of a step.
        every: the length of a step.
        clock: measures and spends the waits.

    Raises:
        ConfigurationError: a value makes no sense.
    """

    def __init__(
        self,
        *,
        first: float = 500,
        growth: float = 1.5,
        every: timedelta = timedelta(minutes=5),
        clock: Clock | None = None,
    ) -> None:
        if first <= 0 or growth < 1 or every <= timedelta(0):
            raise ConfigurationError(
                f"a ramp begins above 0 writes a second, grows by a factor from 1 on, in steps longer than 0: not "
                f"{first}, {growth}, {every}"
            )
        self._first, self._growth, self._every_ns = first, growth, to_ns(every)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._active_ns = 0
        self._last_ns: int | None = None
        self._free_ns = 0

    @property
    def rate(self) -> float:
        """Writes a second that are allowed now."""
        level = max(self._active_ns // self._every_ns, _SMALLEST_LEVEL)
        return float(self._first * self._growth**level)

    def acquire(self, writes: int, *, cancel: CancelToken | None = None) -> None:
        """Wait until so many writes may be sent. Raises `OperationCancelled` where the token is cancelled meanwhile."""
        with self._lock:
            now = self._clock.monotonic_ns()
            if self._last_ns is not None:
                self._active_ns += min(now - self._last_ns, _LONGEST_GAP_NS)
            self._last_ns = now
            starts = max(now, self._free_ns)
            self._free_ns = starts + round(writes / self.rate * NANOSECONDS)
        if starts > now:
            self._clock.wait((cancel or CancelToken()).event, (starts - now) / NANOSECONDS)
        if cancel is not None:
            cancel.raise_if_cancelled()

    def step_back(self) -> None:
        """The database asked for less: the rate of a step earlier, and growth from there on."""
        with self._lock:
            self._active_ns = max(self._active_ns - self._every_ns, _SMALLEST_LEVEL * self._every_ns)
