"""The baseline: everything is recorded, nothing is enqueued, and nothing that comes later is swallowed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import BaselineRequiredError, ConfigurationError, OperationCancelled, SourceOfflineError
from media_watch_tasks.model.events import BaselineDebtPaid
from media_watch_tasks.model.sources import BaselineState


def test_baseline_records_everything_and_enqueues_nothing(rig: Any) -> None:
    rig.tree.put("2024/a.mp4")
    rig.tree.put("b.mp4")
    manager = rig.manager()
    report = manager.initialize_baseline()
    assert (report.complete, report.recorded, report.assets, report.already_complete) == (True, 2, 2, False)
    assert manager.scan_and_enqueue_new().enqueued == 0
    assert sum(manager.counts().values()) == 0


def test_second_baseline_changes_nothing_and_files_that_came_meanwhile_are_sent(rig: Any) -> None:
    manager = rig.manager()
    rig.tree.put("old.mp4")
    manager.initialize_baseline()
    rig.tree.put("meanwhile.mp4")
    again = manager.initialize_baseline()
    assert (again.already_complete, again.recorded, again.assets) == (True, 0, 1)
    rig.deliver(manager)
    assert rig.destination.sent == [b"meanwhile.mp4"]


def test_scan_before_a_baseline_is_refused(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.manager()
    with pytest.raises(BaselineRequiredError, match="initialize_baseline"):
        manager.scan_and_enqueue_new()
    assert sum(manager.counts().values()) == 0


def test_first_scan_may_take_every_file_as_new(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.manager(first_scan="enqueue")
    assert manager.scan_and_enqueue_new().enqueued == 1
    assert manager.initialize_baseline().already_complete, "a complete first scan stands for the baseline"


def test_baseline_that_was_cut_off_goes_on_where_it_stood(rig: Any) -> None:
    for name in ("a", "b", "c"):
        rig.tree.put(f"{name}/1.mp4")
    manager = rig.manager()
    cancel = CancelToken()
    listed = rig.scanner.tree.children

    def children(directory: bytes) -> Any:
        if directory == b"b":
            cancel.cancel()
        return listed(directory)

    rig.tree.children = children
    with pytest.raises(OperationCancelled):
        manager.initialize_baseline(cancel)
    assert rig.media_state.source(manager.source_id).baseline is BaselineState.STARTED
    with pytest.raises(BaselineRequiredError, match="cut short"):
        manager.scan_and_enqueue_new()
    rig.tree.children = listed
    rig.scanner.listed.clear()
    report = manager.initialize_baseline()
    assert (report.complete, report.resumed, report.assets) == (True, True, 3)
    assert b"a" not in rig.scanner.listed, "what was recorded is not listed again"


def test_restart_refuses_while_tasks_are_live_and_then_records_anew(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    manager.scan_and_enqueue_new()
    with pytest.raises(ConfigurationError, match="1 tasks"):
        manager.initialize_baseline(restart=True)
    manager.cancel(everything=True)
    report = manager.initialize_baseline(restart=True)
    assert (report.complete, report.recorded) == (True, 1)
    assert manager.scan_and_enqueue_new().enqueued == 0


def test_baseline_of_a_root_that_cannot_be_reached_fails(rig: Any) -> None:
    manager = rig.manager()
    with rig.tree.taken_offline(), pytest.raises(SourceOfflineError):
        manager.initialize_baseline()
    assert rig.media_state.source(manager.source_id).baseline is BaselineState.NONE


def test_directory_that_the_baseline_could_not_read_is_recorded_at_its_first_listing(rig: Any) -> None:
    rig.tree.put("locked/deep/old.mp4")
    rig.tree.put("locked/old.mp4")
    rig.tree.put("open/old.mp4")
    rig.tree.set_readable("locked", readable=False)
    manager = rig.manager()
    report = manager.initialize_baseline()
    assert (report.complete, report.problem_count) == (True, 1)
    assert manager.sources()[0].owed_directories == 1
    assert manager.scan_and_enqueue_new().complete is False
    assert manager.sources()[0].owed_directories == 1
    rig.tree.set_readable("locked", readable=True)
    rig.tree.put("open/new.mp4")
    scan = manager.scan_and_enqueue_new()
    assert (scan.new, scan.enqueued, scan.baseline_recorded) == (3, 1, 2)
    assert {event.directory for event in rig.heard(BaselineDebtPaid)} == {b"locked", b"locked/deep"}
    assert manager.sources()[0].owed_directories == 0
    rig.tree.put("locked/new.mp4")
    rig.deliver(manager)
    assert sorted(rig.destination.sent) == [b"locked/new.mp4", b"open/new.mp4"]


def test_file_that_grew_since_the_baseline_is_sent(rig: Any) -> None:
    rig.tree.put("growing.mp4", b"1234")
    manager = rig.manager()
    manager.initialize_baseline()
    rig.tree.put("growing.mp4", b"12345678")
    rig.deliver(manager)
    assert rig.destination.held == {b"growing.mp4": b"12345678"}


def test_baseline_beside_a_running_scan_is_skipped(rig: Any) -> None:
    manager = rig.manager()
    lease = rig.media_state.acquire_scan(manager.source_id, owner="somebody", lease_ns=10**12)
    assert lease is not None
    report = manager.initialize_baseline()
    assert (report.complete, report.skipped) == (False, "another scan is running")
    rig.clock.advance(timedelta(seconds=1001))
    assert manager.initialize_baseline().complete, "a scanner that died holds its lease no longer than it runs"
