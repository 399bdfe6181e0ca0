"""SchedulerContract: what every scheduler promises.

class TestMyScheduler(SchedulerContract):
    def make_scheduler(self):
        return MyScheduler(every=timedelta(milliseconds=1))
"""

# ruff: noqa: S101, D102, PLR2004 - a suite asserts, and a test's name states its fact

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import ClassVar

import pytest

from media_watch_tasks.abc.scheduler import Scheduler
from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import ConfigurationError

__all__ = ["SchedulerContract"]


class SchedulerContract:
    """The promises of `Scheduler`, one test each."""

    hang_guard: ClassVar[float] = 60.0
    """Seconds after which a test that waits for a run gives up."""

    def make_scheduler(self) -> Scheduler:
        """Override: a new scheduler whose runs follow one another within moments (short interval, or a fake clock)."""
        raise NotImplementedError("override `make_scheduler`")

    @pytest.fixture
    def scheduler(self) -> Iterator[Scheduler]:
        """The scheduler under test, stopped at the end."""
        scheduler = self.make_scheduler()
        yield scheduler
        assert scheduler.stop(timeout=timedelta(seconds=self.hang_guard))

    def _wait(self, event: threading.Event) -> None:
        assert event.wait(self.hang_guard), "the scheduler did not run the job"

    def test_the_job_runs_again_and_again_with_a_live_token(self, scheduler: Scheduler) -> None:
        tokens: list[bool] = []
        thrice = threading.Event()

        def job(cancel: CancelToken) -> None:
            tokens.append(cancel.cancelled)
            if len(tokens) == 3:
                thrice.set()

        scheduler.start(job)
        self._wait(thrice)
        scheduler.stop()
        assert tokens[:3] == [False, False, False]

    def test_start_returns_while_the_job_runs(self, scheduler: Scheduler) -> None:
        running, release = threading.Event(), threading.Event()

        def job(_cancel: CancelToken) -> None:
            running.set()
            release.wait(self.hang_guard)

        scheduler.start(job)
        self._wait(running)
        assert not release.is_set()
        release.set()

    def test_runs_never_overlap(self, scheduler: Scheduler) -> None:
        active, most, runs = 0, 0, 0
        lock, enough, pause = threading.Lock(), threading.Event(), threading.Event()

        def job(_cancel: CancelToken) -> None:
            nonlocal active, most, runs
            with lock:
                active += 1
                most = max(most, active)
            # Longer than the interval, so that the next run is due before this one ends.
            pause.wait(0.02)
            with lock:
                active -= 1
                runs += 1
                if runs == 5:
                    enough.set()

        scheduler.start(job)
        self._wait(enough)
        scheduler.stop()
        assert most == 1

    def test_a_job_that_raises_is_logged_and_runs_again(
        self, scheduler: Scheduler, caplog: pytest.LogCaptureFixture
    ) -> None:
        runs = 0
        again = threading.Event()

        def job(_cancel: CancelToken) -> None:
            nonlocal runs
            runs += 1
            if runs == 1:
                raise ValueError("the first run failed with token=hunter2")
            again.set()

        with caplog.at_level(logging.WARNING):
            scheduler.start(job)
            self._wait(again)
            scheduler.stop()
        assert "the first run failed" in caplog.text
        assert "hunter2" not in caplog.text, "a secret reached the log"

    def test_stop_cancels_the_token_and_waits_for_the_job(self, scheduler: Scheduler) -> None:
        running, tidying = threading.Event(), threading.Event()
        ended: list[CancelReason | None] = []

        def job(cancel: CancelToken) -> None:
            running.set()
            assert cancel.wait(self.hang_guard)
            # Whoever does not wait has returned by the time that this is over.
            tidying.wait(0.05)
            ended.append(cancel.reason)

        scheduler.start(job)
        self._wait(running)
        assert scheduler.stop() is True
        assert ended == [CancelReason.SHUTDOWN]

    def test_nothing_runs_after_stop(self, scheduler: Scheduler) -> None:
        runs = 0
        once = threading.Event()

        def job(_cancel: CancelToken) -> None:
            nonlocal runs
            runs += 1
            once.set()

        scheduler.start(job)
        self._wait(once)
        assert scheduler.stop() is True
        before = runs
        # Time for some intervals: a schedule that goes on would be seen.
        threading.Event().wait(0.05)
        assert runs == before

    def test_stop_gives_up_waiting_after_its_timeout(self, scheduler: Scheduler) -> None:
        running, release = threading.Event(), threading.Event()

        def job(_cancel: CancelToken) -> None:
            running.set()
            release.wait(self.hang_guard)

        scheduler.start(job)
        self._wait(running)
        try:
            assert scheduler.stop(timeout=timedelta(0)) is False
        finally:
            release.set()
        assert scheduler.stop(timeout=timedelta(seconds=self.hang_guard)) is True

    def test_it_runs_one_job_only(self, scheduler: Scheduler) -> None:
        scheduler.start(lambda cancel: cancel.wait(self.hang_guard))
        with pytest.raises(ConfigurationError):
            scheduler.start(lambda _cancel: None)

    def test_stop_may_be_called_again_and_before_start(self, scheduler: Scheduler) -> None:
        assert scheduler.stop() is True
        assert scheduler.stop(timeout=timedelta(0)) is True
