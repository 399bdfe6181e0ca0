"""Managers that divide one queue between them."""

from __future__ import annotations

from tests.contracts.manager.conftest import Rig

from media_watch_tasks import MediaKind, Share
from media_watch_tasks.model.tasks import TaskState


def test_a_manager_works_on_its_share_and_leaves_the_rest(rig: Rig) -> None:
    strong = rig.watching(share=Share(kinds={MediaKind.VIDEO}))
    other = rig.manager(share=Share(without_kinds={MediaKind.VIDEO}))
    for name in ("a.mov", "b.srt", "c.mp4", "d.wav"):
        rig.tree.put(name, name.encode())
    assert strong.scan_and_enqueue_new().enqueued == 4, "who scans enqueues for all"
    rig.settle()
    report = strong.process()
    assert (report.succeeded, report.stopped_by) == (2, "empty")
    assert sorted(rig.destination.sent) == [b"a.mov", b"c.mp4"]
    assert strong.counts()[TaskState.PENDING] == 2
    assert other.process().succeeded == 2
    assert sorted(rig.destination.sent[2:]) == [b"b.srt", b"d.wav"]


def test_tags_of_the_options_divide_the_work(rig: Rig) -> None:
    tagging = rig.watching(tags=lambda asset: {"raw"} if asset.asset_id.startswith(b"raw/") else ())
    rig.tree.put("raw/a.mov", b"1")
    rig.tree.put("b.mov", b"2")
    tagging.scan_and_enqueue_new()
    rig.settle()
    assert rig.manager(share=Share(tags={"raw"})).process().succeeded == 1
    assert rig.destination.sent == [b"raw/a.mov"]
    assert rig.manager(share=Share(without_tags={"raw"})).process().succeeded == 1


def test_a_run_with_a_share_takes_what_is_enqueued_while_it_scans(rig: Rig) -> None:
    manager = rig.watching(share=Share(kinds={MediaKind.VIDEO}))
    rig.tree.put("a.mov", b"1")
    rig.tree.put("b.wav", b"2")
    manager.scan_and_enqueue_new()
    rig.settle()
    report = manager.run_once()
    assert (report.process.succeeded, manager.counts()[TaskState.PENDING]) == (1, 1)
