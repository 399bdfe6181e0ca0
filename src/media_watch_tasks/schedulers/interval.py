"""IntervalScheduler: runs a job in this process, every so often."""

from __future__ import annotations

import logging
import random as random_module
import threading
from datetime import timedelta
from types import TracebackType
from typing import Protocol, Self

from media_watch_tasks.abc.scheduler import Job, Scheduler
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import NANOSECONDS, Clock, SystemClock, to_ns
from media_watch_tasks.errors import ConfigurationError
from media_watch_tasks.schedulers.running import run_job
from media_watch_tasks.schedulers.signals import SignalWatch

__all__ = ["IntervalScheduler", "RandomSource"]

_log = logging.getLogger(__name__)

# The longest wait at a stretch: what a platform's timer takes is not without end.
_LONGEST_WAIT_NS = 3_600 * NANOSECONDS


class RandomSource(Protocol):
    """Where jitter comes from: `random.Random`, or what a test puts in its place."""

    def random(self) -> float:
        """A number from 0.0 up to, but not including, 1.0."""


class IntervalScheduler(Scheduler):
    """Runs a job at the start and then every `every`, in one thread.

    The runs are due at start, start + every, start + 2 x every, … A run that takes longer makes those due meanwhile be
    skipped, and the next one keeps to the grid. The grid stands on the monotonic clock: a wall clock that jumps changes
    nothing. As a context manager it is stopped at the end of the block. Thread-safe.

        IntervalScheduler(timedelta(minutes=15)).run_until_signal(manager.run_once)

    Args:
        every: the interval.
        immediately: False: the first run comes only after one interval.
        jitter: each run comes late by up to this share of the interval, at random (0.0 to 1.0), so that many machines
            started together do not ask the same server at once.
        clock: time.
        random: the source of the jitter.

    Raises:
        ConfigurationError: an interval that is not positive, or a jitter out of range.
    """

    def __init__(
        self,
        every: timedelta,
        *,
        immediately: bool = True,
        jitter: float = 0.0,
        clock: Clock | None = None,
        random: RandomSource | None = None,
    ) -> None:
        if not isinstance(every, timedelta) or every <= timedelta(0):
            raise ConfigurationError(f"every must be a timedelta above zero, not {every!r}")
        if not 0 <= jitter <= 1:
            raise ConfigurationError(f"jitter must be between 0 and 1, not {jitter!r}")
        self._every = every
        self._every_ns = to_ns(every)
        self._immediately = immediately
        self._jitter = jitter
        self._clock = clock or SystemClock()
        self._random = random or random_module.Random()  # noqa: S311 - spreads load, guards no secret
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancel = CancelToken()

    def start(self, job: Job) -> None:
        """Begin to run the job in a thread of its own, and return.

        The thread does not keep the program alive: call `stop()` before its end, so that a run in progress ends in
        order.

        Raises:
            ConfigurationError: a job runs already, or one that `stop` gave up waiting for has not ended yet.
        """
        self._begin(job)

    def stop(self, *, timeout: timedelta | None = None) -> bool:
        """Cancel the job's token and wait for a running job; True if it has ended within `timeout` of real time.

        A job may call it: it returns False, as the job itself has not ended, and no other run follows.
        """
        with self._lock:
            thread, cancel = self._thread, self._cancel
        cancel.cancel(CancelReason.SHUTDOWN)
        if thread is None:
            return True
        if thread is threading.current_thread():
            return False
        thread.join(None if timeout is None else max(0.0, timeout.total_seconds()))
        return not thread.is_alive()

    def run_until_signal(self, job: Job) -> int | None:
        """Run the job until SIGINT or SIGTERM; returns the number of the signal, None if `stop()` ended it.

        Call it in the main thread. The first signal cancels the job's token and waits until a running job has ended; by
        then the handlers that stood before are back, so a second signal takes effect at once. The job runs in a thread
        of its own, because a signal interrupts the main thread anywhere, also while it holds a lock.

        Raises:
            ConfigurationError: not called in the main thread, or the scheduler runs already.
        """
        with SignalWatch() as watch:
            thread, cancel = self._begin(job)
            cancel.on_cancel(lambda _reason: watch.wake())
            number = watch.wait()
            cancel.cancel(CancelReason.SHUTDOWN)
        thread.join()
        return number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _begin(self, job: Job) -> tuple[threading.Thread, CancelToken]:
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise ConfigurationError("this scheduler runs a job already: stop() it first, until it says True")
            cancel = CancelToken()
            thread = threading.Thread(target=self._run, args=(job, cancel), name="media-watch-scheduler", daemon=True)
            thread.start()
            self._thread, self._cancel = thread, cancel
            return thread, cancel

    def _run(self, job: Job, cancel: CancelToken) -> None:
        try:
            self._follow_the_grid(job, cancel)
        finally:
            # Also where a job ended its thread by SystemExit: whoever waits for this schedule hears of it.
            cancel.cancel(CancelReason.SHUTDOWN)

    def _follow_the_grid(self, job: Job, cancel: CancelToken) -> None:
        start_ns = self._clock.monotonic_ns()
        spread_ns = int(self._jitter * self._every_ns)
        turn = 0 if self._immediately else 1
        while True:
            late_ns = int(spread_ns * self._random.random()) if spread_ns else 0
            if not self._wait_until(start_ns + turn * self._every_ns + late_ns, cancel):
                return
            run_job(job, cancel, every=self._every)
            if cancel.cancelled:
                return
            # The next point of the grid whose latest moment is not over: those before it were missed, and are skipped.
            passed_ns = self._clock.monotonic_ns() - start_ns - spread_ns
            following = max(turn + 1, -(-passed_ns // self._every_ns))
            if following > turn + 1:
                skipped = following - turn - 1
                _log.info("a run took longer than the interval, runs were skipped", extra={"skipped": skipped})
            turn = following

    def _wait_until(self, due_ns: int, cancel: CancelToken) -> bool:
        while not cancel.cancelled:
            left_ns = due_ns - self._clock.monotonic_ns()
            if left_ns <= 0:
                return True
            self._clock.wait(cancel.event, min(left_ns, _LONGEST_WAIT_NS) / NANOSECONDS)
        return False
