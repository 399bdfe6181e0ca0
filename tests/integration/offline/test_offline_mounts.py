"""A NAS that is away is never taken for one that was emptied: on real mounts, with files queued and being sent."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from media_watch_tasks.model.events import AssetMissing, Quarantined
from media_watch_tasks.model.tasks import TaskState

FOLDERS = 6
OLD = tuple(f"{number % FOLDERS}/{number:02}.mov" for number in range(36))
QUEUED = tuple(f"{number % FOLDERS}/new {number}.mov" for number in range(6))

STRANGE = "of somebody else.mov"
"""It comes and goes with the other disk: the only file that is rightly missing."""

Away = Callable[[Any], None]


def unmounted(nas: Any) -> None:
    """The mount point is an empty folder now."""
    nas.unplug()


def replaced(nas: Any) -> None:
    """Another disk stands at the path."""
    nas.unplug()
    nas.mounts.new_disk(nas.root)
    (nas.root / STRANGE).write_bytes(STRANGE.encode() * 1_000)
    nas.replaced = True


def vanished(nas: Any) -> None:
    """The mount point itself is gone."""
    nas.unplug()
    nas.root.rmdir()


def come_back(nas: Any) -> None:
    if getattr(nas, "replaced", False):
        nas.mounts.unmount(nas.root)
    nas.plug_in()


def fill(nas: Any) -> None:
    """Most is delivered; some wait in the queue."""
    nas.write(*OLD)
    nas.work()
    assert nas.delivered() == set(OLD)
    nas.write(*QUEUED)
    report = nas.manager.scan_and_enqueue_new()
    assert (report.complete, report.enqueued) == (True, len(QUEUED))


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "restarted"])
@pytest.mark.parametrize("uploading", [False, True], ids=["queued", "uploading"])
@pytest.mark.parametrize("away", [unmounted, replaced, vanished])
def test_share_that_is_away_deletes_nothing_and_goes_on_when_it_is_back(
    nas: Any, away: Away, *, uploading: bool, restarted: bool
) -> None:
    fill(nas)
    if uploading:
        nas.uploader.meanwhile = lambda: away(nas)
        nas.manager.process()
        assert nas.uploader.meanwhile is None, "the share went away during an upload"
    else:
        away(nas)
    if restarted:
        nas.manager.close()
        nas.manager = nas.start()
    for _ in range(3):
        nas.work(hours=1)
    assert nas.false_deletions() == []
    assert nas.manager.counts()[TaskState.SUCCESS] < len(OLD + QUEUED), "some could not be read"
    come_back(nas)
    for _ in range(2):
        nas.work(hours=7)
    assert nas.false_deletions() == []
    assert nas.delivered() >= set(OLD + QUEUED)
    assert nas.manager.counts()[TaskState.SUCCESS] == len(nas.delivered()), "each was sent once"
    (source,) = nas.manager.sources()
    assert (source.quarantine, source.missing) == (None, int(away is replaced))


@pytest.mark.parametrize("away", [unmounted, replaced, vanished])
def test_share_that_goes_in_the_middle_of_a_scan_deletes_nothing(nas: Any, away: Away) -> None:
    fill(nas)
    for folder in range(FOLDERS):
        nas.write(f"{folder}/late.mov")
    nas.scanner.meanwhile = lambda: away(nas)
    report = nas.manager.scan_and_enqueue_new()
    assert nas.scanner.meanwhile is None, "the share went away during the scan"
    assert not report.complete
    nas.work(hours=1)
    assert nas.false_deletions() == []
    come_back(nas)
    for _ in range(2):
        nas.work(hours=7)
    assert nas.false_deletions() == []
    assert nas.delivered() >= {*OLD, *QUEUED, *(f"{folder}/late.mov" for folder in range(FOLDERS))}


@pytest.mark.parametrize("uploading", [False, True], ids=["queued", "uploading"])
def test_other_inode_numbers_delete_nothing_and_send_nothing_again(nas: Any, *, uploading: bool) -> None:
    fill(nas)

    def renumber() -> None:
        other = nas.disk.with_name("other disk")
        nas.mounts.new_disk(other)
        subprocess.run(["cp", "--archive", f"{nas.disk}/.", os.fspath(other)], check=True, timeout=60)
        nas.unplug()
        nas.disk = other
        nas.plug_in()

    if uploading:
        nas.uploader.meanwhile = renumber
        nas.manager.process()
        assert nas.uploader.meanwhile is None
    else:
        renumber()
    nas.work(hours=1)
    nas.work(hours=7)
    (source,) = nas.manager.sources()
    if source.quarantine is not None:  # a kernel that names the file system tells that it is another one
        assert [event for event in nas.events if isinstance(event, Quarantined)]
        nas.manager.confirm_quarantine()
        nas.work(hours=7)
    assert nas.false_deletions() == []
    assert nas.delivered() == set(OLD + QUEUED)
    assert nas.manager.counts()[TaskState.SUCCESS] == len(OLD + QUEUED), "nothing was sent again"


@pytest.mark.parametrize("uploading", [False, True], ids=["queued", "uploading"])
@pytest.mark.parametrize("confirmed", [True, False])
def test_true_deletion_of_two_fifths_waits_for_one_word(nas: Any, *, confirmed: bool, uploading: bool) -> None:
    fill(nas)
    gone = OLD[:17]

    def delete() -> None:
        for name in gone:
            (nas.disk / name).unlink(missing_ok=True)

    if uploading:
        nas.uploader.meanwhile = delete
        nas.manager.process()
        assert nas.uploader.meanwhile is None
    else:
        delete()
    report = nas.work(hours=1)
    assert (report.complete, report.missing) == (True, 0)
    assert f"{len(gone)} of {len(OLD + QUEUED)} known files" in (report.quarantine or ""), "it says how many"
    assert [event for event in nas.events if isinstance(event, AssetMissing)] == []
    (source,) = nas.manager.sources()
    assert (source.missing, source.held_absences) == (0, len(gone))
    nas.write("0/after.mov")
    nas.work(hours=1)
    assert "0/after.mov" in nas.delivered(), "new files still go"
    if confirmed:
        assert nas.manager.confirm_quarantine().missing == len(gone)
        missing = [event.asset_id.decode() for event in nas.events if isinstance(event, AssetMissing)]
        assert sorted(missing) == sorted(gone)
        assert nas.work(hours=1).quarantine is None
    else:
        assert nas.manager.reject_quarantine().ended
        (source,) = nas.manager.sources()
        assert (source.quarantine, source.missing) == (None, 0)
        assert nas.work(hours=1).quarantine is not None, "the next scan judges anew"
        assert [event for event in nas.events if isinstance(event, AssetMissing)] == []
