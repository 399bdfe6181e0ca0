"""Runs end as they should: together with a scan, for ever, on shutdown, when an upload hangs or the database fails."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelReason, CancelToken
from media_watch_tasks.errors import ConfigurationError, OperationCancelled, StoreError
from media_watch_tasks.model.events import TaskBegun, TaskProgress, TaskSucceeded
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.model.uploads import UploadReceipt
from media_watch_tasks.testing.clock import FakeClock

HANG_GUARD = 60.0
"""Seconds after which a test that waits for a thread gives up."""


def _queued(rig: Any, *names: str, **options: Any) -> Any:
    manager = rig.watching(**options)
    for name in names:
        rig.tree.put(name)
    manager.scan_and_enqueue_new()
    rig.settle()
    return manager


def _until_cancelled(_media: Any, context: Any) -> UploadReceipt:
    assert context.cancel.wait(HANG_GUARD), "nobody cancelled the upload"
    context.progress(1)
    raise AssertionError("progress() goes on after a cancellation")


def test_run_once_uploads_while_it_scans(rig: Any) -> None:
    manager = rig.watching(settle_for=timedelta(0))
    rig.tree.put("a/1.mp4")
    rig.tree.put("b/2.mp4")
    uploading = threading.Event()
    children = rig.tree.children

    def waits_for_the_first_upload(directory: bytes) -> Any:
        if directory == b"b":
            assert uploading.wait(HANG_GUARD), "no upload began before the scan had ended"
        return children(directory)

    def first(_media: Any, _context: Any) -> None:
        uploading.set()

    rig.tree.children = waits_for_the_first_upload
    rig.destination.script = [first]
    report = manager.run_once()
    assert (report.scan.enqueued, report.process.succeeded, report.process.stopped_by) == (2, 2, "empty")


def test_run_once_without_a_baseline_is_refused(rig: Any) -> None:
    with pytest.raises(ConfigurationError, match="baseline"):
        rig.manager().run_once()


def test_run_forever_scans_on_time_and_delivers_until_it_is_cancelled(rig: Any) -> None:
    manager = rig.watching(settle_for=timedelta(0))
    cancel = CancelToken()

    def another_file(_event: Any) -> None:
        delivered = len(rig.heard(TaskSucceeded))
        if delivered < 3:
            rig.tree.put(f"{delivered}.mp4")
        else:
            cancel.cancel()

    rig.tree.put("first.mp4")
    manager.subscribe(lambda event: another_file(event) if isinstance(event, TaskSucceeded) else None)
    guard = threading.Timer(HANG_GUARD, cancel.cancel)
    guard.start()
    report = manager.run_forever(scan_every=timedelta(seconds=60), cancel=cancel)
    guard.cancel()
    assert report.succeeded >= 3
    assert report.scans >= 3
    assert manager.counts()[TaskState.UPLOADING] == 0


def test_second_run_beside_a_running_one_returns_at_once(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")
    inner: list[Any] = []
    rig.destination.script = [lambda _media, _context: inner.append(manager.process())]
    assert manager.process().succeeded == 1
    assert [report.stopped_by for report in inner] == ["another run is processing"]


def test_shutdown_releases_what_runs_and_spends_no_attempt(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", shutdown_grace=timedelta(0))
    cancel = CancelToken()

    def cancelled_while_sending(media: Any, context: Any) -> UploadReceipt:
        cancel.cancel()
        return _until_cancelled(media, context)

    rig.destination.script = [cancelled_while_sending]
    report = manager.process(cancel)
    task = rig.only_task(manager)
    assert (report.released, report.stopped_by) == (1, "cancelled")
    assert (task.state, task.attempts) == (TaskState.PENDING, 0)
    assert manager.process().succeeded == 1


def test_running_upload_may_end_within_the_grace_period(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4", workers=1)
    cancel = CancelToken()
    rig.destination.script = [lambda _media, _context: cancel.cancel()]
    report = manager.process(cancel)
    assert (report.taken, report.succeeded) == (1, 1)


def test_close_leaves_nothing_uploading_and_closes_the_uploader(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", shutdown_grace=timedelta(0))
    begun = threading.Event()

    def begins(media: Any, context: Any) -> UploadReceipt:
        begun.set()
        return _until_cancelled(media, context)

    rig.destination.script = [begins]
    runner = threading.Thread(target=manager.process)
    runner.start()
    assert begun.wait(HANG_GUARD)
    manager.close()
    runner.join(HANG_GUARD)
    assert manager.counts()[TaskState.UPLOADING] == 0
    assert (rig.destination.closed, rig.only_task(manager).attempts) == (1, 0)
    with pytest.raises(ConfigurationError, match="closed"):
        manager.process()


def test_cancel_reaches_a_running_upload(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")

    def cancelled_by_a_user(media: Any, context: Any) -> UploadReceipt:
        assert manager.cancel(everything=True).running == 1
        return _until_cancelled(media, context)

    rig.destination.script = [cancelled_by_a_user]
    assert manager.process().cancelled == 1
    task = rig.only_task(manager)
    assert (task.state, task.reason) == (TaskState.CANCELLED, "user")


def test_pause_reaches_a_running_upload_and_releases_it(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")

    def paused_by_a_user(media: Any, context: Any) -> UploadReceipt:
        manager.pause(destination="shelf")
        return _until_cancelled(media, context)

    rig.destination.script = [paused_by_a_user]
    assert manager.process().released == 1
    assert rig.only_task(manager).attempts == 0
    manager.resume(destination="shelf")
    assert manager.process().succeeded == 1


def test_upload_without_progress_is_cut_off_and_retried(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", stall_timeout=timedelta(minutes=10))

    def stalls(media: Any, context: Any) -> UploadReceipt:
        rig.clock.advance_monotonic(timedelta(minutes=11))
        return _until_cancelled(media, context)

    rig.destination.script = [stalls]
    assert manager.process().failed == 1
    task = rig.only_task(manager)
    assert (task.state, task.attempts) == (TaskState.FAILED, 1)
    assert "stalled" in (task.error or "")


def test_upload_that_moves_on_keeps_its_lease(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", lease=timedelta(minutes=10), stall_timeout=timedelta(minutes=10))
    extended = threading.Event()
    extend = rig.tasks.extend

    def seen(*arguments: Any, **named: Any) -> Any:
        done = extend(*arguments, **named)
        extended.set()
        return done

    def slow(_media: Any, context: Any) -> None:
        for step in range(4):
            extended.clear()
            rig.clock.advance(timedelta(minutes=4))
            context.progress(step, total=1000)
            assert extended.wait(HANG_GUARD), "the heartbeat did not extend the lease"

    rig.tasks.extend = seen
    rig.destination.script = [slow]
    assert manager.process().succeeded == 1


def test_attempt_timeout_cuts_off_an_upload_that_still_moves(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", attempt_timeout=timedelta(minutes=5))

    def endless(media: Any, context: Any) -> UploadReceipt:
        assert context.deadline == rig.clock.now() + timedelta(minutes=5)
        rig.clock.advance(timedelta(minutes=6))
        context.progress(1)
        return _until_cancelled(media, context)

    rig.destination.script = [endless]
    assert manager.process().failed == 1


def test_thread_that_never_comes_back_is_given_up(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4", workers=1, shutdown_grace=timedelta(seconds=5))
    never = threading.Event()

    def hangs(_media: Any, context: Any) -> UploadReceipt:
        rig.clock.advance_monotonic(timedelta(minutes=11))
        context.cancel.wait(HANG_GUARD)
        rig.clock.advance_monotonic(timedelta(seconds=6))
        never.wait(HANG_GUARD)
        return UploadReceipt("too late")

    rig.destination.script = [hangs]
    report = manager.process()
    assert (report.failed, report.succeeded) == (1, 1)
    never.set()
    assert sorted(str(task.state) for task in manager.tasks()) == ["failed", "success"]


def test_database_that_fails_ends_the_run_and_the_next_one_writes_what_was_done(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", workers=1)
    settle, failures = rig.tasks.settle, [StoreError("the database is full: free some space")] * 2

    def fails(*arguments: Any, **named: Any) -> Any:
        if failures:
            raise failures.pop()
        return settle(*arguments, **named)

    rig.tasks.settle = fails
    with pytest.raises(StoreError, match="full"):
        manager.process()
    assert not failures, "both faults fired"
    manager.process()
    assert rig.destination.sent == [b"a.mp4"], "delivered once, and not forgotten"
    assert manager.counts()[TaskState.SUCCESS] == 1


def test_listener_that_raises_or_is_slow_does_not_touch_the_work(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    manager = _queued(rig, "a.mp4")

    def broken(_event: Any) -> None:
        raise RuntimeError("a bug in the application")

    manager.subscribe(broken)
    assert manager.process().succeeded == 1
    assert len(rig.heard(TaskBegun)) == 1
    assert "listener failed" in caplog.text


def test_progress_reaches_listeners_and_the_database(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")
    looked = threading.Semaphore(0)
    interrupts = rig.tasks.interrupts

    def seen(worker_id: str) -> Any:
        looked.release()
        return interrupts(worker_id)

    def half_way(_media: Any, context: Any) -> None:
        context.progress(5, total=10)
        for _ in range(2):  # by then the heartbeat has written what it knew at the first look
            assert looked.acquire(timeout=HANG_GUARD), "the heartbeat has stopped"
        assert rig.only_task(manager).progress.fraction == 0.5, "progress was not kept"

    rig.tasks.interrupts = seen
    rig.destination.script = [half_way]
    assert manager.process().succeeded == 1
    assert 0.5 in {event.progress.fraction for event in rig.heard(TaskProgress)}


def test_task_that_killed_its_workers_is_begun_alone_and_dies_after_three_more(rig: Any) -> None:
    manager = _queued(rig, "killer.mp4", workers=2, crash_backoff=timedelta(0))
    beside_the_killer: list[int] = []

    def dies(media: Any, context: Any) -> None:
        if media.asset.asset_id == b"killer.mp4":
            beside_the_killer.append(rig.tasks.counts()[TaskState.UPLOADING] - 1)
            raise OperationCancelled(CancelReason.LEASE_LOST)  # as if the process were gone: nothing is written

    for number in range(5):
        rig.tree.put(f"innocent {number}.mp4")
        manager.scan_and_enqueue_new()
        rig.settle()
        rig.destination.script = [dies] * 10
        manager.process()
        rig.clock.advance(timedelta(minutes=20))
        rig.tasks.take_back(dead_after=5, backoff_ns=[0])
    (killer,) = manager.tasks(asset_ids=["killer.mp4"])
    assert (killer.state, killer.reason, killer.crashes, killer.attempts) == (TaskState.DEAD, "crashed", 5, 0)
    assert beside_the_killer[2:] == [0, 0, 0], "after two deaths it is begun alone"
    assert manager.counts()[TaskState.SUCCESS] == 5, "innocent tasks are delivered all the same"


def test_clock_of_the_manager_may_jump_a_day_both_ways(rig: Any) -> None:
    assert isinstance(rig.clock, FakeClock)
    manager = rig.watching()
    rig.tree.put("a.mp4")
    manager.scan_and_enqueue_new()
    rig.clock.advance_wall(timedelta(days=-1))
    rig.clock.advance(timedelta(hours=25))
    manager.process()
    assert rig.destination.sent == [b"a.mp4"]
