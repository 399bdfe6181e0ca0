"""A clock that stands still until a test moves it."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta

from media_watch_tasks.clock import NANOSECONDS, Clock, from_ns, to_ns

__all__ = ["FakeClock"]

_START = datetime(2026, 1, 1, 12, tzinfo=UTC)
_POLL_SECONDS = 0.001
"""How often a wait that another thread has to end looks at the clock, in real time."""


class FakeClock(Clock):
    """A clock moved by hand. Wall, monotonic and boot time move together or one by one. Thread-safe.

    By default `wait` and `sleep` return at once and move all three clocks on by the time that was to pass: code that
    polls runs through hours in no time. With `waits_move_time=False` a wait blocks until its event is set or another
    thread has moved the monotonic clock past its end: for tests in which one thread waits while another acts.
    """

    def __init__(self, start: datetime = _START, *, waits_move_time: bool = True) -> None:
        self._lock = threading.Lock()
        self._wall = to_ns(start)
        self._monotonic = 1_000 * NANOSECONDS
        self._boot = 5_000 * NANOSECONDS
        self._boot_id = str(uuid.UUID(int=1))
        self._waits_move_time = waits_move_time

    def now_ns(self) -> int:
        """Wall time."""
        return self._wall

    def monotonic_ns(self) -> int:
        """Monotonic time."""
        return self._monotonic

    def boot_ns(self) -> int:
        """Time since the pretended boot."""
        return self._boot

    def boot_id(self) -> str:
        """The name of the pretended boot."""
        return self._boot_id

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """See the class: time passes virtually, or another thread has to move it."""
        if event.is_set():
            return True
        length = max(0, round(timeout * NANOSECONDS))
        if self._waits_move_time:
            self.advance(timedelta(microseconds=-(-length // 1_000)))
            return event.is_set()
        end = self._monotonic + length
        while self._monotonic < end and not event.is_set():
            event.wait(_POLL_SECONDS)
        return event.is_set()

    def advance(self, time: timedelta | float) -> None:
        """Move all three clocks on, by a timedelta or seconds."""
        step = _step(time)
        if step < 0:
            raise ValueError(
                f"monotonic and boot time never go back: {time!r} is negative; see advance_wall and set_wall"
            )
        with self._lock:
            self._wall += step
            self._monotonic += step
            self._boot += step

    def advance_wall(self, time: timedelta | float) -> None:
        """Let the wall clock alone jump; a negative time sets it back."""
        with self._lock:
            self._wall += _step(time)

    def set_wall(self, moment: datetime | int) -> None:
        """Set the wall clock alone, to an aware datetime or nanoseconds since 1970-01-01 UTC."""
        with self._lock:
            self._wall = moment if isinstance(moment, int) else to_ns(moment)

    def advance_monotonic(self, time: timedelta | float) -> None:
        """Move the monotonic clock alone."""
        with self._lock:
            self._monotonic += _step(time)

    def advance_boot(self, time: timedelta | float) -> None:
        """Move the boot clock alone: the machine was suspended, as the other clocks see it."""
        with self._lock:
            self._boot += _step(time)

    def reboot(self) -> None:
        """Another boot id, and a boot clock that starts again."""
        with self._lock:
            self._boot_id = str(uuid.UUID(int=uuid.UUID(self._boot_id).int + 1))
            self._boot = NANOSECONDS

    def __repr__(self) -> str:
        return f"<FakeClock {from_ns(self._wall).isoformat()} boot {self._boot / NANOSECONDS:g} s>"


def _step(time: timedelta | float) -> int:
    return to_ns(time) if isinstance(time, timedelta) else round(time * NANOSECONDS)
