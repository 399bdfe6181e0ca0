"""A scan finds what is new or changed, writes tasks before it counts a file as seen, and misses nothing."""

from __future__ import annotations

from typing import Any

import pytest

from media_watch_tasks.cancellation import CancelToken
from media_watch_tasks.errors import ConfigurationError, StoreError
from media_watch_tasks.model.events import AssetChangedEvent, AssetDiscovered, ScanFinished, TaskEnqueued
from media_watch_tasks.model.tasks import TaskState
from media_watch_tasks.uploaders import AllOf


def test_new_file_is_enqueued_once_and_known_files_are_not(rig: Any) -> None:
    rig.tree.put("old.mp4")
    manager = rig.watching()
    rig.tree.put("2026/new.mp4")
    first = manager.scan_and_enqueue_new()
    second = manager.scan_and_enqueue_new()
    assert (first.new, first.enqueued, first.unchanged, first.complete) == (1, 1, 1, True)
    assert (second.new, second.enqueued, second.unchanged) == (0, 0, 2)
    assert manager.counts()[TaskState.PENDING] == 1
    assert [event.asset_id for event in rig.heard(AssetDiscovered)] == [b"2026/new.mp4"]
    assert [event.asset_id for event in rig.heard(TaskEnqueued)] == [b"2026/new.mp4"]
    assert [event.enqueued for event in rig.heard(ScanFinished)] == [1, 0]


@pytest.mark.parametrize("step_ns", [10**9, -(10**9), 1])
def test_another_mtime_is_a_change_whichever_way_it_moved(rig: Any, step_ns: int) -> None:
    asset = rig.tree.put("a.mp4", b"footage")
    manager = rig.watching()
    rig.tree.put("a.mp4", b"footage", mtime_ns=asset.mtime_ns + step_ns)
    assert manager.scan_and_enqueue_new().changed == 1
    assert [event.asset_id for event in rig.heard(AssetChangedEvent)] == [b"a.mp4"]


def test_late_arrival_with_an_old_date_is_found(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("restored/1999.mp4", mtime_ns=1)
    rig.deliver(manager)
    assert rig.destination.sent == [b"restored/1999.mp4"]


def test_one_task_for_each_destination(rig: Any) -> None:
    other = type(rig.destination)("attic")
    manager = rig.watching(uploader=AllOf([rig.destination, other]))
    rig.tree.put("a.mp4")
    rig.destination.script = [OSError("down")]
    rig.deliver(manager)
    assert (rig.destination.sent, other.sent) == ([], [b"a.mp4"])
    assert {task.destination_id: task.state for task in manager.tasks()} == {"shelf": "failed", "attic": "success"}


def test_directory_that_cannot_be_read_makes_the_scan_incomplete_and_the_rest_goes_on(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a/1.mp4")
    rig.tree.put("b/2.mp4")
    rig.tree.set_readable("a", readable=False)
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.problem_count, report.enqueued) == (False, 1, 1)
    assert report.problems[0].display == "a"
    rig.tree.set_readable("a", readable=True)
    assert manager.scan_and_enqueue_new().enqueued == 1


def test_source_that_cannot_be_reached_gives_a_report_and_no_exception(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    with rig.tree.taken_offline():
        report = manager.scan_and_enqueue_new()
    assert (report.complete, report.assets) == (False, 0)
    assert "offline" in (report.error or "")
    assert manager.scan_and_enqueue_new().enqueued == 1


def test_scan_beside_another_is_skipped_and_says_so(rig: Any) -> None:
    manager = rig.watching()
    lease = rig.media_state.acquire_scan(manager.source_id, owner="somebody", lease_ns=10**12)
    rig.tree.put("a.mp4")
    assert manager.scan_and_enqueue_new().skipped == "another scan is running"
    rig.media_state.release_scan(lease)
    assert manager.scan_and_enqueue_new().enqueued == 1


def test_scan_that_was_cut_off_finds_what_came_behind_its_back(rig: Any) -> None:
    manager = rig.watching()
    for name in ("a", "b", "c"):
        rig.tree.put(f"{name}/1.mp4")
    children, cancel = rig.tree.children, CancelToken()

    def cut_off(directory: bytes) -> Any:
        if directory == b"c":
            cancel.cancel()
        return children(directory)

    rig.tree.children = cut_off
    first = manager.scan_and_enqueue_new(cancel)
    rig.tree.children = children
    rig.tree.put("a/0.mp4")
    rig.tree.remove_directory("b")
    rig.scanner.listed.clear()
    second = manager.scan_and_enqueue_new()
    assert (first.complete, first.enqueued) == (False, 2)
    assert (second.complete, second.resumed, second.enqueued) == (True, True, 2)
    assert rig.scanner.listed[0] == b"c", "the rest comes first, so that a scan that is always cut off ends some day"
    assert {task.asset_id for task in manager.tasks()} == {b"a/1.mp4", b"b/1.mp4", b"c/1.mp4", b"a/0.mp4"}


def test_file_is_not_seen_before_its_task_is_written(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    enqueue = rig.tasks.enqueue_if_absent

    def power_fails(*_arguments: Any, **_named: Any) -> Any:
        raise StoreError("the database is full")

    rig.tasks.enqueue_if_absent = power_fails
    with pytest.raises(StoreError):
        manager.scan_and_enqueue_new()
    rig.tasks.enqueue_if_absent = enqueue
    assert manager.scan_and_enqueue_new().enqueued == 1


def test_task_written_before_its_file_was_seen_is_not_written_twice(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    record = rig.media_state.record_page

    def power_fails(*_arguments: Any, **_named: Any) -> Any:
        raise StoreError("the database is full")

    rig.media_state.record_page = power_fails
    with pytest.raises(StoreError):
        manager.scan_and_enqueue_new()
    rig.media_state.record_page = record
    report = manager.scan_and_enqueue_new()
    assert report.new == 1
    assert rig.live(manager) == 1
    assert report.enqueued + report.already_queued == 1


def test_unchanged_source_writes_nothing(rig: Any) -> None:
    rig.tree.put("a/1.mp4")
    rig.tree.put("b/2.mp4")
    manager = rig.watching()
    written: list[Any] = []

    def record_page(*arguments: Any, **_named: Any) -> bool:
        written.append(arguments)
        return True

    rig.media_state.record_page = record_page
    manager.scan_and_enqueue_new()
    assert written == []


def test_destination_that_the_source_was_not_run_with_is_refused(rig: Any) -> None:
    rig.watching().close()
    other = type(rig.destination)("attic")
    with pytest.raises(ConfigurationError, match="attic"):
        rig.manager(uploader=other)


@pytest.mark.parametrize(("choice", "sent"), [("keep", [b"c.mp4"]), ("resend", [b"b.mp4", b"c.mp4"])])
def test_changed_destination_gets_new_files_or_all_that_was_not_baseline(
    rig: Any, choice: str, sent: list[bytes]
) -> None:
    rig.tree.put("a.mp4")
    manager = rig.watching()
    rig.tree.put("b.mp4")
    rig.deliver(manager)
    manager.close()
    other = type(rig.destination)("attic")
    successor = rig.manager(uploader=other, destination_changed=choice)
    rig.tree.put("c.mp4")
    rig.deliver(successor)
    assert sorted(other.sent) == sent
    assert rig.destination.sent == [b"b.mp4"]


def test_manager_claims_only_tasks_of_its_own_source_and_destination(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a.mp4")
    manager.scan_and_enqueue_new()
    rig.settle()
    foreign_tree = type(rig.tree)("fake:elsewhere")
    parts = {"media_scanner": type(rig.scanner)(foreign_tree), "media_resolver": type(rig.resolver)(foreign_tree)}
    stranger = rig.manager(uploader=type(rig.destination)("attic"), parts=parts)
    assert stranger.process().taken == 0
    assert sum(stranger.counts().values()) == 0
    assert manager.process().succeeded == 1


def test_scanner_and_resolver_of_different_sources_are_refused(rig: Any) -> None:
    elsewhere = type(rig.resolver)(type(rig.tree)("fake:elsewhere"))
    with pytest.raises(ConfigurationError, match="fake:elsewhere"):
        rig.manager(parts={"media_resolver": elsewhere})
