"""What an application asks of the queue: enqueue, cancel, retry, pause, look, purge."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from media_watch_tasks.errors import ConfigurationError, PermanentError, TransientError
from media_watch_tasks.model.events import Paused, Resumed
from media_watch_tasks.model.sources import BaselineState
from media_watch_tasks.model.tasks import TaskState, WaitReason


def _queued(rig: Any, *names: str, **options: Any) -> Any:
    manager = rig.watching(**options)
    for name in names:
        rig.tree.put(name)
    manager.scan_and_enqueue_new()
    rig.settle()
    return manager


def test_counts_have_one_exact_entry_for_each_state(rig: Any) -> None:
    manager = _queued(rig, *[f"{n}.mp4" for n in range(5)], workers=1)
    rig.destination.script = [TransientError("busy"), PermanentError("no")]
    manager.process(limit=3)
    manager.cancel(states=["pending"], asset_ids=["4.mp4"])
    counts = manager.counts()
    assert {str(state): count for state, count in counts.items()} == {
        "pending": 1, "uploading": 0, "success": 1, "failed": 1, "dead": 1, "cancelled": 1,
    }  # fmt: skip
    assert counts["success"] == 1, "keys compare equal to their text"


def test_enqueue_takes_files_of_the_baseline_too(rig: Any) -> None:
    rig.tree.put("old.mp4")
    manager = rig.watching()
    report = manager.enqueue(["old.mp4", b"old.mp4", "not there.mp4"], priority=3, tags={"wanted"})
    assert (report.enqueued, report.not_found) == (1, (b"not there.mp4",))
    task = rig.only_task(manager, tag="wanted")
    assert (task.priority, task.waits_for) == (3, WaitReason.SETTLING)
    rig.settle()
    assert manager.process().succeeded == 1


def test_enqueue_keeps_an_existing_task_and_force_takes_its_place(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")
    first = rig.only_task(manager)
    assert manager.enqueue(["a.mp4"], priority=9).already_queued == 1
    assert rig.only_task(manager).priority == 0
    assert manager.enqueue(["a.mp4"], priority=9, force=True).enqueued == 1
    second = rig.only_task(manager, states=["pending"])
    assert (second.priority, second.id != first.id) == (9, True)


@pytest.mark.parametrize("asset_id", ["/etc/passwd", "../secret", "a/../../b", "", "nul\0byte"])
def test_enqueue_refuses_what_is_no_path_below_the_root(rig: Any, asset_id: str) -> None:
    manager = rig.watching()
    with pytest.raises(ConfigurationError, match="relative to the source's root"):
        manager.enqueue([asset_id])


def test_cancelled_task_is_not_sent_and_not_found_again(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4")
    assert manager.cancel(asset_ids=["a.mp4"]).tasks == 1
    rig.deliver(manager)
    assert rig.destination.sent == [b"b.mp4"]
    assert [task.reason for task in manager.tasks(states=["cancelled"])] == ["user"]


def test_cancel_without_a_selection_asks_for_everything_by_name(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4")
    with pytest.raises(ConfigurationError, match="everything=True"):
        manager.cancel()
    assert manager.cancel(everything=True).tasks == 2


def test_dead_tasks_are_kept_and_all_retried_by_one_call(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4")
    rig.destination.script = [PermanentError("bucket is gone")] * 2
    manager.process()
    assert [task.error for task in manager.tasks(states=["dead"])] == ["bucket is gone"] * 2
    assert manager.retry().retried == 2
    assert manager.process().succeeded == 2


def test_retry_skips_and_names_tasks_that_a_newer_version_has_overtaken(rig: Any) -> None:
    manager = _queued(rig, "a.mp4")
    rig.destination.script = [PermanentError("no")]
    manager.process()
    dead = rig.only_task(manager)
    rig.tree.change("a.mp4")
    rig.deliver(manager)
    assert dict(manager.retry(ids=[dead.id]).skipped) == {dead.id: "newer version delivered"}


def test_paused_tag_holds_its_tasks_and_those_that_come_later(rig: Any) -> None:
    manager = rig.watching(tags=lambda asset: ["raw"] if asset.name.endswith(b".dng") else [])
    rig.tree.put("a.dng")
    manager.scan_and_enqueue_new()
    manager.pause(tag="raw", reason="the line is slow")
    rig.tree.put("b.dng")
    rig.tree.put("c.jpg")
    rig.deliver(manager)
    assert rig.destination.sent == [b"c.jpg"]
    assert {task.waits_for for task in manager.tasks(tag="raw")} == {WaitReason.HELD}
    assert manager.resume(tag="raw")
    manager.process()
    assert sorted(rig.destination.sent) == [b"a.dng", b"b.dng", b"c.jpg"]
    assert [type(event) for event in rig.events if isinstance(event, Paused | Resumed)] == [Paused, Resumed]


@pytest.mark.parametrize("party", [{}, {"source": "fake:tree"}, {"destination": "shelf"}])
def test_pause_stops_claims_until_it_is_resumed_or_its_time_is_over(rig: Any, party: dict[str, str]) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4")
    manager.pause(**party)
    assert manager.process().taken == 0
    assert manager.resume(**party)
    assert not manager.resume(**party)
    assert manager.process(limit=1).succeeded == 1
    manager.pause(**party, until=rig.clock.now() + timedelta(hours=1))
    rig.clock.advance(timedelta(minutes=59))
    assert manager.process().taken == 0
    rig.clock.advance(timedelta(minutes=2))
    assert manager.process().succeeded == 1


def test_sources_show_baseline_counts_and_pauses(rig: Any) -> None:
    rig.tree.put("a.mp4")
    manager = rig.watching()
    manager.pause(destination="shelf", reason="maintenance")
    (source,) = manager.sources()
    assert (source.source_id, source.baseline, source.assets) == ("fake:tree", BaselineState.COMPLETE, 1)
    assert source.destinations == {"shelf"}
    assert [pause.reason for pause in source.pauses] == ["maintenance"]
    assert source.seconds_since_complete_scan == 0


def test_purge_deletes_old_ends_and_keeps_what_prevents_a_resend(rig: Any) -> None:
    manager = _queued(rig, "a.mp4", "b.mp4")
    manager.cancel(asset_ids=["b.mp4"])
    manager.process()
    rig.clock.advance(timedelta(days=2))
    assert manager.purge(older_than=timedelta(days=1)).tasks == 1
    assert manager.enqueue(["a.mp4"]).already_delivered == 1


def test_tasks_are_listed_by_id_in_portions(rig: Any) -> None:
    manager = _queued(rig, *[f"{n}.mp4" for n in range(5)])
    first = manager.tasks(limit=3)
    rest = manager.tasks(limit=3, after_id=first[-1].id)
    assert [task.display for task in (*first, *rest)] == [f"{n}.mp4" for n in range(5)]
    assert manager.tasks(keys=[first[0].key]) == first[:1]
    assert {task.state for task in rest} == {TaskState.PENDING}
