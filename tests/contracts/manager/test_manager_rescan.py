"""A rescan leaves directories unlisted that prove themselves unchanged, and never misses news by it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any


def _scans(rig: Any, manager: Any, count: int) -> list[Any]:
    reports = []
    for _ in range(count):
        rig.clock.advance(60)
        reports.append(manager.scan_and_enqueue_new())
    return reports


def _settled(rig: Any, **options: Any) -> Any:
    """A source of three folders in which nothing happens any more, scanned until its directories are trusted."""
    for name in ("a", "b", "b/deep"):
        rig.tree.put(f"{name}/1.mp4")
    manager = rig.watching(**options)
    _scans(rig, manager, 2)
    rig.scanner.listed.clear()
    return manager


def test_directory_with_a_trusted_stamp_is_not_listed_again(rig: Any) -> None:
    manager = _settled(rig)
    (report,) = _scans(rig, manager, 1)
    assert (rig.scanner.listed, report.unlisted, report.complete, report.missing) == ([], 4, True, 0)


def test_new_file_deep_below_unlisted_directories_is_found(rig: Any) -> None:
    manager = _settled(rig)
    rig.tree.put("b/deep/new.mp4")
    (report,) = _scans(rig, manager, 1)
    assert (report.enqueued, rig.scanner.listed) == (1, [b"b/deep"])


def test_directory_moved_in_with_an_old_date_is_listed(rig: Any) -> None:
    manager = _settled(rig)
    rig.tree.put("old stuff/1999.mp4", mtime_ns=1)
    (report,) = _scans(rig, manager, 1)
    assert report.enqueued == 1


def test_file_removed_or_renamed_shows(rig: Any) -> None:
    manager = _settled(rig)
    rig.tree.remove("a/1.mp4")
    (report,) = _scans(rig, manager, 1)
    assert report.missing == 1


def test_stamp_is_trusted_only_after_a_second_listing_five_seconds_later(rig: Any) -> None:
    rig.tree.put("a/1.mp4")
    manager = rig.watching()
    for _ in range(4):
        rig.clock.advance(1)
        manager.scan_and_enqueue_new()
    rig.scanner.listed.clear()
    rig.clock.advance(1)
    manager.scan_and_enqueue_new()
    assert rig.scanner.listed, "the stamp is five seconds old, but was never listed again since"
    rig.scanner.listed.clear()
    rig.clock.advance(1)
    manager.scan_and_enqueue_new()
    assert rig.scanner.listed == []


def test_directory_in_which_a_task_is_live_is_always_listed(rig: Any) -> None:
    manager = _settled(rig)
    rig.tree.put("a/growing.mp4", b"1")
    _scans(rig, manager, 3)
    rig.scanner.listed.clear()
    rig.tree.change("a/growing.mp4")  # its directory's stamp stays
    (report,) = _scans(rig, manager, 1)
    assert (report.changed, rig.scanner.listed) == (1, [b"a"])
    rig.settle()
    manager.process()
    _scans(rig, manager, 3)
    rig.scanner.listed.clear()
    _scans(rig, manager, 1)
    assert rig.scanner.listed == [], "once it is delivered nothing more is to be expected"


def test_every_so_many_scans_each_directory_is_listed(rig: Any) -> None:
    manager = _settled(rig, full_scan_every=5)
    rig.tree.change("a/1.mp4")
    reports = _scans(rig, manager, 6)
    assert sum(report.changed for report in reports) == 1
    assert [report.unlisted > 0 for report in reports].count(False) >= 1


def test_each_directory_is_listed_at_least_daily(rig: Any) -> None:
    manager = _settled(rig)
    rig.clock.advance(timedelta(days=1))
    rig.tree.change("a/1.mp4")
    assert manager.scan_and_enqueue_new().changed == 1


def test_file_system_that_keeps_no_directory_times_is_found_out(rig: Any) -> None:
    manager = _settled(rig, full_scan_every=3)
    stamps = {name: rig.tree.stamp(name) for name in (b"", b"a", b"b", b"b/deep")}
    rig.tree.stamp = stamps.__getitem__
    rig.tree.put("a/new.mp4")
    reports = _scans(rig, manager, 4)
    assert sum(report.enqueued for report in reports) == 1
    rig.scanner.listed.clear()
    rig.tree.put("a/another.mp4")
    (report,) = _scans(rig, manager, 1)
    assert report.enqueued == 1, "from then on every directory is listed"


def test_unlisted_directories_may_be_turned_off(rig: Any) -> None:
    manager = _settled(rig, rescan_unlisted=False)
    (report,) = _scans(rig, manager, 1)
    assert (report.unlisted, len(rig.scanner.listed)) == (0, 4)
