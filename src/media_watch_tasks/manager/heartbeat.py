"""Keeps the leases of running work alive while it moves, and carries cancel and pause into it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from media_watch_tasks.cancellation import CancelReason
from media_watch_tasks.clock import to_ns
from media_watch_tasks.errors import MediaWatchError
from media_watch_tasks.manager.core import ManagerCore
from media_watch_tasks.manager.flight import Flight

__all__ = ["Heartbeat"]

_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.5


class Heartbeat:
    """A thread that beats twice a second while work is in the air."""

    def __init__(self, core: ManagerCore) -> None:
        self._core = core
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        options = core.options
        self._stall_ns = to_ns(options.stall_timeout)
        self._timeout_ns = None if options.attempt_timeout is None else to_ns(options.attempt_timeout)

    def start(self) -> None:
        """Begin to beat."""
        tick = min(_TICK_SECONDS, self._core.options.lease.total_seconds() / 6)
        self._thread = threading.Thread(target=self._run, args=(tick,), name="mwt-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def beat(self) -> None:
        """One beat: cut off what stalls, extend what moves, pass interrupts on."""
        flights = self._core.flights.all()
        if not flights:
            return
        now = self._core.clock.monotonic_ns()
        self._cut_off(flights, now)
        self._extend(flights, now)
        self._pass_interrupts()

    def _run(self, tick: float) -> None:
        while not self._stop.wait(tick):
            try:
                self.beat()
            except MediaWatchError:
                _log.warning("heartbeat failed, will try again", exc_info=True)

    def _cut_off(self, flights: Sequence[Flight], now: int) -> None:
        for flight in flights:
            stalled = now - flight.moved_ns > self._stall_ns
            too_long = self._timeout_ns is not None and now - flight.began_ns > self._timeout_ns
            if flight.has_begun and (stalled or too_long) and not flight.cancel.cancelled:
                _log.warning("upload cut off: no progress, or too long", extra={"task_id": flight.claim.task.id})
                flight.interrupt(CancelReason.STALL)

    def _extend(self, flights: Sequence[Flight], now: int) -> None:
        lease = self._core.lease_ns
        progress = {
            flight.claim.task.id: unsaved for flight in flights if (unsaved := flight.unsaved_progress()) is not None
        }
        # A cancelled flight is still extended: it has to stop, settle and release in peace. One that hangs is given up
        # by the coordinator after the grace period.
        due = [
            flight
            for flight in flights
            if now - flight.extended_ns >= lease // 3 or flight.claim.task.id in progress
        ]  # fmt: skip
        if not due:
            return
        try:
            extended = self._core.tasks.extend(
                [flight.claim.ref for flight in due], lease_ns=lease, progress=progress
            )  # fmt: skip
        except MediaWatchError:
            for flight in due:
                if now - flight.extended_ns > lease - lease // 6:
                    flight.interrupt(CancelReason.LEASE_LOST)
            raise
        for flight in due:
            if flight.claim.task.id in extended:
                flight.extended_ns = now
            elif self._core.flights.get(flight.claim.task.id) is flight:
                flight.interrupt(CancelReason.LEASE_LOST)

    def _pass_interrupts(self) -> None:
        for interrupt in self._core.tasks.interrupts(self._core.worker_id):
            flight = self._core.flights.get(interrupt.ref.task_id)
            if flight is not None and flight.claim.token == interrupt.ref.token:
                flight.interrupt(CancelReason.PAUSED if interrupt.paused else CancelReason.USER)
