"""Work in the air: what the coordinator, the worker thread and the heartbeat know of one running task."""

from __future__ import annotations

import threading

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import Clock
from media_watch_tasks.manager.pace import Pace
from media_watch_tasks.model.tasks import Claim
from media_watch_tasks.model.uploads import Stage, UploadProgress

__all__ = ["Flight", "Flights"]

_PERSIST_STEP = 0.05
_EVENT_STEP = 0.01
_EVENT_INTERVAL_NS = 500_000_000


class Flight:
    """One claim under work. The worker thread writes progress, the heartbeat reads it and may cancel."""

    def __init__(self, claim: Claim, *, cancel: CancelToken, clock: Clock) -> None:
        self.claim = claim
        self.cancel = cancel
        self._clock = clock
        now = clock.monotonic_ns()
        self.has_begun = False
        """A worker thread has turned to it."""
        self.began_ns = now
        self.moved_ns = now
        """Monotonic time of the last sign of progress."""
        self.extended_ns = now
        """Monotonic time of the last successful extension of the lease (the claim is the first)."""
        self.cancelled_ns: int | None = None
        self.bytes_read = 0
        self.bytes_sent = 0
        """As far as the uploader has told."""
        self._at: tuple[Stage, int, int | None] | None = None
        self._rate: float | None = None
        self._pace: Pace | None = None
        self._persisted = 0.0
        self._told = 0.0
        self._told_ns = 0

    def begin(self) -> None:
        """A worker thread turns to it; until then it waited for one."""
        self.has_begun = True
        self.began_ns = self.moved_ns = self._clock.monotonic_ns()

    def interrupt(self, reason: CancelReason) -> None:
        """Ask the work to stop; the first reason counts."""
        if self.cancelled_ns is None:
            self.cancelled_ns = self._clock.monotonic_ns()
        self.cancel.cancel(reason)

    def on_read(self, count: int) -> None:
        """Bytes came from the source."""
        self.cancel.raise_if_cancelled()
        self.bytes_read += count
        self.moved_ns = self._clock.monotonic_ns()

    def touch(self) -> None:
        """A sign of life that is no byte."""
        self.moved_ns = self._clock.monotonic_ns()

    @property
    def progress(self) -> UploadProgress | None:
        """How far it is; None before the upload has said so."""
        at = self._at
        return None if at is None else UploadProgress(*at, rate=self._rate)

    def on_progress(self, stage: Stage, done: int, total: int | None) -> bool:
        """The upload moved on; True if listeners are to be told (each 1 %, and each half second in which it moved)."""
        # Called for every read of a file: a value is made of it only for those who ask.
        self.cancel.raise_if_cancelled()
        now = self._clock.monotonic_ns()
        before, at = self._at, (stage, done, total)
        if self._pace is None:
            self._pace = Pace()
        self._rate = self._pace.rate(stage, done, now)
        if stage is Stage.TRANSFER and done > self.bytes_sent:
            self.bytes_sent = done
        if at == before:
            return False
        self._at = at
        self.moved_ns = now
        fraction = _fraction(done, total)
        due = now - self._told_ns >= _EVENT_INTERVAL_NS or fraction - self._told >= _EVENT_STEP
        if due or before is None or stage is not before[0]:
            self._told, self._told_ns = fraction, now
            return True
        return False

    def unsaved_progress(self) -> UploadProgress | None:
        """Progress to be kept in the database: each 5 % at the most."""
        progress = self.progress
        if progress is None or progress.fraction is None:
            return None
        if abs(progress.fraction - self._persisted) < _PERSIST_STEP:
            return None
        self._persisted = progress.fraction
        return progress


def _fraction(done: int, total: int | None) -> float:
    if not total:
        return 0.0 if total is None else 1.0
    return min(done / total, 1.0)


class Flights:
    """The flights of a process, by task id. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flights: dict[int, Flight] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def add(self, flight: Flight) -> None:
        """Work begins."""
        with self._lock:
            self._flights[flight.claim.task.id] = flight

    def remove(self, flight: Flight) -> None:
        """Work has ended and is settled, or given up."""
        with self._lock:
            if self._flights.get(flight.claim.task.id) is flight:
                del self._flights[flight.claim.task.id]

    def all(self) -> list[Flight]:
        """A snapshot."""
        with self._lock:
            return list(self._flights.values())

    def get(self, task_id: int) -> Flight | None:
        """The flight of a task, None if this process does not work on it."""
        with self._lock:
            return self._flights.get(task_id)
