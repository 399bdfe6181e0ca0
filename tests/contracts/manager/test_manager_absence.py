"""What is not there any more: missing, moved, or held in quarantine until somebody has looked."""

from __future__ import annotations

from typing import Any

import pytest

from media_watch_tasks.model.assets import RootIdentity
from media_watch_tasks.model.events import AssetMissing, AssetMoved, Quarantined, QuarantineEnded, RootAccepted
from media_watch_tasks.model.tasks import TaskState


def _known(rig: Any, count: int, **options: Any) -> Any:
    """A manager whose source has `count` delivered files, in folders of ten."""
    manager = rig.watching(**options)
    for number in range(count):
        rig.tree.put(f"{number // 10}/{number}.mp4", b"footage %d" % number)
    rig.deliver(manager)
    assert len(rig.destination.sent) == count
    rig.destination.sent.clear()
    return manager


def test_file_that_a_complete_scan_does_not_find_is_missing(rig: Any) -> None:
    manager = _known(rig, 12)
    rig.tree.remove("0/3.mp4")
    rig.tree.remove_directory("1")
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing, report.quarantine) == (True, 3, None)
    assert {event.asset_id for event in rig.heard(AssetMissing)} == {b"0/3.mp4", b"1/10.mp4", b"1/11.mp4"}
    assert manager.sources()[0].missing == 3
    assert manager.scan_and_enqueue_new().missing == 0, "it is told once"


def test_incomplete_scan_calls_nothing_missing(rig: Any) -> None:
    manager = _known(rig, 12)
    rig.tree.remove("0/3.mp4")
    rig.tree.set_readable("1", readable=False)
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing) == (False, 0)
    rig.tree.set_readable("1", readable=True)
    assert manager.scan_and_enqueue_new().missing == 1


def test_file_that_is_back_before_any_scan_was_complete_is_not_missing(rig: Any) -> None:
    manager = _known(rig, 12)
    file = rig.tree.file("0/3.mp4")
    rig.tree.remove("0/3.mp4")
    rig.tree.set_readable("1", readable=False)
    assert not manager.scan_and_enqueue_new().complete
    rig.tree.set_readable("1", readable=True)
    rig.tree.put("0/3.mp4", file.data, mtime_ns=file.mtime_ns)
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing, report.new) == (True, 0, 0)
    assert rig.heard(AssetMissing) == []


def test_folders_that_stay_away_stay_in_quarantine(rig: Any) -> None:
    manager = _known(rig, 30)
    for directory in ("0", "1", "2"):
        rig.tree.remove_directory(directory)
    for _ in range(3):
        assert manager.scan_and_enqueue_new().quarantine is not None
        assert manager.sources()[0].held_absences == 30
    assert rig.heard(QuarantineEnded) == []
    assert manager.confirm_quarantine().missing == 30


def test_missing_file_that_comes_back_is_not_sent_again(rig: Any) -> None:
    manager = _known(rig, 12)
    file = rig.tree.file("0/3.mp4")
    rig.tree.remove("0/3.mp4")
    assert manager.scan_and_enqueue_new().missing == 1
    rig.tree.put("0/3.mp4", file.data, mtime_ns=file.mtime_ns)
    report = manager.scan_and_enqueue_new()
    assert (report.new, report.already_delivered, report.enqueued) == (1, 1, 0)
    assert manager.sources()[0].missing == 0


@pytest.mark.parametrize("queued", [False, True])
def test_emptied_source_is_held_in_quarantine(rig: Any, queued: bool) -> None:
    manager = _known(rig, 30)
    if queued:
        rig.tree.put("2/waiting.mp4")
        manager.scan_and_enqueue_new()
    for directory in ("0", "1", "2"):
        rig.tree.remove_directory(directory)
    report = manager.scan_and_enqueue_new()
    known = 31 if queued else 30
    assert (report.missing, report.quarantine) == (0, f"{known} of {known} known files are not there any more")
    (source,) = manager.sources()
    assert (source.assets, source.missing, source.held_absences) == (known, 0, known)
    assert [event.absent for event in rig.heard(Quarantined)] == [known]
    manager.scan_and_enqueue_new()
    assert len(rig.heard(Quarantined)) == 1, "it is told once"
    assert rig.heard(AssetMissing) == []


def test_quarantine_ends_by_itself_when_the_files_are_back(rig: Any) -> None:
    manager = _known(rig, 30)
    directories, files = dict(rig.tree._directories), dict(rig.tree._files)
    for directory in ("0", "1", "2"):
        rig.tree.remove_directory(directory)
    assert manager.scan_and_enqueue_new().quarantine is not None
    rig.tree._directories.update(directories)
    rig.tree._files.update(files)
    report = manager.scan_and_enqueue_new()
    assert (report.quarantine, report.missing, report.enqueued) == (None, 0, 0)
    assert [event.how for event in rig.heard(QuarantineEnded)] == ["the files are back"]


def test_true_deletion_of_many_files_is_confirmed_by_one_call(rig: Any) -> None:
    manager = _known(rig, 30)
    for number in range(12):
        rig.tree.remove(f"{number // 10}/{number}.mp4")
    assert manager.scan_and_enqueue_new().quarantine is not None
    report = manager.confirm_quarantine()
    assert (report.ended, report.missing) == (True, 12)
    assert len(rig.heard(AssetMissing)) == 12
    scan = manager.scan_and_enqueue_new()
    assert (scan.quarantine, scan.missing, manager.sources()[0].missing) == (None, 0, 12)
    assert not manager.confirm_quarantine().ended


def test_rejected_quarantine_forgets_the_absences(rig: Any) -> None:
    manager = _known(rig, 30)
    for number in range(12):
        rig.tree.remove(f"{number // 10}/{number}.mp4")
    manager.scan_and_enqueue_new()
    assert manager.reject_quarantine().ended
    assert (manager.sources()[0].quarantine, manager.sources()[0].missing) == (None, 0)
    assert manager.scan_and_enqueue_new().quarantine is not None, "the next scan judges anew"


def test_new_files_still_go_while_absences_are_held(rig: Any) -> None:
    manager = _known(rig, 30)
    for directory in ("0", "1", "2"):
        rig.tree.remove_directory(directory)
    rig.tree.put("new.mp4")
    rig.deliver(manager)
    assert manager.sources()[0].quarantine is not None
    assert rig.destination.sent == [b"new.mp4"]


def test_another_disk_at_the_same_path_puts_the_source_in_quarantine(rig: Any) -> None:
    manager = _known(rig, 3)
    rig.tree.identity = RootIdentity(strong="another volume", weak="9", file_ids_stable=True)
    rig.tree.remove_directory("0")
    rig.tree.put("of the other disk.mp4")
    report = manager.scan_and_enqueue_new()
    assert "another volume" in (report.quarantine or "")
    assert (report.missing, rig.heard(AssetMissing)) == (0, [])
    rig.settle()
    manager.process()
    assert rig.destination.sent == [b"of the other disk.mp4"]
    assert manager.confirm_quarantine().missing == 3
    assert manager.scan_and_enqueue_new().quarantine is None, "the new disk is the source now"


@pytest.mark.parametrize(("kept", "recognised"), [(30, True), (15, True), (5, False)])
def test_weak_names_that_change_are_accepted_when_half_of_the_files_are_there(
    rig: Any, kept: int, recognised: bool
) -> None:
    rig.tree.identity = RootIdentity(weak="device 1")
    manager = _known(rig, 30)
    rig.tree.identity = RootIdentity(weak="device 2")
    for number in range(kept, 30):
        rig.tree.remove(f"{number // 10}/{number}.mp4")
    report = manager.scan_and_enqueue_new()
    assert bool(rig.heard(RootAccepted)) is recognised
    assert (report.quarantine is None) is (kept == 30)
    assert rig.heard(AssetMissing) == []


def test_root_that_changes_during_a_scan_makes_it_incomplete(rig: Any) -> None:
    manager = _known(rig, 12)
    children = rig.tree.children

    def unmounted(directory: bytes) -> Any:
        if directory == b"1":
            rig.tree.identity = RootIdentity(strong="the disk below the mount point")
        return children(directory)

    rig.tree.children = unmounted
    rig.tree.remove("0/1.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.complete, report.missing) == (False, 0)
    assert "changed during the scan" in (report.error or "")


@pytest.mark.parametrize("stable_ids", [True, False])
def test_moved_file_takes_its_receipt_along_and_is_not_sent_again(rig: Any, stable_ids: bool) -> None:
    rig.tree.identity = RootIdentity(strong="volume", file_ids_stable=stable_ids)
    manager = _known(rig, 3)
    rig.tree.move("0/1.mp4", "sorted/1.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.new, report.enqueued, report.missing) == (1, 0, 0, 0)
    assert [(e.moved_from, e.asset_id) for e in rig.heard(AssetMoved)] == [(b"0/1.mp4", b"sorted/1.mp4")]
    rig.settle()
    assert manager.process().taken == 0
    assert manager.enqueue(["sorted/1.mp4"]).already_delivered == 1
    again = manager.scan_and_enqueue_new()
    assert (again.moved, again.new, again.missing) == (0, 0, 0)


def test_file_that_was_renamed_is_a_move_only_by_its_id(rig: Any) -> None:
    rig.tree.identity = RootIdentity(strong="volume", file_ids_stable=False)
    manager = _known(rig, 3)
    rig.tree.move("0/1.mp4", "0/another name.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.new) == (0, 1)


def test_copy_is_a_new_file(rig: Any) -> None:
    rig.tree.identity = RootIdentity(strong="volume", file_ids_stable=False)
    manager = _known(rig, 3)
    original = rig.tree.file("0/1.mp4")
    rig.tree.put("copies/1.mp4", original.data, mtime_ns=original.mtime_ns)
    rig.deliver(manager)
    assert rig.destination.sent == [b"copies/1.mp4"]


def test_move_with_two_candidates_is_no_move(rig: Any) -> None:
    rig.tree.identity = RootIdentity(strong="volume", file_ids_stable=False)
    manager = rig.watching()
    rig.tree.put("a/1.mp4", b"twin", mtime_ns=5)
    rig.tree.put("b/1.mp4", b"twin", mtime_ns=5)
    rig.deliver(manager)
    rig.tree.remove("b/1.mp4")
    rig.tree.move("a/1.mp4", "c/1.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.new) == (0, 1)


def test_undelivered_file_that_moves_is_sent_from_its_new_place(rig: Any) -> None:
    manager = rig.watching()
    rig.tree.put("a/1.mp4")
    manager.scan_and_enqueue_new()
    rig.tree.move("a/1.mp4", "b/1.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.enqueued) == (1, 1)
    rig.settle()
    manager.process()
    assert rig.destination.sent == [b"b/1.mp4"]
    assert [task.reason for task in manager.tasks(states=["cancelled"])] == ["superseded"]


def test_file_of_the_baseline_that_moves_stays_unsent(rig: Any) -> None:
    rig.tree.put("a/1.mp4")
    manager = rig.watching()
    rig.tree.move("a/1.mp4", "b/1.mp4")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.enqueued) == (1, 0)


def test_moves_may_be_taken_for_new_files(rig: Any) -> None:
    manager = _known(rig, 3, on_move="upload")
    rig.tree.move("0/1.mp4", "b/1.mp4")
    rig.deliver(manager)
    assert rig.destination.sent == [b"b/1.mp4"]


def test_whole_folder_that_is_renamed_is_not_sent_again(rig: Any) -> None:
    manager = _known(rig, 30)
    for number in range(10):
        rig.tree.move(f"0/{number}.mp4", f"renamed/{number}.mp4")
    rig.tree.remove_directory("0")
    report = manager.scan_and_enqueue_new()
    assert (report.moved, report.new, report.missing, report.quarantine) == (10, 0, 0, None)
    assert manager.counts()[TaskState.SUCCESS] == 30
