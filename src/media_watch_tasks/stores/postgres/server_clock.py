"""The one place that says what time it is for the PostgreSQL stores: the server's clock decides.

The clocks of several machines differ. So a lease, a due time, a pause are all measured by the clock of the database
server. It is asked once in a while; in between the boot clock of this machine, which never jumps, carries the answer
on. An answer is taken as if it had been given when it arrived: what a machine believes lags behind the server by the
time of half a round trip, and is never ahead. A worker that lags takes nothing back too early.
"""

from __future__ import annotations

import threading

from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock
from media_watch_tasks.stores.postgres.database import Database

__all__ = ["ServerClock"]

_NOW = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_ASK_EVERY_NS = 20 * NANOSECONDS
"""Quartz drifts by less than 0.2 ms in this time."""


class ServerClock(Clock):
    """Wall time and leases by the clock of the database server; durations and pauses by this machine's. Thread-safe."""

    def __init__(self, database: Database, *, local: Clock | None = None, ask_every_ns: int = _ASK_EVERY_NS) -> None:
        """`local`: the clocks of this machine. Raises `StoreError` where the server cannot be asked."""
        self._database = database
        self._local = local or SystemClock()
        self._ask_every_ns = ask_every_ns
        self._lock = threading.Lock()
        self._answer = self._ask()

    def now_ns(self) -> int:
        """The server's wall time."""
        asked_ns, ahead_ns = self._answer
        boot_ns = self._local.boot_ns()
        if boot_ns - asked_ns >= self._ask_every_ns and self._lock.acquire(blocking=False):
            try:
                self._answer = self._ask()
                ahead_ns = self._answer[1]
            finally:
                self._lock.release()
        return boot_ns + ahead_ns

    def monotonic_ns(self) -> int:
        """Monotonic time of this process."""
        return self._local.monotonic_ns()

    def boot_ns(self) -> int:
        """The server's wall time: what leases are measured by."""
        return self.now_ns()

    def boot_id(self) -> str:
        """One name for all: a lease outlives the restart of any machine."""
        return "server"

    def wait(self, event: threading.Event, timeout: float) -> bool:
        """Wait in the time of this machine."""
        return self._local.wait(event, timeout)

    def _ask(self) -> tuple[int, int]:
        """(when the answer came by the local boot clock, how far the server is ahead of that)."""
        microseconds = self._database.execute(_NOW)[0][0]
        answered_ns = self._local.boot_ns()
        return answered_ns, microseconds * 1_000 - answered_ns
