"""When the runs of an IntervalScheduler are due, told on a clock that the test moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.clock import NANOSECONDS
from media_watch_tasks.errors import ConfigurationError, OperationCancelled
from media_watch_tasks.schedulers import IntervalScheduler
from media_watch_tasks.testing.clock import FakeClock

HANG_GUARD = 30.0


class Draws:
    """Random numbers that the test chose."""

    def __init__(self, *numbers: float) -> None:
        self._numbers: Iterator[float] = iter(numbers)

    def random(self) -> float:
        return next(self._numbers, 0.0)


def _starts(
    scheduler: IntervalScheduler,
    clock: FakeClock,
    runs: int,
    during: Callable[[int, CancelToken], object] = lambda _run, _cancel: None,
) -> list[float]:
    """The seconds after the start at which the first runs began."""
    zero = clock.monotonic_ns()
    starts: list[float] = []
    done = threading.Event()

    def job(cancel: CancelToken) -> None:
        starts.append((clock.monotonic_ns() - zero) / NANOSECONDS)
        if len(starts) == runs:
            done.set()
            assert cancel.wait(HANG_GUARD)
            return
        during(len(starts), cancel)

    scheduler.start(job)
    assert done.wait(HANG_GUARD)
    assert scheduler.stop(timeout=timedelta(seconds=HANG_GUARD))
    return starts


def test_the_runs_keep_to_the_grid() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    assert _starts(scheduler, clock, 4, during=lambda _run, _cancel: clock.advance(7)) == [0, 60, 120, 180]


def test_the_first_run_can_wait_for_one_interval() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), immediately=False, clock=clock)
    assert _starts(scheduler, clock, 3) == [60, 120, 180]


def test_missed_runs_are_skipped_and_told(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    with caplog.at_level(logging.INFO):
        starts = _starts(scheduler, clock, 3, during=lambda run, _cancel: clock.advance(250 if run == 1 else 1))
    assert starts == [0, 300, 360]
    assert [record.__dict__["skipped"] for record in caplog.records] == [4]


def test_a_run_that_takes_exactly_one_interval_misses_nothing() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    assert _starts(scheduler, clock, 3, during=lambda _run, _cancel: clock.advance(60)) == [0, 60, 120]


def test_a_wall_clock_that_jumps_changes_nothing() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    starts = _starts(
        scheduler, clock, 4, during=lambda run, _cancel: clock.advance_wall(timedelta(days=400 if run % 2 else -900))
    )
    assert starts == [0, 60, 120, 180]


def test_jitter_delays_a_run_and_leaves_the_grid() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), jitter=0.5, clock=clock, random=Draws(0.0, 0.5, 0.9, 0.1))
    assert _starts(scheduler, clock, 4) == [0, 75, 147, 183]


def test_full_jitter_skips_nothing_that_was_not_missed() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), jitter=1.0, clock=clock, random=Draws(0.95, 0.0, 0.0))
    assert _starts(scheduler, clock, 3, during=lambda _run, _cancel: clock.advance(10)) == [57, 67, 120]


def test_an_interval_of_years_is_waited_for() -> None:
    clock = FakeClock()
    years = timedelta(days=365 * 400)
    scheduler = IntervalScheduler(timedelta(hours=2), clock=clock)
    assert _starts(scheduler, clock, 2) == [0, 7_200]
    far = IntervalScheduler(years, immediately=False)
    far.start(lambda _cancel: None)
    assert far.stop(timeout=timedelta(seconds=HANG_GUARD))


def test_stop_ends_a_wait_on_a_clock_that_stands_still() -> None:
    clock = FakeClock(waits_move_time=False)
    runs: list[int] = []
    scheduler = IntervalScheduler(timedelta(hours=1), immediately=False, clock=clock)
    scheduler.start(lambda _cancel: runs.append(1))
    assert scheduler.stop(timeout=timedelta(seconds=HANG_GUARD))
    assert runs == []


def test_it_can_be_started_again_after_a_stop() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    assert _starts(scheduler, clock, 2) == [0, 60]
    assert _starts(scheduler, clock, 2) == [0, 60]


def test_a_job_may_stop_its_schedule() -> None:
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=FakeClock())
    answers: list[bool] = []
    done = threading.Event()

    def job(cancel: CancelToken) -> None:
        answers.append(scheduler.stop())
        assert cancel.reason is CancelReason.SHUTDOWN
        done.set()

    scheduler.start(job)
    assert done.wait(HANG_GUARD)
    assert scheduler.stop(timeout=timedelta(seconds=HANG_GUARD))
    assert answers == [False]


def test_a_job_that_cancels_its_token_ends_itself_and_not_the_schedule(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)

    def during(_run: int, cancel: CancelToken) -> None:
        cancel.cancel(CancelReason.USER)
        cancel.raise_if_cancelled()

    with caplog.at_level(logging.INFO):
        assert _starts(scheduler, clock, 3, during=during) == [0, 60, 120]
    assert {record.levelname for record in caplog.records} == {"INFO"}


def test_a_failure_is_logged_with_where_it_was_and_without_secrets(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)

    def during(run: int, _cancel: CancelToken) -> None:
        if run == 1:
            raise ValueError("GET https://user:hunter2@host/path?signature=hunter2 failed")

    with caplog.at_level(logging.WARNING):
        assert _starts(scheduler, clock, 2, during=during) == [0, 60]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert record.__dict__["error_type"] == "ValueError"
    assert "https://host/path" in caplog.text
    assert "in during" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_ended_by_the_job_leaves_the_scheduler_usable() -> None:
    clock = FakeClock()
    scheduler = IntervalScheduler(timedelta(seconds=60), clock=clock)
    reached = threading.Event()

    def job(_cancel: CancelToken) -> None:
        reached.set()
        raise SystemExit

    scheduler.start(job)
    assert reached.wait(HANG_GUARD)
    assert scheduler.stop(timeout=timedelta(seconds=HANG_GUARD))
    assert _starts(scheduler, clock, 1) == [0]


def test_the_end_of_the_block_stops_it() -> None:
    reasons: list[CancelReason] = []
    running = threading.Event()

    def job(cancel: CancelToken) -> None:
        running.set()
        assert cancel.wait(HANG_GUARD)
        with pytest.raises(OperationCancelled) as caught:
            cancel.raise_if_cancelled()
        reasons.append(caught.value.reason)

    with IntervalScheduler(timedelta(seconds=60)) as scheduler:
        scheduler.start(job)
        assert running.wait(HANG_GUARD)
    assert reasons == [CancelReason.SHUTDOWN]


@pytest.mark.parametrize("every", [timedelta(0), timedelta(seconds=-1), 60])
def test_an_interval_that_makes_no_sense_is_refused(every: object) -> None:
    with pytest.raises(ConfigurationError, match="every"):
        IntervalScheduler(every)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("jitter", [-0.1, 1.1])
def test_a_jitter_out_of_range_is_refused(jitter: float) -> None:
    with pytest.raises(ConfigurationError, match="jitter"):
        IntervalScheduler(timedelta(seconds=1), jitter=jitter)
