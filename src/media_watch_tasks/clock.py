"""Time as the library sees it: injected everywhere, so that tests move it by hand.

Three clocks for three questions. Wall time dates things for people and for due times, and may jump. The monotonic
clock measures durations inside a process. The boot clock (CLOCK_BOOTTIME, it runs on during suspend) together with
the boot id judges leases between the processes of one machine: it never jumps, and after a reboot the id differs.
"""

from __future__ import annotations

import threading
import time
import uuid
from abc import ABC, abstractmethod
from datetime import UTC, datetime, timedelta

__all__ = ["NANOSECONDS", "Clock", "SystemClock", "from_ns", "to_ns"]

NANOSECONDS = 1_000_000_000
"""In a second."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_ns(value: datetime | timedelta) -> int:
    """Nanoseconds since 1970-01-01 UTC of an aware datetime, or the length of a timedelta in nanoseconds."""
    delta = value if isinstance(value, timedelta) else value - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * NANOSECONDS + delta.microseconds * 1_000


def from_ns(value: int) -> datetime:
    """The aware UTC datetime of nanoseconds since 1970-01-01, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=value // 1_000)


class Clock(ABC):
    """A source of time. All values are integers in nanoseconds; implementations are thread-safe."""

    @abstractmethod
    def now_ns(self) -> int:
        """Wall time: nanoseconds since 1970-01-01 UTC. It may jump both ways."""

    @abstractmethod
    def monotonic_ns(self) -> int:
        """A clock for durations inside this process: it never goes back."""

    @abstractmethod
    def boot_ns(self) -> int:
        """Nanoseconds since the machine started, suspend included; equal for all processes of the machine."""

    @abstractmethod
    def boot_id(self) -> str:
        """A name of this boot of this machine: leases taken under another boot id are over."""

    @abstractmethod
    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait until the event is set, at most `timeout` seconds; True if it is set."""

    def now(self) -> datetime:
        """Wall time as an aware UTC datetime."""
        return from_ns(self.now_ns())

    def sleep(self, seconds: float) -> None:
        """Block for this many seconds of this clock."""
        self.wait(threading.Event(), seconds)


class SystemClock(Clock):
    """The clocks of the operating system."""

    def __init__(self) -> None:
        self._boot_id = _read_boot_id()
        self._boot_clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

    def now_ns(self) -> int:
        """Wall time of the machine."""
        return time.time_ns()

    def monotonic_ns(self) -> int:
        """Monotonic time of the process."""
        return time.monotonic_ns()

    def boot_ns(self) -> int:
        """CLOCK_BOOTTIME where the platform has it, else CLOCK_MONOTONIC (which also starts at boot)."""
        return time.clock_gettime_ns(self._boot_clock)

    def boot_id(self) -> str:
        """Linux' random boot id; elsewhere a name derived from the time of boot, coarse to a minute."""
        return self._boot_id

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait on the event in real time."""
        return event.wait(timeout)


def _read_boot_id() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        started = (time.time_ns() - time.clock_gettime_ns(time.CLOCK_MONOTONIC)) // (60 * NANOSECONDS)
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{uuid.getnode()}/{started}"))
