"""Wrong schedulers, each of which the contract suite or the tests of the grid find out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from tests.mutants.registered import Mutant, Mutants

from media_watch_tasks.abc import Job
from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.schedulers import IntervalScheduler, running
from media_watch_tasks.testing.clock import FakeClock

CONTRACT = "tests/contracts/test_interval_scheduler.py::TestIntervalScheduler::"
GRID = "tests/unit/test_interval_scheduler_grid.py::"

MUTANTS = Mutants()
killed_by = MUTANTS.killed_by


@killed_by(CONTRACT + "test_runs_never_overlap")
def begins_a_run_beside_one_that_runs(patch: pytest.MonkeyPatch) -> None:
    right = running.run_job

    def run_job(job: Job, cancel: CancelToken, *, every: timedelta) -> None:
        threading.Thread(target=right, args=(job, cancel), kwargs={"every": every}, daemon=True).start()

    patch.setattr("media_watch_tasks.schedulers.interval.run_job", run_job)


@killed_by(CONTRACT + "test_a_job_that_raises_is_logged_and_runs_again")
def says_nothing_of_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(logging.getLogger("media_watch_tasks.schedulers.running"), "error", lambda *_, **__: None)


@killed_by(CONTRACT + "test_a_job_that_raises_is_logged_and_runs_again")
def logs_secrets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("media_watch_tasks.schedulers.running.redact", lambda text: text)


@killed_by(CONTRACT + "test_stop_cancels_the_token_and_waits_for_the_job")
def does_not_wait_for_the_job(patch: pytest.MonkeyPatch) -> None:
    def stop(self: IntervalScheduler, *, timeout: timedelta | None = None) -> bool:
        self._cancel.cancel()
        return True

    patch.setattr(IntervalScheduler, "stop", stop)


@killed_by(CONTRACT + "test_stop_gives_up_waiting_after_its_timeout")
def claims_to_have_ended(patch: pytest.MonkeyPatch) -> None:
    right = IntervalScheduler.stop

    def stop(self: IntervalScheduler, *, timeout: timedelta | None = None) -> bool:
        right(self, timeout=timeout)
        return True

    patch.setattr(IntervalScheduler, "stop", stop)


@killed_by(CONTRACT + "test_nothing_runs_after_stop")
def goes_on_after_stop(patch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def follow(self: IntervalScheduler, job: Job, cancel: CancelToken) -> None:
        threading.Thread(target=lambda: [ended.wait(0.005) or job(cancel) for _ in range(40)], daemon=True).start()

    patch.setattr(IntervalScheduler, "_follow_the_grid", follow)


@killed_by(CONTRACT + "test_it_runs_one_job_only")
def runs_a_second_job(patch: pytest.MonkeyPatch) -> None:
    right = IntervalScheduler.start

    def start(self: IntervalScheduler, job: Job) -> None:
        if self._thread is None:
            right(self, job)

    patch.setattr(IntervalScheduler, "start", start)


@killed_by(
    GRID + "test_missed_runs_are_skipped_and_told",
    GRID + "test_the_runs_keep_to_the_grid",
)
def counts_the_interval_from_the_end_of_a_run(patch: pytest.MonkeyPatch) -> None:
    def follow(self: IntervalScheduler, job: Job, cancel: CancelToken) -> None:
        while not cancel.cancelled:
            running.run_job(job, cancel, every=self._every)
            self._wait_until(self._clock.monotonic_ns() + self._every_ns, cancel)

    patch.setattr(IntervalScheduler, "_follow_the_grid", follow)


@killed_by(GRID + "test_missed_runs_are_skipped_and_told")
def makes_up_for_missed_runs(patch: pytest.MonkeyPatch) -> None:
    def follow(self: IntervalScheduler, job: Job, cancel: CancelToken) -> None:
        due = self._clock.monotonic_ns()
        while self._wait_until(due, cancel):
            running.run_job(job, cancel, every=self._every)
            due += self._every_ns

    patch.setattr(IntervalScheduler, "_follow_the_grid", follow)


@killed_by(GRID + "test_a_wall_clock_that_jumps_changes_nothing")
def goes_by_the_wall_clock(patch: pytest.MonkeyPatch) -> None:
    # Wall time in the place of the monotonic one, for the scheduler alone: the test reads the clock it was given.
    right = IntervalScheduler._follow_the_grid

    class WallClock(FakeClock):
        def __init__(self, inner: FakeClock) -> None:
            super().__init__()
            self.inner = inner

        def monotonic_ns(self) -> int:
            return self.inner.now_ns()

        def wait(self, event: threading.Event, timeout: float) -> bool:
            return self.inner.wait(event, timeout)

    def follow(self: IntervalScheduler, job: Job, cancel: CancelToken) -> None:
        if isinstance(self._clock, FakeClock):
            self._clock = WallClock(self._clock)
        right(self, job, cancel)

    patch.setattr(IntervalScheduler, "_follow_the_grid", follow)


@MUTANTS.each()
def test_a_wrong_scheduler_is_found_out(
    assert_killed: Callable[[Mutant, str], None], mutant: Mutant, test: str
) -> None:
    assert_killed(mutant, test)
